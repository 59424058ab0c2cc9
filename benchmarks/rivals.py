"""latentis 0.0.8 in an environment of its own, named by RELATUM_BENCH_LATENTIS.

Make one with: python -m venv V && V/bin/pip install -c constraints.txt torch latentis==0.0.8
transformers, then RELATUM_BENCH_LATENTIS=V/bin/python make bench.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from _harness import Row


def cases(scale: float) -> Iterator[Row]:
    python = os.environ.get("RELATUM_BENCH_LATENTIS")
    if not python:
        print("latentis left out: RELATUM_BENCH_LATENTIS names no interpreter", file=sys.stderr)
        return
    worker = Path(__file__).with_name("latentis_worker.py")
    run = subprocess.run(
        [python, str(worker), str(int(200_000 * scale))], check=True, capture_output=True, text=True
    )
    for row in json.loads(run.stdout.splitlines()[-1]):
        yield Row(**row)
