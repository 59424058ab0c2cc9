"""Tables of several files: a folder of Parquet, a saved Hugging Face dataset, Lance."""

from __future__ import annotations

import json
import os
import posixpath
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

from relatum import _files, _places, _validation
from relatum._files import FileFormatError
from relatum._parquet import ParquetTable

LANCE_BUFFER = 64 * 2**20
"""Bytes that Lance may read ahead; its own choice is 2 GB."""


class Table(Protocol):
    """A table, or a part of one, whose rows can be read from any on."""

    name: str
    schema: Any
    n_rows: int

    def read(self, start: int, size: int, columns: Sequence[str] | None) -> Iterator[Any]:
        """Yield tables of at most ``size`` rows from row ``start`` on."""

    def fingerprint(self) -> list[Any]:
        """Return what changes when the content does."""


def is_table(path: _files.Source) -> bool:
    """Tell whether a path is a table: a Parquet file, Lance, or a folder."""
    return Path(path).suffix.lower() in (".parquet", ".lance") or _places.is_folder(path)


def open_tables(path: _files.Source) -> Sequence[Table]:
    """Return the tables that follow each other at a path."""
    if _is_lance(path):
        return [LanceTable(path)]
    if not _places.is_folder(path):
        return [ParquetTable(path)]
    if _places.exists(_in(path, "dataset_dict.json")):
        with _places.open_file(_in(path, "dataset_dict.json")) as file:
            splits = json.load(file).get("splits", [])
        raise FileFormatError(
            f"{path} is a dataset with the splits {', '.join(splits)}; expected one of them: "
            f"{_in(path, splits[0] if splits else 'train')}"
        )
    if _places.exists(_in(path, "state.json")):
        return _dataset(path)
    found = _places.below(path, ".parquet")
    if not found:
        raise FileFormatError(
            f"{path} is a folder without .parquet files; expected some, or a saved Hugging Face "
            "dataset, or Lance"
        )
    return [ParquetTable(p) for p in found]


def _in(folder: _files.Source, name: str) -> str:
    return posixpath.join(os.fspath(folder), name)


def _dataset(path: _files.Source) -> Sequence[Table]:
    """Open what ``Dataset.save_to_disk`` wrote: files in the order of its own list."""
    with (
        _files.reading(path, "a saved Hugging Face dataset"),
        _places.open_file(_in(path, "state.json")) as file,
    ):
        state = json.load(file)
        names = [str(entry["filename"]) for entry in state["_data_files"]]
    if state.get("_indices_files"):
        raise FileFormatError(
            f"{path} has rows in another order than its files; call flatten_indices() on the "
            "dataset before it is saved"
        )
    for name in names:
        if name != posixpath.basename(name):
            raise FileFormatError(f"{path}: state.json names {name!r}; expected a file beside it")
    return [ArrowTable(_in(path, name)) for name in names]


class ArrowTable:
    """A file of Arrow record batches, one after another, as the library datasets writes it."""

    EXPECTED = "a whole Arrow file"

    def __init__(self, path: _files.Source) -> None:
        self.name = str(path)
        if not _places.exists(path):
            raise FileNotFoundError(f"{path}: no such file; expected {self.EXPECTED}")
        self.n_rows = 0
        for batch in self._batches():
            self.schema = batch.schema
            self.n_rows += batch.num_rows

    def read(self, start: int, size: int, columns: Sequence[str] | None) -> Iterator[Any]:
        import pyarrow as pa

        for batch in self._batches():
            rest = batch.slice(min(start, batch.num_rows))
            start -= batch.num_rows - rest.num_rows
            table = pa.Table.from_batches([rest])
            for first in range(0, table.num_rows, size):
                some = table.slice(first, size)
                yield some if columns is None else some.select(columns)

    def _batches(self) -> Iterator[Any]:
        import pyarrow as pa

        with _files.reading(self.name, self.EXPECTED), _places.open_file(self.name) as file:
            reader = pa.ipc.open_stream(file)
            yield from reader

    def fingerprint(self) -> list[Any]:
        return _places.fingerprint(self.name)


def _is_lance(path: _files.Source) -> bool:
    if Path(path).suffix.lower() == ".lance":
        return True
    return _places.is_folder(path) and _places.is_folder(_in(path, "_versions"))


class LanceTable:
    """A Lance dataset in the version that it had when it was opened."""

    def __init__(self, path: _files.Source) -> None:
        self.name = str(path)
        if not _places.is_url(path) and not _places.is_folder(path):
            raise FileNotFoundError(f"{path}: no such folder; expected a Lance dataset")
        dataset = self._open(None)
        self.schema, self.n_rows = dataset.schema, dataset.count_rows()
        self.version = dataset.version

    def _open(self, version: int | None) -> Any:
        lance = _validation.require("lance", "lance", f"{self.name}: Lance")
        with _files.reading(self.name, "a Lance dataset"):
            return lance.dataset(self.name, version=version)

    def read(self, start: int, size: int, columns: Sequence[str] | None) -> Iterator[Any]:
        import pyarrow as pa

        scanner = self._open(self.version).scanner(
            columns=columns, offset=start or None, batch_size=size, scan_in_order=True,
            io_buffer_size=LANCE_BUFFER, batch_readahead=2, fragment_readahead=1,
        )  # fmt: skip
        with _files.reading(self.name, "a Lance dataset"):
            for batch in scanner.to_batches():
                yield pa.Table.from_batches([batch])

    def fingerprint(self) -> list[Any]:
        # files have names that are never given twice
        parts = [str(part.metadata) for part in self._open(self.version).get_fragments()]
        return [Path(self.name).name, self.version, zlib.crc32("".join(parts).encode())]
