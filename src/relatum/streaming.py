"""From disk to disk, however much it is: projections and translations of whole files.

Rows are read ahead and written behind, and what is written is kept: a run that was
interrupted, by whatever, goes on where it was and ends with the same bytes.
"""

from __future__ import annotations

import errno
import os
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from relatum import _array, _files, _formats, _half, _places, _validation
from relatum._journal import Unfinished, folder_of
from relatum._sinks import TABLES, Output
from relatum._sources import MEMORY, Source, block_rows
from relatum._streaming_run import Engine, Plan, Run, Written
from relatum.row_maps import RowMap
from relatum.vectors import NO_IDS, as_source, check_output

__all__ = ["Plan", "Written", "output_dtype", "plan_for", "transform_file"]

BLOCKS = 10
"""Blocks that are in memory at once: being read, worked on, written, and between."""
LARGEST_BLOCK = 8 * 2**20
"""Bytes of a block; larger ones leave the cache between their reading and their writing."""
MOST_WAITING = 64
PARTS = 8
"""How many parts of the output would fill the memory; an interruption costs two at most."""
MANY = 10**8
"""Numbers in half precision that are worth loading torch for."""
DTYPES = ("float16", "bfloat16", "float32", "float64")


def transform_file(
    source: Any,
    rows: RowMap,
    output: _files.Source,
    *,
    dtype: str | None = None,
    memory: int = MEMORY,
    restart: bool = False,
    progress: Callable[[int], object] | None = None,
    engine: Engine | None = None,
) -> Written:
    """Apply a function of rows to all rows of a file, into another file or folder.

    Parameters
    ----------
    source : str, path, array or what :func:`relatum.vectors.open_embeddings` returns
    rows : RowMap
        :func:`relatum.row_maps.projection_of_rows`, ``translation_of_rows``, or one's own.
    output : str or path
        ``.npy``, ``.npz``, ``.safetensors``, ``.parquet``, ``.lance``, or a folder (no suffix)
        of Parquet files, which may be a URL that fsspec knows. Parquet and Lance keep all
        other columns, ``.npz`` and ``.safetensors`` ids. ``-`` is ``.npy`` on standard
        output, from memory.
    dtype : "float16", "bfloat16", "float32" or "float64", optional
        Of the output; else that of the input, float32 for half precision. bfloat16 goes to
        ``.safetensors``, the one format that has it.
    memory : int
        Bytes for the rows that are read, worked on and written.
    restart : bool
        Begin anew what an interrupted run left.
    progress : callable, optional
        Called with the number of rows that are done.
    engine : callable, optional
        What writes the parts, such as :func:`relatum.distributed.ray_engine`; else this
        process does.

    Raises
    ------
    ValueError
        Rows that are not finite, by number; values that leave the range of ``dtype``; an
        output that another job began; an input that changed meanwhile.
    OSError
        No room on the disk, another process at the same output, or no leave to write.

    Examples
    --------
    >>> import numpy as np, os, relatum, tempfile
    >>> from relatum.row_maps import projection_of_rows
    >>> from relatum.streaming import transform_file
    >>> X = np.random.default_rng(0).normal(size=(1000, 8)).astype(np.float32)
    >>> path = os.path.join(tempfile.mkdtemp(), "r.npy")
    >>> rows = projection_of_rows(relatum.projection.fit_projection(X[:20]))
    >>> transform_file(X, rows, path, dtype="float16").n_outputs
    20
    """
    found = as_source(source)
    if found.n_features != rows.n_features:
        raise ValueError(
            f"{found.name} has {found.n_features} features; expected {rows.n_features}"
        )
    suffix = check_output(output, folders=True)
    target = None if suffix == _formats.STANDARD else _target(output, suffix, found)
    found = _carried(found, suffix, output)
    result = output_dtype(found, rows, dtype)
    if result == _half.BFLOAT16 and suffix != ".safetensors":
        raise ValueError(f"{output} cannot hold bfloat16; expected .safetensors")
    run = Run(found, rows, result, progress, waiting=waiting_blocks(found, rows, memory))
    if target is None:
        return run.to_standard_output(plan_for(found, rows, memory))
    if result == np.float16 and found.n_rows * rows.n_outputs >= MANY:
        with suppress(ImportError):
            import torch  # noqa: F401  # converts to half precision faster
    job = {
        "input": found.fingerprint(),
        "format": suffix,
        "url": target.url,
        "settings": dict(rows.settings),
        "dtype": _half.dtype_name(result),
        "shape": [found.n_rows, rows.n_outputs],
        "columns": list(found.other_columns),
    }
    plan = plan_for(found, rows, memory)
    with _room(target.path), Unfinished(target.path, job, plan._asdict(), restart=restart) as work:
        try:
            return run.to_file(work, target, engine)
        except BaseException:
            if not work.done:
                work.remove()
            raise


