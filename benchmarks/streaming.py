"""Whole files through a projection or a map, beside what they must cost.

    RELATUM_SCRATCH=DIR python benchmarks/run.py streaming --record

The limit is the slower of two things measured in the same round: the bare products in
float32, and reading and writing the same bytes with fsync. Memory is what the kernel says
of the command's own process, less that of `relatum --version`. Files go to RELATUM_SCRATCH,
or to the temporary folder: 13 GB at full scale.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from _files import ROUNDS, as_parquet, beside, made, product, seconds_of
from _harness import Row

import relatum


def cases(scale: float) -> Iterator[Row]:
    with tempfile.TemporaryDirectory(dir=os.environ.get("RELATUM_SCRATCH")) as name:
        folder = Path(name)
        n = max(20_000, round(5_000_000 * scale))
        yield from _projected(folder, n, 384, 512)
        n = max(20_000, round(1_000_000 * scale))
        yield from _translated(folder, n, 768)


def _projected(folder: Path, n: int, d: int, k: int) -> Iterator[Row]:
    source = made(folder / "x.npy", n, d)
    np.save(folder / "anchors.npy", np.arange(k))
    command = ["project", source, "--anchors", folder / "anchors.npy", "--dtype", "float16"]
    yield from beside(
        f"project {n:,} × {d} on {k} anchors, .npy float16", command, source, folder / "r.npy",
        product(n, d, k), goal=1.25, bytes_out=2 * n * k, memory_goal=1.0,
    )  # fmt: skip
    source.unlink()


def _translated(folder: Path, n: int, d: int) -> Iterator[Row]:
    source = made(folder / "x.npy", n, d)
    anchors = np.load(source, mmap_mode="r")[:2000]
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(d, d)))[0]
    fitted = relatum.Translation("procrustes").fit(np.array(anchors), anchors @ turn)
    relatum.save(fitted, folder / "map.safetensors")
    command = ["translate", source, "--map", folder / "map.safetensors"]
    bare = product(n, d, d)
    yield from beside(
        f"translate {n:,} × {d}, .npy float32", command, source, folder / "r.npy", bare,
        goal=1.15, bytes_out=4 * n * d, memory_goal=None,
    )  # fmt: skip
    as_parquet(source, folder / "in")
    command[1] = folder / "in"
    found = beside(
        f"translate {n:,} × {d}, folders of Parquet", command, source, folder / "out", bare,
        goal=1.5, bytes_out=4 * n * d, memory_goal=None,
    )  # fmt: skip
    rows = list(found)
    yield from rows
    yield _beside_arrow(rows[0], folder / "in", folder / "copy")
    source.unlink()


def _beside_arrow(row: Row, source: Path, output: Path) -> Row:
    """The same command over PyArrow alone, which reads these lists and writes as many."""
    script = (
        "import os, sys; from pathlib import Path; import pyarrow.parquet as pq\n"
        "out = Path(sys.argv[2]); out.mkdir(exist_ok=True)\n"
        "for path in sorted(Path(sys.argv[1]).iterdir()):\n"
        "    with pq.ParquetFile(path) as file, pq.ParquetWriter(out / path.name, "
        "file.schema_arrow, compression='none', use_dictionary=False) as writer:\n"
        "        for batch in file.iter_batches(10_000):\n"
        "            writer.write_batch(batch)\n"
    )
    command = [sys.executable, "-c", script, str(source), str(output)]
    alone = sorted(seconds_of(subprocess.check_call, command) for _ in range(ROUNDS))
    ratios = [row.ours / seconds for seconds in reversed(alone)]
    return Row(row.case, "PyArrow alone, reading and writing such lists", statistics.median(ratios),
               ratios[0], ratios[-1], None, row.ours, statistics.median(alone))  # fmt: skip
