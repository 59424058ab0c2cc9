"""Columns of Arrow tables as NumPy arrays: lists of numbers, ids, labels."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from relatum import _files, _validation
from relatum._files import FileFormatError

COLUMN = "embedding"
"""What embeddings are called where their file gives them no name."""
ID_NAMES = ("id", "ids", "key")


class Layout(NamedTuple):
    """Where a table has its embeddings and its ids."""

    column: str
    id_column: str | None
    dtype: np.dtype
    width: int | None
    """Numbers in each row; None where the type does not say it."""


def layout(schema: Any, column: str | None, id_column: str | None, path: _files.Source) -> Layout:
    """Find the embeddings and the ids of a table by its schema."""
    name = list_column(schema, column, path)
    if id_column is not None:
        _files.check_name(id_column, schema.names, path)
    type_ = _storage(schema.field(name).type)
    usable = (n for n in ID_NAMES if n in schema.names and is_plain(schema.field(n).type))
    dtype = np.dtype(type_.value_type.to_pandas_dtype())
    return Layout(name, id_column or next(usable, None), dtype, getattr(type_, "list_size", None))


def width_of(column: Any) -> int:
    """Return the length of the first list that is not empty; 1 where there is none."""
    for chunk in column.chunks:
        lengths = _lengths(getattr(chunk, "storage", chunk))
        if (lengths > 0).any():
            return int(lengths[lengths > 0][0])
    return 1  # no row has any: the first that is read is refused by its number


def list_column(schema: Any, column: str | None, path: _files.Source) -> str:
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


def ids_column(ids: np.ndarray) -> Any:
    """Return ids in a form that Arrow takes."""
    return ids.tolist() if ids.dtype.kind == "U" else ids


def plain_values(values: Any, name: str) -> np.ndarray:
    import pyarrow.types as t

    if values.null_count:
        rows = np.flatnonzero(values.is_null().to_numpy(zero_copy_only=False))
        raise FileFormatError(
            f"{name} has nulls in {_validation.describe_rows(rows)}; expected a value in every row"
        )
    if not is_plain(values.type):
        raise FileFormatError(f"{name} has type {values.type}; expected strings or integers")
    if t.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    if t.is_integer(values.type) or t.is_boolean(values.type):
        return np.asarray(values.to_numpy())
    return np.asarray(values.to_pylist(), dtype=str)


def _storage(type_: Any) -> Any:
    return getattr(type_, "storage_type", type_)  # of an extension type such as a fixed tensor


def is_list(type_: Any) -> bool:
    import pyarrow.types as t

    type_ = _storage(type_)
    return bool(t.is_fixed_size_list(type_) or t.is_list(type_) or t.is_large_list(type_))


def _is_vector(type_: Any, floating: bool = True) -> bool:
    import pyarrow.types as t

    number = t.is_floating if floating else t.is_integer
    return is_list(type_) and bool(number(_storage(type_).value_type))


def is_plain(type_: Any) -> bool:
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