def plan_for(source: Source, rows: RowMap, memory: int = MEMORY) -> Plan:
    """Return how the rows are cut so that a run stays within ``memory``."""
    wide, width = _widths(source, rows)
    what = f"{source.n_features} and {rows.n_outputs} numbers"
    block = block_rows(memory, width, BLOCKS, LARGEST_BLOCK, what)
    if rows.whole:
        return Plan(source.n_rows, source.n_rows)
    most = max(1, memory // PARTS // (block * wide * rows.n_outputs))  # blocks of a part
    n_blocks = -(-source.n_rows // block)
    n_parts = -(-n_blocks // most)
    return Plan(block, block * -(-n_blocks // n_parts))  # equal parts, for workers that share them


def waiting_blocks(source: Source, rows: RowMap, memory: int) -> int:
    """Return how many blocks may wait for the disk in the memory that is left."""
    size = plan_for(source, rows, memory).block * _widths(source, rows)[1]
    return max(1, min(MOST_WAITING, memory // size - BLOCKS))


def _widths(source: Source, rows: RowMap) -> tuple[int, int]:
    """Return the bytes of a number, and of a row with other columns and its result."""
    wide = max(source.dtype.itemsize, 4)
    return wide, wide * (source.n_features + rows.n_outputs) + source.other_bytes


def output_dtype(source: Source, rows: RowMap, dtype: str | None = None) -> np.dtype:
    """Return the type of the numbers that are written."""
    if dtype is not None:
        _validation.check_choice(dtype, "dtype", DTYPES)
        return _half.BFLOAT16 if dtype == "bfloat16" else np.dtype(dtype)
    if rows.dtype is not None:
        return np.dtype(rows.dtype)
    result: np.dtype = np.dtype(_array.float_dtype(np.empty(0, source.dtype)))
    return result


def _carried(source: Source, suffix: str, output: _files.Source) -> Source:
    """Leave out, and name, the columns that the output has no place for."""
    if suffix in TABLES or not source.other_columns:
        return source
    lost = [name for name in source.other_columns if name != source.id_column]
    if lost:
        _validation.warn(
            f"{output}: {suffix} has no place for the columns {', '.join(lost)} of {source.name}; "
            "they are left out"
        )
    return source.bare()


def _target(output: _files.Source, suffix: str, source: Source) -> Output:
    """Return where the output goes, or refuse it before any work."""
    if _places.is_url(output):
        return _behind_url(str(output), suffix)
    if suffix == ".npy" and source.id_column is not None:
        raise ValueError(NO_IDS.format(path=output))
    if suffix in (TABLES[0], TABLES[-1]):
        return Output(_new_folder(output), suffix)
    return Output(_files.check_target(output), suffix)


def _behind_url(url: str, suffix: str) -> Output:
    """Name the parts' place on this machine after the URL that they are sent to."""
    if suffix:
        raise ValueError(f"{url}: only a folder of Parquet files (no suffix) is written to a URL")
    name = url.rstrip("/").rsplit("/", 1)[-1]
    path = Path.cwd() / f"{name}-{zlib.crc32(url.encode()):08x}"
    if not folder_of(path).exists() and _places.exists(url) and _places.below(url, ""):
        raise FileExistsError(f"{url} exists; expected a new or an empty folder to write")
    return Output(path, suffix, url)


def _new_folder(output: _files.Source) -> Path:
    target = Path(os.path.realpath(output))
    if target.exists() and not (target.is_dir() and not any(target.iterdir())):
        raise FileExistsError(f"{output} exists; expected a new or an empty folder to write")
    if not target.parent.is_dir():
        raise FileNotFoundError(f"{output}: no such folder {target.parent}")
    return target


@contextmanager
def _room(target: Path) -> Iterator[None]:
    """Say in one line that the disk is full, and what to do."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EFBIG, errno.EDQUOT):
            raise
        kept = folder_of(target).exists()
        rest = "; what was written is kept, and the same command goes on from there" if kept else ""
        raise OSError(
            f"{target}: no room on the disk ({os.strerror(error.errno)}){rest}"
        ) from error
