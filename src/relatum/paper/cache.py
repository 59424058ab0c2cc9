"""Encoded data sets kept on disk: keyed by what they were made of, checked when read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from relatum import _files

Key = Mapping[str, str | int | float | bool | None]


def content_hash(data: Any) -> str:
    """Return a hash of texts or arrays: of their values, their order and their shapes.

    Parameters
    ----------
    data : sequence of str, array, or a mapping or sequence of those
    """
    digest = hashlib.sha256()
    _feed(digest, data)
    return digest.hexdigest()[:16]


def _feed(digest: Any, data: Any) -> None:
    if isinstance(data, np.ndarray):
        digest.update(f"array {data.dtype.str} {data.shape}".encode())
        digest.update(np.ascontiguousarray(data).data if data.size else b"")
    elif isinstance(data, (str, bytes)):
        raw = data.encode() if isinstance(data, str) else data
        digest.update(f"{type(data).__name__} {len(raw)} ".encode() + raw)
    elif isinstance(data, Mapping):
        digest.update(f"mapping {len(data)}".encode())
        for name, value in data.items():
            _feed(digest, str(name))
            _feed(digest, value)
    elif isinstance(data, Sequence):
        digest.update(f"sequence {len(data)}".encode())
        for value in data:
            _feed(digest, value)
    elif isinstance(data, (int, float, bool, type(None))):
        digest.update(f"{type(data).__name__} {data!r}".encode())
    else:
        raise TypeError(f"data holds a {type(data).__name__}; expected texts, numbers or arrays")


class FeatureCache:
    """Arrays by key below a folder; ``n_computed`` counts what was not found."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.n_computed = 0

    def get(
        self, key: Key, compute: Callable[[], Mapping[str, np.ndarray]]
    ) -> dict[str, np.ndarray]:
        """Return what is kept under ``key``, or compute and keep it.

        A file that is damaged, or was made for another key, is computed again.
        """
        path = self.folder / f"{content_hash(dict(key))}.safetensors"
        kept = _read(path, key)
        if kept is not None:
            return kept
        arrays = {name: np.ascontiguousarray(value) for name, value in compute().items()}
        self.n_computed += 1
        self.folder.mkdir(parents=True, exist_ok=True)
        _write(path, key, arrays)
        return arrays


def _write(path: Path, key: Key, arrays: Mapping[str, np.ndarray]) -> None:
    from safetensors.numpy import save_file

    about = {"key": json.dumps(dict(key), sort_keys=True), "hash": _hash(arrays)}
    with _files.replacing(path) as temporary:
        save_file(dict(arrays), temporary, metadata=about)


def _read(path: Path, key: Key) -> dict[str, np.ndarray] | None:
    """Return the arrays at ``path``; None where there are none, or not those of ``key``."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            about = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError):
        return None
    same_key = about.get("key") == json.dumps(dict(key), sort_keys=True)
    return arrays if same_key and about.get("hash") == _hash(arrays) else None


def _hash(arrays: Mapping[str, np.ndarray]) -> str:
    return content_hash(dict(sorted(arrays.items())))
