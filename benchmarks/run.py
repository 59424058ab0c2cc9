"""Run the benchmarks and print each as a ratio against its rival in the same run.

python benchmarks/run.py                      # all that need no large files: about 30 minutes
python benchmarks/run.py streaming growth_files cluster
python benchmarks/run.py projection distances --scale 0.1
python benchmarks/run.py --record             # append to benchmarks/results.jsonl
"""

from __future__ import annotations

import os

for _name in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):  # before NumPy loads its BLAS
    os.environ.pop(_name, None)

import argparse
import contextlib
import datetime
import importlib
import importlib.metadata
import json
import platform
import subprocess
import sys
from pathlib import Path

GROUPS = ("projection", "growth", "translating", "distances", "comparing", "choosing", "startup",
          "rivals", "serving")  # fmt: skip
LARGE = ("streaming", "comparing_files", "growth_files", "cluster", "stores")
"""With files of up to 25 GB, in RELATUM_SCRATCH or the temporary folder."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("groups", nargs="*", default=GROUPS, help=", ".join((*GROUPS, *LARGE)))
    parser.add_argument("--scale", type=float, default=1.0, help="share of the full size")
    parser.add_argument("--record", action="store_true", help="append to results.jsonl")
    options = parser.parse_args()
    rows = []
    print(f"{'case':72} {'ratio':>7} {'min':>6} {'max':>6} {'goal':>6}  over")
    for group in options.groups:
        for row in importlib.import_module(group).cases(options.scale):
            goal = "" if row.goal is None else f"{row.goal:.2f}"
            missed = "  MISSED" if row.goal is not None and row.ratio > row.goal else ""
            print(
                f"{row.case:72} {row.ratio:7.3f} {row.low:6.2f} {row.high:6.2f} {goal:>6}  "
                f"{row.rival}{missed}",
                flush=True,
            )
            rows.append(row.as_dict())
    if options.record:
        record(rows, options.scale)


def record(rows: list[dict[str, object]], scale: float) -> None:
    append("results.jsonl", {"scale": scale, "rows": rows})


def append(name: str, result: dict[str, object]) -> None:
    """Append one JSON line to a file beside this one: what was run, on what, and the result."""
    commit = subprocess.run(
        ["git", "rev-parse", "HEAD"], capture_output=True, text=True, cwd=Path(__file__).parent
    ).stdout.strip()
    versions = {}
    for package in ("relatum", "numpy", "scipy", "scikit-learn", "torch", "faiss-cpu"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[package] = importlib.metadata.version(package)
    arguments = [Path(a).name if os.path.isabs(a) else a for a in sys.argv[1:]]
    line = {
        "command": " ".join(["python", "benchmarks/" + Path(sys.argv[0]).name, *arguments]),
        "commit": commit,
        "seed": 0,
        "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "cpus": os.cpu_count(),
        "versions": versions,
        **result,
    }
    with Path(__file__).with_name(name).open("a") as f:
        f.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main()
