"""CKA and RSA against the n × n textbook formulas, SciPy, and permutations."""

from __future__ import annotations

import itertools
import tracemalloc

import numpy as np
import pytest
from scipy.spatial.distance import pdist, squareform
from scipy.stats import pearsonr, rankdata, spearmanr

from relatum import _hsic, kernel_alignment
from relatum.alignment import cka, rsa_distance


def textbook_hsic(K, L, unbiased):
    """Gretton et al. (2005), and equation 5 of Song et al. (2012), with full matrices."""
    n = len(K)
    if not unbiased:
        H = np.eye(n) - 1 / n
        return np.trace(K @ H @ L @ H)
    K, L, one = K - np.diag(np.diag(K)), L - np.diag(np.diag(L)), np.ones(n)
    total = np.trace(K @ L) + (one @ K @ one) * (one @ L @ one) / ((n - 1) * (n - 2))
    return (total - 2 / (n - 2) * (one @ K @ L @ one)) / (n * (n - 3))


def textbook_cka(K, L, unbiased):
    xy, xx, yy = (textbook_hsic(A, B, unbiased) for A, B in ((K, L), (K, K), (L, L)))
    return xy / np.sqrt(xx * yy)


def rbf(X, sigma):
    distance = pdist(X)
    return np.exp(-squareform(distance**2) / (2 * (sigma * np.median(distance)) ** 2))


def kernel_matrix(X, kernel, sigma=0.5):
    return X @ X.T if kernel == "linear" else rbf(X, sigma)


def related(rng, n, d, e):
    shared = rng.normal(size=(n, 3))
    return (shared @ rng.normal(size=(3, w)) + rng.normal(size=(n, w)) + 5 for w in (d, e))


@pytest.mark.parametrize(("n", "d", "e"), [(40, 6, 9), (12, 30, 5), (12, 5, 30), (5, 4, 4)])
@pytest.mark.parametrize("kernel", ["linear", "rbf"])
@pytest.mark.parametrize("unbiased", [False, True])
def test_cka_is_the_textbook(n, d, e, kernel, unbiased, rng, monkeypatch):
    monkeypatch.setattr(_hsic._array.blocks, "__defaults__", (700,))  # several blocks
    monkeypatch.setattr(_hsic, "PRODUCT_BYTES", 300)
    X, Y = related(rng, n, d, e)
    expected = textbook_cka(kernel_matrix(X, kernel), kernel_matrix(Y, kernel), unbiased)
    assert cka(X, Y, kernel=kernel, unbiased=unbiased) == pytest.approx(expected, abs=1e-10)


@pytest.mark.parametrize("sigma", [0.2, 1.0, 50.0])
def test_rbf_width_is_a_fraction_of_the_median_distance(sigma, rng):
    X, Y = related(rng, 30, 4, 6)
    expected = textbook_cka(rbf(X, sigma), rbf(Y, sigma), True)
    assert cka(X, Y, kernel="rbf", sigma=sigma, unbiased=True) == pytest.approx(expected, rel=1e-6)


def test_median_distance_of_many_rows_is_of_evenly_spaced_ones(rng, monkeypatch):
    monkeypatch.setattr(_hsic, "MEDIAN_ROWS", 50)
    X = rng.normal(size=(130, 3))
    assert _hsic.median_distance(X) == pytest.approx(np.median(pdist(X[::3])))


def test_hsic_u_statistic_is_unbiased_over_all_permutations(rng):
    """The mean over every pairing of 5 rows is exactly 0 for U, and far above it for V."""
    X, Y = rng.normal(size=(2, 5, 8))
    orders = list(itertools.permutations(range(5)))
    assert np.mean([cka(X, Y[list(p)], unbiased=True) for p in orders]) == pytest.approx(
        0, abs=1e-9
    )
    assert np.mean([cka(X, Y[list(p)]) for p in orders]) > 0.5


