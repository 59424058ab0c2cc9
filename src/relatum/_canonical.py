"""Principal axes and canonical correlations of two spaces.

Each space is turned into *coordinates*: centred rows on its principal axes, at
unit length. All else follows from three small matrices, the products of the two
spaces' coordinates with themselves and with each other.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from relatum import _array
from relatum._hsic import centring

Blocks = Callable[[slice], np.ndarray]
"""A matrix given as a function from a block of row numbers to those rows."""


@dataclass(frozen=True)
class Axes:
    """The principal axes of one space: ``coordinates = (X - mean) @ (directions / sizes)``."""

    directions: np.ndarray  # (n_features, n_axes), orthonormal columns
    sizes: np.ndarray  # (n_axes,), singular values of the centred matrix, falling

    @property
    def loadings(self) -> np.ndarray:
        """``coordinates' @ (X - mean)``, (n_axes, n_features)."""
        return np.asarray(self.sizes[:, None] * self.directions.T)

    def holding(self, variance: float) -> Axes:
        """Return the first axes that together hold this share of the variance."""
        explained = np.cumsum(self.sizes**2) / np.sum(self.sizes**2)
        n = int(np.searchsorted(explained, variance - 1e-12)) + 1
        return Axes(self.directions[:, :n], self.sizes[:n])


def principal_axes(X: np.ndarray) -> Axes:
    """Return the axes of ``X`` from the smaller of its covariance and Gram matrices.

    Axes whose variance is below rounding error are dropped; rows that are all the
    same have none.
    """
    n, d = X.shape
    block = centred_blocks(X)
    centred = block(slice(0, n)) if n < d else None
    square = cross(block, block, X.shape) if centred is None else centred @ centred.T
    w, U = np.linalg.eigh(square)
    w, U = w[::-1], U[:, ::-1]
    kept = w > 10 * max(n, d) * np.finfo(np.float64).eps * w[0]
    sizes = np.sqrt(w[kept])
    return Axes(U[:, kept] if centred is None else centred.T @ U[:, kept] / sizes, sizes)


def centred_blocks(X: np.ndarray) -> Blocks:
    """Return centred rows in float64, a block at a time."""
    block = centring(X)
    return lambda rows: _array.wide(block(rows))


def coordinate_blocks(X: np.ndarray, axes: Axes) -> Blocks:
    """Return the coordinates of rows, a block at a time."""
    block, basis = centred_blocks(X), axes.directions / axes.sizes
    return lambda rows: block(rows) @ basis


def cross(a: Blocks, b: Blocks, shape: tuple[int, ...]) -> np.ndarray:
    """Return ``A.T @ B`` of two matrices with ``shape[0]`` rows that exist in blocks only."""
    total: np.ndarray | float = 0.0
    for rows in _array.blocks(shape[0], 8 * shape[1]):
        left = a(rows)
        total = total + left.T @ (left if b is a else b(rows))
    return np.asarray(total)


def whitened(xx: np.ndarray, xy: np.ndarray, yy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return ``L⁻¹ xy M⁻ᵀ`` and L, for Cholesky factors ``L Lᵀ = xx`` and ``M Mᵀ = yy``.

    ``xx``, ``xy``, ``yy`` are the products of two spaces' coordinates. Those of a
    space with itself are near the identity; this takes up the rest.
    """
    root_x, root_y = np.linalg.cholesky(xx), np.linalg.cholesky(yy)
    if min(root_x.diagonal().min(), root_y.diagonal().min()) < 1e-2:
        raise np.linalg.LinAlgError("the rows do not span the principal axes")
    return np.linalg.solve(root_y, np.linalg.solve(root_x, xy).T).T, root_x


def canonical_correlations(product: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the canonical correlations, falling, and X's directions as columns.

    The singular values and left vectors of the product of two orthonormal bases,
    from an eigendecomposition, which is several times faster than the SVD.
    """
    w, left = np.linalg.eigh(product @ product.T)
    n = min(product.shape)
    return np.sqrt(np.clip(w[::-1][:n], 0.0, 1.0)), left[:, ::-1][:, :n]


def nuclear_norm(product: np.ndarray) -> float:
    """Return the sum of the singular values, from those of the smaller Gram matrix."""
    wide = product.shape[0] < product.shape[1]
    w = np.linalg.eigvalsh(product @ product.T if wide else product.T @ product)
    return float(np.sqrt(np.maximum(w, 0.0)).sum())


def projection_weights(directions: np.ndarray, loadings: np.ndarray) -> np.ndarray:
    """Return how much of X each canonical direction carries, summing to 1.

    ``alpha_i = sum_j |<h_i, x_j>|`` over the columns of centred X (Morcos et al., 2018).
    """
    alpha = np.abs(directions.T @ loadings).sum(axis=1)
    return np.asarray(alpha / alpha.sum())
