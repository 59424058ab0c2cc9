"""Rows of two encoders that are not known to be the same, matched softly.

Both sides are drawn from the same kind of data, so their clouds of rows have the same shape,
whether or not any item is in both. A transport plan between the clouds turns the one onto
the other, the turn makes the plan better, and so on.
"""

from __future__ import annotations

import numpy as np

from relatum._gemm import unit_rows
from relatum._linear_maps import isometry
from relatum._principal_axes import PrincipalAxes

LARGEST = 2000
"""Rows of a side that are matched at once, the first of more."""
AXES = 200
"""Principal axes that the sides are turned onto each other by."""
ROUNDS = 5
TEMPERATURE = 0.5
"""Of the plan, in standard deviations of the scores."""
NORMALISATIONS = 4
ANCHOR_WEIGHT = 10.0
"""What an anchor counts for beside a row that is matched softly."""


def transport_plan(
    x: np.ndarray, y: np.ndarray, a: np.ndarray, b: np.ndarray, scores: np.ndarray
) -> np.ndarray:
    """Return the soft weights of pairs (n_x, n_y): how much of row i goes to row j.

    x (n_x, n_features_x) and y are rows, a and b parallel anchors, and ``scores`` (n_x, n_y)
    a first guess: cosines in a space that both sides share. In each round P is the entropic
    transport plan of the scores and of the cosines after the turn
    ``isometry(w A'B + X'PY)``, all in principal axes, A and B being the anchors.

    References
    ----------
    Cuturi, *Sinkhorn distances*, NeurIPS 2013; turning and matching by turns: Grave et
    al., *Unsupervised alignment of embeddings with Wasserstein Procrustes*, AISTATS 2019.
    """
    to_x, to_y = PrincipalAxes.of(x, AXES), PrincipalAxes.of(y, AXES)
    fx, fy = to_x(x), to_y(y)
    known = ANCHOR_WEIGHT * to_x(a).T @ to_y(b)
    P = _sinkhorn(scores)
    for _ in range(ROUNDS):
        turn = isometry(known + fx.T @ (P @ fy))
        P = _sinkhorn(2 * scores + unit_rows(fx @ turn) @ unit_rows(fy).T)
    return P


def soft_pairs(
    P: np.ndarray, x: np.ndarray, y: np.ndarray, n: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the first n rows of each side, and beside each where the plan takes it.

    ``2 n`` pairs of rows: a row of x goes to the mean of y by its weights, and a row of y
    to that of x. Rows are, and become, of unit norm about the mean of their side.
    """
    own = x[:n], _means(P[:n], y)
    other = _means(P[:, :n].T, x), y[:n]
    return np.concatenate([own[0], other[0]]), np.concatenate([own[1], other[1]])


def _means(weights: np.ndarray, rows: np.ndarray) -> np.ndarray:
    return np.asarray(unit_rows(weights @ rows))


def _sinkhorn(scores: np.ndarray) -> np.ndarray:
    """Return ``exp(scores / T)`` with rows and columns scaled in turn; columns sum to 1."""
    P = np.exp((scores - scores.max()) / (TEMPERATURE * float(np.std(scores))))
    P += np.finfo(P.dtype).tiny  # rows and columns without any near one still have a sum
    for _ in range(NORMALISATIONS):
        P /= P.sum(axis=1, keepdims=True)
        P /= P.sum(axis=0, keepdims=True)
    return np.asarray(P)
