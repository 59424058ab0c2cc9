"""Paired timing and memory: every figure is a ratio against a rival in the same run."""

from __future__ import annotations

import ctypes
import gc
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np

REST = 0.05
"""Seconds; OpenBLAS waits for about 0.03."""


@dataclass
class Row:
    """One line of the results: ours over the rival, and the goal it is held against."""

    case: str
    rival: str
    ratio: float
    low: float
    high: float
    goal: float | None
    ours: float
    theirs: float
    unit: str = "s"

    def as_dict(self) -> dict[str, object]:
        return asdict(self)


def timed(function: Callable[[], object]) -> float:
    start = time.perf_counter()
    result = function()
    seconds = time.perf_counter() - start
    del result
    return seconds


def at_rest(function: Callable[[], object]) -> float:
    time.sleep(REST)
    return timed(function)


def race(
    case: str,
    ours: Callable[[], object],
    rival: str,
    theirs: Callable[[], object],
    *,
    goal: float | None = None,
    rounds: int = 5,
) -> Row:
    """Run ours and theirs in turn after one warm-up; the median ratio of the pairs.

    Each begins at rest: the threads of a BLAS go on waiting actively for a while after a
    product, and would take a core from what follows.
    """
    ours()
    theirs()
    gc.collect()
    pairs = [(at_rest(ours), at_rest(theirs)) for _ in range(rounds)]
    ratios = sorted(a / b for a, b in pairs)
    return Row(
        case,
        rival,
        statistics.median(ratios),
        ratios[0],
        ratios[-1],
        goal,
        statistics.median(a for a, _ in pairs),
        statistics.median(b for _, b in pairs),
    )


def peak_memory(function: Callable[[], object]) -> int:
    """Bytes by which the process grows at its highest while ``function`` runs (Linux)."""
    gc.collect()
    ctypes.CDLL("libc.so.6").malloc_trim(0)  # else buffers kept from before hide new ones
    with open("/proc/self/clear_refs", "w") as f:
        f.write("5")  # resets the high-water mark
    before = _status("VmRSS")
    result = function()
    peak = _status("VmHWM")
    del result
    return peak - before


def _status(field: str) -> int:
    with open("/proc/self/status") as f:
        for line in f:
            if line.startswith(field + ":"):
                return int(line.split()[1]) * 1024
    raise RuntimeError(f"/proc/self/status has no {field}")


def memory(
    case: str, function: Callable[[], object], output_bytes: int, *, goal: float | None = None
) -> Row:
    """Extra peak memory over the size of the output."""
    function()
    peaks = sorted(peak_memory(function) for _ in range(3))
    return Row(
        case,
        "bytes of the output",
        peaks[1] / output_bytes,
        peaks[0] / output_bytes,
        peaks[-1] / output_bytes,
        goal,
        peaks[1] / 2**20,
        output_bytes / 2**20,
        "MiB",
    )


def embeddings(n: int, d: int, seed: int = 0) -> np.ndarray:
    """Rows like an encoder's: a common mean and a decaying spectrum, float32."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, d), dtype=np.float32)
    X *= 1 / np.sqrt(1 + np.arange(d, dtype=np.float32))
    X += rng.standard_normal(d, dtype=np.float32) * 0.1
    return X
