"""The workers of a Ray cluster against one process: the same file, the same bytes.

RELATUM_SCRATCH=DIR python benchmarks/run.py cluster --record
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from _files import ROUNDS, made, run
from _harness import Row

SCRIPT = """
import json, os, sys, time
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
import numpy as np, ray
from ray.cluster_utils import Cluster
from relatum.distributed import ray_engine
from relatum.projection import fit_projection
from relatum.row_maps import projection_of_rows
from relatum.streaming import transform_file

source, output, nodes = sys.argv[1], sys.argv[2], int(sys.argv[3])
rows = projection_of_rows(fit_projection(np.load(source, mmap_mode="r")[:300].copy()))
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
for _ in range(nodes - 1):
    cluster.add_node(num_cpus=1)
ray.init(address=cluster.address, log_to_driver=False)
started = time.perf_counter()
transform_file(source, rows, output, engine=ray_engine(nodes))
print(json.dumps({"seconds": time.perf_counter() - started}))
ray.shutdown()
cluster.shutdown()
"""


def cases(scale: float) -> Iterator[Row]:
    n, d = max(50_000, round(1_000_000 * scale)), 384
    with tempfile.TemporaryDirectory(dir=os.environ.get("RELATUM_SCRATCH")) as name:
        folder = Path(name)
        source = made(folder / "x.npy", n, d)
        np.save(folder / "anchors.npy", np.arange(300))
        command = ["project", source, "--anchors", folder / "anchors.npy", "-o", folder / "r.npy"]
        alone, ray, one, two = [], [], [], []
        for _ in range(ROUNDS):
            alone.append(_gone(folder, run(command)[0]))
            ray.append(_gone(folder, run([*command, "--engine", "ray", "--workers", "2"])[0]))
            one.append(_gone(folder, _on_nodes(source, folder / "r.npy", 1)))
            two.append(_gone(folder, _on_nodes(source, folder / "r.npy", 2)))
    case = f"project {n:,} × {d} on 300 anchors"
    yield _row(
        f"{case}, --engine ray, 2 workers, its start included", "one process", ray, alone, 1.3
    )
    yield _row(
        f"{case}, cluster of 2 nodes of a processor, started before", "1 node", two, one, None
    )


def _on_nodes(source: Path, output: Path, nodes: int) -> float:
    found = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(source), str(output), str(nodes)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    lines = [line for line in found.stdout.splitlines() if line.startswith("{")]
    return float(json.loads(lines[-1])["seconds"])


def _gone(folder: Path, seconds: float) -> float:
    (folder / "r.npy").unlink()
    return seconds


def _row(case: str, rival: str, ours: list[float], theirs: list[float], goal: float | None) -> Row:
    ratios = sorted(a / b for a, b in zip(ours, theirs, strict=True))
    return Row(case, rival, statistics.median(ratios), ratios[0], ratios[-1], goal,
               statistics.median(ours), statistics.median(theirs))  # fmt: skip
