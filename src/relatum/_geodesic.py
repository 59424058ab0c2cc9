"""Geodesic distance to anchors along the anchors' nearest-neighbour graph."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from relatum import _array, _validation
from relatum._array import Array
from relatum._minkowski import euclidean


def geodesic(X: Array, anchors: Array, *, n_neighbors: int = 10) -> Array:
    """Shortest-path distance over the anchors' kNN graph, in [0, ∞); lower is closer.

    ``g(x, a_j) = min_i ‖x - a_i‖ + D_ij`` over the ``n_neighbors`` anchors
    nearest to x, where D are shortest paths in the anchors' kNN graph joined
    with its minimum spanning tree (so that it is connected). The graph is that
    of the anchors alone: a row's result does not depend on the rows beside it.
    In torch the gradient passes through the edge from x into the graph.
    """
    k = min(_validation.check_integer(n_neighbors, "n_neighbors"), anchors.shape[0])
    A = np.ascontiguousarray(_array.to_numpy(anchors), dtype=np.float64)
    paths = _array.from_numpy(_shortest_paths(A.tobytes(), len(A), k), X)

    def block(x: Array) -> Array:
        xp = _array.namespace(x)
        edges = euclidean(x, anchors)
        order = xp.argsort(edges, axis=1, stable=True)
        best = None
        for i in range(k):
            nearest = order[:, i]
            first = xp.take_along_axis(edges, nearest[:, None], axis=1)
            route = first + xp.take(paths, nearest, axis=0)
            best = route if best is None else xp.minimum(best, route)
        return best

    if _array.tracks_gradient(X, anchors):
        return block(X)
    return _array.map_rows(block, X, anchors.shape[0], 64 * (X.shape[1] + anchors.shape[0]))


@lru_cache(maxsize=1)  # the blocks of one projection share it
def _shortest_paths(data: bytes, n_anchors: int, n_neighbors: int) -> np.ndarray:
    """All shortest paths (k, k) in the anchors' kNN graph joined with its spanning tree."""
    from scipy.sparse.csgraph import csgraph_from_dense, minimum_spanning_tree, shortest_path

    anchors = np.frombuffer(data).reshape(n_anchors, -1)
    D = euclidean(anchors, anchors)
    np.fill_diagonal(D, 0.0)
    # csgraph reads a zero as "no edge": repeated anchors stay joined by a vanishing one
    smallest = np.finfo(np.float64).smallest_normal
    D = np.maximum((D + D.T) / 2, smallest)
    keep = np.full_like(D, np.inf)
    near = np.argsort(D, axis=1, kind="stable")[:, : n_neighbors + 1]
    np.put_along_axis(keep, near, np.take_along_axis(D, near, axis=1), axis=1)
    tree = minimum_spanning_tree(D).toarray()
    keep = np.where(tree > 0, tree, keep)
    keep = np.minimum(keep, keep.T)
    np.fill_diagonal(keep, np.inf)
    paths = shortest_path(csgraph_from_dense(keep, null_value=np.inf), directed=False)
    return np.where(paths <= len(D) * smallest, 0.0, paths)
