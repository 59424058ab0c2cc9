"""Embeddings, labels and row numbers on disk.

The suffix says the format: ``.npy`` (memory-mapped), ``.npz``, ``.parquet``,
``.safetensors`` and ``.lance``; a folder holds Parquet files, a saved Hugging Face dataset
or Lance; ``-`` is ``.npy`` on standard input and output. All but the last may lie behind a
URL. Nothing is ever unpickled.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from relatum import _array, _files, _formats, _half, _places, _tables, _validation
from relatum._array_sources import ArraySource, UrlSource
from relatum._files import FileFormatError, Source
from relatum._formats import STANDARD
from relatum._labels import as_indices, read_indices, read_labels
from relatum._sources import Source as Rows
from relatum._table_sources import TableSource

__all__ = [
    "Embeddings",
    "open_embeddings",
    "read_anchors",
    "read_embeddings",
    "read_indices",
    "read_labels",
    "take",
    "write_array",
    "write_embeddings",
]

SUFFIXES = tuple(_files.FORMATS)
NO_IDS = "{path}: .npy cannot hold ids; write to .npz, .parquet or .safetensors"


class Embeddings(NamedTuple):
    """Absolute representations as a file holds them."""

    array: np.ndarray
    """(n_samples, n_features); read-only and on the disk where it is memory-mapped."""
    ids: np.ndarray | None
    """(n_samples,) strings or integers, where the file has them."""


def read_embeddings(
    path: Source, *, column: str | None = None, id_column: str | None = None
) -> Embeddings:
    """Read a matrix of embeddings, and its ids where there are any.

    Parameters
    ----------
    path : str or path
        ``.npy`` is memory-mapped. ``.npz`` and ``.safetensors``: the only array, or
        the one named ``embeddings``, ``embedding``, ``X`` or ``arr_0``. ``.parquet``: the only
        column whose rows are lists of floats; one FixedSizeList chunk is returned
        as a view. A folder of such files is read in the order of their names, one that
        ``Dataset.save_to_disk`` wrote in that of its list; ``.lance`` in its latest
        version. ``-``: ``.npy`` from standard input. A URL that fsspec knows: any of these.
    column : str, optional
        The column or array to read.
    id_column : str, optional
        The column or array of ids; else one named ``id``, ``ids`` or ``key``.

    Raises
    ------
    FileNotFoundError, ValueError
        A file that is missing, empty, truncated, of another format than its suffix
        says, pickled, or that holds no matrix of numbers; null rows and lists of
        unequal length, with their numbers.

    Examples
    --------
    >>> import numpy as np, relatum, tempfile, os
    >>> path = os.path.join(tempfile.mkdtemp(), "a.npz")
    >>> relatum.write_embeddings(path, np.eye(3), ids=["a", "b", "c"])
    >>> array, ids = relatum.read_embeddings(path)
    >>> array.shape, ids.tolist()
    ((3, 3), ['a', 'b', 'c'])
    """
    array, ids = _read(path, column, id_column)
    return Embeddings(_half.widened(array), ids)


def _read(
    path: Source, column: str | None, id_column: str | None
) -> tuple[np.ndarray, np.ndarray | None]:
    """Read a matrix as it is stored, be it in bfloat16, and its ids."""
    if _formats.is_npy(path):
        if column or id_column:
            raise ValueError(
                f"{path} is .npy, which has one array and no names; leave column and id_column out"
            )
        return _matrix(_formats.load_npy(path), _formats.name_of(path)), None
    if _tables.is_table(path) and not _is_parquet(path):
        return _read_table(TableSource(path, column, id_column))
    suffix = _files.check_source(path, SUFFIXES, "embeddings")
    with _places.fetched(path) as local:
        array, ids = _formats.READERS[suffix](local, column, id_column)
        array = _matrix(array if local is path else np.array(array), str(path))
    return array, check_ids(ids, len(array), path)


def _is_parquet(path: Source) -> bool:
    return Path(path).suffix.lower() == ".parquet" and not _places.is_folder(path)


def _read_table(source: TableSource) -> Embeddings:
    array = np.empty((source.n_rows, source.n_features), source.dtype)
    for start, X, _ in source.bare().batches(0, 65536):
        array[start : start + len(X)] = X
    array = _matrix(array, source.name)
    return Embeddings(array, check_ids(source.ids(), len(array), source.name))


def write_embeddings(path: Source, array: Any, ids: Any = None) -> None:
    """Write a matrix of embeddings; the suffix says the format.

    The file appears under its name only when it is complete. ``.npy`` and ``-``
    (standard output) cannot hold ids. bfloat16 tensors are written as float32.

    Raises
    ------
    TypeError, ValueError
        Something that is no matrix of real numbers, ids that do not fit it, ids
        with a format that has no place for them, or an unknown suffix.
    OSError
        The folder cannot be written.

    Examples
    --------
    >>> import numpy as np, relatum, tempfile, os
    >>> path = os.path.join(tempfile.mkdtemp(), "a.parquet")
    >>> relatum.write_embeddings(path, np.eye(3, dtype=np.float32), ids=[7, 8, 9])
    >>> relatum.read_embeddings(path).ids.tolist()
    [7, 8, 9]
    """
    values = _matrix(_array.to_numpy(_validation.as_array(array, "array")), "array")
    checked = check_ids(ids, len(values), path)
    suffix = check_output(path)
    if suffix in (".npy", STANDARD):
        if checked is not None:
            raise ValueError(NO_IDS.format(path=path))
        write_array(path, values)
        return
    with _files.replacing(path) as temporary:
        _formats.WRITERS[suffix](temporary, values, checked)


def write_array(path: Source, array: np.ndarray) -> None:
    """Write any array, such as row numbers, as ``.npy`` to a file or to standard output."""
    if not _formats.is_npy(path):
        raise FileFormatError(
            f"{path} has the suffix {Path(path).suffix!r}; expected .npy, or - for standard output"
        )
    _formats.save_npy(path, array)


def check_output(path: Source, *, folders: bool = False) -> str:
    """Return the suffix of a file to write (``-`` for standard output), or refuse it.

    With ``folders`` also ``.lance``, and a name without a suffix is a folder of Parquet
    files, its suffix empty.
    """
    if str(path) == STANDARD:
        return STANDARD
    suffix = Path(path).suffix.lower()
    if folders and (not suffix or str(path).endswith(("/", os.sep))):
        return ""
    allowed = (*SUFFIXES, ".lance") if folders else SUFFIXES
    if suffix not in allowed:
        raise FileFormatError(
            f"{path} has the suffix {suffix!r}; expected one of {', '.join(allowed)}, "
            f"{'none for a folder of .parquet files, ' if folders else ''}or - for standard output"
        )
    return suffix


def open_embeddings(
    path: Source, *, column: str | None = None, id_column: str | None = None
) -> Rows:
    """Open embeddings to be read batch by batch, whatever their size.

    Parameters
    ----------
    path : str or path
        As in :func:`read_embeddings`. ``.npz`` and standard input are held in memory, and so
        is ``.safetensors`` behind a URL.
    column, id_column : str, optional
        As in :func:`read_embeddings`.

    Returns
    -------
    Source
        ``n_rows``, ``n_features``, ``dtype``, and ``batches(start, size)``, which yields
        ``(start, X, table)``: the rows from ``start`` on, and a table of all their columns
        (None where ``X`` is all there is).

    Raises
    ------
    FileNotFoundError, ValueError
        As :func:`read_embeddings`; files of a folder that differ in their columns.

    Examples
    --------
    >>> import numpy as np, relatum, tempfile, os
    >>> path = os.path.join(tempfile.mkdtemp(), "a.parquet")
    >>> relatum.write_embeddings(path, np.eye(5), ids=list("abcde"))
    >>> for start, X, table in relatum.open_embeddings(path).batches(0, 2):
    ...     print(start, X.shape, table.column_names)
    0 (2, 5) ['embedding', 'id']
    2 (2, 5) ['embedding', 'id']
    4 (1, 5) ['embedding', 'id']
    """
    if _tables.is_table(path):
        return TableSource(path, column, id_column)
    if _places.is_url(path) and _formats.is_npy(path) and not (column or id_column):
        return UrlSource(path)
    return ArraySource(_formats.name_of(path), *_read(path, column, id_column))


def take(source: Rows, rows: np.ndarray) -> np.ndarray:
    """Return rows of opened embeddings by their numbers, in the order asked for."""
    return source.take(_validation.check_indices(rows, "rows", source.n_rows))[0]


def as_source(X: Any, ids: np.ndarray | None = None, *, name: str = "X") -> Rows:
    """Return what is opened as it is, paths opened, and arrays as a source."""
    if isinstance(X, (str, os.PathLike)):
        return open_embeddings(X)
    if hasattr(X, "batches"):
        opened: Rows = X
        return opened
    values = _matrix(_array.to_numpy(_validation.as_array(X, name)), name)
    return ArraySource(name, values, check_ids(ids, len(values), name))


def read_anchors(
    path: Source,
    source: Embeddings | Rows,
    *,
    column: str | None = None,
    id_column: str | None = None,
    name: str = "X",
) -> Embeddings:
    """Read anchors from row numbers of ``source`` or from embeddings of their own.

    A 1-D integer array (or ``.txt``, ``.json``) holds row numbers of ``source``,
    whose ids go along; any other file holds the anchors themselves.

    Raises
    ------
    FileNotFoundError, ValueError
        As :func:`read_embeddings` and :func:`read_indices`; row numbers out of range
        or repeated; anchors with another number of features than ``source``.

    Examples
    --------
    >>> import numpy as np, tempfile, os
    >>> from relatum.vectors import Embeddings, read_anchors
    >>> path = os.path.join(tempfile.mkdtemp(), "rows.npy")
    >>> np.save(path, [4, 2])
    >>> read_anchors(path, Embeddings(np.eye(5), None)).array.argmax(axis=1)
    array([4, 2])
    """
    if Path(path).suffix.lower() in (".txt", ".json"):
        return _rows_of(source, read_indices(path), path)
    if _formats.is_npy(path):
        values = _formats.load_npy(path, "anchors")
        if values.ndim == 1:
            return _rows_of(source, as_indices(values, path), path)
        anchors = Embeddings(_matrix(values, _formats.name_of(path)), None)
    else:
        anchors = read_embeddings(path, column=column, id_column=id_column)
    n_features = source.array.shape[1] if isinstance(source, Embeddings) else source.n_features
    if anchors.array.shape[1] != n_features:
        raise ValueError(
            f"{path} has {anchors.array.shape[1]} features, {name} has {n_features}; "
            "expected the same number"
        )
    return anchors


def _rows_of(source: Embeddings | Rows, rows: np.ndarray, path: Source) -> Embeddings:
    if not isinstance(source, Embeddings):
        rows = _validation.check_indices(rows, str(path), source.n_rows)
        return Embeddings(*source.take(rows))
    rows = _validation.check_indices(rows, str(path), len(source.array))
    return Embeddings(source.array[rows], None if source.ids is None else source.ids[rows])


def _matrix(array: np.ndarray, name: str) -> np.ndarray:
    """Return a matrix of real numbers in the machine's byte order, or refuse it."""
    plain = array.dtype.kind in "iuf" and array.dtype.itemsize <= 8
    if not plain and array.dtype != _half.BFLOAT16:
        raise FileFormatError(
            f"{name} holds {array.dtype} values; expected real numbers (float64, "
            "float32, float16 or integers)"
        )
    if array.ndim != 2:
        raise FileFormatError(
            f"{name} holds an array of shape {array.shape}; expected 2 dimensions: (rows, features)"
        )
    if 0 in array.shape:
        raise FileFormatError(
            f"{name} holds an array of shape {array.shape}; expected at least 1 row and 1 feature"
        )
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def check_ids(ids: Any, n_rows: int, name: Source) -> np.ndarray | None:
    """Return ids as an array of strings or integers, one for each row (None for None)."""
    if ids is None:
        return None
    ids = np.asarray(ids)
    if ids.dtype.kind == "O" and all(isinstance(i, str) for i in ids.ravel()):
        ids = ids.astype(str)
    if ids.dtype.kind not in "iuU" or ids.shape != (n_rows,):
        raise FileFormatError(
            f"{name} has ids of type {ids.dtype} and shape {ids.shape}; expected "
            f"strings or integers, one for each of {n_rows} rows"
        )
    return np.asarray(ids, dtype=ids.dtype.newbyteorder("="))
