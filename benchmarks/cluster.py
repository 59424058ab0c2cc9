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

source, output, workers, nodes = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
rows = projection_of_rows(fit_projection(np.load(source, mmap_mode="r")[:300].copy()))
if nodes:
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": workers // nodes})
    for _ in range(nodes - 1):
        cluster.add_node(num_cpus=workers // nodes)
    ray.init(address=cluster.address, log_to_driver=False)
seconds = []
for _ in range(2):
    started = time.perf_counter()
    transform_file(source, rows, output, engine=ray_engine(workers) if nodes else None)
    seconds.append(time.perf_counter() - started)
    os.unlink(output)
print(json.dumps({"seconds": seconds}))
if nodes:
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
        command += ["--engine", "ray", "--workers", "2"]
        # workers and nodes; without a node it is one process, with threads of its own
        kinds = {"alone": (0, 0), "here": (2, 1), "one": (1, 1), "two": (2, 2)}
        times: dict[str, list[list[float]]] = {name: [] for name in (*kinds, "command")}
        for _ in range(ROUNDS):
            for name, (workers, nodes) in kinds.items():
                times[name].append(_on_nodes(source, folder / "r.npy", workers, nodes))
            times["command"].append([run(command)[0]])
            (folder / "r.npy").unlink()
    case = f"project {n:,} × {d} on 300 anchors"
    first = {name: [both[0] for both in found] for name, found in times.items()}
    later = {name: [both[-1] for both in found] for name, found in times.items()}
    alone = later["alone"]
    yield _row(f"{case}, 2 workers of a Ray that ran it before", "one process", later["here"],
               alone, 1.3)  # fmt: skip
    yield _row(
        f"{case}, 2 workers, the first job of a Ray", "one process", first["here"], alone, None
    )
    yield _row(f"{case}, --engine ray, from its start", "one process", later["command"], alone,
               None)  # fmt: skip
    yield _row(f"{case}, 2 nodes of one processor", "1 node", later["two"], later["one"], None)


def _on_nodes(source: Path, output: Path, workers: int, nodes: int) -> list[float]:
    """Return the seconds of a job and of the same job again."""
    found = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(source), str(output), str(workers), str(nodes)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    lines = [line for line in found.stdout.splitlines() if line.startswith("{")]
    seconds: list[float] = json.loads(lines[-1])["seconds"]
    return seconds


def _row(case: str, rival: str, ours: list[float], theirs: list[float], goal: float | None) -> Row:
    ratios = sorted(a / b for a, b in zip(ours, theirs, strict=True))
    return Row(case, rival, statistics.median(ratios), ratios[0], ratios[-1], goal,
               statistics.median(ours), statistics.median(theirs))  # fmt: skip
