"""Labels and row numbers on disk: one value for each item."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from relatum import _files, _formats, _validation
from relatum._files import FileFormatError, Source

LABEL_NAMES = ("label", "labels", "y", "class")


def read_labels(path: Source, *, column: str | None = None) -> np.ndarray:
    """Read one label for each row, strings or integers.

    ``.txt``: one a line. ``.csv`` and ``.tsv``: a column under a header line.
    ``.npy``: one dimension. ``.json``: a list. ``.parquet``: a column. Columns are
    found by the names ``label``, ``labels``, ``y`` and ``class``, or as the only one.

    Raises
    ------
    FileNotFoundError, ValueError
        A missing, empty or damaged file; an empty label, with its line; labels
        that are neither strings nor integers.

    Examples
    --------
    >>> import tempfile, os
    >>> from relatum.vectors import read_labels
    >>> path = os.path.join(tempfile.mkdtemp(), "y.txt")
    >>> with open(path, "w") as file:
    ...     _ = file.write("sport\\ntech\\n")
    >>> read_labels(path).tolist()
    ['sport', 'tech']
    """
    if _formats.is_npy(path):
        values = _formats.load_npy(path, "labels")
    elif Path(path).suffix.lower() == ".parquet":
        from relatum import _parquet

        _files.check_source(path, [".parquet"], "labels")
        values = np.asarray(
            _parquet.read_column(path, LABEL_NAMES, column, or_only=True, what="labels")
        )
    else:
        values = _read_text(path, "labels", column, tables=(".csv", ".tsv", ".parquet"))
    if values.ndim != 1 or values.dtype.kind not in "iubU" or not len(values):
        raise FileFormatError(
            f"{path} holds {values.dtype} of shape {values.shape}; expected "
            "labels: strings or integers in one dimension, at least one"
        )
    return values


def read_indices(path: Source) -> np.ndarray:
    """Read row numbers: a 1-D integer ``.npy``, one a line (``.txt``), or a ``.json`` list.

    Examples
    --------
    >>> import numpy as np, tempfile, os
    >>> from relatum.vectors import read_indices
    >>> path = os.path.join(tempfile.mkdtemp(), "rows.npy")
    >>> np.save(path, [4, 2])
    >>> read_indices(path)
    array([4, 2])
    """
    if _formats.is_npy(path):
        return as_indices(_formats.load_npy(path, "row numbers"), path)
    values = _read_text(path, "row numbers")
    if values.dtype.kind == "U" and all(v.isdigit() for v in values.tolist()):
        values = values.astype(np.int64)
    return as_indices(values, path)


def as_indices(values: np.ndarray, path: Source) -> np.ndarray:
    """Refuse anything but integers in one dimension."""
    if values.ndim != 1 or values.dtype.kind not in "iu" or not len(values):
        raise FileFormatError(
            f"{_formats.name_of(path)} holds {values.dtype} of shape "
            f"{values.shape}; expected row numbers: integers in one dimension, "
            "at least one"
        )
    return values.astype(np.int64)


def _read_text(
    path: Source, what: str, column: str | None = None, *, tables: Sequence[str] = ()
) -> np.ndarray:
    """Read one value for each row: strings, or the integers of a JSON list."""
    suffix = _files.check_source(path, (".npy", ".txt", *tables, ".json"), what)
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise FileFormatError(
            f"{path} is not text in UTF-8 (byte {error.start}); expected {what}"
        ) from None
    if suffix == ".json":
        return _from_json(text, path, what)
    values = (
        text.splitlines()
        if suffix == ".txt"
        else _from_table(text, "\t" if suffix == ".tsv" else ",", path, column)
    )
    return np.asarray(_stripped(values, path, what), dtype=str)


def _stripped(values: list[str], path: Source, what: str) -> list[str]:
    values = [v.strip() for v in values]
    while values and not values[-1]:
        values.pop()
    if not values:
        raise FileFormatError(f"{path} has no values; expected {what}, one a line")
    blank = [i for i, v in enumerate(values) if not v]
    if blank:
        raise FileFormatError(
            f"{path} has no value in {_validation.describe_rows(blank)}; "
            f"expected {what}, one a line"
        )
    return values


def _from_table(text: str, delimiter: str, path: Source, column: str | None) -> list[str]:
    rows = list(csv.reader(io.StringIO(text), delimiter=delimiter))
    header = [cell.strip() for cell in rows[0]] if rows else []
    if column is not None:
        _files.check_name(column, header, path)
    name = column or next((n for n in LABEL_NAMES if n in header), None)
    if name is None and len(header) != 1:
        raise FileFormatError(
            f"{path} has the columns {', '.join(header) or 'none'}; name the one "
            "that holds the labels"
        )
    place = 0 if name is None else header.index(name)
    return [row[place] if place < len(row) else "" for row in rows[1:]]


def _from_json(text: str, path: Source, what: str) -> np.ndarray:
    try:
        values = json.loads(text)
    except ValueError as error:
        raise FileFormatError(f"{path} is not JSON ({error}); expected a list of {what}") from None
    kinds = {type(v) for v in values} if isinstance(values, list) else set()
    if kinds not in ({str}, {int}):
        came = (
            type(values).__name__
            if not isinstance(values, list)
            else (f"a list of {', '.join(sorted(k.__name__ for k in kinds)) or 'nothing'}")
        )
        raise FileFormatError(f"{path} holds {came}; expected a list of strings or of integers")
    return np.asarray(values)
