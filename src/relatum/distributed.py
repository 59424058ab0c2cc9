"""The parts of an output, written by the workers of a Ray cluster.

Each worker reads its part of the input and writes it where the whole output grows, so that
both must be where all workers can reach them. Journal, parts and bytes are those of a run
in one process: what one began the other can finish.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from typing import Any

import numpy as np

from relatum import _validation
from relatum._streaming_run import Engine, Part, Record, Task

__all__ = ["ray_engine"]

OBJECT_STORE = 200 * 2**20
"""Bytes of shared memory for a cluster that is started here: parts go through files."""


def ray_engine(n_workers: int | None = None, *, gpus_per_worker: float = 0) -> Engine:
    """Return an engine for :func:`relatum.streaming.transform_file` on Ray Data.

    Uses the cluster that this process is connected to (``ray.init``, or ``RAY_ADDRESS``),
    and else starts one on this machine. What the rows go through (anchors, map) is sent
    once. The part of a worker that is lost is done by another.

    Parameters
    ----------
    n_workers : int, optional
        Parts that are written at once, on one processor each; else as many as the cluster
        has processors.
    gpus_per_worker : float
        Graphics processors for each, for a function of rows that uses them.

    Raises
    ------
    MissingExtraError
        Ray is not installed (extra ``ray``).

    Examples
    --------
    >>> from relatum.distributed import ray_engine
    >>> engine = ray_engine(2)  # doctest: +SKIP
    >>> transform_file("x.npy", rows, "out", engine=engine)  # doctest: +SKIP
    """
    if n_workers is not None:
        _validation.check_integer(n_workers, "n_workers")
    ray: Any = _validation.require("ray", "ray", "the engine ray")
    _validation.require("ray.data", "ray", "the engine ray")

    def run(task: Task, parts: list[Part]) -> Iterator[Record]:
        logging.getLogger("ray.data").setLevel(logging.ERROR)
        if not ray.is_initialized():
            _start(ray)
        n = n_workers or max(1, int(ray.cluster_resources().get("CPU", 1)))
        n = min(n, len(parts))
        rows = [{"part": part, "start": r.start, "stop": r.stop} for part, r in parts]
        sent = [ray.put(task)]  # in a list it is fetched by the workers, once for each machine
        how: dict[str, Any] = {"fn": _write, "fn_args": (sent,),
                               "compute": ray.data.TaskPoolStrategy(size=n)}  # fmt: skip
        if gpus_per_worker:  # a process that stays keeps what it has put on the device
            how = {"fn": _Worker, "fn_constructor_args": (sent,), "num_gpus": gpus_per_worker,
                   "compute": ray.data.ActorPoolStrategy(size=n)}  # fmt: skip
        parted = ray.data.from_items(rows, override_num_blocks=len(rows))
        written = parted.map_batches(batch_size=1, num_cpus=1, **how)
        for found in written.iter_rows():
            yield {
                "part": int(found["part"]),
                "checksum": str(found["checksum"]),
                "lost": int(found["lost"]),
                "first_lost": [int(row) for row in found["first_lost"]],
            }

    return run


def _start(ray: Any) -> None:
    """Connect to the cluster of ``RAY_ADDRESS``, or start a small one here."""
    quiet: dict[str, Any] = {"include_dashboard": False, "logging_level": logging.ERROR,
                             "log_to_driver": False}  # fmt: skip
    if "RAY_ADDRESS" not in os.environ:
        quiet["object_store_memory"] = OBJECT_STORE
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # a cluster of ours reports nothing
    ray.init(**quiet)


def _write(batch: dict[str, np.ndarray], sent: list[Any]) -> dict[str, list[Any]]:
    """Write the parts of a batch, and return their records."""
    return _Worker(sent)(batch)


class _Worker:
    """Writes the parts that it is given."""

    def __init__(self, sent: list[Any]) -> None:
        import ray

        self.task: Task = ray.get(sent[0])

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, list[Any]]:
        found: dict[str, list[Any]] = {"part": [], "checksum": [], "lost": [], "first_lost": []}
        for part, start, stop in zip(batch["part"], batch["start"], batch["stop"], strict=True):
            record = self.task.write(int(part), slice(int(start), int(stop)))
            for name, values in found.items():
                values.append(record[name])
        return found
