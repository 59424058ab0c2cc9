"""Embeddings that are written part by part: raw matrices, and Parquet files.

Each part is on the disk before it is recorded; nothing has its name before it is whole.
"""

from __future__ import annotations

import functools
import itertools
import json
import os
import shutil
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple, Protocol

import numpy as np
import xxhash

from relatum import _columns, _files, _parquet, _places, _validation
from relatum._formats import npy_head, tensor_type
from relatum._sources import Source


class Output(NamedTuple):
    """What is written in the end, and in which format."""

    path: Path
    """Its name; of a URL the one that it goes by while it is unfinished."""
    suffix: str
    """Empty for a folder of Parquet files."""
    url: str = ""


ROW_GROUP = 16 * 2**20
"""Bytes of a row group of Parquet: of fewer, other programs would have many to read."""
TABLES = ("", ".parquet", ".lance")
"""Formats that keep all columns; the first and the last are folders."""


Seal = Callable[[], str]
"""Puts a part on the disk, and returns the checksum of what it holds."""


class Sink(Protocol):
    """Where the parts of an output go, in the folder in which it grows."""

    def begin(self, part: int, first_row: int) -> None:
        """Make ready for the rows of a part."""

    def write(self, Y: np.ndarray, table: Any) -> None:
        """Append rows to the part; ``table`` has their other columns, where there are any."""

    def end(self) -> Seal:
        """End the part; what comes back puts it on the disk, while the next is written."""

    def close(self) -> None:
        """Close what is open, and leave a part that has not ended."""

    def checksum(self, part: int, first_row: int, n_rows: int) -> str | None:
        """Return the checksum of a part that is on the disk; None where there is none."""

    def finish(self, n_parts: int) -> Path | None:
        """Return the whole output, ready to get its name; None where it has it."""


class RawSink:
    """A matrix that lies in one file as it is: ``.npy`` and ``.safetensors``."""

    def __init__(self, folder: Path, head: bytes, shape: tuple[int, int], dtype: np.dtype,
                 tail: bytes = b"") -> None:  # fmt: skip
        self.path, self.start = folder / "data", len(head)
        self.row = shape[1] * dtype.itemsize
        self.dtype = dtype
        self._file: Any = None
        self._checksum = xxhash.xxh3_64()
        end = self.start + shape[0] * self.row
        with open(self.path, "r+b" if self.path.exists() else "w+b") as file:
            _reserve(file.fileno(), end + len(tail))
            file.write(head)
            file.seek(end)
            file.write(tail)
            file.truncate()

    def begin(self, part: int, first_row: int) -> None:
        if self._file is None:
            self._file = open(self.path, "r+b", buffering=0)  # noqa: SIM115
        self._file.seek(self.start + first_row * self.row)
        self._checksum = xxhash.xxh3_64()

    def write(self, Y: np.ndarray, table: Any) -> None:
        rest = memoryview(np.ascontiguousarray(Y).data).cast("B")
        self._checksum.update(rest)
        while len(rest):
            rest = rest[self._file.write(rest) :]

    def end(self) -> Seal:
        return functools.partial(_sealed, self._file, self._checksum.hexdigest())

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def checksum(self, part: int, first_row: int, n_rows: int) -> str | None:
        with open(self.path, "rb") as file:
            file.seek(self.start + first_row * self.row)
            return _checksum_of(file, n_rows * self.row)

    def finish(self, n_parts: int) -> Path:
        return self.path


class ArchiveSink(RawSink):
    """``.npz``: the matrix grows as ``.npy`` and is put into the archive at the end."""

    def __init__(
        self, folder: Path, shape: tuple[int, int], dtype: np.dtype, ids: np.ndarray | None
    ) -> None:
        super().__init__(folder, npy_head(shape, dtype), shape, dtype)
        self.ids = ids

    def finish(self, n_parts: int) -> Path:
        path = self.path.with_name("data.npz")
        with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
            with self.path.open("rb") as data, self._member(archive, "embeddings") as file:
                shutil.copyfileobj(data, file, 8 * 2**20)
            if self.ids is not None:
                with self._member(archive, "ids") as file:
                    np.lib.format.write_array(file, self.ids, allow_pickle=False)
        return path

    @staticmethod
    def _member(archive: zipfile.ZipFile, name: str) -> IO[bytes]:
        # with a time of its own, so that the same rows give the same bytes
        return archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True)


class ParquetSink:
    """A folder of Parquet, a file for each part."""

    def __init__(self, folder: Path, column: str) -> None:
        self.folder = folder / "parts"
        self.folder.mkdir(parents=True, exist_ok=True)
        self.column = column
        self._writer: Any = None
        self._path = Path()
        self._waiting: list[Any] = []

    def _part(self, part: int) -> Path:
        return self.folder / f"part-{part:05d}.parquet"

    def begin(self, part: int, first_row: int) -> None:
        self._path = self._part(part)
        self._writer, self._waiting = None, []

    def write(self, Y: np.ndarray, table: Any) -> None:
        self._waiting.append(_columns.with_matrix(table, self.column, Y))
        if sum(table.nbytes for table in self._waiting) >= ROW_GROUP:
            self._write_group()

    def _write_group(self) -> None:
        import pyarrow as pa

        table = pa.concat_tables(self._waiting)
        self._waiting = []
        if self._writer is None:
            self._writer = _parquet.open_writer(self._temporary(), table.schema)
        self._writer.write_table(table, row_group_size=max(1, table.num_rows))

    def _temporary(self) -> Path:
        return self._path.with_name(f".{self._path.name}.tmp")

    def end(self) -> Seal:
        if self._waiting:
            self._write_group()
        self._writer.close()
        self._writer = None
        return functools.partial(self._seal, self._path, self._temporary())

    def _seal(self, path: Path, temporary: Path) -> str:
        _files.sync(temporary)
        checksum = _checksum_of_file(temporary)
        os.replace(temporary, path)
        _files.sync(self.folder)
        return checksum

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None
            self._temporary().unlink(missing_ok=True)

    def checksum(self, part: int, first_row: int, n_rows: int) -> str | None:
        path = self._part(part)
        return _checksum_of_file(path) if path.exists() else None

    def finish(self, n_parts: int) -> Path | None:
        wanted = self._wanted(n_parts)
        for path in self.folder.iterdir():
            if path not in wanted:
                path.unlink()
        return self.folder

    def _wanted(self, n_parts: int) -> list[Path]:
        return [self._part(i) for i in range(n_parts)]


