"""Whitening: the inverse square root of the anchors' own similarity matrix."""

from __future__ import annotations

from relatum import _array
from relatum._array import Array


def inverse_sqrt(K: Array, whiten: float) -> Array:
    """Return ``(K + λI)^(-1/2)`` of a positive semidefinite K, symmetric, in float64.

    Directions whose eigenvalue is below rounding error are dropped (λ = 0 with
    more anchors than features). Under autograd the value comes from the
    eigendecomposition and the gradient from divided differences of w^(-1/2)
    (Daleckii and Krein), which stay finite where eigenvalues repeat.
    """
    xp = _array.namespace(K)
    w, V = xp.linalg.eigh(_array.constant(K))
    w = w + whiten
    floor = xp.max(w) * (K.shape[0] * float(xp.finfo(K.dtype).eps))
    kept = w > floor
    root = xp.sqrt(xp.where(kept, w, xp.ones_like(w)))
    value = (V * xp.where(kept, 1 / root, xp.zeros_like(w))[None, :]) @ V.T
    if not _array.tracks_gradient(K):
        return value
    a, b = root[:, None], root[None, :]
    inverse = xp.where(kept, 1 / root, xp.zeros_like(w))
    # of a kept and a dropped direction: (1/a - 0) / (a² - 0); of two dropped ones: 0
    slope = xp.where(
        kept[:, None] & kept[None, :],
        -1 / (a * b * (a + b)),
        (inverse[:, None] + inverse[None, :]) ** 3,
    )
    return value + V @ ((V.T @ (K - _array.constant(K)) @ V) * slope) @ V.T
