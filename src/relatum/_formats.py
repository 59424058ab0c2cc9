"""One reader and one writer for each format of embeddings on disk.

A reader gives ``(array, ids or None)`` as the file has them; checks of what it
holds come after, in :mod:`relatum.vectors`.
"""

from __future__ import annotations

import io
import json
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import numpy as np

from relatum import _array, _files, _parquet, _places
from relatum._columns import ID_NAMES
from relatum._files import FileFormatError, Source
from relatum._half import BFLOAT16

STANDARD = "-"
WHOLE_NPY = "a whole .npy file"
BOMB_BYTES, BOMB_RATIO = 64 * 2**20, 100
"""An archive is refused from this size and this many times its own; floats hardly shrink."""
ARRAY_NAMES = ("embeddings", "embedding", "X", "arr_0")

Contents = tuple[np.ndarray, np.ndarray | None]


def is_npy(path: Source) -> bool:
    return str(path) == STANDARD or Path(path).suffix.lower() == ".npy"


def name_of(path: Source) -> str:
    return "standard input" if str(path) == STANDARD else str(path)


def load_npy(path: Source, expected: str = "embeddings") -> np.ndarray:
    """Map a ``.npy`` file from the disk, or read one from standard input."""
    if str(path) == STANDARD:
        return _read_standard_input()
    _files.check_source(path, [".npy"], expected)
    with _files.reading(path, WHOLE_NPY):
        with _places.open_file(path) as file:
            read_npy_head(file, _places.size(path))
            if _places.is_url(path):
                file.seek(0)
                return np.asarray(np.load(io.BytesIO(file.read()), allow_pickle=False))
        return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))


