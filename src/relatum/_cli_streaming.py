"""The commands that go through a file row by row: how much memory, and how far they are."""

from __future__ import annotations

import re
import time
from typing import Any

import numpy as np

from relatum import _terminal, _validation, vectors
from relatum._cli_inputs import Columns
from relatum._formats import STANDARD
from relatum._half import as_dtype
from relatum._sources import Source
from relatum._streaming_run import Engine
from relatum.row_maps import RowMap
from relatum.streaming import output_dtype, plan_for, transform_file

UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12,
         "ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40}  # fmt: skip


def parse_bytes(text: str, option: str = "--memory") -> int:
    """Read ``800MB`` or ``2GiB``."""
    match = re.fullmatch(r"([0-9.]+)\s*([kmgt]?i?)b?", text.strip().lower())
    if match is None or match[2] not in UNITS or not re.fullmatch(r"\d+(\.\d+)?", match[1]):
        raise ValueError(f"{option} is {text!r}; expected bytes such as 800MB or 2GiB")
    return int(float(match[1]) * UNITS[match[2]])


def stream(
    source: Source, rows: RowMap, output: str, *, doing: str, memory: str, dtype: str | None,
    restart: bool, dry_run: bool, as_json: bool, engine: str, workers: int | None,
) -> dict[str, Any]:  # fmt: skip
    """Send a file through a function of rows, or say what that would take."""
    limit = parse_bytes(memory)
    through = _engine(engine, workers)
    if dry_run:
        return _forecast(source, rows, output, limit, dtype)
    started = time.perf_counter()
    label = f"{doing} {source.name}"
    with _terminal.Progress(label, source.n_rows, rate=True, as_json=as_json) as bar:
        try:
            found = transform_file(
                source, rows, output, dtype=dtype, memory=limit, restart=restart,
                progress=bar.advance_to, engine=through,
            )  # fmt: skip
        except KeyboardInterrupt:
            if output != STANDARD:
                _terminal.say("relatum: interrupted; the same command goes on where it was")
            raise
    return {
        "n_rows": found.n_rows,
        "n_features": source.n_features,
        "n_outputs": found.n_outputs,
        "rows_kept": found.n_kept or None,
        "seconds": round(time.perf_counter() - started, 3),
        "output": output,
    }


def _engine(name: str, workers: int | None) -> Engine | None:
    _validation.check_choice(name, "--engine", ["threads", "ray"])
    if name == "ray":
        from relatum.distributed import ray_engine

        return ray_engine(workers)
    if workers is not None:
        raise ValueError("--workers goes with --engine ray")
    return None


def _forecast(
    source: Source, rows: RowMap, output: str, memory: int, dtype: str | None
) -> dict[str, Any]:
    """Say rows, parts, bytes and seconds, from the first rows alone."""
    plan = plan_for(source, rows, memory)
    result = output_dtype(source, rows, dtype)
    batch = next(iter(source.batches(0, min(plan.block, source.n_rows))))
    started = time.perf_counter()
    Y = as_dtype(np.asarray(rows.function(batch.X)), result)
    seconds = (time.perf_counter() - started) / len(Y) * source.n_rows
    return {
        "n_rows": source.n_rows,
        "n_features": source.n_features,
        "n_outputs": rows.n_outputs,
        "parts": len(list(plan.parts(source.n_rows))),
        "rows_a_part": min(plan.part, source.n_rows),
        "bytes_to_read": source.n_rows * source.n_features * source.dtype.itemsize,
        "bytes_to_write": source.n_rows * rows.n_outputs * result.itemsize,
        "seconds": round(seconds, 1),
        "output": output,
    }


def open_source(path: str, output: str, columns: Columns) -> Source:
    """Open what a command reads; of ids that the output has no place for, say so."""
    source = columns.open(path)
    has_room = vectors.check_output(output, folders=True) not in (".npy", STANDARD)
    if source.id_column is None or has_room:
        return source
    others = [name for name in source.other_columns if name != source.id_column]
    also = f" and the columns {', '.join(others)}" if others else ""
    _validation.warn(f"{output}: .npy cannot hold the ids{also} of {path}; they are left out")
    return source.bare(ids=False)
