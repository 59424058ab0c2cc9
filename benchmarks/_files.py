"""Commands on large files: their time beside the product and the disk alone, their memory."""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from _harness import Row

import relatum

ROUNDS = 3
BLOCK = 20_000


def made(path: Path, n: int, d: int) -> Path:
    rng = np.random.default_rng(0)
    out = np.lib.format.open_memmap(path, "w+", np.float32, (n, d))
    for start in range(0, n, BLOCK):
        part = out[start : start + BLOCK]
        part[:] = rng.standard_normal(part.shape, dtype=np.float32)
    out.flush()
    return path


def as_parquet(source: Path, folder: Path) -> None:
    folder.mkdir()
    X = np.load(source, mmap_mode="r")
    for i, start in enumerate(range(0, len(X), 200_000)):
        relatum.write_embeddings(folder / f"{i:03}.parquet", np.array(X[start : start + 200_000]))


def product(n: int, d: int, k: int) -> Callable[[], None]:
    rng = np.random.default_rng(0)
    X = rng.standard_normal((BLOCK, d), dtype=np.float32)
    B = rng.standard_normal((d, k), dtype=np.float32)
    out = np.empty((BLOCK, k), np.float32)

    def product() -> None:
        for start in range(0, n, BLOCK):
            np.matmul(X[: n - start], B, out=out[: n - start])

    return product


def copied(source: Path, target: Path, bytes_out: int) -> None:
    """Read all of a file and write as many bytes as the result has, at the same time."""
    piece = bytearray(8 * 2**20)
    with source.open("rb", buffering=0) as read, target.open("wb", buffering=0) as write:
        left = bytes_out
        while (n := read.readinto(piece)) or left:
            written = min(left, n or len(piece), len(piece))
            write.write(memoryview(piece)[:written])
            left -= written
        os.fsync(write.fileno())
    target.unlink()


def beside(
    case: str, command: list[object], source: Path, output: Path, product: Callable[[], None],
    *, goal: float | None, bytes_out: int, memory_goal: float | None,
) -> Iterator[Row]:  # fmt: skip
    product()
    ours, limits, products, grown = [], [], [], []
    base = run(["--version"])[1]
    for _ in range(ROUNDS):
        products.append(seconds_of(product))
        limits.append(
            max(products[-1], seconds_of(copied, source, output.with_suffix(".copy"), bytes_out))
        )
        seconds, memory = run([*command, "-o", output])
        shutil.rmtree(output) if output.is_dir() else output.unlink()
        ours.append(seconds)
        grown.append((memory - base) / 1e9)
    rivals = (("the slower of product and disk alone", limits, goal),
              ("the product alone", products, None))  # fmt: skip
    for rival, theirs, wanted in rivals:
        ratios = sorted(a / b for a, b in zip(ours, theirs, strict=True))
        yield Row(case, rival, statistics.median(ratios), ratios[0], ratios[-1], wanted,
                  statistics.median(ours), statistics.median(theirs))  # fmt: skip
    if memory_goal is not None:
        memory = statistics.median(grown)
        yield Row(f"{case}: memory", "1 GB above the interpreter", memory, min(grown), max(grown),
                  memory_goal, memory, 1.0, "GB")  # fmt: skip


def seconds_of(function: Callable[..., None], *arguments: object) -> float:
    start = time.perf_counter()
    function(*arguments)
    return time.perf_counter() - start


def run(arguments: list[object]) -> tuple[float, int]:
    """Seconds and peak memory of a command, from the kernel's account of its process.

    Through a small process of its own: a child begins with the peak of its parent.
    """
    call = "import sys, relatum.cli; sys.exit(relatum.cli.main())"
    inner = [sys.executable, "-c", call, *map(str, arguments)]
    script = (
        "import os, sys, subprocess, time; t = time.perf_counter();"
        "p = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL);"
        "_, s, u = os.wait4(p.pid, 0);"
        "print(time.perf_counter() - t, u.ru_maxrss * 1024, s)"
    )
    found = subprocess.run(
        [sys.executable, "-c", script, *inner], capture_output=True, text=True, check=True
    )
    seconds, memory, status = found.stdout.split()
    if status != "0":
        raise RuntimeError(found.stderr)
    return float(seconds), int(memory)
