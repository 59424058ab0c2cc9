"""Linear maps of one centred space into another, each in closed form.

``A`` (n_anchors, n_features_x) and ``B`` (n_anchors, n_features_y) are parallel
anchors, their means subtracted; a map is a matrix (n_features_x, n_features_y).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from relatum._gemm import unit_rows

PENALTIES = np.logspace(-4, 2, 25)
"""Penalties that are tried, over the mean of the squared singular values."""
SKETCH = 256
"""Columns that leave-one-out errors are summed over, random combinations of more."""
STRIDE = 3
"""Every third of them first, then those around the best."""

CONDITION = 1e-2
"""Directions of anchors below this share of the largest are noise to a plain inverse."""


RANKS = 0.8
"""How far principal axes that go together lie apart: a standard deviation of log(rank + 2)."""
RANK_STEP = 0.25
"""Axes of the target whose log(rank + 2) lies so near share one decomposition."""
NOISE = 1.0
"""What principal axes do not explain of one another, over what they do."""


@dataclass(frozen=True)
class Factors:
    """``A = U diag(s) Vt``, singular values of rounding size dropped."""

    U: np.ndarray
    s: np.ndarray
    Vt: np.ndarray

    @property
    def mean_square(self) -> float:
        """Mean of the squared singular values: what penalties are measured in."""
        return float(np.mean(self.s**2)) if len(self.s) else 1.0

    def single(self) -> Factors:
        """Return the same in single precision."""
        return Factors(*(M.astype(np.float32) for M in (self.U, self.s, self.Vt)))


def factors(A: np.ndarray) -> Factors:
    """Return the thin singular value decomposition of ``A``.

    In single precision through the eigenvectors of the smaller of ``A'A`` and ``AA'`` in
    double precision, which is as exact and takes a quarter of the time.
    """
    if A.dtype == np.float32:
        U, s, Vt = _gram_factors(A)
    else:
        U, s, Vt = np.linalg.svd(A, full_matrices=False)
    floor = s[0] * max(A.shape) * np.finfo(A.dtype).eps if len(s) else 0.0
    kept = s > floor
    return Factors(U[:, kept], s[kept], Vt[kept])


def _gram_factors(A: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    wide = A.shape[0] < A.shape[1]
    M = (A.T if wide else A).astype(np.float64)  # at least as many rows as columns
    w, V = np.linalg.eigh(M.T @ M)
    s, V = np.sqrt(np.maximum(w[::-1], 0)), V[:, ::-1]
    U = (M @ V) / np.maximum(s, s[0] * np.finfo(A.dtype).eps + np.finfo(A.dtype).tiny)
    U, V = U.astype(A.dtype), V.astype(A.dtype)
    return (V, s.astype(A.dtype), U.T) if wide else (U, s.astype(A.dtype), V.T)


def orthogonal(A: np.ndarray, B: np.ndarray) -> np.ndarray:
    """Return the isometry nearest to taking ``A`` to ``B``: ``argmin |A W - B|``.

    ``W = P Q'`` with ``A'B = P diag(s) Q'``. Between spaces of different widths, and of
    what fewer anchors than features do not reach, an isometry of a subspace: the rest
    goes to zero.

    References
    ----------
    Schönemann, *A generalized solution of the orthogonal Procrustes problem*,
    Psychometrika 1966.
    """
    if len(A) >= A.shape[1]:
        return isometry(A.T @ B)
    F = factors(A)  # the product has the rank of A at most
    return np.asarray(F.Vt.T @ isometry(F.s[:, None] * (F.U.T @ B)))


def isometry(product: np.ndarray) -> np.ndarray:
    """Return the isometry ``P Q'`` of ``product = P diag(s) Q'``."""
    F = factors(product)
    return np.asarray(F.U @ F.Vt)


def ridge(F: Factors, B: np.ndarray, penalty: float) -> np.ndarray:
    """Return ``(A'A + penalty I)^-1 A'B``; with penalty 0 the shortest least-squares map."""
    return np.asarray(F.Vt.T @ ((F.s / (F.s**2 + penalty))[:, None] * (F.U.T @ B)))


def ridge_penalty(F: Factors, B: np.ndarray) -> float:
    """Return the penalty of :data:`PENALTIES` with the least leave-one-out error.

    The error of row i, left out, is ``(b_i - fitted_i) / (1 - h_i)``, ``h_i`` being its
    leverage: one decomposition gives it for every penalty. The mean that was subtracted
    adds 1/n to the leverage.

    References
    ----------
    Allen, *The relationship between variable selection and data augmentation and a
    method for prediction*, Technometrics 1974.
    """
    penalties = PENALTIES * F.mean_square
    F, B = F.single(), _sketched(B.astype(np.float32))  # enough to compare errors
    errors: dict[int, float] = {}

    def best_of(places: Iterable[int]) -> int:
        for i in places:
            if i not in errors:
                errors[i] = _left_out_error(F, B, penalties[i])
        return min(errors, key=errors.__getitem__)

    coarse = best_of(range(0, len(penalties), STRIDE))  # the error is smooth in the penalty
    return float(penalties[best_of(range(max(0, coarse - STRIDE + 1),
                                         min(len(penalties), coarse + STRIDE)))])  # fmt: skip


def _sketched(B: np.ndarray) -> np.ndarray:
    """Return random combinations of many columns: row norms stay, but for some per cent."""
    if B.shape[1] <= SKETCH:
        return B
    G = np.random.default_rng(0).standard_normal((B.shape[1], SKETCH), dtype=np.float32)
    return np.asarray(B @ (G / np.float32(np.sqrt(SKETCH))))


def _left_out_error(F: Factors, B: np.ndarray, penalty: float) -> float:
    """Return the mean squared leave-one-out error of ridge regression."""
    return float(np.mean(ridge_left_out(F, B, penalty) ** 2))


def ridge_left_out(F: Factors, B: np.ndarray, penalty: float) -> np.ndarray:
    """Return the error of each row, (n, n_features_y), when it is left out of the fit."""
    kept = F.s**2 / (F.s**2 + penalty)
    leverage = (F.U**2) @ kept + 1 / len(B)
    fitted = F.U @ (kept[:, None] * (F.U.T @ B))
    return np.asarray((B - fitted) / np.maximum(1 - leverage, 1e-6)[:, None])


def unit_ridge(A: np.ndarray, B: np.ndarray, penalty: float) -> np.ndarray:
    """Return ridge regression of rows at unit norm on rows at unit norm: one Cholesky."""
    a, b = unit_rows(A), unit_rows(B)
    if len(a) < a.shape[1]:
        return np.asarray(a.T @ solved(a @ a.T, penalty, b))
    return solved(a.T @ a, penalty, a.T @ b)


def solved(K: np.ndarray, penalty: float, right: np.ndarray) -> np.ndarray:
    """Return ``(K + penalty I)^-1 right`` of a positive semidefinite K, which is used up."""
    K[np.diag_indices_from(K)] += penalty
    factor = cho_factor(K, overwrite_a=True, check_finite=False)
    return np.ascontiguousarray(cho_solve(factor, right, check_finite=False))


def predicted_directions(F: Factors, B: np.ndarray, penalty: float) -> np.ndarray:
    """Return the directions of ``B`` that ridge regression predicts, the best first.

    Orthonormal columns, (n_features_y, rank). The ridge map times ``Q_r Q_r'``, of the
    first r, is the best map of rank r.

    References
    ----------
    Izenman, *Reduced-rank regression for the multivariate linear model*, Journal of
    Multivariate Analysis 1975.
    """
    shrunk = (F.s / np.sqrt(F.s**2 + penalty))[:, None] * (F.U.T @ B)
    return factors(shrunk).Vt.T


def canonical(FA: Factors, FB: Factors, share: float) -> np.ndarray:
    """Return the map that predicts B's canonical variates from those of A.

    Both spaces are whitened with a ridge of ``share`` of their mean squared singular
    value, each variate of A times its correlation is taken for B's, and B's whitening
    undone.

    References
    ----------
    Hotelling, *Relations between two sets of variates*, Biometrika 1936; the ridge is
    that of Vinod, Journal of Econometrics 1976.
    """
    a, b = (np.sqrt(F.s**2 + share * F.mean_square) for F in (FA, FB))
    # the product of the whitened spaces is P diag(correlations) Q'
    product = (FA.s / a)[:, None] * (FA.U.T @ FB.U) * (FB.s / b)
    return np.asarray(FA.Vt.T @ ((product / a[:, None]) * b) @ FB.Vt)


def through_relative(FA: Factors, FB: Factors, whiten: float | None) -> np.ndarray:
    """Return the relative projection onto one side's anchors, and the inverse of the other's.

    From the factors of both sides' anchors at unit norm, ``A_1`` and ``B_1``. Plain:
    ``A_1' pinv(B_1')``. Whitened: ``A_1' (K_x + λI)^(-1/2) (K_y + λI)^(-1/2) B_1``, K being
    each side's similarities among its anchors.

    References
    ----------
    Moschella et al., ICLR 2023; the inverse: Maiorca et al., *Latent space translation
    via inverse relative projection*, 2024.
    """
    if whiten is None:
        a = FA.s
        b = np.where(FB.s > CONDITION * FB.s[0], 1 / FB.s, 0)
    else:
        a, b = (F.s / np.sqrt(F.s**2 + whiten) for F in (FA, FB))
    return np.asarray(FA.Vt.T @ (a[:, None] * (FA.U.T @ FB.U) * b) @ FB.Vt)


def between_axes(a: np.ndarray, b: np.ndarray, strengths: np.ndarray) -> np.ndarray:
    r"""Return the map of coordinates along principal axes that is likeliest a priori.

    Entry :math:`c_{ij}` of the map is Gaussian with the variance

    .. math:: v_{ij} = w_{ij} / \sigma_i^2, \quad \textstyle\sum_i w_{ij} = 1, \quad
        w_{ij} \propto \sigma_i^2 \exp(-(\log(i + 2) - \log(j + 2))^2 / 2 h^2),

    i and j being the ranks of the axes from 0, σ their ``strengths`` and h :data:`RANKS`: what
    is strong in one encoder is strong in the other. The map is the posterior mean given
    the anchors, whose noise is :data:`NOISE` times the variance that the map explains.

    Parameters
    ----------
    a, b : array (n_anchors, n_axes_x), array (n_anchors, n_axes_y)
        Anchors along the axes of their sides, the strongest first.
    strengths : array (n_axes_x,)
    """
    rank_a, rank_b = (np.log(np.arange(M.shape[1]) + 2) for M in (a, b))
    groups = np.round(rank_b / RANK_STEP).astype(int)
    few = 2 * len(a) < a.shape[1]
    products = None if few else (a.T @ a, a.T @ b)
    out = np.zeros((a.shape[1], b.shape[1]), dtype=a.dtype)
    for group in np.unique(groups):
        columns = np.flatnonzero(groups == group)
        apart = rank_a - rank_b[columns].mean()
        share = strengths**2 * np.exp(-(apart**2) / (2 * RANKS**2))
        std = (np.sqrt(share / share.sum()) / strengths).astype(a.dtype)
        if products is None:
            z = a * std
            solved = z.T @ _solved(z @ z.T, b[:, columns])
        else:
            own, with_b = products
            solved = _solved(own * std * std[:, None], std[:, None] * with_b[:, columns])
        out[:, columns] = std[:, None] * solved
    return out


def _solved(K: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Return ``(K + NOISE I)^-1 right``."""
    K[np.diag_indices(len(K))] += NOISE
    return np.asarray(cho_solve(cho_factor(K, overwrite_a=True), right))
