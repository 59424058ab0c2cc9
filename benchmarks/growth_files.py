"""How whole files grow with their rows: time and memory from 10⁵ to 10⁷ rows.

RELATUM_SCRATCH=DIR python benchmarks/run.py growth_files --record    # 40 GB at full scale
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from _files import beside, made, product
from _harness import Row

ROWS = (100_000, 1_000_000, 10_000_000)


def cases(scale: float) -> Iterator[Row]:
    d, k = 384, 300
    with tempfile.TemporaryDirectory(dir=os.environ.get("RELATUM_SCRATCH")) as name:
        folder = Path(name)
        np.save(folder / "anchors.npy", np.arange(k))
        for most in ROWS:
            n = max(2_000, round(most * scale))
            source = made(folder / "x.npy", n, d)
            yield from beside(
                f"project {n:,} × {d} on {k} anchors, .npy float16",
                ["project", source, "--anchors", folder / "anchors.npy", "--dtype", "float16"],
                source, folder / "r.npy", product(n, d, k), goal=None, bytes_out=2 * n * k,
                memory_goal=1.0,
            )  # fmt: skip
            source.unlink()
