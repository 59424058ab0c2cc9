"""What stores that keep Arrow tables have in common: columns, ids as text, marks."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from relatum import _columns, _files
from relatum.stores import Marks, Rows

SUM, NATIVE = "relatum_sum", "relatum_native"
"""Columns of a shadow: see :class:`relatum.stores.Marks`."""
ABOUT = b"relatum"
"""Key of a schema's metadata under which it is said what made the vectors."""
IDS = (*_columns.ID_NAMES, "_id")


@contextmanager
def writing(place: object) -> Iterator[None]:
    """Let what goes wrong while rows are written name the place."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        raise OSError(f"{place}: {' '.join(str(error).split())}") from error


class Columns(NamedTuple):
    """Where a table has its vectors and ids, and what else it has."""

    vector: str
    id: str
    others: list[str]


class TableStore:
    """Reading of a store that gives Arrow tables; how, each says itself (``_read``)."""

    url: str
    columns: Columns
    fields: list[str]
    n_features: int

    def _read(self, columns: Sequence[str], size: int) -> Iterator[Any]:
        """Yield Arrow tables of at most ``size`` rows."""
        raise NotImplementedError

    def ids(self) -> Iterator[list[str]]:
        for table in self._read([self.columns.id], 65_536):
            yield ids_of(table.column(0))

    def batches(self, size: int, *, payload: bool = True) -> Iterator[Rows]:
        for table in self._read(self._wanted(payload), size):
            yield rows_of(table, self.columns, self.url, self.n_features)

    def _wanted(self, payload: bool) -> list[str]:
        return [self.columns.id, self.columns.vector, *(self.fields if payload else [])]


def columns_of(schema: Any, vector: str | None, id: str | None, name: str) -> Columns:
    """Find vectors and ids in a schema, or say what there is."""
    vector = _columns.list_column(schema, vector, name)
    found = id or next((n for n in IDS if n in schema.names), None)
    if found is None:
        raise _files.FileFormatError(
            f"{name} has the columns {', '.join(schema.names)}; name the one of the ids (id)"
        )
    _files.check_name(found, schema.names, name)
    if not _columns.is_plain(schema.field(found).type):
        raise _files.FileFormatError(
            f"{name}: column {found!r} has type {schema.field(found).type}; expected text or "
            "integers as ids"
        )
    return Columns(
        vector, found, [n for n in schema.names if n not in (vector, found, SUM, NATIVE)]
    )


def rows_of(table: Any, columns: Columns, name: str, width: int) -> Rows:
    """Return the rows of an Arrow table; it is their payload."""
    return Rows(ids_of(table.column(columns.id)), matrix(table, columns, name, width), table)


def matrix(table: Any, columns: Columns, name: str, width: int) -> np.ndarray:
    """Return the vectors of an Arrow table."""
    if not table.num_rows:
        return np.zeros((0, width), np.float32)
    chunks = table.column(columns.vector).chunks
    what = f"column {columns.vector!r} of {name}"
    return np.asarray(_columns.stack(chunks, table.num_rows, what, width=width), np.float32)


def ids_of(column: Any) -> list[str]:
    import pyarrow as pa

    found: list[str] = column.cast(pa.large_string()).to_pylist()
    return found


def marks_of(table: Any, columns: Columns) -> Marks:
    sums, native = (table.column(n).to_numpy() for n in (SUM, NATIVE))
    return Marks(ids_of(table.column(columns.id)), sums.astype(np.uint32), native)


def shadow_schema(schema: Any, columns: Columns, n_features: int, about: Mapping[str, Any]) -> Any:
    """Return the schema of a shadow: the same columns, another width, and the marks."""
    import pyarrow as pa

    fields = [
        pa.field(f.name, pa.list_(pa.float32(), n_features)) if f.name == columns.vector else f
        for f in schema if f.name not in (SUM, NATIVE)
    ]  # fmt: skip
    fields += [pa.field(SUM, pa.int64()), pa.field(NATIVE, pa.bool_())]
    return pa.schema(fields, metadata={ABOUT: json.dumps(dict(about)).encode()})


def shadow_table(
    schema: Any, rows: Rows, Y: np.ndarray, columns: Columns, sums: np.ndarray, native: bool
) -> Any:
    """Return the rows of a shadow as an Arrow table."""
    import pyarrow as pa

    kept = rows.payload.select([n for n in schema.names if n not in (SUM, NATIVE)])
    table = _columns.with_matrix(kept, columns.vector, Y.astype(np.float32, copy=False))
    table = table.append_column(SUM, pa.array(sums.astype(np.int64)))
    table = table.append_column(NATIVE, pa.array(np.full(len(Y), native)))
    return table.cast(schema)


def about_of(schema: Any) -> dict[str, Any]:
    """Return what a schema says of the encoder of its vectors."""
    found: dict[str, Any] = json.loads((schema.metadata or {}).get(ABOUT, b"{}"))
    return found


def values(rows: Rows, field: str, store: str, fields: Sequence[str]) -> list[Any]:
    _files.check_name(field, fields, store)
    found: list[Any] = rows.payload.column(field).to_pylist()
    return found
