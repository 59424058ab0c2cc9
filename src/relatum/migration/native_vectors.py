"""Vectors that the new encoder itself makes: by a command, a function, or from a file.

Each batch is kept on the disk as it is made, so that nothing is embedded, or paid for, twice.
"""

from __future__ import annotations

import importlib
import io
import json
import os
import re
import shlex
import subprocess
import sys
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from relatum import _columns, _files, _validation, vectors
from relatum._parquet import open_writer

__all__ = ["NativeVectors", "embedder"]

Embed = Callable[[list[str], list[str]], np.ndarray]
"""From ids and texts to vectors (n, n_features)."""
BATCH = 256
"""Items that are embedded, and kept, at once."""
_FUNCTION = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")
_FILES = (".npz", ".parquet", ".safetensors", ".lance")


def embedder(made_by: str, *, column: str | None = None) -> Embed:
    """Return what embeds items, by what the user named.

    Parameters
    ----------
    made_by : str
        ``module:function`` of Python, which takes a list of texts and returns an array
        (n, n_features); a file of vectors with ids (``.parquet``, ``.npz``,
        ``.safetensors``, ``.lance`` or a folder of ``.parquet``); or a command line, which
        gets one JSON string a line on standard input and writes ``.npy`` to standard output.
    column : str, optional
        Of the vectors, where a file has several.

    Raises
    ------
    ValueError, ImportError, OSError
        No such function, file or command.
    """
    if not made_by.strip():
        raise ValueError("embed is empty; expected a command, module:function, or a file")
    if _FUNCTION.fullmatch(made_by):
        return _by_function(made_by)
    if Path(made_by).suffix.lower() in _FILES or os.path.isdir(made_by):
        return _by_file(made_by, column)
    return _by_command(made_by)


def _by_function(made_by: str) -> Embed:
    module, _, name = made_by.partition(":")
    if os.getcwd() not in sys.path:  # a module of the user's own folder, as python -m finds it
        sys.path.insert(0, os.getcwd())
    try:
        function = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"embed is {made_by!r}: {error}") from error
    return lambda ids, texts: np.asarray(function(texts))


def _by_command(command: str) -> Embed:
    parts = shlex.split(command)

    def embed(ids: list[str], texts: list[str]) -> np.ndarray:
        lines = "".join(json.dumps(text) + "\n" for text in texts)
        try:
            found = subprocess.run(parts, input=lines.encode(), stdout=subprocess.PIPE, check=False)
        except OSError as error:
            raise OSError(f"embed is {command!r}: {error.strerror}: {parts[0]}") from error
        if found.returncode:
            raise OSError(f"embed is {command!r}: it ended with exit code {found.returncode}")
        with _files.reading(f"what {parts[0]} wrote", ".npy on standard output"):
            return np.asarray(np.load(io.BytesIO(found.stdout), allow_pickle=False))

    return embed


def _by_file(path: str, column: str | None) -> Embed:
    source = vectors.open_embeddings(path, column=column)
    ids = source.ids()
    if ids is None:
        raise ValueError(f"embed is {path!r}: it has no ids; expected those of the store")
    places = {str(i): row for row, i in enumerate(ids.tolist())}

    def embed(ids: list[str], texts: list[str]) -> np.ndarray:
        lost = [i for i in ids if i not in places]
        if lost:
            raise ValueError(
                f"{path} has no vector for the id {lost[0]!r} ({len(lost)} of {len(ids)} are not "
                "there); expected one for each item that is embedded"
            )
        return np.asarray(vectors.take(source, np.asarray([places[i] for i in ids])))

    return embed


class NativeVectors:
    """Vectors of one encoder by id, kept in a folder as they are made.

    Parameters
    ----------
    folder : path
        Made where it is not there.
    embed : callable
        See :func:`embedder`.

    Attributes
    ----------
    seconds, n_made : float, int
        What making took in this process, and how many.

    Raises
    ------
    ValueError
        What was made has another number of rows than items, another width than before, NaN
        or infinity.
    """

    def __init__(self, folder: Path, embed: Embed) -> None:
        self.folder, self.embed = Path(folder), embed
        self.folder.mkdir(parents=True, exist_ok=True)
        self.seconds, self.n_made = 0.0, 0
        self._texts: dict[str, int] = {}
        self._vectors: dict[str, np.ndarray] = {}
        for path in sorted(self.folder.glob("part-*.parquet")):
            self._read(path)

    @property
    def ids(self) -> list[str]:
        """Ids of all that is there."""
        return list(self._vectors)

    def of(
        self, items: Mapping[str, str], progress: Callable[[int], object] | None = None
    ) -> np.ndarray:
        """Return the vectors of items by id, in their order; made where they are not there.

        Parameters
        ----------
        items : mapping
            Text by id. An item with another text than before is made again.
        progress : callable, optional
            Called with the number of items that are there.
        """
        missing = [i for i, text in items.items() if self._texts.get(i) != _sum(text)]
        for start in range(0, len(missing), BATCH):
            self._make({i: items[i] for i in missing[start : start + BATCH]})
            if progress is not None:
                progress(len(items) - len(missing) + min(start + BATCH, len(missing)))
        return np.stack([self._vectors[i] for i in items])

    def kept(self, ids: Sequence[str]) -> np.ndarray:
        """Return vectors of items that were made before."""
        return np.stack([self._vectors[i] for i in ids])

    def _make(self, items: Mapping[str, str]) -> None:
        started = time.monotonic()
        found = self.embed(list(items), list(items.values()))
        self.seconds += time.monotonic() - started
        self.n_made += len(items)
        Y = np.asarray(_validation.as_matrix(found, "what embed made", finite=True), np.float32)
        if len(Y) != len(items):
            raise ValueError(f"embed made {len(Y)} rows of {len(items)} texts; expected as many")
        width = next((len(v) for v in self._vectors.values()), Y.shape[1])
        if Y.shape[1] != width:
            raise ValueError(f"embed made {Y.shape[1]} features, {width} before; one encoder only")
        self._keep(items, Y)

    def _keep(self, items: Mapping[str, str], Y: np.ndarray) -> None:
        import pyarrow as pa

        sums = [_sum(text) for text in items.values()]
        table = pa.table({"id": list(items), "text_sum": pa.array(sums, pa.int64())})
        table = _columns.with_matrix(table, _columns.COLUMN, Y)
        path = self.folder / f"part-{len(list(self.folder.iterdir())):06d}.parquet"
        with (
            _files.replacing(path) as temporary,
            open_writer(temporary, table.schema) as writer,
        ):
            writer.write_table(table)
        self._add(list(items), sums, Y)

    def _read(self, path: Path) -> None:
        import pyarrow.parquet as pq

        with _files.reading(path, "vectors that were made before"):
            table = pq.read_table(path)
        Y = _columns.stack(table.column(_columns.COLUMN).chunks, table.num_rows, str(path))
        self._add(table.column("id").to_pylist(), table.column("text_sum").to_pylist(), Y)

    def _add(self, ids: Sequence[str], sums: Sequence[int], Y: np.ndarray) -> None:
        self._texts.update(zip(ids, sums, strict=True))
        self._vectors.update(zip(ids, Y, strict=True))


def _sum(text: Any) -> int:
    return zlib.crc32(str(text).encode())
