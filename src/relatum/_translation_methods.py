"""The ways to translate, in one visible table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from relatum import _linear_maps as linear
from relatum._anchor_pair import AnchorPair
from relatum._gemm import unit_rows
from relatum._kernel_maps import KernelPart, kernel_ridge
from relatum._transport import Cloud, soft_pairs, transport_plan

SOFT_PAIRS = 400
"""Of each side, that join the anchors of ``transport``."""
ANCHOR_WEIGHT = 5.0
"""What an anchor counts for beside a soft pair."""
SOFT_RIDGE = 10.0


@dataclass(frozen=True)
class Fitted:
    """A map of centred rows: ``z @ matrix``, and a kernel part where there is one.

    ``means`` are those of both sides, where they are not the anchors'.
    """

    matrix: np.ndarray
    kernel: KernelPart | None = None
    chosen: dict[str, float] = field(default_factory=dict)
    """Penalties and ranks that the data chose."""
    means: tuple[np.ndarray, np.ndarray] | None = None


@dataclass(frozen=True)
class Method:
    """How to fit a translation, from centred parallel anchors."""

    fit: Callable[[AnchorPair], Fitted]
    says: str
    shrinks: bool = True
    """What it gives is shorter than it should be off the anchors: its length is restored."""
    same_width: bool = False
    largest: int | None = None
    """Beyond that many anchors ``auto`` leaves it out."""
    other_rows: bool = False
    """It takes other rows of both encoders."""


def mean_shift(pair: AnchorPair) -> Fitted:
    """Move the mean, turn nothing."""
    return Fitted(np.eye(pair.A.shape[1], dtype=pair.A.dtype))


def procrustes(pair: AnchorPair) -> Fitted:
    return Fitted(pair.isometry)


def ridge(pair: AnchorPair) -> Fitted:
    matrix = linear.ridge(pair.factors_a, pair.B, pair.penalty)
    return Fitted(matrix, chosen={"penalty": pair.penalty})


def affine(pair: AnchorPair) -> Fitted:
    return Fitted(linear.ridge(pair.factors_a, pair.B, 0.0))


def low_rank(pair: AnchorPair) -> Fitted:
    """Ridge, cut to the rank that one half of the anchors predicts of the other best."""
    F, penalty = pair.factors_a, pair.penalty
    Q = linear.predicted_directions(F, pair.B, penalty)[:, : pair.rank]
    matrix = (linear.ridge(F, pair.B, penalty) @ Q) @ Q.T
    return Fitted(matrix, chosen={"penalty": penalty, "rank": float(Q.shape[1])})


def relative(pair: AnchorPair) -> Fitted:
    return Fitted(linear.through_relative(pair.units_a, pair.units_b, None))


def whitened(pair: AnchorPair) -> Fitted:
    return Fitted(linear.through_relative(pair.units_a, pair.units_b, 0.3))


def cca(pair: AnchorPair) -> Fitted:
    """Canonical correlation, both spaces whitened with a ridge."""
    return Fitted(linear.canonical(pair.factors_a, pair.factors_b, 0.3))


def procrustes_kernel(pair: AnchorPair) -> Fitted:
    """Procrustes at its best scale, and a kernel ridge regression of what it leaves."""
    turned = pair.A @ pair.isometry
    scale = float(np.sum(turned * pair.B) / np.sum(turned**2))
    return Fitted(scale * pair.isometry, kernel_ridge(pair.A, pair.B - scale * turned))


def spectral(pair: AnchorPair) -> Fitted:
    """Ridge regression between the sides' principal axes; those of near rank go together."""
    own, other = pair.axes_a, pair.axes_b
    X, Y = pair.A + pair.mean_a, pair.B + pair.mean_b
    inner = linear.between_axes(own(X), other(Y), own.strengths)
    lengths = [np.mean(np.linalg.norm(M - s.mean, axis=1)) for M, s in ((X, own), (Y, other))]
    matrix = (own.axes @ inner @ other.axes.T) * (lengths[1] / lengths[0])
    return Fitted(matrix.astype(pair.A.dtype), means=(own.mean, other.mean))


def transport(pair: AnchorPair) -> Fitted:
    """``whitened`` on the anchors and on soft pairs of other rows, which need no counterpart."""
    own, other = pair.axes_a, pair.axes_b
    if own.sample is None or other.sample is None or min(map(len, (own.sample, other.sample))) < 2:
        raise ValueError(
            "method='transport' takes other rows of both encoders, not the anchors alone; give fit "
            "X_background and y_background"
        )
    A, B = pair.A + pair.mean_a - own.mean, pair.B + pair.mean_b - other.mean
    x = Cloud(own, own.sample, unit_rows(A).astype(own.sample.dtype))
    y = Cloud(other, other.sample, unit_rows(B).astype(other.sample.dtype))
    x_soft, y_soft = soft_pairs(transport_plan(x, y), x.rows, y.rows, SOFT_PAIRS)
    factors_x, factors_y = (
        linear.factors(np.concatenate([np.float32(ANCHOR_WEIGHT**0.5) * side.anchors, soft]))
        for side, soft in ((x, x_soft), (y, y_soft))
    )
    lengths = [float(np.mean(np.linalg.norm(M, axis=1))) for M in (A, B)]
    matrix = linear.through_relative(factors_x, factors_y, SOFT_RIDGE) * (lengths[1] / lengths[0])
    return Fitted(matrix.astype(pair.A.dtype), means=(own.mean, other.mean))


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
    "spectral": Method(
        spectral, "ridge regression between principal axes of near rank", largest=500
    ),
    "transport": Method(
        transport,
        "whitened, on anchors and other rows that are matched softly",
        largest=500,
        other_rows=True,
    ),
    "procrustes_kernel": Method(
        procrustes_kernel, "an isometry and a kernel ridge residual", largest=4000
    ),
}
