"""Rows of two encoders that are not known to be the same, matched softly.

Both sides are drawn from the same kind of data, so their clouds of rows have the same shape,
whether or not any item is in both. A transport plan between the clouds turns the one onto
the other, the turn makes the plan better, and so on.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from relatum import _linear_maps as linear
from relatum._gemm import unit_rows
from relatum._principal_axes import PrincipalAxes
from relatum.projection import prepare, project

AXES = 200
"""Principal axes that the sides are turned onto each other by."""
ROUNDS = 5
TEMPERATURE = 0.5
"""Of the plan, in standard deviations of the scores."""
NORMALISATIONS = 4
ANCHOR_WEIGHT = 10.0
"""What an anchor counts for beside a row, where the sides are turned."""
KERNEL = ("polynomial", {"degree": 2})
KERNEL_SHARE = 2 / 3
"""Of the first guess; the rest is a map between principal axes."""


class Cloud(NamedTuple):
    """One encoder's side: where its rows lie, some of them, and its anchors."""

    axes: PrincipalAxes
    rows: np.ndarray
    """(n, n_features), at unit norm about the mean of the axes."""
    anchors: np.ndarray
    """(n_anchors, n_features), likewise; row i is the same item on both sides."""

    @classmethod
    def of(cls, rows: np.ndarray, anchors: np.ndarray) -> Cloud:
        """Take the axes of rows as they come."""
        axes = PrincipalAxes.of(rows)
        return cls(axes, unit_rows(rows - axes.mean), unit_rows(anchors - axes.mean))


def transport_plan(x: Cloud, y: Cloud) -> np.ndarray:
    """Return the soft weights of pairs (n_x, n_y): how much of row i goes to row j.

    In each round P is the entropic transport plan of a first guess and of the cosines after
    the turn ``isometry(w A'B + X'PY)``, all along principal axes, A and B being the anchors.
    Columns of P sum to 1.

    References
    ----------
    Cuturi, *Sinkhorn distances*, NeurIPS 2013; turning and matching by turns: Grave et
    al., *Unsupervised alignment of embeddings with Wasserstein Procrustes*, AISTATS 2019.
    """
    guess = first_guess(x, y)
    (fx, a), (fy, b) = (
        [M @ side.axes.axes[:, :AXES] for M in (side.rows, side.anchors)] for side in (x, y)
    )
    known = ANCHOR_WEIGHT * a.T @ b
    P = _sinkhorn(guess)
    for _ in range(ROUNDS):
        turn = linear.isometry(known + fx.T @ (P @ fy))
        P = _sinkhorn(2 * guess + unit_rows(fx @ turn) @ unit_rows(fy).T)
    return P


def first_guess(x: Cloud, y: Cloud) -> np.ndarray:
    """Return how alike rows are (n_x, n_y), from the anchors and the principal axes alone.

    The mean of two cosines: between relative representations of a polynomial kernel,
    whitened, and between rows that are mapped from principal axis to principal axis.
    """
    R, S = (
        unit_rows(np.asarray(project(s.rows, prepare(s.anchors, similarity=KERNEL, whiten=0.1))))
        for s in (x, y)
    )
    (u, a), (v, b) = ([M @ side.axes.axes for M in (side.rows, side.anchors)] for side in (x, y))
    mapped = u @ linear.between_axes(a, b, x.axes.strengths)
    cosines = unit_rows(mapped) @ unit_rows(v).T
    return np.asarray(KERNEL_SHARE * (R @ S.T) + (1 - KERNEL_SHARE) * cosines)


def soft_pairs(
    P: np.ndarray, x: np.ndarray, y: np.ndarray, n: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the first n rows of each side, and beside each where the plan takes it.

    At most ``2 n`` pairs of rows at unit norm: a row of x goes to the mean of y by its
    weights, and a row of y to that of x.
    """
    means = np.asarray(unit_rows(P[:n] @ y)), np.asarray(unit_rows(P[:, :n].T @ x))
    return np.concatenate([x[:n], means[1]]), np.concatenate([means[0], y[:n]])


def _sinkhorn(scores: np.ndarray) -> np.ndarray:
    """Return ``exp(scores / T)`` with rows and columns scaled in turn."""
    spread = max(float(np.std(scores)), float(np.finfo(scores.dtype).eps))
    P = np.exp((scores - scores.max()) / (TEMPERATURE * spread))
    P += np.finfo(P.dtype).tiny  # rows and columns without any near one still have a sum
    for _ in range(NORMALISATIONS):
        P /= P.sum(axis=1, keepdims=True)
        P /= P.sum(axis=0, keepdims=True)
    return np.asarray(P)