@pytest.mark.parametrize("kernel", ["linear", "rbf"])
def test_unrelated_spaces_wider_than_their_rows(kernel, rng):
    values = [
        [cka(*rng.normal(size=(2, 50, 400)), kernel=kernel, unbiased=u) for _ in range(20)]
        for u in (False, True)
    ]
    assert np.mean(values[0]) > 0.85
    assert abs(np.mean(values[1])) < 0.03


def test_unbiased_cka_of_the_fewest_rows_is_a_number(rng):
    X, Y = rng.normal(size=(2, 4, 3))
    assert -1 <= cka(X, Y, unbiased=True) <= 1
    assert cka(X, X, unbiased=True) == pytest.approx(1)


@pytest.mark.parametrize("unbiased", [False, True])
@pytest.mark.parametrize("kernel", ["linear", "rbf"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("change", [lambda X: X * 1e-15, lambda X: X * 1e15, lambda X: X + 1e3])
def test_cka_at_extreme_scales_and_offsets(unbiased, kernel, dtype, change, rng):
    X, Y = related(rng, 60, 5, 7)
    plain = cka(X, Y, kernel=kernel, unbiased=unbiased)
    changed = cka(change(X).astype(dtype), Y.astype(dtype), kernel=kernel, unbiased=unbiased)
    assert changed == pytest.approx(plain, abs=2e-4)


def test_cka_on_every_back_end(backend, rng):
    values = list(related(rng, 20, 4, 30))
    arrays = [backend.array(v) for v in values]
    for X, Y in (arrays, arrays[:1] * 2):
        for kernel in ("linear", "rbf"):
            K, L = (kernel_matrix(backend.numpy(A), kernel) for A in (X, Y))
            assert cka(X, Y, kernel=kernel) == pytest.approx(textbook_cka(K, L, False), abs=1e-9)
    np.testing.assert_array_equal(backend.numpy(arrays[0]), values[0])


def test_cka_of_different_precisions(rng):
    X, Y = related(rng, 30, 4, 4)
    assert cka(X.astype(np.float32), Y) == pytest.approx(cka(X, Y), abs=1e-5)


@pytest.mark.parametrize("kernel", ["linear", "rbf"])
def test_cka_holds_no_n_by_n_matrix_and_no_copy(kernel, rng, monkeypatch):
    monkeypatch.setattr(_hsic, "MEDIAN_ROWS", 100)
    monkeypatch.setattr(_hsic._array.blocks, "__defaults__", (2**20 if kernel == "rbf" else 2**18,))
    monkeypatch.setattr(_hsic, "PRODUCT_BYTES", 2**18)
    n = 2500 if kernel == "rbf" else 30_000
    X = rng.normal(size=(n, 64)).astype(np.float32)
    tracemalloc.start()
    cka(X, X, kernel=kernel)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < (n * n if kernel == "rbf" else X.nbytes / 2)


@pytest.mark.parametrize("dissimilarity", ["euclidean", "cosine", "correlation"])
@pytest.mark.parametrize("correlation", ["spearman", "pearson"])
def test_rsa_is_scipy(dissimilarity, correlation, rng):
    X, Y = related(rng, 40, 6, 9)
    a, b = pdist(X, dissimilarity), pdist(Y, dissimilarity)
    expected = 1 - (spearmanr(a, b) if correlation == "spearman" else pearsonr(a, b)).statistic
    found = rsa_distance(X, Y, dissimilarity=dissimilarity, correlation=correlation)
    assert found == pytest.approx(expected, abs=1e-7)


def test_rsa_of_the_reverse_order_is_two():
    X = np.array([[0.0], [1.0], [3.0]])  # distances 1, 3, 2
    Y = np.array([[0.0], [3.0], [1.0 + 1.0]])  # distances 3, 2, 1
    assert rsa_distance(X, Y) == pytest.approx(1 - spearmanr([1, 3, 2], [3, 2, 1]).statistic)


def test_ranks_are_scipy(rng):
    values = rng.integers(0, 20, size=200).astype(float)
    np.testing.assert_array_equal(kernel_alignment.ranks(values), rankdata(values))


def test_rsa_on_every_back_end(backend, rng):
    X, Y = related(rng, 20, 4, 6)
    assert rsa_distance(backend.array(X), backend.array(Y)) == pytest.approx(rsa_distance(X, Y))


@pytest.mark.parametrize("measure", [cka, rsa_distance])
def test_refuses(measure, rng):
    X = rng.normal(size=(10, 3))
    with pytest.raises(ValueError, match="X has 10 rows, Y has 9"):
        measure(X, X[1:])
    with pytest.raises(ValueError, match="X contains NaN or infinity"):
        measure(X * np.nan, X)
    with pytest.raises(ValueError, match=r"X has shape \(2, 3\); expected at least 3 row"):
        measure(X[:2], X[:2])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("value", [0.0, 1 / 3, 1e6 + 1 / 3])
def test_cka_of_equal_rows_is_refused(dtype, value, rng):
    X, Y = np.full((50, 3), value, dtype=dtype), rng.normal(size=(50, 4)).astype(dtype)
    for a, b in ((X, Y), (Y, X)):
        with pytest.raises(ValueError, match="rows that are all the same; CKA is undefined"):
            cka(a, b)
    with pytest.raises(ValueError, match="the median distance is 0: more than half"):
        cka(X, Y, kernel="rbf")


@pytest.mark.parametrize(("n", "d"), [(50, 4), (5, 9)])
@pytest.mark.parametrize("kernel", ["linear", "rbf"])
def test_cka_names_what_is_not_finite(n, d, kernel, rng):
    X = rng.normal(size=(n, d))
    for bad in (np.nan, np.inf):
        broken = X.copy()
        broken[3, 1] = bad
        with pytest.raises(ValueError, match="Y contains NaN or infinity in 1 row: 3"):
            cka(X, broken, kernel=kernel)
    with pytest.raises(ValueError, match="X has values whose sum overflows float32"):
        cka(np.full((n, d), 3e38, dtype=np.float32), X.astype(np.float32), kernel=kernel)


def test_cka_sees_an_outlier_whose_square_overflows(rng):
    X, Y = related(rng, 60, 5, 7)
    X[7] *= 1e25
    found = cka(X.astype(np.float32), Y.astype(np.float32))
    assert found == pytest.approx(cka(X, Y), abs=1e-5)


def test_more_refusals_of_cka(rng, monkeypatch):
    X = rng.normal(size=(10, 3))
    with pytest.raises(ValueError, match="did you mean 'linear'"):
        cka(X, X, kernel="linaer")
    with pytest.raises(ValueError, match=r"X has shape \(3, 3\); expected at least 4 row"):
        cka(X[:3], X[:3], unbiased=True)
    with pytest.raises(ValueError, match="sigma is 0; expected a positive fraction"):
        cka(X, X, kernel="rbf", sigma=0)
    monkeypatch.setattr(kernel_alignment, "MAX_RBF_ROWS", 9)
    with pytest.raises(ValueError, match=r"X has 10 rows; RBF CKA takes at most 9.*random sample"):
        cka(X, X, kernel="rbf")


def test_more_refusals_of_rsa(rng, monkeypatch):
    X = rng.normal(size=(10, 3))
    with pytest.raises(ValueError, match="did you mean 'cosine'"):
        rsa_distance(X, X, dissimilarity="cosin")
    with pytest.raises(ValueError, match="did you mean 'pearson'"):
        rsa_distance(X, X, correlation="person")
    with pytest.raises(ValueError, match="equally far apart; RSA is undefined"):
        rsa_distance(np.eye(4), X[:4])
    monkeypatch.setattr(kernel_alignment, "MAX_RSA_ROWS", 9)
    with pytest.raises(ValueError, match=r"X has 10 rows; RSA takes at most 9.*random sample"):
        rsa_distance(X, X)
