"""Search on disk is search in memory, whatever the blocks."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from relatum.index_files import penalty_of_file, search_file
from relatum.retrieval import HubnessPenalty, search
from relatum.vectors import as_source, open_embeddings

RNG = np.random.default_rng(0)
INDEX = RNG.normal(size=(300, 8)).astype(np.float32)
QUERIES = RNG.normal(size=(40, 8)).astype(np.float32)
SMALL = 8 * 4 * 8 * 17
"""Memory for blocks of 17 rows."""


@pytest.fixture(params=["array", ".npy", ".parquet", "folder"])
def index(request, tmp_path):
    if request.param == "array":
        return INDEX
    if request.param == ".npy":
        np.save(tmp_path / "x.npy", INDEX)
        return tmp_path / "x.npy"
    values = pa.FixedSizeListArray.from_arrays(pa.array(INDEX.ravel()), 8)
    table = pa.table({"id": [f"k{i}" for i in range(300)], "v": values})
    if request.param == "folder":
        for i, (start, n) in enumerate([(0, 100), (100, 1), (101, 199)]):
            pq.write_table(table.slice(start, n), tmp_path / f"{i}.parquet")
        return tmp_path
    pq.write_table(table, tmp_path / "x.parquet", row_group_size=64)
    return tmp_path / "x.parquet"


@pytest.mark.parametrize("k", [1, 10, 300])
@pytest.mark.parametrize("memory", [SMALL, 2**30])
def test_the_same_rows_are_found(index, k, memory):
    done: list[int] = []
    scores, rows = search_file(QUERIES, index, k, memory=memory, progress=done.append)
    expected, expected_rows = search(QUERIES, INDEX, k)
    np.testing.assert_allclose(scores, expected, atol=1e-5)
    assert (rows == expected_rows).mean() > 0.999
    assert done[-1] == 300


@pytest.mark.parametrize("correction", ["csls", "softmax"])
@pytest.mark.parametrize("memory", [SMALL, 2**30])
def test_the_same_penalties_are_computed_and_taken_off(index, correction, memory):
    turn = np.linalg.qr(RNG.normal(size=(8, 8)))[0].astype(np.float32)
    settings = {"place": lambda X: X @ turn, "memory": memory}
    found = penalty_of_file(index, QUERIES, correction=correction, **settings)
    expected = HubnessPenalty.of(INDEX @ turn, QUERIES, correction=correction)
    np.testing.assert_allclose(found.values, expected.values, atol=1e-5)
    scores, rows = search_file(QUERIES, index, 5, penalty=found, **settings)
    expected_scores, expected_rows = search(QUERIES, INDEX @ turn, 5, penalty=expected.values)
    np.testing.assert_allclose(scores, expected_scores, atol=1e-5)
    assert (rows == expected_rows).mean() > 0.999
    with pytest.raises(ValueError, match=r"penalty was computed for another index \(300 rows\)"):
        search_file(QUERIES, index, 5, penalty=found)


def test_penalties_of_one_are_those_of_the_other(index):
    found = penalty_of_file(index, QUERIES)
    np.testing.assert_array_equal(
        search(QUERIES, INDEX, 3, penalty=found)[1],
        search_file(QUERIES, index, 3, penalty=found)[1],
    )
    assert HubnessPenalty.of(INDEX, QUERIES).fingerprint == found.fingerprint


def test_of_rows_that_tie_the_lower_comes_first():
    same = np.repeat(np.eye(8, dtype=np.float32)[:1], 100, axis=0)
    rows = search_file(same[:1], same, 60, memory=SMALL)[1]
    assert rows.tolist() == [list(range(60))]


def test_ids_of_found_rows_are_read_alone(index):
    opened = open_embeddings(index) if not isinstance(index, np.ndarray) else as_source(index)
    rows = np.asarray([[299, 0], [101, 0]])
    found = opened.ids_of(rows)
    if opened.id_column is None:
        assert found is None
    else:
        assert found.tolist() == [["k299", "k0"], ["k101", "k0"]]
    with_ids = as_source(INDEX, np.arange(300) + 7)
    assert with_ids.ids_of(rows).tolist() == [[306, 7], [108, 7]]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: search_file(QUERIES, INDEX, 301), "k is 301; expected at most 300"),
        (lambda: search_file(QUERIES, INDEX, 3, memory=100), "memory is 100 bytes; .* 256: 8 rows"),
        (lambda: search_file(QUERIES, INDEX, 3, penalty=np.ones(5)), r"penalty has shape \(5,\)"),
        (lambda: search_file(QUERIES[:, :5], INDEX, 3), "queries has 5 features, index has 8"),
        (lambda: penalty_of_file(INDEX, QUERIES, correction="both"), "correction is 'both'"),
        (
            lambda: search_file(QUERIES, np.where(np.arange(300)[:, None] == 77, np.nan, 1.0), 3),
            "X contains NaN or infinity in 1 row: 77",
        ),
    ],
)
def test_wrong_use_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
