"""The ways to translate, in one visible table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from relatum import _linear_maps as linear
from relatum._kernel_maps import KernelPart, kernel_ridge
from relatum._linear_maps import factors


@dataclass(frozen=True)
class Fitted:
    """A map of centred rows: ``z @ matrix``, and a kernel part where there is one."""

    matrix: np.ndarray
    kernel: KernelPart | None = None
    chosen: dict[str, float] = field(default_factory=dict)
    """Penalties and ranks that the data chose."""


@dataclass(frozen=True)
class Method:
    """How to fit a translation, from centred parallel anchors."""

    fit: Callable[[np.ndarray, np.ndarray], Fitted]
    says: str
    shrinks: bool = True
    """What it gives is shorter than it should be off the anchors: its length is restored."""
    same_width: bool = False


def mean_shift(A: np.ndarray, B: np.ndarray) -> Fitted:
    """Move the mean, turn nothing."""
    return Fitted(np.eye(A.shape[1], dtype=A.dtype))


def procrustes(A: np.ndarray, B: np.ndarray) -> Fitted:
    return Fitted(linear.orthogonal(A, B))


def ridge(A: np.ndarray, B: np.ndarray) -> Fitted:
    F = factors(A)
    penalty = linear.ridge_penalty(F, B)
    return Fitted(linear.ridge(F, B, penalty), chosen={"penalty": penalty})


def affine(A: np.ndarray, B: np.ndarray) -> Fitted:
    return Fitted(linear.ridge(factors(A), B, 0.0))


def low_rank(A: np.ndarray, B: np.ndarray) -> Fitted:
    """Ridge, cut to the rank that one half of the anchors predicts of the other best."""
    F = factors(A)
    penalty = linear.ridge_penalty(F, B)
    Q = linear.predicted_directions(F, B, penalty)
    Q = Q[:, : _best_rank(A, B, penalty)]
    matrix = (linear.ridge(F, B, penalty) @ Q) @ Q.T
    return Fitted(matrix, chosen={"penalty": penalty, "rank": float(Q.shape[1])})


def _best_rank(A: np.ndarray, B: np.ndarray, penalty: float) -> int:
    gains: list[np.ndarray] = []
    for part in (slice(0, None, 2), slice(1, None, 2)):
        held = np.ones(len(A), dtype=bool)
        held[part] = False
        F = factors(A[part])
        Q = linear.predicted_directions(F, B[part], penalty / 2)
        predicted, truth = A[held] @ linear.ridge(F, B[part], penalty / 2) @ Q, B[held] @ Q
        # what each direction takes off the squared error
        gains.append(np.cumsum(np.sum(truth**2 - (truth - predicted) ** 2, axis=0)))
    least = min(map(len, gains))
    return 1 + int(np.argmax(gains[0][:least] + gains[1][:least]))


def relative(A: np.ndarray, B: np.ndarray) -> Fitted:
    return Fitted(linear.through_relative(A, B, None))


def whitened(A: np.ndarray, B: np.ndarray) -> Fitted:
    return Fitted(linear.through_relative(A, B, 0.3))


def cca(A: np.ndarray, B: np.ndarray) -> Fitted:
    """Canonical correlation, both spaces whitened with a ridge."""
    return Fitted(linear.canonical(factors(A), factors(B), 0.3))


def procrustes_kernel(A: np.ndarray, B: np.ndarray) -> Fitted:
    """Procrustes at its best scale, and a kernel ridge regression of what it leaves."""
    W = linear.orthogonal(A, B)
    scale = float(np.sum((A @ W) * B) / np.sum((A @ W) ** 2))
    return Fitted(scale * W, kernel_ridge(A, B - scale * (A @ W)))


METHODS: dict[str, Method] = {
    "mean_shift": Method(
        mean_shift, "subtracts one mean, adds the other", shrinks=False, same_width=True
    ),
    "procrustes": Method(procrustes, "the nearest isometry", shrinks=False),
    "scaled_procrustes": Method(procrustes, "the nearest isometry, and a scale"),
    "ridge": Method(ridge, "ridge regression, its penalty by leave-one-out"),
    "affine": Method(affine, "least squares, the shortest such map", shrinks=False),
    "low_rank": Method(low_rank, "ridge regression cut to the rank that predicts best"),
    "relative": Method(relative, "relative projection and its inverse"),
    "whitened": Method(whitened, "the same, whitened"),
    "cca": Method(cca, "canonical correlation, with a ridge"),
    "procrustes_kernel": Method(procrustes_kernel, "an isometry and a kernel ridge residual"),
}
