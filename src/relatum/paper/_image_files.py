"""Files of images: npz, IDX as MNIST is published, and CIFAR's batches."""

from __future__ import annotations

import gzip
import io
import itertools
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from relatum import _files, _validation

Arrays = tuple[np.ndarray, np.ndarray]
"""Pixels (n, height, width, channels) uint8 and labels (n,) int64."""

_EXPECTED = "an archive of images x and labels y, or of jpeg, offsets and y"


def read_npz(folder: Path, label: str = "label") -> tuple[Arrays, Arrays] | None:
    """Read ``<name>_train.npz`` and ``<name>_test.npz`` (or ``..._jpeg.npz``), if they are there.

    They hold ``x`` (n, height, width[, channels]) uint8 and ``y``, or JPEG files
    one after another in ``jpeg``, with ``offsets`` (n + 1) and ``y``.
    """
    paths = [sorted(folder.glob(f"*_{part}*.npz")) for part in ("train", "test")]
    if not all(paths):
        return None
    train, test = (_read_archive(found[0], label) for found in paths)
    return train, test


def _read_archive(path: Path, label: str) -> Arrays:
    with _files.reading(path, _EXPECTED), np.load(path, allow_pickle=False) as file:
        names = set(file.files)
        labels = file[label] if label in names else file["y"]
        pixels = file["x"] if "x" in names else _decode(file["jpeg"], file["offsets"])
    return _checked(pixels, labels, path)


def _decode(raw: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    image = _validation.require("PIL.Image", "paper", "reading JPEG images")
    data = raw.tobytes()
    spans = itertools.pairwise(offsets.tolist())
    return np.stack([np.asarray(image.open(io.BytesIO(data[a:b]))) for a, b in spans])


def read_idx_folder(folder: Path, label: str = "label") -> tuple[Arrays, Arrays] | None:
    """Read the four IDX files of MNIST and its kin, packed by gzip or not."""
    found: list[Arrays] = []
    for part in ("train", "t10k"):
        images = _one_of(folder, f"{part}-images-idx3-ubyte", f"{part}-images.idx3-ubyte")
        labels = _one_of(folder, f"{part}-labels-idx1-ubyte", f"{part}-labels.idx1-ubyte")
        if images is None or labels is None:
            return None
        found.append(_checked(read_idx(images), read_idx(labels), images))
    return found[0], found[1]


def _one_of(folder: Path, *names: str) -> Path | None:
    paths = (folder / (name + suffix) for name in names for suffix in ("", ".gz"))
    return next((path for path in paths if path.exists()), None)


def read_idx(path: Path) -> np.ndarray:
    """Read one IDX file of bytes: two zeros, the type, the number of axes, their lengths, data."""
    expected = "an IDX file of bytes"
    with _files.reading(path, expected):
        raw = path.read_bytes()
        raw = gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw
    if raw[:3] != b"\0\0\x08":
        raise _files.FileFormatError(f"{path} begins with {raw[:4]!r}; expected {expected}")
    n_axes = raw[3]
    shape = np.frombuffer(raw, ">u4", count=n_axes, offset=4).astype(np.int64)
    values = np.frombuffer(raw, np.uint8, offset=4 + 4 * n_axes)
    if len(values) != np.prod(shape):
        raise _files.FileFormatError(
            f"{path} is truncated: it holds {len(values)} bytes of {tuple(shape.tolist())}"
        )
    return values.reshape(shape)


def read_cifar(folder: Path, label: str = "label") -> tuple[Arrays, Arrays] | None:
    """Read CIFAR-10 or CIFAR-100 as published, python or binary batches."""
    ten = ([f"data_batch_{i}" for i in range(1, 6)], ["test_batch"])
    hundred = (["train"], ["test"])
    for names in (ten, hundred):
        for suffix, read in (("", _read_python), (".bin", _read_binary)):
            paths = [[folder / (name + suffix) for name in part] for part in names]
            if all(p.is_file() for part in paths for p in part):
                train, test = (_joined([read(p, label) for p in part]) for part in paths)
                return train, test
    return None


def _joined(parts: Sequence[Arrays]) -> Arrays:
    return np.concatenate([p for p, _ in parts]), np.concatenate([y for _, y in parts])


def _read_binary(path: Path, label: str) -> Arrays:
    """Rows of one label (CIFAR-10) or a coarse and a fine one (CIFAR-100), and 3,072 bytes."""
    raw = np.fromfile(path, np.uint8)
    n_labels = 1 if "batch" in path.name else 2
    if len(raw) == 0 or len(raw) % (n_labels + 3072):
        raise _files.FileFormatError(
            f"{path} has {len(raw)} bytes; expected rows of {n_labels + 3072}"
        )
    rows = raw.reshape(-1, n_labels + 3072)
    column = 0 if n_labels == 1 or label == "coarse_label" else 1
    return _from_planes(rows[:, n_labels:], rows[:, column], path)


def _read_python(path: Path, label: str) -> Arrays:
    with _files.reading(path, "a python batch of CIFAR"), open(path, "rb") as file:
        batch = ArraysOnly(file, encoding="bytes").load()
        key = {"coarse_label": b"coarse_labels", "fine_label": b"fine_labels"}.get(label)
        labels = batch[key] if key in batch else batch[b"labels"]
        return _from_planes(batch[b"data"], np.asarray(labels), path)


_NUMPY = {"_reconstruct", "ndarray", "dtype", "_frombuffer"}


class ArraysOnly(pickle.Unpickler):
    """Takes arrays from a pickle (CIFAR's python batches are some), and refuses anything else."""

    def find_class(self, module: str, name: str) -> Any:
        if module.split(".")[0] == "numpy" and name in _NUMPY:
            return super().find_class(module, name)
        if (module, name) == ("_codecs", "encode"):
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"it asks for {module}.{name}, which is refused")


def _from_planes(rows: np.ndarray, labels: np.ndarray, path: Path) -> Arrays:
    """Colour planes one after another, as CIFAR has them, to pixels with their colours."""
    return _checked(rows.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1), labels, path)


def _checked(pixels: np.ndarray, labels: np.ndarray, path: Path) -> Arrays:
    if pixels.ndim == 3:
        pixels = pixels[..., None]
    if pixels.ndim != 4 or pixels.dtype != np.uint8:
        raise _files.FileFormatError(
            f"{path} holds {pixels.dtype} of shape {pixels.shape}; expected uint8 images "
            "(n, height, width[, channels])"
        )
    if len(pixels) != len(labels):
        raise _files.FileFormatError(f"{path} holds {len(pixels)} images and {len(labels)} labels")
    return np.ascontiguousarray(pixels), labels.astype(np.int64)