def read_npy_head(file: IO[bytes], size: int) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Return shape, whether rows lie one after another, and type; leave the file at the first.

    A header that promises more than the ``size`` of the file is refused, before any memory
    is asked for.
    """
    version = np.lib.format.read_magic(file)
    reader = np.lib.format.read_array_header_1_0
    shape, by_column, dtype = (
        reader if version == (1, 0) else np.lib.format.read_array_header_2_0
    )(file)
    promised, held = math.prod(shape) * dtype.itemsize, size - file.tell()
    if promised > held and not dtype.hasobject:
        raise ValueError(f"its header promises {promised} bytes, the file has {held}")
    return shape, not by_column, dtype


def save_npy(path: Source, array: np.ndarray) -> None:
    if str(path) == STANDARD:
        _write_standard_output(array)
        return
    with _files.replacing(path) as temporary, temporary.open("wb") as file:
        np.save(file, array, allow_pickle=False)


def npy_head(shape: tuple[int, ...], dtype: np.dtype) -> bytes:
    """Return what a ``.npy`` file begins with."""
    out = io.BytesIO()
    about = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(out, about)
    return out.getvalue()


def _read_standard_input() -> np.ndarray:
    data = sys.stdin.buffer.read()
    if not data:
        raise FileFormatError("standard input is empty; expected a NumPy array (.npy)")
    _files.check_content(data[:32], ".npy", "standard input")
    with _files.reading("standard input", WHOLE_NPY):
        return np.asarray(np.load(io.BytesIO(data), allow_pickle=False))


def _write_standard_output(array: np.ndarray) -> None:
    out = sys.stdout.buffer
    out.write(npy_head(array.shape, array.dtype))
    for rows in _array.blocks(len(array), array[:1].nbytes):
        out.write(np.ascontiguousarray(array[rows]).tobytes())
    out.flush()


def _read_npz(path: Source, column: str | None, id_column: str | None) -> Contents:
    with (
        _files.reading(path, "a whole .npz file"),
        open(path, "rb") as file,
        np.load(file, allow_pickle=False) as archive,
    ):
        name, id_name = _pick_names(path, archive.files, column, id_column)
        for member in archive.zip.infolist():
            if member.filename in (f"{name}.npy", f"{id_name}.npy") and _is_bomb(member):
                raise FileFormatError(
                    f"{path} unpacks to {member.file_size} bytes from {member.compress_size}, "
                    "which no embeddings do; unpack it with care, to .npy"
                )
        return archive[name], archive[id_name] if id_name else None


def _is_bomb(member: Any) -> bool:
    """Tell whether a member of an archive is far smaller than what it unpacks to."""
    return bool(member.file_size > max(BOMB_BYTES, BOMB_RATIO * member.compress_size))


def _read_parquet(path: Source, column: str | None, id_column: str | None) -> Contents:
    return (
        _parquet.read_matrix(path, column),
        _parquet.read_column(path, ID_NAMES, id_column, what="ids"),
    )


def _read_safetensors(path: Source, column: str | None, id_column: str | None) -> Contents:
    """Map tensors from the disk."""
    from safetensors import safe_open

    with _files.reading(path, "a whole .safetensors file"):
        with safe_open(path, "numpy") as file:  # checks sizes and offsets
            metadata = file.metadata() or {}
        with open(path, "rb") as raw:
            start = int.from_bytes(raw.read(8), "little")
            header = json.loads(raw.read(start))
        header.pop("__metadata__", None)
        text_ids = json.loads(metadata["ids"]) if "ids" in metadata else None
    if "relatum" in metadata:
        raise FileFormatError(
            f"{path} is a relatum artefact (a fitted object); expected embeddings"
        )
    name, id_name = _pick_names(path, list(header), column, id_column)
    array = _map_tensor(path, header[name], 8 + start, name)
    if id_name is None:
        return array, None if text_ids is None else np.asarray(text_ids, dtype=str)
    return array, _map_tensor(path, header[id_name], 8 + start, id_name)


_TENSOR_TYPES: dict[str, Any] = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "BF16": BFLOAT16,
    "I64": "<i8",
    "U64": "<u8",
    "I32": "<i4",
    "U32": "<u4",
    "I16": "<i2",
    "U16": "<u2",
    "I8": "i1",
    "U8": "u1",
}


def tensor_type(dtype: np.dtype) -> str:
    """Return what safetensors calls a type."""
    little = np.dtype(dtype).newbyteorder("<")
    return next(name for name, t in _TENSOR_TYPES.items() if little == t)


def _map_tensor(path: Source, entry: dict[str, Any], start: int, name: str) -> np.ndarray:
    if entry["dtype"] not in _TENSOR_TYPES:
        raise FileFormatError(
            f"{path}: tensor {name!r} has type {entry['dtype']}; expected one "
            f"of {', '.join(_TENSOR_TYPES)}"
        )
    dtype, shape = np.dtype(_TENSOR_TYPES[entry["dtype"]]), tuple(entry["shape"])
    if 0 in shape:
        return np.empty(shape, dtype)
    return np.asarray(np.memmap(path, dtype, "r", start + entry["data_offsets"][0], shape))


def _pick_names(
    path: Source, names: list[str], column: str | None, id_column: str | None
) -> tuple[str, str | None]:
    """Choose the array of embeddings, and that of ids, among the names of a file."""
    for wanted in (column, id_column):
        if wanted is not None:
            _files.check_name(wanted, names, path)
    id_name = id_column or next((n for n in ID_NAMES if n in names and n != column), None)
    rest = [n for n in names if n != id_name]
    name = column or (
        rest[0] if len(rest) == 1 else next((n for n in ARRAY_NAMES if n in rest), None)
    )
    if name is None:
        raise FileFormatError(
            f"{path} has the arrays {', '.join(rest) or 'none'}; expected one, "
            f"or one named {' or '.join(ARRAY_NAMES)}; name the one to read "
            "(column)"
        )
    return name, id_name


def _write_npz(path: Path, array: np.ndarray, ids: np.ndarray | None) -> None:
    with path.open("wb") as file:
        if ids is None:
            np.savez(file, embeddings=array)
        else:
            np.savez(file, embeddings=array, ids=ids)


def _write_parquet(path: Path, array: np.ndarray, ids: np.ndarray | None) -> None:
    _parquet.write(path, array, ids)


def _write_safetensors(path: Path, array: np.ndarray, ids: np.ndarray | None) -> None:
    from safetensors.numpy import save_file

    tensors = {"embeddings": np.ascontiguousarray(array)}
    metadata = None
    if ids is not None and ids.dtype.kind == "U":
        metadata = {"ids": json.dumps(ids.tolist())}
    elif ids is not None:
        tensors["ids"] = np.ascontiguousarray(ids)
    save_file(tensors, path, metadata)


READERS: dict[str, Callable[..., Contents]] = {
    ".npz": _read_npz,
    ".parquet": _read_parquet,
    ".safetensors": _read_safetensors,
}
WRITERS: dict[str, Callable[..., None]] = {
    ".npz": _write_npz,
    ".parquet": _write_parquet,
    ".safetensors": _write_safetensors,
}
