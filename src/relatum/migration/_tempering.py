"""Vectors of several kinds in one index, such that their scores can be compared.

Where a translation gives rows that lie less near to queries than native ones do, native rows
push translated ones down wherever both are. So do the anchors' own rows, which the map was
fitted to bring where they belong. The nearer kind is therefore turned a little, in a direction
in which no query lies: by as much as brings the cosines of near neighbours to those of
translated rows. The order of rows of one kind among themselves stays as it was. Where native
rows are not nearer (a regression draws its rows together) all stay as they are.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from relatum._gemm import unit_rows
from relatum._held_out import folds
from relatum.translation import Translation

K = 10
"""Neighbours at whose cosine both kinds of rows shall lie alike."""
LEAST = 0.01
"""Mean cosine of neighbours below which they are none."""


class Tempering(NamedTuple):
    """How rows of each kind are turned."""

    weight_native: float
    """The cosine between a native row and what is written of it, in (0, 1]."""
    weight_anchors: float
    """The same of an anchor's translated row."""
    direction: np.ndarray
    """A unit vector of the new space, in which its rows hardly lie."""

    def native(self, Y: np.ndarray) -> np.ndarray:
        """Return native rows (n, n_features) with their norms, turned."""
        return self._turned(Y, np.full(len(Y), self.weight_native))

    def translated(self, Y: np.ndarray, anchors: np.ndarray | None = None) -> np.ndarray:
        """Return translated rows (n, n_features) with their norms, turned.

        ``anchors`` (n,) says of which rows the map knows the native ones.
        """
        weights = np.ones(len(Y))
        if anchors is not None:
            weights[anchors] = self.weight_anchors
        return self._turned(Y, weights)

    def _turned(self, Y: np.ndarray, weights: np.ndarray) -> np.ndarray:
        Y = np.array(Y, np.float32)
        less = weights < 1
        w = weights[less, None].astype(np.float32)
        norms = np.linalg.norm(Y[less], axis=1, keepdims=True)
        turned = w * unit_rows(Y[less]) + np.sqrt(1 - w**2) * self.direction
        Y[less] = unit_rows(turned) * norms
        return Y


def fit_tempering(
    translation: Translation, X: np.ndarray, Y: np.ndarray, seed: int = 0
) -> Tempering:
    """Find by how much rows must be turned, from the anchors of a translation.

    Each anchor is translated by a map that was fitted without it, and searched, as it
    natively is, by the other anchors.
    """
    A, B = translation._own_anchors(X, Y)
    P = np.zeros_like(B)
    for part in folds(len(A), seed):
        P[part] = translation._map_without(A, B, part)(A[part])
    B, P, known = (unit_rows(M) for M in (B, P, np.asarray(translation.transform(A))))
    native, translated, own = (max(_near(B @ M.T), LEAST) for M in (B, P, known))
    direction = np.linalg.eigh(B.T @ B)[1][:, 0]
    return Tempering(
        min(translated / native, 1.0), min(translated / own, 1.0), direction.astype(np.float32),
    )  # fmt: skip


def _near(S: np.ndarray) -> float:
    """Return the mean cosine of an anchor's nearest others."""
    np.fill_diagonal(S, -2)
    k = min(K, len(S) - 1)
    return float(np.partition(S, len(S) - k, axis=1)[:, len(S) - k :].mean())
