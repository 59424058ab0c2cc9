"""HSIC, the sum that CKA is made of, from blocks of rows.

For kernel matrices K and L of the same items, ``HSIC = <HKH, HLH>`` (biased) or
the U-statistic of Song et al. (2012), which leaves the diagonals out. Both need
nothing but ``<K, L>``, the row sums and the diagonals, so no n × n matrix is held.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from relatum import _array, _validation
from relatum._array import Array

PRODUCT_BYTES = 2 * _array.BLOCK_BYTES
"""Centred rows that one product takes; threads wait for each other at every product."""

MEDIAN_ROWS = 2_000
"""Rows that the median distance of an RBF kernel is taken from."""


@dataclass(frozen=True)
class KernelSums:
    """What HSIC needs of two kernel matrices K (of X) and L (of Y), diagonals included."""

    kk: float
    kl: float
    ll: float
    rows_k: np.ndarray  # row sums; zero for centred kernels
    rows_l: np.ndarray
    diagonal_k: np.ndarray
    diagonal_l: np.ndarray


def alignment(sums: KernelSums, unbiased: bool) -> float:
    """Return CKA, ``HSIC(K, L) / sqrt(HSIC(K, K) HSIC(L, L))``; NaN if one of them is 0."""
    of_k, of_l = (sums.rows_k, sums.diagonal_k), (sums.rows_l, sums.diagonal_l)
    xy = hsic(sums.kl, of_k, of_l, unbiased)
    xx, yy = hsic(sums.kk, of_k, of_k, unbiased), hsic(sums.ll, of_l, of_l, unbiased)
    return xy / (xx**0.5 * yy**0.5) if xx > 0 and yy > 0 else float("nan")


def hsic(
    product: float,
    of_k: tuple[np.ndarray, np.ndarray],
    of_l: tuple[np.ndarray, np.ndarray],
    unbiased: bool,
) -> float:
    """Return HSIC up to a factor of n alone, from ``<K, L>``, row sums and diagonals."""
    (k, diagonal_k), (m, diagonal_l) = of_k, of_l
    n = len(k)
    if not unbiased:
        return float(product - 2 / n * (k @ m) + k.sum() * m.sum() / n**2)
    k, m = k - diagonal_k, m - diagonal_l
    return float(
        product
        - diagonal_k @ diagonal_l
        + k.sum() * m.sum() / ((n - 1) * (n - 2))
        - 2 / (n - 2) * (k @ m)
    )


def unbiased_of_centred(product: float, dots: float, sums: float, n: int) -> float:
    """Return the same for centred kernels, whose rows sum to zero.

    ``dots`` is the product of the two diagonals, ``sums`` that of their sums.
    """
    return product - dots * n / (n - 2) + sums / ((n - 1) * (n - 2))


def linear_sums(X: Array, Y: Array, *, diagonals: bool = True) -> KernelSums:
    """Return the sums of ``K = Xc Xc'`` and ``L = Yc Yc'``, both centred.

    In feature space (``<K, L> = |Xc'Yc|²``, three products of d × d) unless there
    are fewer rows than features. Only the U-statistic needs the ``diagonals``.
    Refuses values that are not finite.
    """
    if X.shape[0] < max(X.shape[1], Y.shape[1]):
        return _sample_space_sums(_linear_kernel(X, "X"), _linear_kernel(Y, "Y"), X.shape[0])
    means = _mean(X, "X"), _mean(Y, "Y")
    with np.errstate(all="ignore"):  # an overflow is computed again at another scale
        sums = _feature_space_sums(X, Y, _less(X, means[0]), _less(Y, means[1]), diagonals)
    if all(
        _in_range(s, m, len(sums.rows_k)) for s, m in zip((sums.kk, sums.ll), means, strict=True)
    ):
        return sums
    return _feature_space_sums(X, Y, centring(X), centring(Y), diagonals)


def _in_range(square: float, mean: Array, n: int) -> bool:
    """Tell whether products of rows less their mean kept their digits, unscaled."""
    xp = _array.namespace(mean)
    size = float(xp.max(xp.abs(mean)))
    return bool(n * 1e-9 * max(1.0, size * size) < square**0.5 < n * 1e15)


def _feature_space_sums(
    X: Array,
    Y: Array,
    center_x: Callable[[slice], Array],
    center_y: Callable[[slice], Array],
    diagonals: bool,
) -> KernelSums:
    xp = _array.namespace(X, Y)
    n = X.shape[0]
    diagonal_k, diagonal_l = np.zeros(n), np.zeros(n)
    xx = xy = yy = 0.0
    width = max(X.shape[1], Y.shape[1])
    for rows in _array.blocks(n, 4 * width, PRODUCT_BYTES):
        x, y = center_x(rows), center_y(rows)
        common = xp.result_type(x, y)
        xx = xx + _array.wide(x.T @ x)
        yy = yy + _array.wide(y.T @ y)
        xy = xy + _array.wide(_array.astype(x, common).T @ _array.astype(y, common))
        if diagonals:
            diagonal_k[rows] = _array.to_numpy(_row_dots(x))
            diagonal_l[rows] = _array.to_numpy(_row_dots(y))
    kk, kl, ll = (float(xp.sum(c * c)) for c in (xx, xy, yy))
    zero = np.zeros(n)
    return KernelSums(kk, kl, ll, zero, zero, diagonal_k, diagonal_l)


def _row_dots(x: Array) -> Array:
    return np.vecdot(x, x) if _array.is_numpy(x) else _array.namespace(x).sum(x * x, axis=1)


def _mean(X: Array, name: str) -> Array:
    """Return the mean of the rows, which NaN and infinity do not survive."""
    xp = _array.namespace(X)
    mean = 0.0
    for rows in _array.blocks(X.shape[0], 8 * X.shape[1]):
        block = X[rows, :]
        with np.errstate(all="ignore"):  # what comes of it is refused below
            mean = mean + _array.wide(xp.mean(block, axis=0)) * (block.shape[0] / X.shape[0])
    if not bool(xp.all(xp.isfinite(mean))):
        _validation.check_finite(X, name)
        raise ValueError(f"{name} has values whose sum overflows {X.dtype}; expected smaller ones")
    return _array.astype(mean, X.dtype)


def _less(X: Array, mean: Array, factor: float = 1.0) -> Callable[[slice], Array]:
    def block_of(rows: slice) -> Array:
        block = X[rows, :] - mean
        return block if factor == 1.0 else block * factor

    return block_of


def centring(X: Array, name: str = "X") -> Callable[[slice], Array]:
    """Return a function that gives a block of rows less the mean, at a scale near 1.

    Rows that are all the same but for rounding come back as exact zeros.
    """
    xp = _array.namespace(X)
    mean = _mean(X, name)
    low, high = X[0, :], X[0, :]
    for rows in _array.blocks(X.shape[0], 8 * X.shape[1]):
        low = xp.minimum(low, xp.min(X[rows, :], axis=0))
        high = xp.maximum(high, xp.max(X[rows, :], axis=0))
    spread = float(xp.max(high - low))
    size = max(float(xp.max(xp.abs(low))), float(xp.max(xp.abs(high))))
    factor = 1.0 if 1e-3 < spread < 1e3 else 1.0 / spread if spread > 0 else 0.0
    if spread <= 4 * float(xp.finfo(X.dtype).eps) * size:
        factor = 0.0
    return _less(X, mean, factor)


def _sample_space_sums(
    kernel_k: Callable[[slice], Array], kernel_l: Callable[[slice], Array], n: int
) -> KernelSums:
    """Sum over two kernel matrices of which only a block of rows exists at a time."""
    kk = kl = ll = 0.0
    vectors = [np.empty(n) for _ in range(4)]
    for rows in _array.blocks(n, 4 * 8 * n):
        K, L = kernel_k(rows), kernel_l(rows)
        xp = _array.namespace(K, L)
        kk += float(xp.sum(K * K))
        kl += float(xp.sum(K * L))
        ll += float(xp.sum(L * L))
        for out, A in zip(vectors[:2], (K, L), strict=True):
            out[rows] = _array.to_numpy(xp.sum(A, axis=1))
        for out, A in zip(vectors[2:], (K, L), strict=True):
            out[rows] = _array.to_numpy(xp.linalg.diagonal(A[:, rows]))
    return KernelSums(kk, kl, ll, *vectors)


def _linear_kernel(X: Array, name: str) -> Callable[[slice], Array]:
    centred = _array.wide(centring(X, name)(slice(0, X.shape[0])))
    return lambda rows: centred[rows, :] @ centred.T


def rbf_sums(X: Array, Y: Array, sigma: float) -> KernelSums:
    """Return the sums of the two RBF kernels less 1.

    A constant changes neither HSIC, and without it wide kernels lose no digits.
    """
    return _sample_space_sums(_rbf_kernel(X, sigma, "X"), _rbf_kernel(Y, sigma, "Y"), X.shape[0])


def rbf_matrix(X: np.ndarray, sigma: float) -> np.ndarray:
    """Return the whole RBF kernel matrix less 1, (n, n)."""
    return np.asarray(_rbf_kernel(X, sigma, "X")(slice(0, len(X))))


def _rbf_kernel(X: Array, sigma: float, name: str) -> Callable[[slice], Array]:
    xp = _array.namespace(X)
    centred = _array.wide(centring(X, name)(slice(0, X.shape[0])))
    width = sigma * median_distance(centred)
    if width == 0:
        raise ValueError(
            "the median distance is 0: more than half of the rows are the same, and an RBF "
            "kernel has no width there; expected distinct rows"
        )
    square = _row_dots(centred)

    def kernel(rows: slice) -> Array:
        distance = squared_distances(centred[rows, :], centred, square[rows], square)
        return xp.expm1(distance / (-2 * width**2))

    return kernel


def squared_distances(A: Array, B: Array, square_a: Array, square_b: Array) -> Array:
    """Return |a - b|² of all pairs, never negative."""
    xp = _array.namespace(A)
    distance = square_a[:, None] + square_b[None, :] - 2 * (A @ B.T)
    return xp.where(distance > 0, distance, xp.zeros_like(distance))


def median_distance(X: Array) -> float:
    """Return the median distance of two different rows (of 2,000 evenly spaced ones)."""
    step = -(-X.shape[0] // MEDIAN_ROWS)
    some = X[::step, :]
    square = _row_dots(some)
    distance = _array.to_numpy(squared_distances(some, some, square, square))
    return float(np.median(np.sqrt(condensed(distance))))


def condensed(D: np.ndarray) -> np.ndarray[Any, Any]:
    """Return the entries above the diagonal of a square matrix, row by row."""
    return np.concatenate([D[i, i + 1 :] for i in range(len(D) - 1)])
