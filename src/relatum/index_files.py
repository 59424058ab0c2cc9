"""Search in an index that does not fit the memory: exact, block by block, corrected for hubs.

The results are those of :func:`relatum.retrieval.search` on the whole index.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import numpy as np

from relatum import _array, _validation
from relatum._array import Array
from relatum._overlap import ahead
from relatum._sources import MEMORY, Source, block_rows
from relatum.retrieval import (
    CORRECTIONS,
    HubnessPenalty,
    fingerprint_of,
    search,
    spaced_rows,
    temperature_of,
)
from relatum.vectors import as_source, take

__all__ = ["penalty_of_file", "search_file"]

Place = Callable[[np.ndarray], Any]
COPIES = 8
"""Copies of a block at once: read ahead, read, placed, and what the search makes of it."""


def search_file(
    queries: Array,
    index: Any,
    k: int = 10,
    *,
    place: Place | None = None,
    penalty: HubnessPenalty | np.ndarray | None = None,
    memory: int = MEMORY,
    progress: Callable[[int], object] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the ``k`` rows of an index on disk that fit each query best, the best first.

    Parameters
    ----------
    queries : array (n_queries, n_features)
        In the common space.
    index : str, path, array or what :func:`relatum.open_embeddings` returns
    k : int
    place : callable, optional
        Brings rows of the index into the common space; else they are there.
    penalty : HubnessPenalty or array (n_index,), optional
        See :func:`penalty_of_file`.
    memory : int
        Bytes for the rows of the index.
    progress : callable, optional
        Called with the number of rows that have been searched.

    Returns
    -------
    scores : numpy array (n_queries, k)
    indices : numpy array (n_queries, k) of int64

    Raises
    ------
    TypeError, ValueError
        As :func:`relatum.retrieval.search`.

    Examples
    --------
    >>> import numpy as np, os, relatum, tempfile
    >>> from relatum.index_files import search_file
    >>> path = os.path.join(tempfile.mkdtemp(), "index.npy")
    >>> np.save(path, np.eye(5))
    >>> search_file(np.eye(5)[[4, 2]], path, 1)[1].ravel().tolist()
    [4, 2]
    """
    source = as_source(index)
    n = source.n_rows
    _validation.check_integer(k, "k", maximum=n, maximum_is=f"index has {n} rows")
    if isinstance(penalty, HubnessPenalty):
        _check_penalty(penalty, source, place)
    off = _values(penalty, source)
    best: tuple[np.ndarray, np.ndarray] | None = None
    for rows, T in _placed(source, place, memory, progress):
        part = None if off is None else off[rows]
        values, found = search(queries, T, min(k, len(T)), penalty=part)
        best = _merged(best, (values, found + rows.start), k)
    assert best is not None
    return best


def penalty_of_file(
    index: Any,
    background: Array,
    *,
    place: Place | None = None,
    correction: str = "softmax",
    k: int = 10,
    temperature: float | None = None,
    memory: int = MEMORY,
    progress: Callable[[int], object] | None = None,
) -> HubnessPenalty:
    """Return :meth:`relatum.retrieval.HubnessPenalty.of` of an index on disk.

    ``background``, ``correction``, ``k`` and ``temperature`` are as there, the others as in
    :func:`search_file`.

    Examples
    --------
    >>> import numpy as np
    >>> from relatum.index_files import penalty_of_file, search_file
    >>> X = np.random.default_rng(0).normal(size=(50, 8))
    >>> penalty = penalty_of_file(X, X, correction="csls")
    >>> search_file(X[:3], X, 1, penalty=penalty)[1].ravel().tolist()
    [0, 1, 2]
    """
    _validation.check_choice(correction, "correction", CORRECTIONS)
    source = as_source(index)
    seen = _array.to_numpy(_validation.as_matrix(background, "background", finite=True))
    first = _first_placed(source, place)
    if correction == "softmax" and temperature is None:
        temperature = temperature_of(first, seen)
    values = np.empty(source.n_rows, first.dtype)
    for rows, T in _placed(source, place, memory, progress):
        values[rows] = CORRECTIONS[correction](T, seen, k, temperature)
    return HubnessPenalty(values, fingerprint_of(source.n_rows, first), correction)


def _check_penalty(penalty: HubnessPenalty, source: Source, place: Place | None) -> None:
    """Refuse penalties that were computed for another index."""
    if fingerprint_of(source.n_rows, _first_placed(source, place)) != penalty.fingerprint:
        raise ValueError(
            f"penalty was computed for another index ({len(penalty.values)} rows); {source.name} "
            f"has {source.n_rows} rows, or other values"
        )


def _placed(
    source: Source,
    place: Place | None,
    memory: int,
    progress: Callable[[int], object] | None,
) -> Iterator[tuple[slice, np.ndarray]]:
    """Yield all rows of an index in the common space."""
    width = max(4, source.dtype.itemsize) * source.n_features
    block = block_rows(memory, width, COPIES, 64 * 2**20, f"{source.n_features} numbers")
    with closing(ahead(source.bare(ids=False).batches(0, block))) as batches:
        for batch in batches:
            X = _validation.as_matrix(batch.X)
            _validation.check_finite(X, source.name, batch.start)
            T = _array.to_numpy(X if place is None else place(X))
            yield slice(batch.start, batch.start + len(T)), T
            if progress is not None:
                progress(batch.start + len(T))


def _first_placed(source: Source, place: Place | None) -> np.ndarray:
    """Return rows at even distances over the whole index, in the common space."""
    X = _validation.as_matrix(take(source, spaced_rows(source.n_rows)), finite=True)
    return np.asarray(X if place is None else place(X))


def _values(penalty: HubnessPenalty | np.ndarray | None, source: Source) -> np.ndarray | None:
    if penalty is None:
        return None
    values = np.asarray(penalty.values if isinstance(penalty, HubnessPenalty) else penalty)
    if values.shape != (source.n_rows,):
        raise ValueError(
            f"penalty has shape {values.shape}, {source.name} has {source.n_rows} rows; "
            "expected one number for each row"
        )
    return values


def _merged(
    best: tuple[np.ndarray, np.ndarray] | None, new: tuple[np.ndarray, np.ndarray], k: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the ``k`` best of both; of equal ones the lower row, which is in ``best``."""
    if best is None:
        return new
    values = np.concatenate([best[0], new[0]], axis=1)
    rows = np.concatenate([best[1], new[1]], axis=1)
    order = np.argsort(-values, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(values, order, axis=1), np.take_along_axis(rows, order, axis=1)
