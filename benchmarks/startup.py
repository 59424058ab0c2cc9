"""Processor time of ``import relatum``, beside that of its one heavy dependency, NumPy."""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
from collections.abc import Iterator

from _harness import Row


def _cpu(code: str) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", code], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime - before.ru_utime) + (after.ru_stime - before.ru_stime)


def cases(scale: float) -> Iterator[Row]:
    del scale
    _cpu("import relatum")
    pairs = [(_cpu("import relatum"), _cpu("import numpy")) for _ in range(7)]
    seconds = sorted(a for a, _ in pairs)
    median = statistics.median(seconds)
    yield Row(
        "python -c 'import relatum', CPU time",
        "1 second",
        median,
        seconds[0],
        seconds[-1],
        0.4,
        median,
        1.0,
    )
    ratios = sorted(a / b for a, b in pairs)
    yield Row(
        "python -c 'import relatum', CPU time",
        "python -c 'import numpy'",
        statistics.median(ratios),
        ratios[0],
        ratios[-1],
        None,
        median,
        statistics.median(b for _, b in pairs),
    )