class OneParquetSink(ParquetSink):
    """The same, joined into one file at the end."""

    def finish(self, n_parts: int) -> Path:
        if n_parts == 1:
            return self._part(0)
        path = self.folder.with_name("data.parquet")
        groups = _row_groups(self._wanted(n_parts))
        first = next(groups)
        with _parquet.open_writer(path, first.schema) as writer:
            for table in itertools.chain([first], groups):
                writer.write_table(table, row_group_size=max(1, table.num_rows))
        return path


class LanceSink(ParquetSink):
    """The same, made into a Lance dataset at the end."""

    def finish(self, n_parts: int) -> Path:
        import pyarrow as pa

        lance = _validation.require("lance", "lance", "writing .lance")
        path = self.folder.with_name("data.lance")
        shutil.rmtree(path, ignore_errors=True)  # of a run that ended in the middle of it
        groups = _row_groups(self._wanted(n_parts))
        first = next(groups)
        tables = itertools.chain([first], groups)
        batches = (batch for table in tables for batch in table.to_batches())
        lance.write_dataset(pa.RecordBatchReader.from_batches(first.schema, batches), str(path))
        for file in path.rglob("*"):
            _files.sync(file)
        return path


class UrlSink(ParquetSink):
    """A folder of Parquet behind a URL: each part is written here, then sent there."""

    def __init__(self, folder: Path, column: str, url: str) -> None:
        super().__init__(folder, column)
        self.url = url.rstrip("/")

    def _there(self, path: Path) -> str:
        return f"{self.url}/{path.name}"

    def _seal(self, path: Path, temporary: Path) -> str:
        checksum = super()._seal(path, temporary)
        _places.send(path, self._there(path))
        path.unlink()
        return checksum

    def checksum(self, part: int, first_row: int, n_rows: int) -> str | None:
        there = self._there(self._part(part))
        if not _places.exists(there):
            return None
        with _places.open_file(there) as file:
            return _checksum_of(file, _places.size(there))

    def finish(self, n_parts: int) -> None:
        wanted = {path.name for path in self._wanted(n_parts)}
        for path in _places.below(self.url, ".parquet"):
            if path.rsplit("/", 1)[-1] not in wanted:  # of a run that was begun anew
                _places.remove(path)


def _row_groups(paths: Sequence[Path]) -> Iterator[Any]:
    import pyarrow.parquet as pq

    for path in paths:
        with pq.ParquetFile(path) as file:
            for group in range(file.num_row_groups):
                yield file.read_row_group(group)


def make_sink(
    folder: Path, output: Output, source: Source, shape: tuple[int, int], dtype: np.dtype
) -> Sink:
    """Return the sink for an output by its suffix; one without is a folder of Parquet files."""
    suffix = output.suffix
    if output.url:
        return UrlSink(folder, source.column, output.url)
    if suffix in TABLES:
        kinds = {"": ParquetSink, ".parquet": OneParquetSink, ".lance": LanceSink}
        return kinds[suffix](folder, source.column)
    if suffix == ".npy":
        return RawSink(folder, npy_head(shape, dtype), shape, dtype)
    if suffix == ".npz":
        return ArchiveSink(folder, shape, dtype, source.ids())
    return _safetensors_sink(folder, shape, dtype, source.ids())


def _safetensors_sink(
    folder: Path, shape: tuple[int, int], dtype: np.dtype, ids: np.ndarray | None
) -> RawSink:
    end = shape[0] * shape[1] * dtype.itemsize
    header: dict[str, Any] = {
        "embeddings": {"dtype": tensor_type(dtype), "shape": shape, "data_offsets": [0, end]}
    }
    tail = b""
    if ids is not None and ids.dtype.kind == "U":
        header["__metadata__"] = {"ids": json.dumps(ids.tolist())}
    elif ids is not None:
        tail = np.ascontiguousarray(ids).tobytes()
        about = {"dtype": tensor_type(ids.dtype), "shape": ids.shape}
        header["ids"] = about | {"data_offsets": [end, end + len(tail)]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return RawSink(folder, len(text).to_bytes(8, "little") + text, shape, dtype, tail)


def _sealed(file: Any, checksum: str) -> str:
    os.fsync(file.fileno())
    return checksum


def _reserve(handle: int, size: int) -> None:
    """Take the room on the disk now, so that it does not run out in the middle."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(handle, 0, size)
    else:
        os.truncate(handle, size)


def _checksum_of_file(path: Path) -> str:
    with path.open("rb") as file:
        return _checksum_of(file, path.stat().st_size)


def _checksum_of(file: Any, n_bytes: int) -> str:
    found = xxhash.xxh3_64()
    while n_bytes > 0 and (piece := file.read(min(n_bytes, 8 * 2**20))):
        found.update(piece)
        n_bytes -= len(piece)
    return found.hexdigest()
