"""What ``relatum reproduce`` shows: the list, the progress, the tables and the checks."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from relatum.paper import results, summary
from relatum.paper.experiment import Experiment, Preset, experiment_ids, load_experiment
from relatum.paper.runner import Logger, reproduce


def listed(results_dir: Path) -> list[dict[str, Any]]:
    """Return every experiment: how many cells each preset has, and how many have results."""
    found = []
    for name in experiment_ids():
        experiment = load_experiment(name)
        source = load_experiment(experiment.source)
        row: dict[str, Any] = {
            "id": name,
            "title": experiment.title,
            "section": experiment.section,
        }
        for preset in ("offline", "paper"):
            path = results.results_path(results_dir, preset, source.id)
            done = {line["key"] for line in results.read(path)}
            keys = [stage.key(c) for stage in source.stages for c in stage.cells(preset)]
            row[preset] = {"done": sum(key in done for key in keys), "cells": len(keys)}
        found.append(row)
    return found


def print_list(rows: list[dict[str, Any]], console: Console) -> None:
    """Print the experiments as a table."""
    table = Table("id", "what", "in the paper", "offline", "paper", box=None, pad_edge=False)
    for row in rows:
        counts = [f"{row[p]['done']}/{row[p]['cells']}" for p in ("offline", "paper")]
        table.add_row(row["id"], row["title"], row["section"], *counts)
    console.print(table)
    console.print("\noffline, paper: cells with results, of all. relatum reproduce ID runs one.")


def run_on_screen(
    name: str,
    *,
    preset: Preset,
    stages: Sequence[str],
    data_dir: Path | None,
    results_dir: Path,
    work_dir: Path,
    logger: Logger | None,
    console: Console,
) -> dict[str, Any]:
    """Run an experiment with its progress shown, print its tables, and return what came of it."""
    shown = load_experiment(name)
    source = load_experiment(shown.source)
    path = results.results_path(results_dir, preset, source.id)
    if shown.uses:
        console.print(f"{name} is drawn from the results of {shown.uses}")
    try:
        with _progress(console, source.id) as (on_cell, say):
            outcome = reproduce(
                source,
                preset=preset,
                stages=stages,
                data_dir=data_dir,
                results_dir=results_dir,
                work_dir=work_dir,
                logger=logger,
                on_cell=on_cell,
                say=say,
            )
    except KeyboardInterrupt:
        console.print(f"what was measured is kept in {path}; the same command goes on from there")
        raise
    found = summary.evaluate(shown, results_dir, preset)
    print_findings(shown, found, console)
    left_out = Counter(outcome.missing)
    if outcome.n_run or left_out:
        console.print(
            f"{outcome.n_run} cells run, {outcome.n_before} were there, "
            f"{len(outcome.missing)} left out; results in {path}"
        )
    else:
        console.print(
            f"nothing was run: all {outcome.n_before} cells were in {path}, measured "
            f"{_when(found.lines)}; --results FOLDER measures anew"
        )
    for text, n in left_out.items():
        console.print(f"left out ({n} cells): {text}")
    return _as_json(shown, found) | {
        "preset": preset,
        "cells_run": outcome.n_run,
        "left_out": [{"cells": n, "why": text} for text, n in left_out.items()],
    }


def _when(lines: Sequence[Mapping[str, Any]]) -> str:
    days = sorted({str(line["time"])[:10] for line in lines})
    return f"on {days[0]}" if len(days) == 1 else f"from {days[0]} to {days[-1]}"


def _as_json(experiment: Experiment, found: summary.Findings) -> dict[str, Any]:
    checks = [
        {
            "claim": o.check.claim,
            "value": o.value,
            "mean": o.mean,
            "group": o.group,
            "paper": o.check.paper,
            "passed": o.passed,
        }
        for o in found.outcomes
    ]
    return {
        "experiment": experiment.id,
        "checks": checks,
        "verdict": found.verdict,
        "seconds": round(found.seconds, 1),
    }


def print_findings(experiment: Experiment, found: summary.Findings, console: Console) -> None:
    """Print the tables and the checks of an experiment."""
    if found.verdict == "small form":
        console.print("The small form shows that the code runs; its numbers measure nothing.\n")
    for table in experiment.tables:
        header, body = summary.pivot(table, found.rows)
        if body:
            shown = Table(*header, title=table.title, title_justify="left", box=None)
            for line in body:
                shown.add_row(*line)
            console.print(shown, "")
    for outcome in found.outcomes:
        check = outcome.check
        value = "no rows" if outcome.value is None else f"{outcome.value:.3g}"
        mark = {True: "yes", False: "NO", None: "-"}[outcome.passed]
        paper = "" if check.paper is None else f"; paper {check.paper:g}"
        bounds = ", ".join(summary.bounds(check)) or "no bound"
        console.print(f"{mark:>3}  {check.claim}: {value} ({bounds}{paper})")
    console.print(f"{experiment.id}: {found.verdict}, {found.seconds / 60:.1f} minutes")


@contextmanager
def _progress(
    console: Console, name: str
) -> Iterator[tuple[Callable[[str, int, int], None], Callable[[str], None]]]:
    """Give what shows cells and steps: a bar in a terminal, else a line a cell."""
    if not console.is_terminal:
        began = time.monotonic()

        def line(what: str, done: int, total: int) -> None:
            seconds = time.monotonic() - began
            console.print(f"{name} {what}: {done} of {total} cells, {seconds:.0f} s", style=None)

        yield line, lambda text: None
        return
    from rich import progress

    columns = (
        progress.SpinnerColumn(),
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        progress.TimeElapsedColumn(),
        progress.TextColumn("{task.fields[step]}"),
    )
    with progress.Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(name, total=None, step="")

        def show(what: str, done: int, total: int) -> None:
            bar.update(task, description=f"{name} {what}", completed=done, total=total)

        yield show, lambda text: bar.update(task, step=text)
