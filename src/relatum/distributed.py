"""The parts of an output, written by the workers of a Ray cluster.

Each worker reads its part of the input and writes it where the whole output grows, so that
both must be where all workers can reach them. Journal, parts and bytes are those of a run
in one process: what one began the other can finish.
"""

from __future__ import annotations

import itertools
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
SHARE = 4
"""Parts that a worker writes in one go, each put on the disk while the next is written."""


def ray_engine(n_workers: int | None = None, *, gpus_per_worker: float = 0) -> Engine:
    """Return an engine for :func:`relatum.streaming.transform_file` on Ray Data.

    Uses the cluster that this process is connected to (``ray.init``, or ``RAY_ADDRESS``),
    and else starts one on this machine. What the rows go through (anchors, map) is sent
    once. A worker is given up to four parts at a time and tells of each when it is on the
    disk; where it is lost, another writes its parts again.

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
        n_processors = max(1, int(ray.cluster_resources().get("CPU", 1)))
        n = n_workers or n_processors
        shares = _shares(parts, n)
        sent = [ray.put(task)]  # in a list it is fetched by the workers, once for each machine
        how: dict[str, Any] = {
            "fn": _write, "fn_args": (sent,),
            "compute": ray.data.TaskPoolStrategy(size=_tasks(n, n_processors)),
        }  # fmt: skip
        if gpus_per_worker:  # a process that stays keeps what it has put on the device
            how = {
                "fn": _Worker, "fn_constructor_args": (sent,), "num_gpus": gpus_per_worker,
                "compute": ray.data.ActorPoolStrategy(size=min(n, len(shares))),
            }  # fmt: skip
        shared = ray.data.from_items(shares, override_num_blocks=len(shares))
        shared.context.op_resource_reservation_enabled = False  # nothing else needs a share
        shared.context.target_max_block_size = 1  # a record comes as soon as its part is whole
        written = shared.map_batches(batch_size=1, num_cpus=1, **how)
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


def _tasks(n_workers: int, n_processors: int) -> int:
    """Return how many tasks to send at once.

    Where the workers have all processors, as many again wait on their machines, and begin
    without being asked for; Ray starts no more than there are processors.
    """
    return 2 * n_workers if n_workers >= n_processors else n_workers


def _shares(parts: list[Part], n_workers: int) -> list[dict[str, Any]]:
    """Divide the parts into shares of up to ``SHARE``, as many for one worker as another."""
    rounds = -(-len(parts) // (n_workers * SHARE))
    n = min(len(parts), n_workers * rounds)
    cuts = [len(parts) * i // n for i in range(n + 1)]
    return [
        {"parts": [[part, rows.start, rows.stop] for part, rows in parts[start:stop]]}
        for start, stop in itertools.pairwise(cuts)
    ]


def _write(batch: dict[str, np.ndarray], sent: list[Any]) -> Iterator[dict[str, list[Any]]]:
    """Write the parts of a share, and yield their records as they are on the disk."""
    yield from _Worker(sent)(batch)


class _Worker:
    """Writes the parts that it is given."""

    def __init__(self, sent: list[Any]) -> None:
        import ray

        self.task: Task = ray.get(sent[0])

    def __call__(self, batch: dict[str, np.ndarray]) -> Iterator[dict[str, list[Any]]]:
        for share in batch["parts"]:
            parts = [(int(part), slice(int(start), int(stop))) for part, start, stop in share]
            for record in self.task.write(parts):
                yield {name: [value] for name, value in record.items()}
