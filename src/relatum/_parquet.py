"""Columns of Parquet files as NumPy arrays: lists of numbers, ids, labels."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from relatum import _files, _validation
from relatum._files import FileFormatError

EXPECTED = "a whole Parquet file"
COLUMN = "embedding"
"""What embeddings are called where their file gives them no name."""
ID_NAMES = ("id", "ids", "key")
LARGEST_LIST = 200_000
"""Columns or row groups of a file that are believed."""
LARGEST_TEXT = 100 * 2**20


def read_matrix(path: _files.Source, column: str | None) -> np.ndarray:
    """Return a list column as a matrix: a view where it is one FixedSizeList chunk."""

    with _files.reading(path, EXPECTED), _open(path) as file:
        name = _list_column(file.schema_arrow, column, path)
        if file.metadata.num_rows == 0:
            raise FileFormatError(f"{path} has no rows; expected at least 1")
        return stack(_chunks(file, name), file.metadata.num_rows, f"column {name!r} of {path}")


class Description(NamedTuple):
    """What a Parquet file has, without its rows."""

    schema: Any
    column: str
    id_column: str | None
    dtype: np.dtype
    n_features: int
    n_rows: int


def files_of(path: _files.Source) -> list[Path]:
    """Return a Parquet file, or those of a folder in the order of their names."""
    if not os.path.isdir(path):
        _files.check_source(path, [".parquet"], "embeddings")
        return [Path(path)]
    found = sorted(p for p in Path(path).rglob("*.parquet") if not p.name.startswith(("_", ".")))
    if not found:
        raise FileFormatError(f"{path} is a folder without .parquet files; expected some")
    for one in found:
        _files.check_source(one, [".parquet"], "embeddings")
    return found


def describe(path: _files.Source, column: str | None, id_column: str | None) -> Description:
    """Return what is in a Parquet file; of lists of any length the first says the width."""
    with _files.reading(path, EXPECTED), _open(path) as file:
        schema = file.schema_arrow
        name = _list_column(schema, column, path)
        if id_column is not None:
            _files.check_name(id_column, schema.names, path)
        type_ = _storage(schema.field(name).type)
        width = getattr(type_, "list_size", None) or _first_width(file, name)
        usable = (n for n in ID_NAMES if n in schema.names and _is_plain(schema.field(n).type))
        ids = id_column or next(usable, None)
        dtype = np.dtype(type_.value_type.to_pandas_dtype())
        return Description(schema, name, ids, dtype, width, file.metadata.num_rows)


def _first_width(file: Any, name: str) -> int:
    for batch in file.iter_batches(batch_size=64, columns=[name]):
        lengths = _lengths(getattr(batch.column(0), "storage", batch.column(0)))
        if (lengths > 0).any():
            return int(lengths[lengths > 0][0])
    return 1  # no row has any: the first that is read is refused by its number


def read_from(
    path: _files.Source, start: int, size: int, columns: Sequence[str] | None = None
) -> Iterator[Any]:
    """Yield tables of about ``size`` rows from row ``start`` of a file on."""
    import pyarrow as pa

    with _files.reading(path, EXPECTED), _open(path) as file:
        ends = np.cumsum([file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)])
        first = int(np.searchsorted(ends, start, side="right"))
        skip = start - (int(ends[first - 1]) if first else 0)
        groups = list(range(first, file.num_row_groups))
        for batch in file.iter_batches(batch_size=size, row_groups=groups, columns=columns):
            rest = batch.slice(min(skip, batch.num_rows))
            skip -= batch.num_rows - rest.num_rows
            if rest.num_rows:
                yield pa.Table.from_batches([rest])


def _open(path: _files.Source) -> Any:
    """Open a file that is read as it is needed; one with too many columns is refused."""
    import pyarrow.parquet as pq

    return pq.ParquetFile(
        path, buffer_size=2**20, pre_buffer=False,  # which would hold a whole row group
        thrift_container_size_limit=LARGEST_LIST, thrift_string_size_limit=LARGEST_TEXT,
    )  # fmt: skip


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
            plain = [f.name for f in schema if not _is_list(f.type)]
            if len(plain) != 1:
                raise FileFormatError(
                    f"{path} has the columns {', '.join(schema.names)}; name "
                    f"the one that holds the {what}"
                )
            name = plain[0]
        if name is None:
            return None
        if column is None and not or_only and not _is_plain(schema.field(name).type):
            _validation.warn(
                f"{path}: column {name!r} has type {schema.field(name).type} and is "
                f"not used as {what}"
            )
            return None
        values = file.read(columns=[name]).column(0)
        return _plain(values, f"column {name!r} of {path}")


def write(path: _files.Source, array: np.ndarray, ids: np.ndarray | None) -> None:
    """Write a FixedSizeList column ``embedding``, and ``id`` where there are ids."""
    import pyarrow as pa

    table = None if ids is None else pa.table({"id": ids_column(ids)})
    table = with_matrix(table, COLUMN, array)
    with open_writer(path, table.schema) as writer:
        writer.write_table(table)


def open_writer(path: _files.Source, schema: Any) -> Any:
    """Open a file to write: embeddings do not compress, and statistics of them say nothing."""
    import pyarrow.parquet as pq

    return pq.ParquetWriter(
        path, schema, compression="none", use_dictionary=False, write_statistics=False
    )


def ids_column(ids: np.ndarray) -> Any:
    """Return ids in a form that Arrow takes."""
    return ids.tolist() if ids.dtype.kind == "U" else ids


def with_matrix(table: Any, name: str, X: np.ndarray) -> Any:
    """Return ``table`` with a column of embeddings, in its place where it has it."""
    import pyarrow as pa

    flat = pa.array(np.ascontiguousarray(X).reshape(-1))
    values = pa.FixedSizeListArray.from_arrays(flat, X.shape[1])
    if table is None:
        return pa.table({name: values})
    field = pa.field(name, values.type)
    if name in table.column_names:
        return table.set_column(table.column_names.index(name), field, values)
    return table.add_column(0, field, values)


def _storage(type_: Any) -> Any:
    return getattr(type_, "storage_type", type_)  # of an extension type such as a fixed tensor


def _is_list(type_: Any) -> bool:
    import pyarrow.types as t

    type_ = _storage(type_)
    return bool(t.is_fixed_size_list(type_) or t.is_list(type_) or t.is_large_list(type_))


def _is_vector(type_: Any, floating: bool = True) -> bool:
    import pyarrow.types as t

    number = t.is_floating if floating else t.is_integer
    return _is_list(type_) and bool(number(_storage(type_).value_type))


def _is_plain(type_: Any) -> bool:
    import pyarrow.types as t

    if t.is_dictionary(type_):
        type_ = type_.value_type
    return bool(
        t.is_integer(type_)
        or t.is_boolean(type_)
        or t.is_string(type_)
        or t.is_large_string(type_)
        or t.is_string_view(type_)
    )


def _list_column(schema: Any, column: str | None, path: _files.Source) -> str:
    have = ", ".join(f"{f.name} ({f.type})" for f in schema) or "no columns"
    if column is not None:
        _files.check_name(column, schema.names, path)
        type_ = schema.field(column).type
        if not (_is_vector(type_) or _is_vector(type_, floating=False)):
            raise FileFormatError(
                f"{path}: column {column!r} has type {type_}; expected a list "
                "of numbers in each row"
            )
        return column
    for floating in (True, False):
        found = [f.name for f in schema if _is_vector(f.type, floating)]
        if len(found) == 1:
            return str(found[0])
        if found:
            raise FileFormatError(
                f"{path} has several list columns ({', '.join(found)}); name "
                "the one that holds the embeddings (column)"
            )
    raise FileFormatError(
        f"{path} has {have}; expected a column with a list of numbers in each row"
    )


def _chunks(file: Any, name: str) -> Iterator[Any]:
    """Yield the column as it lies in one row group, or batch by batch in several."""
    if file.num_row_groups == 1:
        chunks: Iterable[Any] = file.read(columns=[name]).column(0).chunks
    else:
        chunks = (batch.column(0) for batch in file.iter_batches(columns=[name]))
    yield from chunks


def stack(
    chunks: Iterable[Any], n_rows: int, name: str, *, first_row: int = 0, width: int = -1
) -> np.ndarray:
    """Put list chunks under each other; refuse nulls and lists of unequal length.

    Messages count rows from ``first_row``; ``width`` is that of the first row, unless given.
    """
    out, row = None, 0
    missing: list[int] = []
    unequal: list[int] = []
    for chunk in chunks:
        chunk = getattr(chunk, "storage", chunk)
        n = len(chunk)
        null, lengths = _null_rows(chunk), _lengths(chunk)
        if width < 0 and not null.all():
            width = int(lengths[~null][0])
        missing += (np.flatnonzero(null) + row + first_row).tolist()
        unequal += (np.flatnonzero(~null & (lengths != width)) + row + first_row).tolist()
        if not (missing or unequal):
            values = chunk.flatten().to_numpy(zero_copy_only=True).reshape(n, width)
            if n == n_rows:
                return np.asarray(values)
            out = np.empty((n_rows, width), values.dtype) if out is None else out
            out[row : row + n] = values
        row += n
    if missing:
        raise FileFormatError(
            f"{name} has nulls in {_validation.describe_rows(missing)}; "
            "expected numbers in every row"
        )
    if unequal or out is None:
        raise FileFormatError(
            f"{name} has lists of unequal length: {width} in the first row, "
            f"another in {_validation.describe_rows(unequal)}"
        )
    return out


def _lengths(chunk: Any) -> np.ndarray:
    import pyarrow.compute as pc

    return np.asarray(pc.list_value_length(chunk).fill_null(-1).to_numpy(zero_copy_only=False))


def _null_rows(chunk: Any) -> np.ndarray:
    """Tell which rows are null or hold one."""
    null = np.array(chunk.is_null().to_numpy(zero_copy_only=False))
    values = chunk.flatten()  # leaves null rows out
    if values.null_count:
        inside = values.is_null().to_numpy(zero_copy_only=False)
        lengths = _lengths(chunk)[~null]
        rows = np.repeat(np.flatnonzero(~null), lengths)
        null[rows[inside]] = True
    return null


def _plain(values: Any, name: str) -> np.ndarray:
    import pyarrow.types as t

    if values.null_count:
        rows = np.flatnonzero(values.is_null().to_numpy(zero_copy_only=False))
        raise FileFormatError(
            f"{name} has nulls in {_validation.describe_rows(rows)}; expected a value in every row"
        )
    if not _is_plain(values.type):
        raise FileFormatError(f"{name} has type {values.type}; expected strings or integers")
    if t.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    if t.is_integer(values.type) or t.is_boolean(values.type):
        return np.asarray(values.to_numpy())
    return np.asarray(values.to_pylist(), dtype=str)
