"""Runs any experiment: cell after cell, each result on the disk before the next begins.

What is in the results file is not run again, so an experiment that was
interrupted goes on where it stopped.
"""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from relatum import _files, _validation
from relatum.paper import results
from relatum.paper.cache import FeatureCache, Key
from relatum.paper.experiment import Experiment, Preset, Row, Stage, find

Logger = Literal["wandb", "tensorboard"]
DATA_DIR = "RELATUM_DATA_DIR"
"""Environment variable that stands in for ``--data-dir``."""


class MissingDataError(FileNotFoundError):
    """Data or a model that an experiment needs is not here; says what to put where."""


def _quiet(text: str) -> None:
    """Say nothing."""


@dataclass(frozen=True)
class Run:
    """What a task function is given beside its parameters.

    Attributes
    ----------
    work : Path
        Folder for checkpoints of this experiment and preset.
    data_dir : Path or None
        Folder of the data sets.
    kept : Path
        Where arrays for pictures go: beside the results.
    """

    experiment: str
    preset: Preset
    work: Path
    features_dir: Path
    results_dir: Path
    data_dir: Path | None = None
    logger: Logger | None = None
    say: Callable[[str], None] = _quiet
    count: Callable[[int, int], None] = lambda done, total: None

    @property
    def offline(self) -> bool:
        """Whether no hub may be asked."""
        return self.preset != "paper"

    def data(self, name: str) -> Path:
        """Return the folder (or file) ``name`` below the data folder.

        Raises
        ------
        MissingDataError
            There is none; the message says what to put where.
        """
        if self.data_dir is None:
            raise MissingDataError(
                f"{self.experiment} needs the data {name!r}: put it into a folder FOLDER/{name} "
                f"and say --data-dir FOLDER (or set {DATA_DIR})"
            )
        path = self.data_dir / name
        if not path.exists():
            raise MissingDataError(
                f"{self.experiment} needs the data {name!r}, and the data folder has none: put it "
                f"into {path}"
            )
        return path

    def features(
        self, key: Key, compute: Callable[[], Mapping[str, np.ndarray]]
    ) -> dict[str, np.ndarray]:
        """Return encoded data from the cache, or compute and keep them."""
        return FeatureCache(self.features_dir).get(key, compute)

    def keep(self, name: str, **arrays: np.ndarray) -> None:
        """Keep small arrays for a picture, beside the results."""
        path = results.kept_path(self.results_dir, self.preset, self.experiment, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        with _files.replacing(path) as temporary, open(temporary, "wb") as file:
            np.savez_compressed(file, allow_pickle=False, **arrays)

    def kept(self, name: str) -> dict[str, np.ndarray]:
        """Return what :meth:`keep` kept under that name."""
        path = results.kept_path(self.results_dir, self.preset, self.experiment, name)
        with np.load(path, allow_pickle=False) as file:
            return {key: file[key] for key in file.files}

    def step(self, text: str) -> None:
        """Say what is being done."""
        self.say(text)

    def advance(self, done: int, total: int) -> None:
        """Say how much of the cell is done."""
        self.count(done, total)


@dataclass
class Outcome:
    """How much of an experiment there is: cells that were there, run now, and gone without."""

    n_before: int = 0
    n_run: int = 0
    missing: list[str] = field(default_factory=list)


def reproduce(
    experiment: Experiment,
    *,
    preset: Preset = "offline",
    stages: Sequence[str] = (),
    data_dir: Path | None = None,
    results_dir: Path = Path("results"),
    work_dir: Path = Path("out/paper"),
    logger: Logger | None = None,
    on_cell: Callable[[str, int, int], None] = lambda what, done, total: None,
    say: Callable[[str], None] = _quiet,
) -> Outcome:
    """Run every cell of an experiment that has no result yet.

    Parameters
    ----------
    stages : sequence of str
        Only these; none: all.
    on_cell : callable (what, done, total)
        Called before each cell, and at the end.
    say : callable (text)
        Called with what a cell says that it is doing, and with what is left out.

    Raises
    ------
    MissingDataError
        Data that a stage cannot go without, or without which there is no cell at all;
        what was measured before is kept.
    ValueError
        A preset or a stage that the experiment does not have.
    """
    for name in stages:
        _validation.check_choice(name, "stage", [stage.name for stage in experiment.stages])
    chosen = [s for s in experiment.stages if not stages or s.name in stages]
    if not any(stage.cells(preset) for stage in experiment.stages):
        raise ValueError(f"{experiment.id} has no preset {preset!r}")
    data_dir = data_dir or (Path(os.environ[DATA_DIR]) if os.environ.get(DATA_DIR) else None)
    run = Run(
        experiment=experiment.id,
        preset=preset,
        work=_folder(work_dir / preset / experiment.id),
        features_dir=work_dir / "features",
        results_dir=results_dir,
        data_dir=data_dir,
        logger=logger,
        say=say,
    )
    path = results.results_path(results_dir, preset, experiment.id)
    outcome = Outcome()
    with _alone(run.work):
        done = {line["key"] for line in results.read(path)}
        todo = [(s, c) for s in chosen for c in s.cells(preset)]
        outcome.n_before = sum(stage.key(cell) in done for stage, cell in todo)
        at = outcome.n_before
        for stage in chosen:
            cells = [c for c in stage.cells(preset) if stage.key(c) not in done]
            on_cell(stage.name, at, len(todo))
            for cell, rows, seconds in _run_stage(stage, cells, run, outcome):
                line = results.make_line(
                    experiment=experiment.id,
                    preset=preset,
                    stage=stage.name,
                    key=stage.key(cell),
                    cell=cell,
                    rows=rows,
                    seconds=seconds,
                )
                results.append(path, line)
                outcome.n_run += 1
                at += 1
                on_cell(stage.name, at, len(todo))
    if outcome.missing and not outcome.n_run and not outcome.n_before:
        raise MissingDataError(outcome.missing[0])
    return outcome


def _run_stage(
    stage: Stage, cells: list[dict[str, Any]], run: Run, outcome: Outcome
) -> Iterator[tuple[dict[str, Any], list[Row], float]]:
    """Yield the cells with their rows and seconds as they come."""
    jobs = min(stage.jobs, os.cpu_count() or 1, len(cells))
    for cell, rows, seconds in _calls(stage, cells, run, jobs):
        if isinstance(rows, MissingDataError):
            if not stage.optional:
                raise rows
            run.step(f"left out: {rows}")
            outcome.missing.append(str(rows))
        else:
            yield cell, rows, seconds


def _calls(stage: Stage, cells: list[dict[str, Any]], run: Run, jobs: int) -> Iterator[Any]:
    if jobs <= 1:
        for cell in cells:
            yield _call(stage, cell, run)
        return
    import joblib

    silent = replace(run, say=_quiet)  # a terminal belongs to one process
    told: set[tuple[type[Warning], str]] = set()
    with joblib.parallel_config(backend="loky", inner_max_num_threads=1):
        parallel = joblib.Parallel(n_jobs=jobs, return_as="generator_unordered", pre_dispatch=jobs)
        calls = parallel(joblib.delayed(_call_apart)(stage, cell, silent) for cell in cells)
        try:
            for result, warned in calls:
                for category, message in set(warned) - told:  # each process would say it again
                    warnings.warn(message, category, stacklevel=2)
                told.update(warned)
                yield result
        finally:
            with warnings.catch_warnings():  # of the cells that an error cuts short
                warnings.filterwarnings("ignore", ".*have been cancelled.*")
                calls.close()


def _call_apart(
    stage: Stage, cell: dict[str, Any], run: Run
) -> tuple[Any, list[tuple[type[Warning], str]]]:
    """Run one cell in a process of its own; its warnings come back with the result."""
    with warnings.catch_warnings(record=True) as caught:
        result = _call(stage, cell, run)
    return result, [(warning.category, str(warning.message)) for warning in caught]


def _call(
    stage: Stage, cell: dict[str, Any], run: Run
) -> tuple[dict[str, Any], list[Row] | MissingDataError, float]:
    """Run one cell; data that are missing are returned, since a stage may go without."""
    task = find(stage.task)
    began = time.perf_counter()
    try:
        rows = task(run, **cell)
    except MissingDataError as error:
        return cell, error, 0.0
    return cell, rows, time.perf_counter() - began


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Refuse a second run of the same experiment at the same time."""
    filelock = _validation.require("filelock", "paper", "reproducing the paper")
    lock = filelock.FileLock(folder / "running.lock", timeout=0)
    try:
        lock.acquire()
    except filelock.Timeout:
        raise OSError(f"another run of this experiment is under way in {folder}") from None
    try:
        yield
    finally:
        lock.release()


def _folder(path: Path) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    return path
