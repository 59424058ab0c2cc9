"""Two files compared: CKA, CCA and Procrustes of all rows, the rest on a sample.

RELATUM_SCRATCH=DIR python benchmarks/run.py comparing_files --record    # 3 GB at full scale
"""

from __future__ import annotations

import os
import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from _files import ROUNDS, made, run, seconds_of
from _harness import Row


def cases(scale: float) -> Iterator[Row]:
    with tempfile.TemporaryDirectory(dir=os.environ.get("RELATUM_SCRATCH")) as name:
        yield from _compared(Path(name), max(20_000, round(1_000_000 * scale)), 384)


def _compared(folder: Path, n: int, d: int) -> Iterator[Row]:
    a, b = made(folder / "a.npy", n, d), made(folder / "b.npy", n, d)
    block = np.load(a, mmap_mode="r")[:10_000].copy()

    def products() -> None:
        for _ in range(3 * n // len(block)):
            block.T @ block

    base = run(["--version"])[1]
    ours, bare, grown = [], [], []
    for _ in range(ROUNDS):
        bare.append(seconds_of(products))
        seconds, memory = run(["compare", a, b, "--all-rows", "--json"])
        ours.append(seconds)
        grown.append((memory - base) / 1e9)
    ratios = sorted(x / y for x, y in zip(ours, bare, strict=True))
    case = f"compare {n:,} × {d}, all rows and a sample of 5,000"
    yield Row(case, "three bare products of all rows", statistics.median(ratios), ratios[0],
              ratios[-1], None, statistics.median(ours), statistics.median(bare))  # fmt: skip
    used = statistics.median(grown)
    yield Row(f"{case}: memory", "2 GB above the interpreter", used / 2, min(grown) / 2,
              max(grown) / 2, 1.0, used, 2.0, "GB")  # fmt: skip
