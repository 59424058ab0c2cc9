"""Embeddings that are written part by part: raw matrices, and Parquet files.

Each part is on the disk before it is recorded; nothing has its name before it is whole.
"""

from __future__ import annotations

import json
import os
import shutil
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np

from relatum import _files, _parquet
from relatum._formats import npy_head, tensor_type
from relatum._sources import Source


class Sink(Protocol):
    """Where the parts of an output go, in the folder in which it grows."""

    def begin(self, part: int, first_row: int) -> None:
        """Make ready for the rows of a part."""

    def write(self, Y: np.ndarray, table: Any) -> None:
        """Append rows to the part; ``table`` has their other columns, where there are any."""

    def end(self) -> int:
        """Put the part on the disk and return the checksum of what it holds."""

    def abort(self) -> None:
        """Close what is open, in whatever state."""

    def checksum(self, part: int, first_row: int, n_rows: int) -> int | None:
        """Return the checksum of a part that is on the disk; None where there is none."""

    def finish(self, n_parts: int) -> Path:
        """Return the whole output, ready to get its name."""


class RawSink:
    """A matrix that lies in one file as it is: ``.npy`` and ``.safetensors``."""

    def __init__(self, folder: Path, head: bytes, shape: tuple[int, int], dtype: np.dtype,
                 tail: bytes = b"") -> None:  # fmt: skip
        self.path, self.start = folder / "data", len(head)
        self.row = shape[1] * dtype.itemsize
        self.dtype = dtype
        self._file: Any = None
        self._checksum = 0
        end = self.start + shape[0] * self.row
        with open(self.path, "r+b" if self.path.exists() else "w+b") as file:
            _reserve(file.fileno(), end + len(tail))
            file.write(head)
            file.seek(end)
            file.write(tail)
            file.truncate()

    def begin(self, part: int, first_row: int) -> None:
        self._file = open(self.path, "r+b", buffering=0)  # noqa: SIM115
        self._file.seek(self.start + first_row * self.row)
        self._checksum = 0

    def write(self, Y: np.ndarray, table: Any) -> None:
        rest = memoryview(np.ascontiguousarray(Y).data).cast("B")
        self._checksum = zlib.crc32(rest, self._checksum)
        while len(rest):
            rest = rest[self._file.write(rest) :]

    def end(self) -> int:
        os.fsync(self._file.fileno())
        self._file.close()
        return self._checksum

    def abort(self) -> None:
        if self._file is not None:
            self._file.close()

    def checksum(self, part: int, first_row: int, n_rows: int) -> int | None:
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
    """Parquet, a file for each part; they become one file, or stay a folder of files."""

    def __init__(self, folder: Path, column: str, *, one_file: bool) -> None:
        self.folder = folder / "parts"
        self.folder.mkdir(exist_ok=True)
        self.column, self.one_file = column, one_file
        self._writer: Any = None
        self._path = Path()

    def _part(self, part: int) -> Path:
        return self.folder / f"part-{part:05d}.parquet"

    def begin(self, part: int, first_row: int) -> None:
        self._path = self._part(part)
        self._writer = None

    def write(self, Y: np.ndarray, table: Any) -> None:
        table = _parquet.with_matrix(table, self.column, Y)
        if self._writer is None:
            self._writer = _parquet.open_writer(self._temporary(), table.schema)
        self._writer.write_table(table, row_group_size=max(1, table.num_rows))

    def _temporary(self) -> Path:
        return self._path.with_name(f".{self._path.name}.tmp")

    def end(self) -> int:
        self._writer.close()
        temporary = self._temporary()
        _files.sync(temporary)
        checksum = _checksum_of_file(temporary)
        os.replace(temporary, self._path)
        _files.sync(self.folder)
        return checksum

    def abort(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._temporary().unlink(missing_ok=True)

    def checksum(self, part: int, first_row: int, n_rows: int) -> int | None:
        path = self._part(part)
        return _checksum_of_file(path) if path.exists() else None

    def finish(self, n_parts: int) -> Path:
        wanted = [self._part(i) for i in range(n_parts)]
        for path in self.folder.iterdir():
            if path not in wanted:
                path.unlink()
        if not self.one_file:
            return self.folder
        if n_parts == 1:
            return wanted[0]
        return self._merged(wanted)

    def _merged(self, paths: Sequence[Path]) -> Path:
        import pyarrow.parquet as pq

        path = self.folder.with_name("data.parquet")
        writer = None
        for part in paths:
            with pq.ParquetFile(part) as file:
                writer = writer or _parquet.open_writer(path, file.schema_arrow)
                for group in range(file.num_row_groups):
                    table = file.read_row_group(group)
                    writer.write_table(table, row_group_size=max(1, table.num_rows))
        assert writer is not None
        writer.close()
        return path


def make_sink(
    folder: Path, suffix: str, source: Source, shape: tuple[int, int], dtype: np.dtype
) -> Sink:
    """Return the sink for an output by its suffix; one without is a folder of Parquet files."""
    if suffix in ("", ".parquet"):
        return ParquetSink(folder, source.column, one_file=suffix == ".parquet")
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


def _reserve(handle: int, size: int) -> None:
    """Take the room on the disk now, so that it does not run out in the middle."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(handle, 0, size)
    else:
        os.truncate(handle, size)


def _checksum_of_file(path: Path) -> int:
    with path.open("rb") as file:
        return _checksum_of(file, path.stat().st_size)


def _checksum_of(file: Any, n_bytes: int) -> int:
    found = 0
    while n_bytes > 0 and (piece := file.read(min(n_bytes, 8 * 2**20))):
        found = zlib.crc32(piece, found)
        n_bytes -= len(piece)
    return found
