"""Tables with a column of lists as a source: all that follow each other at a path."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from relatum import _columns, _files, _sources, _tables
from relatum._files import FileFormatError
from relatum._sources import Batch

SEEN_ROWS = 1_000
"""Rows that the size of other columns is guessed from."""
IDS_ROWS = 65_536
"""Rows whose ids are read at once."""


class TableSource:
    """A Parquet file, or a folder of them, a saved dataset, or Lance."""

    def __init__(self, path: _files.Source, column: str | None, id_column: str | None) -> None:
        self.name = str(path)
        self.tables = _tables.open_tables(path)
        first = self.tables[0]
        for other in self.tables[1:]:
            if not other.schema.equals(first.schema):
                raise FileFormatError(
                    f"{other.name} has other columns than {first.name}; "
                    "expected the same in every file"
                )
        found = _columns.layout(first.schema, column, id_column, path)
        self.column, self.id_column, self.dtype, width = found
        self.n_rows = sum(t.n_rows for t in self.tables)
        if not self.n_rows:
            raise FileFormatError(f"{path} has no rows; expected at least 1")
        self.n_features = width or self._first_width()
        self.other_columns: Sequence[str] = [n for n in first.schema.names if n != self.column]

    @property
    def other_bytes(self) -> int:
        if not self.other_columns:
            return 0
        some = next(self._read(0, SEEN_ROWS, self.other_columns))
        return int(some.nbytes // some.num_rows)

    def _first_width(self) -> int:
        table = next(self._read(0, 64, [self.column]))
        return _columns.width_of(table.column(0))

    def batches(self, start: int, size: int) -> Iterator[Batch]:
        row = start
        columns = None if self.other_columns else [self.column]
        for table in _regrouped(self._read(start, size, columns), size):
            X = _columns.stack(
                table.column(self.column).chunks, table.num_rows,
                f"column {self.column!r} of {self.name}", first_row=row, width=self.n_features,
            )  # fmt: skip
            yield Batch(row, X, table if self.other_columns else None)
            row += len(X)

    def _read(self, start: int, size: int, columns: Sequence[str] | None) -> Iterator[Any]:
        for table in self.tables:
            if start < table.n_rows:
                yield from table.read(start, size, columns)
            start = max(0, start - table.n_rows)

    def take(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        return _sources.look_through(self, rows)

    def ids(self) -> np.ndarray | None:
        if self.id_column is None:
            return None
        import pyarrow as pa

        columns = [t.column(0) for t in self._read(0, IDS_ROWS, [self.id_column])]
        chunks = [chunk for column in columns for chunk in column.chunks]
        name = f"column {self.id_column!r} of {self.name}"
        return _columns.plain_values(pa.chunked_array(chunks), name)

    def ids_of(self, rows: np.ndarray) -> np.ndarray | None:
        if self.id_column is None:
            return None
        wanted, place = np.unique(rows, return_inverse=True)
        found: list[Any] = []
        start = 0
        for table in self._read(0, IDS_ROWS, [self.id_column]):
            low, high = np.searchsorted(wanted, [start, start + table.num_rows])
            found += table.column(0).take(wanted[low:high] - start).to_pylist()
            start += table.num_rows
        return np.asarray(found)[place].reshape(rows.shape)

    def bare(self, *, ids: bool = True) -> TableSource:
        bare = copy.copy(self)
        bare.other_columns = ()
        bare.id_column = self.id_column if ids else None
        return bare

    def fingerprint(self) -> dict[str, Any]:
        return {"files": [t.fingerprint() for t in self.tables]}


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
