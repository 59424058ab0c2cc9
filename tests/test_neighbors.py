"""neighbors.py against brute force, with faiss and without."""

from __future__ import annotations

import importlib.util
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from relatum import RelatumWarning, neighbors
from relatum.neighbors import METRICS, nearest

ENGINES = [
    "blocks",
    pytest.param(
        "faiss",
        marks=pytest.mark.skipif(
            importlib.util.find_spec("faiss") is None,
            reason="faiss is an extra, and is not installed",
        ),
    ),
]


@pytest.fixture(params=ENGINES)
def engine(request, monkeypatch):
    """Each way to search in turn; without faiss in tiles far smaller than the data."""
    if request.param == "blocks":
        monkeypatch.setattr(neighbors, "find_faiss", lambda: None)
        monkeypatch.setattr(neighbors, "TILE_COLUMNS", 13)
        monkeypatch.setattr(neighbors, "TILE_BYTES", 2000)
    return request.param


def closeness(queries, index, metric):
    """The full matrix, higher is closer, in float64."""
    queries, index = np.asarray(queries, float), np.asarray(index, float)
    if metric == "cosine":
        return 1 - cdist(queries, index, "cosine")
    return queries @ index.T if metric == "inner_product" else -cdist(queries, index)


def brute_force(queries, index, k, metric, exclude_self=False):
    """One row at a time: sort by closeness, then by row number."""
    matrix = closeness(queries, index, metric)
    found = []
    for i, row in enumerate(matrix):
        order = sorted(range(len(row)), key=lambda j: (-row[j], j))
        found.append([j for j in order if not (exclude_self and j == i)][:k])
    indices = np.array(found)
    values = np.take_along_axis(matrix, indices, axis=1)
    return (-values if metric == "euclidean" else values), indices


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("k", [1, 5, 40])
def test_nearest_is_brute_force(engine, metric, dtype, k, rng):
    queries = rng.normal(size=(17, 6)).astype(dtype)
    index = rng.normal(size=(40, 6)).astype(dtype)
    values, indices = nearest(queries, index, k, metric=metric)
    expected_values, expected = brute_force(queries, index, k, metric)
    np.testing.assert_array_equal(indices, expected)
    np.testing.assert_allclose(values, expected_values, rtol=1e-5, atol=1e-6)
    assert indices.dtype == np.int64


@pytest.mark.parametrize("metric", METRICS)
def test_the_row_itself_is_left_out(engine, metric, rng):
    X = rng.normal(size=(50, 4))
    _, indices = nearest(X, X, 7, metric=metric, exclude_self=True)
    assert not (indices == np.arange(50)[:, None]).any()
    np.testing.assert_array_equal(indices, brute_force(X, X, 7, metric, exclude_self=True)[1])


def test_the_row_itself_is_left_out_among_duplicates(engine):
    X = np.tile([[1.0, 2.0]], (30, 1))
    _, indices = nearest(X, X, 3, exclude_self=True)
    assert indices.shape == (30, 3)
    assert not (indices == np.arange(30)[:, None]).any()
    assert all(len(set(row)) == 3 for row in indices.tolist())


@given(st.integers(0, 2**32 - 1), st.integers(1, 12))
def test_ties_go_to_the_lower_row_number_without_faiss(seed, k):
    rng = np.random.default_rng(seed)
    queries = rng.integers(-1, 2, size=(9, 3)).astype(float)
    index = rng.integers(-1, 2, size=(31, 3)).astype(float)  # 27 different rows at most
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(neighbors, "find_faiss", lambda: None)
        patch.setattr(neighbors, "TILE_COLUMNS", 5)
        _, indices = nearest(queries, index, k, metric="inner_product")
    np.testing.assert_array_equal(indices, brute_force(queries, index, k, "inner_product")[1])


def test_equal_values_are_in_row_order(engine):
    _, indices = nearest(np.ones((2, 3)), np.ones((4, 3)), 4)
    assert indices.tolist() == [[0, 1, 2, 3]] * 2


def test_distances_far_from_the_origin_keep_their_digits(engine, rng):
    X = 1e4 + rng.normal(size=(60, 5)).astype(np.float32)
    values, indices = nearest(X, X, 3, metric="euclidean")
    expected_values, expected = brute_force(X, X, 3, "euclidean")
    np.testing.assert_array_equal(indices, expected)
    np.testing.assert_allclose(values, expected_values, rtol=1e-3, atol=1e-3)
    assert (values[:, 0] == 0).all()


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("scale", [1e-18, 1e18])
def test_extreme_scales(engine, metric, scale, rng):
    X = rng.normal(size=(30, 4))
    values, indices = nearest(X * scale, X * scale, 4, metric=metric)
    expected_values, expected = brute_force(X, X, 4, metric)
    np.testing.assert_array_equal(indices, expected)
    power = {"cosine": 0, "inner_product": 2, "euclidean": 1}[metric]
    np.testing.assert_allclose(values / scale**power, expected_values, rtol=1e-4, atol=1e-5)


def test_every_back_end(backend, engine, rng):
    values = rng.normal(size=(25, 4))
    X = backend.array(values)
    _, indices = nearest(X, X, 3)
    assert isinstance(indices, np.ndarray)
    np.testing.assert_array_equal(indices, brute_force(values, values, 3, "cosine")[1])
    np.testing.assert_array_equal(backend.numpy(X), values)  # the input is untouched


def test_no_n_by_n_matrix_is_held(monkeypatch, rng):
    monkeypatch.setattr(neighbors, "find_faiss", lambda: None)
    monkeypatch.setattr(neighbors, "TILE_BYTES", 2**20)
    X = rng.normal(size=(4000, 8)).astype(np.float32)
    tracemalloc.start()
    nearest(X, X, 5)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4000 * 4000 * 4 / 8


def test_zero_rows_are_warned_of(engine):
    X = np.array([[1.0, 0.0], [0.0, 0.0], [0.0, 1.0]])
    with pytest.warns(RelatumWarning, match=r"index has rows that are zero.*1 row: 1"):
        values, _ = nearest(X, X, 1)
    assert values[1] == 0


@pytest.mark.parametrize(
    ("k", "exclude_self", "error", "match"),
    [
        (11, False, ValueError, r"k is 11; expected at most 10 \(index has 10 rows\)"),
        (10, True, ValueError, r"k is 10; expected at most 9 .*the row itself left out"),
        (0, False, ValueError, "k is 0; expected at least 1"),
        (2.5, False, TypeError, "k is 2.5; expected an integer"),
    ],
)
def test_bad_k(k, exclude_self, error, match, rng):
    X = rng.normal(size=(10, 3))
    with pytest.raises(error, match=match):
        nearest(X, X, k, exclude_self=exclude_self)


def test_bad_input(rng):
    X = rng.normal(size=(10, 3))
    with pytest.raises(ValueError, match="queries has 2 features, index has 3"):
        nearest(X[:, :2], X, 1)
    with pytest.raises(ValueError, match="queries has 4 rows, index has 10"):
        nearest(X[:4], X, 1, exclude_self=True)
    with pytest.raises(ValueError, match="did you mean 'cosine'"):
        nearest(X, X, 1, metric="cosinus")
    with pytest.raises(ValueError, match="index contains NaN or infinity in 1 row: 2"):
        nearest(X, np.where(np.arange(10)[:, None] == 2, np.nan, X), 1)
