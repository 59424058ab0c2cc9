"""Exact k nearest neighbours, without ever holding an n × n matrix.

faiss searches when it is installed. Otherwise products are taken in blocks of
a fixed size and the best of each block are merged.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from relatum import _array, _validation
from relatum._array import Array
from relatum._gemm import unit_rows_into

__all__ = ["METRICS", "nearest"]

METRICS = ("cosine", "inner_product", "euclidean")

TILE_COLUMNS = 8192
TILE_BYTES = 32 * 2**20


def nearest(
    queries: Array, index: Array, k: int, *, metric: str = "cosine", exclude_self: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Return each query's ``k`` nearest rows of ``index``, the nearest first.

    Exact search. Through faiss (in float32) when it is installed, else in blocks
    of 32 MiB in the input's own precision. Equal values are ordered by row number;
    which of several rows that tie for the last place is kept is the lowest row
    number without faiss, and faiss's choice with it.

    Parameters
    ----------
    queries : array (n_queries, n_features)
    index : array (n_index, n_features)
    k : int
        At most ``n_index``, or ``n_index - 1`` with ``exclude_self``.
    metric : "cosine", "inner_product" or "euclidean"
    exclude_self : bool
        Row i of ``queries`` and row i of ``index`` are the same item: leave item
        i out of its own neighbours. Both need the same number of rows.

    Returns
    -------
    values : numpy array (n_queries, k)
        Similarities in falling order (cosine in [-1, 1], inner product), or
        Euclidean distances in rising order.
    indices : numpy array (n_queries, k) of int64

    Raises
    ------
    TypeError, ValueError
        Input that is not a finite 2-D array of numbers, features that do not
        match, an unknown metric, a ``k`` that the index has no rows for.

    Examples
    --------
    >>> import numpy as np
    >>> from relatum.neighbors import nearest
    >>> values, indices = nearest(np.eye(3), np.eye(3), 1)
    >>> indices.ravel().tolist()
    [0, 1, 2]
    """
    _validation.check_choice(metric, "metric", METRICS)
    queries = _validation.as_matrix(queries, "queries", finite=True)
    index = _validation.as_matrix(index, "index", finite=True)
    _validation.check_same_features(queries, "queries", index, "index")
    if exclude_self:
        _validation.check_same_rows(queries, "queries", index, "index")
    check_k(k, index.shape[0], "index", exclude_self=exclude_self)
    return nearest_unchecked(
        _array.to_numpy(queries), _array.to_numpy(index), k, metric, exclude_self
    )


def check_k(k: int, n_rows: int, name: str, *, exclude_self: bool = False) -> int:
    """Refuse a ``k`` that ``n_rows`` rows cannot give."""
    limit = n_rows - 1 if exclude_self else n_rows
    without = ", the row itself left out" if exclude_self else ""
    return _validation.check_integer(
        k, "k", maximum=limit, maximum_is=f"{name} has {n_rows} rows{without}"
    )


