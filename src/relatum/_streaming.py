"""A projection from disk to disk, block by block."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from relatum import _array, _files, _validation
from relatum._files import Source
from relatum.projection import PRECISIONS, Projection, project
from relatum.vectors import NO_IDS, check_ids, check_output, write_embeddings

BLOCK_BYTES = 128 * 2**20
"""Rows in and rows out that are worked on at once."""


def project_file(
    X: np.ndarray,
    projection: Projection,
    path: Source,
    *,
    ids: Any = None,
    precision: str | None = None,
    progress: Callable[[int], object] | None = None,
) -> tuple[int, int]:
    """Project ``X`` block by block into a file; return the shape of what was written.

    ``X`` may be memory-mapped and larger than memory when ``path`` is ``.npy``.
    ``progress`` is called with the rows done so far. Messages give row numbers of
    the whole ``X``. An error leaves no file behind.
    """
    shape = (len(X), projection.n_outputs)
    if precision is not None:
        _validation.check_choice(precision, "precision", PRECISIONS)
    kept = {None: _array.float_dtype(X), "bfloat16": np.float32}
    dtype = np.dtype(kept.get(precision, precision))
    with _output(path, shape, dtype, ids) as out:
        if not all(part.entry.row_wise for part in projection.parts):
            out[...] = project(np.asarray(X), projection, precision=precision)
            return shape
        directionless: list[int] = []
        for rows in _array.blocks(len(X), 8 * (X.shape[1] + shape[1]), BLOCK_BYTES):
            directionless += _project_block(X, rows, projection, precision, out)
            if progress is not None:
                progress(rows.stop)
    if directionless:
        _validation.warn_zero_rows(np.asarray(directionless), "X", projection.space.center)
    return shape


def translate_file(
    X: np.ndarray,
    translate: Callable[[np.ndarray], np.ndarray],
    n_outputs: int,
    path: Source,
    *,
    ids: Any = None,
    progress: Callable[[int], object] | None = None,
) -> tuple[int, int]:
    """Translate ``X`` block by block into a file; as :func:`project_file` otherwise."""
    shape = (len(X), n_outputs)
    with _output(path, shape, np.dtype(_array.float_dtype(X)), ids) as out:
        for rows in _array.blocks(len(X), 8 * (X.shape[1] + n_outputs), BLOCK_BYTES):
            try:
                out[rows] = translate(np.asarray(X[rows]))
            except ValueError:
                _validation.check_finite(X, "X")  # the same message with rows of the whole X
                raise
            if progress is not None:
                progress(rows.stop)
    return shape


def _project_block(
    X: np.ndarray, rows: slice, projection: Projection, precision: str | None, out: np.ndarray
) -> list[int]:
    """Fill the rows of one block; return the numbers of those without a direction."""

    block = np.asarray(X[rows])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", _validation.RelatumWarning)
        try:
            out[rows] = project(block, projection, precision=precision)
        except ValueError:
            _validation.check_finite(X, "X")  # the same message with rows of the whole X
            raise
    if not caught:
        return []
    for w in caught:
        if "no direction" not in str(w.message):
            warnings.warn_explicit(w.message, w.category, w.filename, w.lineno)
    mean = projection.parts[0].mean
    same = block == (0 if mean is None else mean.astype(block.dtype))
    return list(np.flatnonzero(same.all(axis=1)) + rows.start)


@contextmanager
def _output(
    path: Source, shape: tuple[int, int], dtype: np.dtype, ids: Any
) -> Iterator[np.ndarray]:
    """Yield an array to fill that becomes the file: on the disk for ``.npy``."""
    if check_output(path) != ".npy":
        check_ids(ids, shape[0], path)
        out = np.empty(shape, dtype)
        yield out
        write_embeddings(path, out, ids)
        return
    if ids is not None:
        raise ValueError(NO_IDS.format(path=path))
    with _files.replacing(path) as temporary:
        mapped = np.lib.format.open_memmap(temporary, "w+", dtype, shape)
        yield mapped
        mapped.flush()
