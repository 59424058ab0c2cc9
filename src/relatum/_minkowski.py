"""L1, L2 and L∞ distances to anchors, within a fixed memory.

None of them builds an (n, k, d) array: faiss, SciPy and torch loop in compiled
code, and other namespaces go anchor by anchor.
"""

from __future__ import annotations

import importlib
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from relatum import _array
from relatum._array import Array


def euclidean(X: Array, anchors: Array) -> Array:
    """Euclidean distance, ``‖x - a‖₂``, in [0, ∞); lower is closer.

    Computed from squared norms and one product in float64, so that float32
    input loses nothing to cancellation.
    """
    A = _array.wide(anchors)

    def block(x: Array) -> Array:
        xp = _array.namespace(x)
        x64 = _array.wide(x)
        square = (
            xp.sum(x64 * x64, axis=1, keepdims=True)
            - 2 * (x64 @ A.T)
            + xp.sum(A * A, axis=1)[None, :]
        )
        return _array.astype(_array.safe_sqrt(square), x.dtype)

    if _array.tracks_gradient(X, anchors):
        return block(X)
    return _array.map_rows(block, X, anchors.shape[0], 16 * (X.shape[1] + 2 * anchors.shape[0]))


def manhattan(X: Array, anchors: Array) -> Array:
    """Manhattan distance, ``Σ |x_i - a_i|``, in [0, ∞); lower is closer."""
    return _distance(X, anchors, 1.0)


def chebyshev(X: Array, anchors: Array) -> Array:
    """Chebyshev distance, ``max |x_i - a_i|``, in [0, ∞); lower is closer."""
    return _distance(X, anchors, float("inf"))


def _distance(X: Array, anchors: Array, p: float) -> Array:
    if _array.is_numpy(X):
        return _numpy_distance(X, anchors, p)
    if not _array.is_torch(X):
        return _array.map_rows(
            lambda x: _anchor_by_anchor(x, anchors, p),
            X,
            anchors.shape[0],
            16 * (X.shape[1] + anchors.shape[0]),
        )
    if _array.tracks_gradient(X, anchors) or X.device.type != "cpu":
        import torch

        return torch.cdist(X, anchors, p=p)
    return _array.from_numpy(_numpy_distance(_array.to_numpy(X), _array.to_numpy(anchors), p), X)


def _numpy_distance(X: np.ndarray, anchors: np.ndarray, p: float) -> np.ndarray:
    faiss = _faiss() if X.dtype == np.float32 and p == 1.0 else None
    if faiss is not None:  # its L∞ takes five times SciPy's time, its L1 a seventh
        metric = faiss.METRIC_L1
        return np.asarray(
            faiss.pairwise_distances(
                np.ascontiguousarray(X), np.ascontiguousarray(anchors), metric=metric
            )
        )
    from scipy.spatial.distance import cdist

    out = np.empty((X.shape[0], anchors.shape[0]), dtype=X.dtype)
    A = anchors.astype(np.float64)

    def fill(rows: slice) -> None:
        out[rows] = cdist(X[rows].astype(np.float64), A, "cityblock" if p == 1.0 else "chebyshev")

    with ThreadPoolExecutor(_array.n_threads()) as pool:
        list(pool.map(fill, _array.blocks(X.shape[0], 8 * (X.shape[1] + anchors.shape[0]))))
    return out


def _faiss() -> Any:
    try:
        return importlib.import_module("faiss")
    except ImportError:
        return None


def _anchor_by_anchor(x: Array, anchors: Array, p: float) -> Array:
    xp = _array.namespace(x)
    reduce = xp.sum if p == 1.0 else xp.max
    columns = [reduce(xp.abs(x - anchors[j, :][None, :]), axis=1) for j in range(anchors.shape[0])]
    return xp.stack(columns, axis=1)
