"""Similarity of two spaces through their matrices of pairwise similarities: CKA and RSA."""

from __future__ import annotations

import math

import numpy as np

from relatum import _array, _canonical, _hsic, _validation
from relatum._array import Array
from relatum._gemm import unit_rows

__all__ = ["cka", "rsa_distance"]

KERNELS = ("linear", "rbf")
DISSIMILARITIES = ("euclidean", "cosine", "correlation")
CORRELATIONS = ("spearman", "pearson")
MAX_RBF_ROWS = 50_000
MAX_RSA_ROWS = 5_000


def cka(
    X: Array, Y: Array, *, kernel: str = "linear", unbiased: bool = False, sigma: float = 0.5
) -> float:
    r"""Return the centred kernel alignment of two spaces.

    ``HSIC(K, L) / sqrt(HSIC(K, K) HSIC(L, L))`` with kernel matrices K of X and L
    of Y. Biased: in [0, 1], and near 1 even for unrelated spaces with more
    features than rows. Unbiased: the U-statistic of HSIC, in [-1, 1], 0 in the mean
    for unrelated spaces. Higher is closer. No n × n matrix is held: linear CKA
    takes three d × d products in blocks (or n × n ones where n < d), RBF goes over
    blocks of the kernel matrices.

    Parameters
    ----------
    X, Y : array (n_samples, n_features_x), array (n_samples, n_features_y)
        Row i of both is the same item; at least 3 rows, unbiased 4.
    kernel : "linear" or "rbf"
        RBF: ``exp(-|x - x'|² / (2 w²))``; at most 50,000 rows, as its time grows
        with n².
    unbiased : bool
    sigma : float
        The RBF kernel's width w as a fraction of the median distance of two rows
        (of 2,000 evenly spaced ones, where there are more).

    Raises
    ------
    TypeError, ValueError
        Rows that do not match, too few or too many rows, NaN, infinity, rows that
        are all the same (CKA is undefined), an unknown kernel.

    References
    ----------
    Kornblith et al., *Similarity of neural network representations revisited*,
    ICML 2019. Song et al., *Feature selection via dependence maximization*, JMLR
    2012 (the U-statistic).

    Examples
    --------
    >>> import numpy as np, relatum
    >>> X = np.random.default_rng(0).normal(size=(50, 8))
    >>> Q, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(8, 8)))
    >>> round(relatum.alignment.cka(X, 2 * X @ Q + 1), 6)
    1.0
    """
    _validation.check_choice(kernel, "kernel", KERNELS)
    least = 4 if unbiased else 3
    X, Y = (_validation.as_matrix(A, n, min_rows=least) for A, n in ((X, "X"), (Y, "Y")))
    _validation.check_same_backend(X, "X", Y, "Y")
    _validation.check_same_rows(X, "X", Y, "Y")
    if kernel == "linear":
        sums = _hsic.linear_sums(X, Y, diagonals=unbiased)
    else:
        if _validation.check_nonnegative(sigma, "sigma") == 0:
            raise ValueError("sigma is 0; expected a positive fraction of the median distance")
        _check_max_rows(X, MAX_RBF_ROWS, "RBF CKA")
        sums = _hsic.rbf_sums(X, Y, sigma)
    value = _hsic.alignment(sums, unbiased)
    if math.isnan(value):
        raise no_variance("CKA")
    return min(1.0, max(-1.0, value))


def _check_max_rows(X: Array, limit: int, what: str) -> None:
    if X.shape[0] > limit:
        raise ValueError(
            f"X has {X.shape[0]} rows; {what} takes at most {limit}, as it looks at "
            "every pair of rows: pass a random sample of the rows"
        )


def no_variance(what: str) -> ValueError:
    return ValueError(
        f"X or Y has rows that are all the same; {what} is undefined without variance"
    )


def rsa_distance(
    X: Array, Y: Array, *, dissimilarity: str = "euclidean", correlation: str = "spearman"
) -> float:
    """Return 1 - the correlation of the two spaces' matrices of pairwise dissimilarities.

    Over the ``n (n - 1) / 2`` pairs of different rows. In [0, 2]; lower is closer.

    Parameters
    ----------
    X, Y : array (n_samples, n_features_x), array (n_samples, n_features_y)
        At least 3 rows, at most 5,000.
    dissimilarity : "euclidean", "cosine" or "correlation"
        Of two rows: their distance, 1 - cosine, or 1 - Pearson correlation.
    correlation : "spearman" or "pearson"

    Raises
    ------
    TypeError, ValueError
        Rows that do not match, too few or too many, NaN, infinity, dissimilarities
        that are all the same, an unknown name.

    References
    ----------
    Kriegeskorte et al., *Representational similarity analysis*, Frontiers in
    Systems Neuroscience 2008.

    Examples
    --------
    >>> import numpy as np, relatum
    >>> X = np.random.default_rng(0).normal(size=(50, 8))
    >>> abs(round(relatum.alignment.rsa_distance(X, 2 * X + 1), 6))
    0.0
    """
    _validation.check_choice(dissimilarity, "dissimilarity", DISSIMILARITIES)
    _validation.check_choice(correlation, "correlation", CORRELATIONS)
    X, Y = _validation.check_pair(X, Y, min_rows=3)
    _check_max_rows(X, MAX_RSA_ROWS, "RSA")
    u, v = (
        standard_dissimilarities(_array.to_numpy(A), dissimilarity, correlation) for A in (X, Y)
    )
    return float(np.clip(1 - u @ v, 0.0, 2.0))


def standard_dissimilarities(
    X: np.ndarray, dissimilarity: str = "euclidean", correlation: str = "spearman"
) -> np.ndarray:
    """Return all pairs' dissimilarities (or their ranks), centred and at norm 1."""
    centred = _canonical.centred_blocks(X)(slice(0, len(X)))
    if dissimilarity == "euclidean":
        square = np.vecdot(centred, centred)
        matrix = np.sqrt(_hsic.squared_distances(centred, centred, square, square))
    else:
        rows = _array.wide(X)
        if dissimilarity == "correlation":
            rows = rows - rows.mean(axis=1, keepdims=True)
        rows = unit_rows(rows)
        matrix = 1 - rows @ rows.T
    values = _hsic.condensed(matrix)
    if np.ptp(values) <= 1e-12 * np.abs(values).max():
        raise ValueError("all pairs of rows of X or of Y are equally far apart; RSA is undefined")
    if correlation == "spearman":
        values = ranks(values)
    values = values - values.mean()
    return np.asarray(values / np.linalg.norm(values))


def ranks(values: np.ndarray) -> np.ndarray:
    """Return the rank of each value from 1; equal values share the mean of theirs."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(counts) - (counts - 1) / 2)[inverse])
