"""Fail where a ratio of some small cases got worse by more than 15 % since a commit.

    python benchmarks/check.py                   # since the commit that benchmarks/base names
    python benchmarks/check.py --since HEAD~5

Both versions run in turn, in processes of their own, on the same machine: what is compared
is the ratio of ours to a bare product in either. A case that fails is measured again, up
to three times. Where a loss is meant, or a gain is to be kept, name another commit in
benchmarks/base.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ALLOWED = 1.15
ATTEMPTS = 3


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--since", default=(HERE / "base").read_text().strip(), metavar="COMMIT")
    parser.add_argument("--turns", type=int, default=3, help="of each version, in each attempt")
    parser.add_argument("--rounds", type=int, default=7, help="of each case in each turn")
    options = parser.parse_args()
    if _git("cat-file", "-e", f"{options.since}^{{commit}}").returncode:
        print(f"commit {options.since} is not in this clone: nothing to compare with, not checked")
        return 0
    with tempfile.TemporaryDirectory() as folder:
        archive = Path(folder) / "source.tar"
        _git("archive", "-o", str(archive), options.since, "src", check=True)
        subprocess.run(["tar", "-xf", str(archive), "-C", folder], check=True)
        sources = {"before": Path(folder) / "src", "now": HERE.parent / "src"}
        slower = set(_compare(sources, options.turns, options.rounds))
        for _ in range(ATTEMPTS - 1):
            if slower:
                slower &= set(_compare(sources, options.turns, options.rounds))
    if slower:
        print(f"slower than at {options.since} by more than 15 %: {', '.join(sorted(slower))}")
    return bool(slower)


def _compare(sources: dict[str, Path], turns: int, rounds: int) -> list[str]:
    found: dict[str, list[dict[str, float]]] = {name: [] for name in sources}
    for _ in range(turns):
        for name, source in sources.items():
            found[name].append(_measure(source, rounds))
    slower = []
    print(f"{'case':20} {'before':>7} {'now':>7} {'now/before':>11}")
    for case in found["now"][0]:
        before, now = (statistics.median(run[case] for run in found[n]) for n in ("before", "now"))
        verdict = "" if now / before <= ALLOWED else "  SLOWER"
        print(f"{case:20} {before:7.2f} {now:7.2f} {now / before:11.2f}{verdict}", flush=True)
        slower += [case] if verdict else []
    return slower


def _measure(source: Path, rounds: int) -> dict[str, float]:
    run = subprocess.run(
        [sys.executable, HERE / "check_worker.py", str(rounds)],
        env=os.environ | {"PYTHONPATH": str(source)}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    ratios: dict[str, float] = json.loads(run.stdout)
    return ratios


def _git(*arguments: str, check: bool = False) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        ["git", "-C", str(HERE.parent), *arguments], capture_output=True, check=check
    )


if __name__ == "__main__":
    sys.exit(main())
