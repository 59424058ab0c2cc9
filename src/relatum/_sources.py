"""Embeddings on disk, read a batch at a time.

Files are read into memory of our own rather than mapped: what is mapped counts as memory
of the process, and ends it where the file gets shorter meanwhile.
"""

from __future__ import annotations

import copy
import os
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from relatum import _files, _parquet
from relatum._files import FileFormatError
from relatum._parquet import COLUMN

MEMORY = 2**30
"""Bytes for the rows of a file, unless it is told otherwise."""


def block_rows(memory: int, width: int, copies: int, largest: int, what: str) -> int:
    """Return how many rows to work on at once, ``copies`` of which fit into ``memory``.

    A row takes ``width`` bytes; a block takes at most ``largest``.
    """
    if copies * width > memory:
        raise ValueError(
            f"memory is {memory} bytes; expected at least {copies * width}: {copies} rows of {what}"
        )
    return max(1, min(memory // copies, largest) // width)


class Batch(NamedTuple):
    """Some rows in their order."""

    start: int
    X: np.ndarray
    """(n, n_features)"""
    table: Any = None
    """These rows with all columns (``pyarrow.Table``); None where ``X`` is all there is."""

    def to_arrow(self, name: str = COLUMN) -> Any:
        """Return a table of all columns; the embeddings are a view of ``X``."""
        return _parquet.with_matrix(self.table, name, self.X)


class Source(Protocol):
    """Embeddings that can be read from any row on."""

    name: str
    column: str
    n_rows: int
    n_features: int
    dtype: np.dtype
    id_column: str | None
    other_columns: Sequence[str]

    def batches(self, start: int, size: int) -> Iterator[Batch]:
        """Yield batches of ``size`` rows from ``start`` on; the last may be shorter."""

    def ids(self) -> np.ndarray | None:
        """Return the ids of all rows."""

    def bare(self, *, ids: bool = True) -> Source:
        """Return the same without the other columns; without ``ids`` these are not known."""

    def fingerprint(self) -> dict[str, Any]:
        """Return what changes when the content does."""


class ArraySource:
    """A matrix in memory, or mapped from a file that is then read by batches."""

    def __init__(self, name: str, array: np.ndarray, ids: np.ndarray | None = None) -> None:
        self.name, self.column = name, COLUMN
        self.array, self._ids = array, ids
        self.n_rows, self.n_features = array.shape
        self.dtype = array.dtype
        self.id_column = None if ids is None else "id"
        self.other_columns: Sequence[str] = () if ids is None else ("id",)
        self._place = _place_on_disk(array)

    def __getstate__(self) -> dict[str, Any]:
        """Of a mapped file send its place, not its content, to another process."""
        state = self.__dict__.copy()
        if self._place is not None:
            del state["array"]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        if self._place is not None:
            path, offset = self._place
            shape = self.n_rows, self.n_features
            self.array = np.asarray(np.memmap(path, self.dtype, "r", offset, shape))

    def batches(self, start: int, size: int) -> Iterator[Batch]:
        for first in range(start, self.n_rows, size):
            stop = min(first + size, self.n_rows)
            yield Batch(first, self._rows(first, stop), self._table(first, stop))

    def _rows(self, start: int, stop: int) -> np.ndarray:
        if self._place is None:
            return self.array[start:stop]
        path, offset = self._place
        width = self.array.strides[0]
        part = np.empty((stop - start, self.n_features), self.dtype)
        with open(path, "rb", buffering=0) as file:
            file.seek(offset + start * width)
            _read_whole(file, part, self.name)
        return part

    def _table(self, start: int, stop: int) -> Any:
        if self._ids is None or not self.other_columns:
            return None
        import pyarrow as pa

        return pa.table({"id": _parquet.ids_column(self._ids[start:stop])})

    def ids(self) -> np.ndarray | None:
        return self._ids

    def bare(self, *, ids: bool = True) -> ArraySource:
        bare = ArraySource(self.name, self.array, self._ids if ids else None)
        bare.other_columns = ()
        return bare

    def fingerprint(self) -> dict[str, Any]:
        if self._place is not None:
            return {"files": [_files_print(self._place[0])]}
        # held in memory: some rows tell it from another
        some = np.linspace(0, self.n_rows - 1, min(self.n_rows, 1000)).astype(int)
        rows = np.ascontiguousarray(self.array[some])
        return {"rows": zlib.crc32(rows.tobytes()), "shape": list(self.array.shape)}


def _place_on_disk(array: np.ndarray) -> tuple[str, int] | None:
    """Return the file and the offset that a mapped array comes from; rows must be whole."""
    base: Any = array
    while isinstance(base, np.ndarray) and not isinstance(base, np.memmap):
        base = base.base
    if not isinstance(base, np.memmap) or not base.filename or not array.flags.c_contiguous:
        return None
    address = array.__array_interface__["data"][0] - base.__array_interface__["data"][0]
    return str(base.filename), int(base.offset + address)


def _read_whole(file: Any, part: np.ndarray, name: str) -> None:
    rest = memoryview(part.data).cast("B")
    while len(rest):
        n = file.readinto(rest)
        if not n:
            raise FileFormatError(f"{name} got shorter while it was read")
        rest = rest[n:]


class ParquetSource:
    """A Parquet file, or a folder of them in the order of their names."""

    def __init__(self, path: _files.Source, column: str | None, id_column: str | None) -> None:
        self.name = str(path)
        self.paths = _parquet.files_of(path)
        found = [_parquet.describe(p, column, id_column) for p in self.paths]
        first = found[0]
        for p, other in zip(self.paths[1:], found[1:], strict=True):
            if (other.schema, other.column) != (first.schema, first.column):
                raise FileFormatError(
                    f"{p} has other columns than {self.paths[0]}; expected the same in every file"
                )
        self.column, self.id_column = first.column, first.id_column
        self.dtype, self.n_features = first.dtype, first.n_features
        self.rows = [f.n_rows for f in found]
        self.n_rows = sum(self.rows)
        if not self.n_rows:
            raise FileFormatError(f"{path} has no rows; expected at least 1")
        self.other_columns: Sequence[str] = [n for n in first.schema.names if n != self.column]

    def batches(self, start: int, size: int) -> Iterator[Batch]:
        row = start
        for table in _regrouped(self._tables(start, size), size):
            X = _parquet.stack(
                table.column(self.column).chunks, table.num_rows,
                f"column {self.column!r} of {self.name}", first_row=row, width=self.n_features,
            )  # fmt: skip
            yield Batch(row, X, table if self.other_columns else None)
            row += len(X)

    def bare(self, *, ids: bool = True) -> ParquetSource:
        bare = copy.copy(self)
        bare.other_columns = ()
        bare.id_column = self.id_column if ids else None
        return bare

    def _tables(self, start: int, size: int) -> Iterator[Any]:
        columns = None if self.other_columns else [self.column]
        for path, n in zip(self.paths, self.rows, strict=True):
            if start < n:
                yield from _parquet.read_from(path, start, size, columns)
            start = max(0, start - n)

    def ids_of(self, rows: np.ndarray) -> np.ndarray:
        """Return the ids of rows in rising order."""
        assert self.id_column is not None
        found: list[Any] = []
        start = 0
        for path in self.paths:
            for table in _parquet.read_from(path, 0, 65536, [self.id_column]):
                low, high = np.searchsorted(rows, [start, start + table.num_rows])
                found += table.column(0).take(rows[low:high] - start).to_pylist()
                start += table.num_rows
        return np.asarray(found)

    def ids(self) -> np.ndarray | None:
        if self.id_column is None:
            return None
        parts = [_parquet.read_column(p, (), self.id_column, what="ids") for p in self.paths]
        return np.concatenate([p for p in parts if p is not None])

    def fingerprint(self) -> dict[str, Any]:
        return {"files": [_files_print(p) for p in self.paths]}


def take(source: Source, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """Return rows of a source by their numbers, in the order asked for, and their ids."""
    if isinstance(source, ArraySource):
        ids = source.ids()
        return np.asarray(source.array[rows]), None if ids is None else ids[rows]
    out = np.empty((len(rows), source.n_features), source.dtype)
    found: list[Any] = []
    order = np.argsort(rows)
    wanted = rows[order]
    block = max(1, 8 * 2**20 // out[:1].nbytes)
    for batch in source.batches(int(wanted[0]), block):
        low, high = np.searchsorted(wanted, [batch.start, batch.start + len(batch.X)])
        places = wanted[low:high] - batch.start
        out[order[low:high]] = batch.X[places]
        if source.id_column is not None and batch.table is not None:
            found += batch.table.column(source.id_column).take(places).to_pylist()
        if high == len(wanted):
            break
    return out, np.asarray(found)[np.argsort(order)] if found else None


def take_ids(source: Source, rows: np.ndarray) -> np.ndarray | None:
    """Return the ids of some rows, of any shape, without a look at the embeddings."""
    if source.id_column is None:
        return None
    if isinstance(source, ParquetSource):
        wanted, place = np.unique(rows, return_inverse=True)
        return source.ids_of(wanted)[place].reshape(rows.shape)
    ids = source.ids()
    return None if ids is None else ids[rows]


def _regrouped(tables: Iterable[Any], size: int) -> Iterator[Any]:
    """Cut tables that follow each other into tables of ``size`` rows."""
    import pyarrow as pa

    waiting: list[Any] = []
    n = 0
    for table in tables:
        while table.num_rows:
            waiting.append(table.slice(0, size - n))
            n += waiting[-1].num_rows
            table = table.slice(waiting[-1].num_rows)
            if n == size:
                yield pa.concat_tables(waiting)
                waiting, n = [], 0
    if waiting:
        yield pa.concat_tables(waiting)


def _files_print(path: _files.Source) -> list[Any]:
    """Return size, time of change, and a checksum of some of a file."""
    about = os.stat(path)
    checksum = 0
    with open(path, "rb") as file:
        for place in np.linspace(0, max(0, about.st_size - 4096), 64).astype(int):
            file.seek(place)
            checksum = zlib.crc32(file.read(4096), checksum)
    return [Path(path).name, about.st_size, about.st_mtime_ns, checksum]
