"""Linear maps of one centred space into another, each in closed form.

``A`` (n_anchors, n_features_x) and ``B`` (n_anchors, n_features_y) are parallel
anchors, their means subtracted; a map is a matrix (n_features_x, n_features_y).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from relatum._gemm import unit_rows
from relatum._whitening import inverse_sqrt

PENALTIES = np.logspace(-4, 2, 25)
"""Penalties that are tried, over the mean of the squared singular values."""

CONDITION = 1e-2
"""Directions of anchors below this share of the largest are noise to a plain inverse."""


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


def factors(A: np.ndarray) -> Factors:
    """Return the thin singular value decomposition of ``A``."""
    U, s, Vt = np.linalg.svd(A, full_matrices=False)
    floor = s[0] * max(A.shape) * np.finfo(A.dtype).eps if len(s) else 0.0
    kept = s > floor
    return Factors(U[:, kept], s[kept], Vt[kept])


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
    return float(penalties[int(np.argmin([_left_out_error(F, B, p) for p in penalties]))])


def _left_out_error(F: Factors, B: np.ndarray, penalty: float) -> float:
    """Return the mean squared leave-one-out error of ridge regression."""
    return float(np.mean(ridge_left_out(F, B, penalty) ** 2))


def ridge_left_out(F: Factors, B: np.ndarray, penalty: float) -> np.ndarray:
    """Return the error of each row, (n, n_features_y), when it is left out of the fit."""
    kept = F.s**2 / (F.s**2 + penalty)
    leverage = (F.U**2) @ kept + 1 / len(B)
    fitted = F.U @ (kept[:, None] * (F.U.T @ B))
    return np.asarray((B - fitted) / np.maximum(1 - leverage, 1e-6)[:, None])


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


def through_relative(A: np.ndarray, B: np.ndarray, whiten: float | None) -> np.ndarray:
    """Return the relative projection onto ``A`` followed by the inverse one of ``B``.

    Plain: ``A_1' pinv(B_1')``, rows at unit norm being marked by 1. Whitened:
    ``A_1' (K_x + λI)^(-1/2) (K_y + λI)^(-1/2) B_1``, K being each side's similarities
    among its anchors.

    References
    ----------
    Moschella et al., ICLR 2023; the inverse: Maiorca et al., *Latent space translation
    via inverse relative projection*, 2024.
    """
    a, b = unit_rows(A), unit_rows(B)
    if whiten is None:
        return np.asarray(a.T @ np.linalg.pinv(b.T, rcond=CONDITION))
    return np.asarray(a.T @ inverse_sqrt(a @ a.T, whiten) @ inverse_sqrt(b @ b.T, whiten) @ b)