def nearest_unchecked(
    queries: np.ndarray, index: np.ndarray, k: int, metric: str, exclude_self: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """:func:`nearest` of NumPy arrays that have been checked."""
    faiss = find_faiss()
    dtype = np.float32 if faiss is not None else np.result_type(queries, index)
    T, mean, scale = _prepare_index(index, metric, dtype)
    Q = T if queries is index else _prepare(queries, "queries", metric, dtype, mean, scale)
    wanted = k + 1 if exclude_self else k
    if faiss is not None:
        kind = faiss.METRIC_L2 if metric == "euclidean" else faiss.METRIC_INNER_PRODUCT
        values, indices = faiss.knn(Q, T, wanted, metric=kind)
    else:
        bias = -0.5 * np.vecdot(T, T) if metric == "euclidean" else None
        values, indices = _search_blocks(Q, T, wanted, bias)
    if metric == "euclidean":
        values = -_distances(Q, T, indices)
    values, indices = _sorted(values, indices)
    if exclude_self:
        values, indices = _without_self(values, indices)
    if metric == "cosine":
        return values, indices
    return values * (-scale if metric == "euclidean" else scale * scale), indices


def find_faiss() -> Any:
    """Return the faiss module, or None where it is not installed."""
    try:
        import faiss
    except ImportError:
        return None
    return faiss


def _prepare_index(
    index: np.ndarray, metric: str, dtype: Any
) -> tuple[np.ndarray, np.ndarray | None, float]:
    """Return the index ready to search, and the mean and scale that queries need too.

    Distances do not change when the mean is subtracted, and lose no digits then.
    """
    mean = index.mean(axis=0, dtype=np.float64) if metric == "euclidean" else None
    scale = 1.0
    if metric != "cosine":
        ends = np.stack([index.min(axis=0), index.max(axis=0)])
        largest = float(np.abs(ends if mean is None else ends - mean).max())
        if largest > 0 and not 1e-12 < largest < 1e12:  # squares must fit float32
            scale = largest
    return _prepare(index, "index", metric, dtype, mean, scale), mean, scale


def _prepare(
    X: np.ndarray, name: str, metric: str, dtype: Any, mean: np.ndarray | None, scale: float
) -> np.ndarray:
    if metric == "inner_product" and scale == 1.0:
        return np.ascontiguousarray(X, dtype=dtype)
    out = np.empty(X.shape, dtype=dtype)
    for rows in _array.blocks(X.shape[0], X.dtype.itemsize * X.shape[1], 2**20):
        if metric == "cosine":
            unit_rows_into(X[rows], out[rows])
        else:
            out[rows] = (X[rows] if mean is None else X[rows] - mean) / scale
    if metric == "cosine":
        zero = np.flatnonzero(~out.any(axis=1))
        if len(zero):
            _validation.warn_zero_rows(zero, name, centred=False)
    return out


def _search_blocks(
    Q: np.ndarray, T: np.ndarray, k: int, bias: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the k largest ``Q @ T.T + bias`` of each row, and their columns."""
    values = np.empty((len(Q), k), dtype=Q.dtype)
    indices = np.empty((len(Q), k), dtype=np.int64)
    width = max(k, min(len(T), TILE_COLUMNS))
    for rows in _array.blocks(len(Q), 4 * Q.dtype.itemsize * width, TILE_BYTES):
        best: tuple[np.ndarray, np.ndarray] | None = None
        for columns in _array.blocks(len(T), 1, width):
            product = Q[rows] @ T[columns].T
            if bias is not None:
                product += bias[columns]
            value, index = _largest(product, k)
            index += columns.start
            if best is not None:  # earlier columns first: ties go to the lower row number
                index = np.concatenate([best[1], index], axis=1)
                value, chosen = _largest(np.concatenate([best[0], value], axis=1), k)
                index = np.take_along_axis(index, chosen, axis=1)
            best = value, index
        if best is not None:
            values[rows], indices[rows] = best
    return values, indices


def _largest(P: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Return each row's k largest values and their columns; ties go to the lower column."""
    n = P.shape[1]
    if k >= n:
        chosen = np.broadcast_to(np.arange(n), P.shape)
    else:
        chosen = np.argpartition(P, n - k, axis=1)[:, n - k :]
        last = np.take_along_axis(P, chosen, axis=1).min(axis=1)
        for row in np.flatnonzero(np.count_nonzero(last[:, None] <= P, axis=1) > k):
            chosen[row] = np.argsort(-P[row], kind="stable")[:k]
    return _sorted(np.take_along_axis(P, chosen, axis=1), chosen)


def _sorted(values: np.ndarray, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Order each row by falling value, and equal values by rising index."""
    order = np.argsort(indices, axis=1)
    values = np.take_along_axis(values, order, axis=1)
    indices = np.take_along_axis(indices, order, axis=1)
    order = np.argsort(-values, axis=1, kind="stable")
    return np.take_along_axis(values, order, axis=1), np.take_along_axis(indices, order, axis=1)


def _distances(Q: np.ndarray, T: np.ndarray, indices: np.ndarray) -> np.ndarray:
    """Return the distances of the found pairs from their differences, exact to rounding."""
    out = np.empty(indices.shape, dtype=Q.dtype)
    for rows in _array.blocks(len(Q), Q.dtype.itemsize * Q.shape[1] * indices.shape[1]):
        difference = Q[rows, None, :] - T[indices[rows]]
        out[rows] = np.sqrt(np.vecdot(difference, difference))
    return out


def _without_self(values: np.ndarray, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Drop item i from row i; where more than k duplicates hid it, drop the last one."""
    is_self = indices == np.arange(len(indices))[:, None]
    is_self[~is_self.any(axis=1), -1] = True
    shape = (len(indices), indices.shape[1] - 1)
    return values[~is_self].reshape(shape), indices[~is_self].reshape(shape)
