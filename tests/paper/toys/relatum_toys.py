"""Task and picture functions that cost nothing."""

import os
import time
import warnings
from pathlib import Path
from typing import Literal

from relatum import RelatumWarning

CHOICES = {"dataset": ("one", "two")}


def measure(run, *, dataset: str, seed: int, factor: float = 1.0, mode: Literal["a", "b"] = "a"):
    log = run.work / "calls.txt"
    with log.open("a") as file:
        file.write(f"{dataset} {seed}\n")
    run.step(f"measuring {dataset}")
    if os.environ.get("TOY_FAILS_AT") == f"{dataset} {seed}":
        raise KeyboardInterrupt
    value = factor * (seed + 1) * {"one": 1, "two": 10}[dataset]
    return [{"score": value, "stitched": False}, {"score": value / 2, "stitched": True}]


def needs_data(run, *, dataset: str, seed: int):
    return [{"files": len(list(run.data(dataset).iterdir()))}]


def needs_data_for_two(run, *, dataset: str, seed: int):
    return (needs_data if dataset == "two" else measure)(run, dataset=dataset, seed=seed)


def slow(run, *, dataset: str, seed: int):
    time.sleep(0.05)
    return [{"score": float(seed), "pid": os.getpid()}]


def warns(run, *, dataset: str, seed: int):
    warnings.warn(f"{dataset} is odd", RelatumWarning, stacklevel=1)
    return slow(run, dataset=dataset, seed=seed)


def draw(rows, kept, path: Path, *, colour: str = "red"):
    path.write_bytes(f"{len(rows)} {sorted(kept)} {colour}".encode())
