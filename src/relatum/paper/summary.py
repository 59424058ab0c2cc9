"""What rows say: means over seeds, checks against the paper, and a verdict."""

from __future__ import annotations

import datetime
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from relatum.paper import names, results
from relatum.paper.experiment import (
    Check,
    Experiment,
    PaperValue,
    Preset,
    Row,
    Table,
    load_experiment,
    matches,
)

Verdict = Literal[
    "agrees",
    "differs",
    "cannot run here",
    "goals met",
    "goals missed",
    "incomplete",
    "not run",
    "small form",
]
OF_STUDIES: dict[Verdict, Verdict] = {"agrees": "goals met", "differs": "goals missed"}
"""What is said where there is no paper to agree with, but goals."""


@dataclass(frozen=True)
class Mean:
    """Mean and standard deviation (over n - 1; nan for one) of ``n`` numbers."""

    value: float
    std: float
    n: int


@dataclass(frozen=True)
class Outcome:
    """What came of a check.

    ``value`` is the one that counts: of the worst group where there are several
    (``group`` names it), beside the ``mean`` over all groups. ``passed`` is None
    where the check sets no bound, or where there are no rows for it.
    """

    check: Check
    value: float | None
    mean: float | None
    group: dict[str, Any]
    passed: bool | None


def mean_of(rows: Iterable[Row], metric: str) -> Mean | None:
    """Return the mean of a metric over the rows that have it; None where none has."""
    values = [float(row[metric]) for row in rows if is_number(row.get(metric))]
    if not values:
        return None
    spread = statistics.stdev(values) if len(values) > 1 else math.nan
    return Mean(statistics.fmean(values), spread, len(values))


def is_number(value: Any) -> bool:
    """Say whether a row's value can be averaged."""
    return isinstance(value, (int, float)) and math.isfinite(value)


def groups(rows: Iterable[Row], fields: Sequence[str]) -> dict[tuple[Any, ...], list[Row]]:
    """Rows by their values of ``fields``, in the order in which they come."""
    found: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        found.setdefault(tuple(row.get(field) for field in fields), []).append(row)
    return found


def run_check(check: Check, rows: Sequence[Row]) -> Outcome:
    """Hold a claim against the rows: the worst of its groups decides."""
    values: list[tuple[float, dict[str, Any]]] = []
    wanted = [row for row in rows if matches(row, check.where)]
    for group, members in groups(wanted, check.each).items():
        named = dict(zip(check.each, group, strict=True))
        value = _value(check, members, rows, named)
        if value is not None:
            values.append((value, named))
    if not values:
        return Outcome(check, None, None, {}, None)
    worst = max if check.at_most is not None else min
    value, named = worst(values, key=lambda pair: pair[0])
    return Outcome(
        check, value, statistics.fmean(v for v, _ in values), named, _passed(check, values)
    )


def _value(
    check: Check, members: list[Row], rows: Sequence[Row], group: dict[str, Any]
) -> float | None:
    """The mean, over or less that of the rows of the same group (or what ``over`` says of it)."""
    found = mean_of(members, check.metric)
    against = check.over if check.over is not None else check.minus
    if found is None or against is None:
        return None if found is None else found.value
    other = mean_of((row for row in rows if matches(row, group | against)), check.metric)
    if other is None:
        return None
    if check.minus is not None:
        return found.value - other.value
    return found.value / other.value if other.value else math.inf


def _passed(check: Check, values: Sequence[tuple[float, Any]]) -> bool | None:
    if check.at_least is None and check.at_most is None:
        return None
    low = -math.inf if check.at_least is None else check.at_least
    high = math.inf if check.at_most is None else check.at_most
    return all(low <= value <= high for value, _ in values)


def verdict(outcomes: Sequence[Outcome], rows: Sequence[Row], complete: bool = True) -> Verdict:
    """``agrees`` where every bound on a claim of the paper holds, else ``differs``.

    Bounds of ours (``Check.ours``) are counted apart; where there are no others, they
    decide. ``incomplete``: cells are missing, or a bound has nothing to be held against.
    """
    bounded = [o for o in outcomes if bounds(o.check)]
    deciding = [o for o in bounded if not o.check.ours] or bounded
    if not rows or all(o.value is None for o in outcomes):
        return "not run"
    if not complete or any(o.passed is None for o in deciding):
        return "incomplete"
    return "agrees" if deciding and all(o.passed for o in deciding) else "differs"


@dataclass(frozen=True)
class Findings:
    """What an experiment's results come to: those of the cells that it has today."""

    lines: list[dict[str, Any]]
    rows: list[Row]
    outcomes: list[Outcome]
    verdict: Verdict
    seconds: float
    n_cells: int

    @property
    def on_the_clock(self) -> float:
        """Seconds in which at least one cell ran."""
        return on_the_clock(self.lines)

    @property
    def n_done(self) -> int:
        """How many cells have results."""
        return len({line["key"] for line in self.lines})


