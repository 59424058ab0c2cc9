"""Parquet files: what they hold, read whole or batch by batch, and written."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from relatum import _columns, _files, _places, _validation
from relatum._columns import COLUMN
from relatum._files import FileFormatError

EXPECTED = "a whole Parquet file"
LARGEST_LIST = 200_000
"""Columns or row groups of a file that are believed."""
LARGEST_TEXT = 100 * 2**20


def read_matrix(path: _files.Source, column: str | None) -> np.ndarray:
    """Return a list column as a matrix: a view where it is one FixedSizeList chunk."""

    with _files.reading(path, EXPECTED), _open(path) as file:
        name = _columns.list_column(file.schema_arrow, column, path)
        if file.metadata.num_rows == 0:
            raise FileFormatError(f"{path} has no rows; expected at least 1")
        chunks = _chunks(file, name)
        return _columns.stack(chunks, file.metadata.num_rows, f"column {name!r} of {path}")


class ParquetTable:
    """A Parquet file that is read batch by batch."""

    def __init__(self, path: _files.Source) -> None:
        _files.check_source(path, [".parquet"], "embeddings")
        self.name = str(path)
        with _files.reading(path, EXPECTED), _open(path) as file:
            self.schema, self.n_rows = file.schema_arrow, file.metadata.num_rows

    def read(self, start: int, size: int, columns: Sequence[str] | None) -> Iterator[Any]:
        import pyarrow as pa

        with _files.reading(self.name, EXPECTED), _open(self.name) as file:
            groups = range(file.num_row_groups)
            ends = np.cumsum([file.metadata.row_group(i).num_rows for i in groups])
            first = int(np.searchsorted(ends, start, side="right"))
            skip = start - (int(ends[first - 1]) if first else 0)
            for batch in file.iter_batches(
                batch_size=size, row_groups=list(groups[first:]), columns=columns
            ):
                rest = batch.slice(min(skip, batch.num_rows))
                skip -= batch.num_rows - rest.num_rows
                if rest.num_rows:
                    yield pa.Table.from_batches([rest])

    def fingerprint(self) -> list[Any]:
        return _places.fingerprint(self.name)


@contextmanager
def _open(path: _files.Source) -> Iterator[Any]:
    """Open a file that is read as it is needed; one with too many columns is refused."""
    import pyarrow.parquet as pq

    remote = _places.open_file(path) if _places.is_url(path) else None
    try:
        with pq.ParquetFile(
            remote or path, buffer_size=2**20,
            pre_buffer=False,  # which would hold a whole row group
            thrift_container_size_limit=LARGEST_LIST, thrift_string_size_limit=LARGEST_TEXT,
        ) as file:  # fmt: skip
            yield file
    finally:
        if remote is not None:
            remote.close()


def read_column(
    path: _files.Source,
    names: Sequence[str],
    column: str | None = None,
    *,
    or_only: bool = False,
    what: str = "column",
) -> np.ndarray | None:
    """Return a column of strings or integers: ``column``, or the first that is named so.

    Without one it is None, or with ``or_only`` the only column that is not a list.
    """

    with _files.reading(path, EXPECTED), _open(path) as file:
        schema = file.schema_arrow
        if column is not None:
            _files.check_name(column, schema.names, path)
        name = column or next((n for n in names if n in schema.names), None)
        if name is None and or_only:
            plain = [f.name for f in schema if not _columns.is_list(f.type)]
            if len(plain) != 1:
                raise FileFormatError(
                    f"{path} has the columns {', '.join(schema.names)}; name "
                    f"the one that holds the {what}"
                )
            name = plain[0]
        if name is None:
            return None
        if column is None and not or_only and not _columns.is_plain(schema.field(name).type):
            _validation.warn(
                f"{path}: column {name!r} has type {schema.field(name).type} and is "
                f"not used as {what}"
            )
            return None
        values = file.read(columns=[name]).column(0)
        return _columns.plain_values(values, f"column {name!r} of {path}")


def write(path: _files.Source, array: np.ndarray, ids: np.ndarray | None) -> None:
    """Write a FixedSizeList column ``embedding``, and ``id`` where there are ids."""
    import pyarrow as pa

    table = None if ids is None else pa.table({"id": _columns.ids_column(ids)})
    table = _columns.with_matrix(table, COLUMN, array)
    with open_writer(path, table.schema) as writer:
        writer.write_table(table)


def open_writer(path: _files.Source, schema: Any) -> Any:
    """Open a file to write: embeddings do not compress, and statistics of them say nothing."""
    import pyarrow.parquet as pq

    return pq.ParquetWriter(
        path, schema, compression="none", use_dictionary=False, write_statistics=False
    )


def _chunks(file: Any, name: str) -> Iterator[Any]:
    """Yield the column as it lies in one row group, or batch by batch in several."""
    if file.num_row_groups == 1:
        chunks: Iterable[Any] = file.read(columns=[name]).column(0).chunks
    else:
        chunks = (batch.column(0) for batch in file.iter_batches(columns=[name]))
    yield from chunks
