"""A matrix as a source: in memory, in a file that is mapped, or behind a URL."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from relatum import _columns, _files, _formats, _half, _places, _sources
from relatum._columns import COLUMN
from relatum._files import FileFormatError
from relatum._sources import Batch

MANY = 8
"""One row of so many, or more, are picked by going through all."""


class ArraySource:
    """A matrix in memory, or mapped from a file that is then read by batches."""

    other_bytes = 0  # ids are in memory already

    def __init__(self, name: str, array: np.ndarray, ids: np.ndarray | None = None) -> None:
        self.name, self.column = name, COLUMN
        self._array, self._ids = array, ids
        self.n_rows, self.n_features = array.shape
        self.dtype = _half.widened(array[:0]).dtype
        self.id_column = None if ids is None else "id"
        self.other_columns: Sequence[str] = () if ids is None else ("id",)
        self._place, self._stored = _place_on_disk(array), array.dtype

    def __getstate__(self) -> dict[str, Any]:
        """Of a mapped file send its place, not its content, to another process."""
        state = self.__dict__.copy()
        if self._place is not None:
            del state["_array"]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        if self._place is not None:
            path, offset = self._place
            shape = self.n_rows, self.n_features
            self._array = np.asarray(np.memmap(path, self._stored, "r", offset, shape))

    @property
    def array(self) -> np.ndarray:
        """All rows; bfloat16 is widened to float32 for it, in memory."""
        return _half.widened(self._array)

    def batches(self, start: int, size: int) -> Iterator[Batch]:
        for first in range(start, self.n_rows, size):
            stop = min(first + size, self.n_rows)
            yield Batch(first, self._rows(first, stop), self._table(first, stop))

    def _rows(self, start: int, stop: int) -> np.ndarray:
        if self._place is None:
            return _half.widened(self._array[start:stop])
        path, offset = self._place
        part = np.empty((stop - start, self.n_features), self._stored)
        with open(path, "rb", buffering=0) as file:
            file.seek(offset + start * part[:1].nbytes)
            _read_whole(file, part, self.name)
        return _half.widened(part)

    def _table(self, start: int, stop: int) -> Any:
        if self._ids is None or not self.other_columns:
            return None
        import pyarrow as pa

        return pa.table({"id": _columns.ids_column(self._ids[start:stop])})

    def take(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        if self._place is None:
            return np.asarray(_half.widened(self._array[rows])), self.ids_of(rows)
        if len(rows) * MANY > self.n_rows:
            return _sources.look_through(self, rows)[0], self.ids_of(rows)
        return _half.widened(self._picked(rows)), self.ids_of(rows)

    def _picked(self, rows: np.ndarray) -> np.ndarray:
        """Read rows one by one: in a mapped file each would bring its neighbours to memory."""
        assert self._place is not None
        path, offset = self._place
        part = np.empty((len(rows), self.n_features), self._stored)
        with open(path, "rb", buffering=0) as file:
            for i in np.argsort(rows):
                file.seek(offset + int(rows[i]) * part[:1].nbytes)
                _read_whole(file, part[i], self.name)
        return part

    def ids(self) -> np.ndarray | None:
        return self._ids

    def ids_of(self, rows: np.ndarray) -> np.ndarray | None:
        return None if self._ids is None else self._ids[rows]

    def bare(self, *, ids: bool = True) -> ArraySource:
        bare = ArraySource(self.name, self._array, self._ids if ids else None)
        bare.other_columns = ()
        return bare

    def fingerprint(self) -> dict[str, Any]:
        if self._place is not None:
            return {"files": [_places.fingerprint(self._place[0])]}
        # held in memory: some rows tell it from another
        some = np.linspace(0, self.n_rows - 1, min(self.n_rows, 1000)).astype(int)
        rows = np.ascontiguousarray(self._array[some])
        return {"rows": zlib.crc32(rows.tobytes()), "shape": [self.n_rows, self.n_features]}


class UrlSource:
    """A ``.npy`` behind a URL, of which only the rows that are asked for are fetched."""

    id_column: str | None = None
    other_columns: Sequence[str] = ()
    other_bytes = 0

    def __init__(self, url: _files.Source) -> None:
        self.name, self.column = str(url), COLUMN
        _files.check_source(url, [".npy"], "embeddings")
        with _files.reading(url, _formats.WHOLE_NPY), _places.open_file(url) as file:
            shape, in_order, self.dtype = _formats.read_npy_head(file, _places.size(url))
            self._offset = file.tell()
        if not in_order or len(shape) != 2:
            raise FileFormatError(
                f"{url} holds an array of shape {shape}{'' if in_order else ', column by column'}; "
                "expected 2 dimensions: (rows, features), row by row"
            )
        self.n_rows, self.n_features = shape

    def batches(self, start: int, size: int) -> Iterator[Batch]:
        with _places.open_file(self.name) as file:
            for first in range(start, self.n_rows, size):
                part = np.empty((min(size, self.n_rows - first), self.n_features), self.dtype)
                file.seek(self._offset + first * part[:1].nbytes)
                _read_whole(file, part, self.name)
                yield Batch(first, part)

    def take(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        return _sources.look_through(self, rows)

    def ids(self) -> np.ndarray | None:
        return None

    def ids_of(self, rows: np.ndarray) -> np.ndarray | None:
        return None

    def bare(self, *, ids: bool = True) -> UrlSource:
        return self

    def fingerprint(self) -> dict[str, Any]:
        return {"files": [_places.fingerprint(self.name)]}


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