def evaluate(experiment: Experiment, results_dir: Path, preset: Preset) -> Findings:
    """Read an experiment's results and hold its checks against them.

    The small form shows that the code runs: its numbers are held against nothing.
    """
    source = load_experiment(experiment.source)
    path = results.results_path(results_dir, preset, source.id)
    lines = source.current(results.read(path), preset)
    rows = results.rows_of(lines)
    done = {line["key"] for line in lines}
    needed = [s.key(c) for s in source.stages if not s.optional for c in s.cells(preset)]
    n_cells = sum(len(stage.cells(preset)) for stage in source.stages)
    if preset == "small":
        return Findings(lines, rows, [], "small form", seconds_of(lines), n_cells)
    outcomes = [run_check(check, rows) for check in experiment.checks]
    said = verdict(outcomes, rows, complete=done.issuperset(needed))
    if experiment.is_study:
        said = OF_STUDIES.get(said, said)
    elif experiment.cannot:
        said = "cannot run here"
    return Findings(lines, rows, outcomes, said, seconds_of(lines), n_cells)


def held(outcomes: Iterable[Outcome]) -> str:
    """Write how many bounds are held, of how many."""
    passed = [o.passed for o in outcomes if bounds(o.check)]
    measured = any(p is not None for p in passed)
    return f"{sum(p is True for p in passed)} of {len(passed)}" if measured else "–"


def bounds(check: Check) -> list[str]:
    """Write the bounds of a check."""
    both = (("≥", check.at_least), ("≤", check.at_most))
    return [f"{sign} {bound:g}" for sign, bound in both if bound is not None]


def against_paper(
    experiment: Experiment, rows: Sequence[Row]
) -> list[tuple[PaperValue, Mean | None]]:
    """Each number of the paper beside ours for the same fields."""
    return [
        (paper, mean_of((row for row in rows if matches(row, paper.where)), paper.metric))
        for paper in experiment.paper_values
    ]


def pivot(
    table: Table, rows: Sequence[Row], counted: bool = False
) -> tuple[list[str], list[list[str]]]:
    """Return the header and the lines of a table, each cell a mean ± std.

    ``counted``: the last column says of how many rows a line's means are.
    """
    rows = [row for row in rows if matches(row, table.where)]
    rows = [row for row in rows if any(is_number(row.get(m)) for m in table.metrics)]
    columns = list(groups(rows, table.columns))
    lines = groups(rows, table.rows)
    shown = [
        (column, metric)
        for column in columns
        for metric in table.metrics
        if any(
            is_number(row.get(metric))
            for row in rows
            if tuple(row.get(c) for c in table.columns) == column
        )
    ]
    header = [*map(names.field, table.rows), *(_heading(c, metric, table) for c, metric in shown)]
    if counted:
        header.append("n")
    body = []
    for line in _ordered(list(lines)):
        by_column = groups(lines[line], table.columns)
        means = [(mean_of(by_column.get(column, []), metric), metric) for column, metric in shown]
        cells = [show(mean, table.digits_of(metric)) for mean, metric in means]
        if counted:
            cells.append(" / ".join(sorted({str(mean.n) for mean, _ in means if mean})))
        body.append([*(names.value(f, v) for f, v in zip(table.rows, line, strict=True)), *cells])
    return header, body


def _ordered(lines: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Sort lines by their numbers; words keep the order in which they came."""
    came = [list(dict.fromkeys(column)) for column in zip(*lines, strict=True)]

    def key(line: tuple[Any, ...]) -> tuple[float, ...]:
        return tuple(
            float(value) if all(map(is_number, column)) else column.index(value)
            for value, column in zip(line, came, strict=True)
        )

    return sorted(lines, key=key)


def _heading(column: tuple[Any, ...], metric: str, table: Table) -> str:
    words = [
        f"{names.field(field)}: {name}" if name in ("yes", "no") else name
        for field, value in zip(table.columns, column, strict=True)
        if value is not None and (name := names.value(field, value))
    ]
    if len(table.metrics) == 1 and words:
        return ", ".join(words)
    return ", ".join([*words, names.metric(metric)])


def show(mean: Mean | None, digits: int = 2) -> str:
    """Write a mean with its standard deviation, if that shows; a dash where there is none."""
    if mean is None:
        return "–"
    spread = "" if math.isnan(mean.std) else f"{mean.std:.{digits}f}"
    if not spread or not float(spread):
        return f"{mean.value:.{digits}f}"
    return f"{mean.value:.{digits}f} ± {spread}"


def seconds_of(lines: Iterable[Mapping[str, Any]]) -> float:
    """Seconds that all cells took, one after another."""
    return float(sum(line["seconds"] for line in lines))


def on_the_clock(lines: Iterable[Mapping[str, Any]]) -> float:
    """Seconds in which at least one cell ran: a line says when it ended, and how long it took."""
    ends = [(datetime.datetime.fromisoformat(line["time"]).timestamp(), line) for line in lines]
    total, until = 0.0, -math.inf
    for began, end in sorted((end - line["seconds"], end) for end, line in ends):
        total += max(0.0, end - max(began, until))
        until = max(until, end)
    return total
