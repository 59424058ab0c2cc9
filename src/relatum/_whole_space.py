"""CKA, SVCCA, PWCCA and Procrustes together, from products of principal coordinates.

A space's coordinates are its centred rows on its principal axes, at unit variance.
With the axes' sizes they hold the whole space up to a rotation, and every measure
here is a function of three small matrices: A'A, A'B and B'B.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from relatum import _array, _canonical, _hsic
from relatum._resampling import Draws, Repeats
from relatum.kernel_alignment import no_variance

VARIANCE = 0.99


@dataclass(frozen=True)
class _Space:
    """One space: coordinates of all rows in float32, and what gives them their size."""

    coordinates: np.ndarray  # (n, n_axes), unit variance
    sizes: np.ndarray  # (n_axes,), at norm 1
    loadings: np.ndarray  # (n_kept, n_features), of the axes that hold VARIANCE

    @property
    def n_kept(self) -> int:
        return len(self.loadings)

    def squares(self, coordinates: np.ndarray) -> np.ndarray:
        """Return each row's squared norm in the space, times n."""
        scaled = coordinates * self.sizes.astype(coordinates.dtype)
        return np.asarray(np.vecdot(scaled, scaled), dtype=np.float64)


def whole_space(X: np.ndarray, Y: np.ndarray, repeats: Repeats) -> dict[str, Draws]:
    """Draw all measures of this file for two spaces of the same rows."""
    axes = [_canonical.principal_axes(A) for A in (X, Y)]
    if any(len(a.sizes) == 0 for a in axes):
        raise no_variance("CKA, CCA and Procrustes")
    blocks = [_canonical.coordinate_blocks(A, a) for A, a in zip((X, Y), axes, strict=True)]
    shape = (len(X), max(X.shape[1], Y.shape[1]))
    exact = [_canonical.cross(blocks[i], blocks[j], shape) for i, j in ((0, 0), (0, 1), (1, 1))]
    a, b = (_space(len(X), block, of) for block, of in zip(blocks, axes, strict=True))
    squares = [s.squares(s.coordinates) for s in (a, b)]

    def null(p: np.ndarray) -> dict[str, float]:
        product = _product(a.coordinates, b.coordinates[p])
        whole = _alignments(a, b, None, product, None, squares[0], squares[1][p])
        return whole | _correlations(a, b, None, product, None)

    def half(rows: np.ndarray) -> dict[str, float]:
        u, v = (s.coordinates[rows] for s in (a, b))
        u -= u.mean(axis=0)
        v -= v.mean(axis=0)
        xx, xy, yy = _product(u, u), _product(u, v), _product(v, v)
        whole = _alignments(a, b, xx, xy, yy, a.squares(u), b.squares(v))
        try:
            return whole | _correlations(a, b, xx, xy, yy)
        except np.linalg.LinAlgError:  # these rows do not span all axes: no CCA of them
            return whole | {"svcca": float("nan"), "pwcca": float("nan")}

    value = _alignments(a, b, *exact, *squares) | _correlations(a, b, *exact)
    n_axes = max(len(a.sizes), len(b.sizes))
    return repeats.limited(n_axes).of_whole(value, null, half)


def _space(n: int, block: _canonical.Blocks, axes: _canonical.Axes) -> _Space:
    coordinates = np.empty((n, len(axes.sizes)), dtype=np.float32)
    for rows in _array.blocks(n, 8 * len(axes.directions)):
        coordinates[rows] = block(rows) * n**0.5
    sizes = axes.sizes / np.linalg.norm(axes.sizes)
    return _Space(coordinates, sizes, axes.holding(VARIANCE).loadings)


def _product(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return np.asarray(u.T @ v, dtype=np.float64) / len(u)


def _alignments(
    a: _Space,
    b: _Space,
    xx: np.ndarray | None,
    xy: np.ndarray,
    yy: np.ndarray | None,
    squares_a: np.ndarray,
    squares_b: np.ndarray,
) -> dict[str, float]:
    """Return CKA and Procrustes; None stands for the identity."""
    n = len(squares_a)
    cross = _scaled(xy, a, b)
    own_a = np.diag(a.sizes**2) if xx is None else _scaled(xx, a, a)
    own_b = np.diag(b.sizes**2) if yy is None else _scaled(yy, b, b)
    kk, kl, ll = (float(np.vdot(M, M)) for M in (own_a, cross, own_b))
    zero = np.zeros(n)
    sums = _hsic.KernelSums(kk, kl, ll, zero, zero, squares_a / n, squares_b / n)
    scale = float(np.trace(own_a) * np.trace(own_b)) ** 0.5
    return {
        "cka": _hsic.alignment(sums, unbiased=False),
        "cka_unbiased": _hsic.alignment(sums, unbiased=True),
        "procrustes_distance": max(0.0, 2 - 2 * _canonical.nuclear_norm(cross) / scale),
    }


def _scaled(product: np.ndarray, a: _Space, b: _Space) -> np.ndarray:
    return np.asarray(a.sizes[:, None] * product * b.sizes)


def _correlations(
    a: _Space, b: _Space, xx: np.ndarray | None, xy: np.ndarray, yy: np.ndarray | None
) -> dict[str, float]:
    """Return SVCCA and PWCCA; None stands for the identity."""
    p, q = a.n_kept, b.n_kept
    product, frame = xy[:p, :q], None
    if xx is not None and yy is not None:
        product, frame = _canonical.whitened(xx[:p, :p], product, yy[:q, :q])
    values, directions = _canonical.canonical_correlations(product)
    directions = directions if frame is None else frame @ directions
    weights = _canonical.projection_weights(directions, a.loadings)
    return {"svcca": float(values.mean()), "pwcca": float(weights @ values)}
