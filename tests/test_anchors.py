"""Choosing, pairing and checking anchors."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relatum import RelatumWarning
from relatum.anchors import (
    METHODS,
    anchor_diagnostics,
    pair_anchors,
    parallel_test,
    select_anchors,
)
from relatum.vectors import as_source, open_embeddings, write_embeddings

X = np.random.default_rng(0).normal(size=(120, 9))
LABELS = np.repeat(["a", "b", "c"], [90, 25, 5])
NEEDS = {"stratified": {"labels": LABELS}, "most_frequent": {"frequencies": np.arange(120)}}


def unit(X):
    return X / np.linalg.norm(X, axis=1, keepdims=True)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("n_anchors", [1, 2, 30, 120])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_each_method_gives_distinct_rows_and_repeats_with_its_seed(method, n_anchors, dtype):
    data = X.astype(dtype)
    chosen = select_anchors(data, n_anchors, method=method, random_state=3, **NEEDS.get(method, {}))
    assert chosen.shape == (n_anchors,)
    assert chosen.dtype == np.int64
    assert len(set(chosen.tolist())) == n_anchors
    assert chosen.min() >= 0
    assert chosen.max() < len(X)
    again = select_anchors(data, n_anchors, method=method, random_state=3, **NEEDS.get(method, {}))
    np.testing.assert_array_equal(chosen, again)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("memory", [4 * 9 * 8, 2000, 2**30])
@pytest.mark.parametrize("suffix", [".npy", ".parquet"])
def test_rows_of_a_file_give_the_anchors_of_the_array(method, memory, suffix, tmp_path):
    write_embeddings(tmp_path / f"x{suffix}", X)
    given = {"method": method, "random_state": 3, **NEEDS.get(method, {})}
    opened = open_embeddings(tmp_path / f"x{suffix}")
    found = select_anchors(opened, 12, memory=memory, **given)
    np.testing.assert_array_equal(found, select_anchors(X, 12, **given))


def test_kmeans_of_many_rows_takes_its_centres_from_some_of_them(monkeypatch):
    monkeypatch.setattr("relatum._anchor_selection.ENOUGH", 10)
    monkeypatch.setattr("relatum._anchor_selection.PER_CENTRE", 10)
    centres = 10 * np.eye(9)[:5]
    data = np.repeat(centres, 40, axis=0) + np.random.default_rng(0).normal(size=(200, 9))
    given = {"method": "kmeans", "random_state": 0}
    found = select_anchors(as_source(data), 5, memory=4000, **given)
    assert sorted(found // 40) == list(range(5))
    np.testing.assert_array_equal(found, select_anchors(data, 5, **given))


@pytest.mark.parametrize("method", ["farthest_point", "kmeans", "pivoted_cholesky"])
@pytest.mark.parametrize("memory", [2000, 2**30])
def test_a_row_of_a_file_that_is_not_finite_is_named(method, memory, tmp_path):
    bad = X.copy()
    bad[101, 3] = np.inf
    np.save(tmp_path / "x.npy", bad)
    with pytest.raises(ValueError, match=r"NaN or infinity in 1 row: \d+"):
        select_anchors(
            open_embeddings(tmp_path / "x.npy"), 12, method=method, memory=memory, random_state=3
        )


def test_memory_for_no_rows_is_refused():
    with pytest.raises(ValueError, match="memory is 100 bytes; expected at least 288: 4 rows"):
        select_anchors(as_source(X), 3, memory=100)


@pytest.mark.parametrize("method", ["uniform", "farthest_point", "kmeans", "pivoted_cholesky"])
def test_another_seed_gives_other_anchors(method):
    draws = {tuple(select_anchors(X, 8, method=method, random_state=s)) for s in range(6)}
    assert len(draws) > 1


@given(st.integers(3, 40), st.integers(1, 6), st.integers(0, 10_000))
@settings(max_examples=20, deadline=None)
def test_geometric_methods_survive_any_shape_and_repeated_rows(n, d, seed):
    rng = np.random.default_rng(seed)
    data = rng.integers(-2, 3, size=(n, d)).astype(float)  # repeated and zero rows
    for method in ("farthest_point", "pivoted_cholesky"):
        chosen = select_anchors(data, n, method=method, random_state=seed)
        assert sorted(chosen.tolist()) == list(range(n))


def test_uniform_is_uniform():
    counts = np.zeros(10)
    for seed in range(2000):
        counts[select_anchors(np.eye(10), 3, random_state=seed)] += 1
    assert np.all(np.abs(counts / 2000 - 0.3) < 0.05)


def test_stratified_is_as_even_as_class_sizes_allow():
    chosen = select_anchors(X, 45, method="stratified", labels=LABELS, random_state=0)
    assert {c: int(np.sum(LABELS[chosen] == c)) for c in "abc"} == {"a": 20, "b": 20, "c": 5}


def test_farthest_point_follows_the_greedy_rule():
    chosen = select_anchors(X, 15, method="farthest_point", random_state=0)
    D = np.linalg.norm(unit(X)[:, None] - unit(X)[None], axis=2)
    for i in range(1, 15):
        assert chosen[i] == np.argmax(D[:, chosen[:i]].min(axis=1))


def test_kmeans_takes_the_member_nearest_to_its_centre():
    centres = 10 * np.eye(9)[:4]
    rng = np.random.default_rng(1)
    data = np.concatenate([c + 0.3 * rng.normal(size=(30, 9)) for c in centres])
    chosen = select_anchors(data, 4, method="kmeans", random_state=0)
    for i, row in enumerate(sorted(chosen)):
        members = unit(data)[30 * i : 30 * (i + 1)]
        nearest = np.argmin(np.linalg.norm(members - members.mean(axis=0), axis=1))
        assert row == 30 * i + nearest


def test_pivoted_cholesky_takes_the_largest_schur_complement():
    chosen = select_anchors(X, 9, method="pivoted_cholesky", random_state=0)
    K = unit(X) @ unit(X).T
    for i in range(1, 9):
        S = chosen[:i]
        residual = np.diag(K) - np.einsum(
            "ij,ij->i", K[:, S], np.linalg.solve(K[np.ix_(S, S)], K[S]).T
        )
        assert residual[chosen[i]] == pytest.approx(residual.max(), abs=1e-9)


def test_pivoted_cholesky_goes_on_past_the_rank():
    chosen = select_anchors(X, 20, method="pivoted_cholesky", random_state=0)
    assert len(set(chosen.tolist())) == 20
    assert np.linalg.matrix_rank(X[chosen[9:18]]) == 9  # the second sweep covers again


def test_most_frequent_first_and_ties_in_order():
    f = np.zeros(120)
    f[[7, 3, 50]] = [5, 9, 5]
    chosen = select_anchors(X, 4, method="most_frequent", frequencies=f)
    assert chosen.tolist() == [3, 7, 50, 0]


def test_torch_in_torch_out():
    torch = pytest.importorskip("torch")
    for method in METHODS:
        chosen = select_anchors(
            torch.tensor(X), 10, method=method, random_state=0, **NEEDS.get(method, {})
        )
        assert isinstance(chosen, torch.Tensor)
        expected = select_anchors(X, 10, method=method, random_state=0, **NEEDS.get(method, {}))
        assert chosen.tolist() == expected.tolist()


@pytest.mark.parametrize(
    ("kwargs", "error", "match"),
    [
        (
            {"n_anchors": 121},
            ValueError,
            r"n_anchors is 121; expected at most 120 \(the rows of X\)",
        ),
        ({"n_anchors": 0}, ValueError, "n_anchors is 0; expected at least 1"),
        ({"n_anchors": 2.0}, TypeError, "n_anchors is 2.0; expected an integer"),
        ({"n_anchors": True}, TypeError, "n_anchors is True; expected an integer"),
        ({"method": "farthest"}, ValueError, "method is 'farthest' .did you mean 'farthest_point'"),
        ({"method": "stratified"}, ValueError, "method 'stratified' needs labels"),
        ({"method": "most_frequent"}, ValueError, "method 'most_frequent' needs frequencies"),
        (
            {"method": "stratified", "labels": [1, 2]},
            ValueError,
            r"labels has shape \(2,\); expected \(120,\)",
        ),
        ({"random_state": "x"}, TypeError, "random_state is 'x'"),
        ({"random_state": -1}, TypeError, "random_state is -1"),
    ],
)
def test_bad_selection_is_refused(kwargs, error, match):
    with pytest.raises(error, match=match):
        select_anchors(X, **{"n_anchors": 5, **kwargs})


def test_nan_rows_are_named():
    bad = X.copy()
    bad[[4, 9], 2] = np.nan
    with pytest.raises(ValueError, match="X contains NaN or infinity in 2 rows: 4, 9"):
        select_anchors(bad, 3)


def test_generators_and_random_states_are_taken():
    a = select_anchors(X, 5, random_state=np.random.default_rng(4))
    b = select_anchors(X, 5, random_state=np.random.default_rng(4))
    np.testing.assert_array_equal(a, b)
    c = select_anchors(X, 5, random_state=np.random.RandomState(4))
    d = select_anchors(X, 5, random_state=np.random.RandomState(4))
    np.testing.assert_array_equal(c, d)


@given(st.lists(st.integers(0, 60), unique=True), st.lists(st.integers(0, 60), unique=True))
@settings(max_examples=50, deadline=None)
def test_pairs_are_all_common_ids_in_the_order_of_x(x, y):
    if not set(x) & set(y):
        with pytest.raises(ValueError, match="no id in common"):
            pair_anchors(x, y)
        return
    ix, iy = pair_anchors(x, y)
    assert [x[i] for i in ix] == [y[j] for j in iy] == [item for item in x if item in y]


def test_repeated_ids_are_refused():
    with pytest.raises(ValueError, match="ids_y has the id 'a' twice, in rows 0 and 2"):
        pair_anchors(["a"], ["a", "b", "a"])
    with pytest.raises(ValueError, match="ids_x is empty"):
        pair_anchors([], ["a"])


def test_diagnostics_of_good_anchors_are_silent():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = anchor_diagnostics(X[:30])
    assert (found.rank, found.n_repeated, found.n_near_repeated) == (9, 0, 0)
    assert 5 < found.effective_rank <= 9


def test_constant_features_are_no_collapse():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        anchor_diagnostics(np.hstack([X[:30], np.zeros((30, 2))]))


def test_diagnostics_name_repeats_and_near_repeats():
    A = X[:20].copy()
    A[5] = A[2]
    A[7] = A[3] * 2.0 + 1e-6
    with pytest.warns(RelatumWarning, match=r"2 of 20 rows that repeat or nearly .*2 rows: 5, 7"):
        found = anchor_diagnostics(A)
    assert (found.n_repeated, found.n_near_repeated) == (1, 2)


def test_diagnostics_find_collapse():
    flat = np.outer(np.arange(1.0, 11.0), np.ones(6)) + 1e-9 * X[:10, :6]
    with pytest.warns(RelatumWarning) as caught:
        found = anchor_diagnostics(flat)
    assert any("the projection collapses" in str(w.message) for w in caught)
    assert found.effective_rank < 1.1


def test_parallel_sets_pass_and_others_warn():
    rng = np.random.default_rng(0)
    A = rng.normal(size=(60, 20))
    B = A @ rng.normal(size=(20, 12)) + 0.1 * rng.normal(size=(60, 12))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        good = parallel_test(A, B)
    assert good.parallel
    assert good.p_value < 0.01
    for wrong in (B[rng.permutation(60)], np.roll(B, 1, axis=0), rng.normal(size=(60, 12))):
        with pytest.warns(RelatumWarning, match="do not look parallel"):
            found = parallel_test(A, wrong)
        assert not found.parallel
        assert found.statistic < good.statistic / 2


def test_parallel_statistic_is_the_mantel_correlation():
    A, B = X[:25], X[:25] @ np.random.default_rng(5).normal(size=(9, 4))

    def upper(M):
        K = unit(M - M.mean(axis=0))
        return (K @ K.T)[np.triu_indices(25, 1)]

    expected = np.corrcoef(upper(A), upper(B))[0, 1]
    assert parallel_test(A, B).statistic == pytest.approx(expected, abs=1e-5)


def test_the_parallel_test_keeps_its_level():
    rng = np.random.default_rng(1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RelatumWarning)
        passed = [
            parallel_test(
                rng.normal(size=(20, 5)), rng.normal(size=(20, 5)), n_permutations=99
            ).parallel
            for _ in range(200)
        ]
    assert np.mean(passed) < 0.10


def test_parallel_test_refuses_what_cannot_be_paired():
    with pytest.raises(ValueError, match="anchors_x has 5 rows, anchors_y has 6"):
        parallel_test(X[:5], X[:6])
    with pytest.raises(ValueError, match="at least 4"):
        parallel_test(X[:3], X[:3])
    with pytest.raises(ValueError, match="n_permutations is 5; expected at least 19"):
        parallel_test(X[:5], X[:5], n_permutations=5)
