"""What the commands under ``relatum migrate`` read and say."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from relatum import _files, _terminal
from relatum.migration.plan import EncoderPart, MigrationPlan, StorePart
from relatum.migration.planning import make_plan
from relatum.migration.steps import GateError
from relatum.migration.steps import backfill as replace_by_native
from relatum.migration.steps import run as carry_out
from relatum.migration.steps import switch as turn
from relatum.migration.verification import Verified
from relatum.migration.verification import verify as hold

FAILED = 1


@contextmanager
def _bars(as_json: bool) -> Iterator[Callable[[str, int | None], Callable[[int], object]]]:
    """Yield what shows a bar for each thing that is done, one after another."""
    shown: list[_terminal.Progress] = []

    def close() -> None:
        while shown:
            shown.pop().__exit__()

    def begin(doing: str, total: int | None) -> Callable[[int], object]:
        close()
        shown.append(_terminal.Progress(doing, total, rate=total is not None, as_json=as_json))
        return shown[-1].__enter__().advance_to

    try:
        yield begin
    finally:
        close()


def plan(
    output: str, store: StorePart, encoder: EncoderPart, **settings: Any
) -> tuple[dict[str, Any], str]:
    """Make a plan, and say what is in it."""
    _files.check_target(output)
    with _bars(False) as report:
        progress = report("embedding a pilot", settings["pilot"])
        found = make_plan(output, store, encoder, progress=progress, **settings)
    result = {"plan": output, "shadow": found.run.shadow, "alias": found.run.alias,
              "n_anchors": found.map.n_anchors, "predicted": found.predicted}  # fmt: skip
    return result, _told(output, found)


def _told(output: str, plan: MigrationPlan) -> str:
    p = plan.predicted
    lines = [f"{p['n_rows']:,} rows, native queries searching them translated "
             f"({p['method']}; 90 % intervals):", "",
             f"{'anchors':>8}  {'R@1':<21}  {'R@10':<21}  overlap@10 of {p['among']}"]  # fmt: skip
    for point in p["curve"]:
        mark = " <-" if point["n_anchors"] == plan.map.n_anchors else ""
        values = "  ".join(
            f"{v:.3f} ({low:.3f} to {high:.3f})"
            for v, low, high in (point[n] for n in ("recall_1", "recall_10", "overlap_10"))
        )
        lines.append(f"{point['n_anchors']:>8,}  {values}{mark}")
    lines += ["", f"staying: the old encoder's neighbours overlap {p['overlap_staying']:.3f}; "
                  "embedding everything: 1"]  # fmt: skip
    if "seconds_per_item" in p:
        lines.append(
            f"to embed {p['n_embedded']:,} anchors: {_time(p['seconds_to_embed_anchors'])}; "
            f"all {p['n_rows']:,}: {_time(p['seconds_to_embed_everything'])}"
        )
    if "price_of_anchors" in p:
        lines.append(
            f"price of the anchors: {p['price_of_anchors']:g}; of everything: "
            f"{p['price_of_everything']:g}"
        )
    lines += ["", f"{output}: read it, edit it, then relatum migrate run {output}"]
    return "\n".join(lines)


def _time(seconds: float) -> str:
    for unit, size in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s"


def run(path: str, *, restart: bool, as_json: bool) -> int:
    """Carry out a plan; return the exit code."""
    try:
        with _bars(as_json) as report:
            found = carry_out(path, restart=restart, report=report)
    except GateError as error:
        return _failed(error, as_json)
    text = _terminal.table({"method": found.method, "anchors": found.n_anchors,
                            **found.filled.to_dict()})  # fmt: skip
    text += f"\n\npredicted:\n{found.predicted}\n\n{found.held}"
    _terminal.report(found.to_dict(), text, as_json=as_json)
    return 0 if found.held.whole else FAILED


def _failed(error: GateError, as_json: bool) -> int:
    _terminal.report({"passed": False, "reason": str(error)}, f"gate: {error}", as_json=as_json)
    return FAILED


def verify(
    path: str, *, segment: str | None, thresholds: list[float], relevance: str | None,
    html: str | None, as_json: bool,
) -> int:  # fmt: skip
    """Hold a shadow against a sample; return the exit code."""
    if html is not None:
        _files.check_target(html)
    queries = [] if relevance is None else _json_lines(relevance)
    with _bars(as_json) as report:
        found, sample = hold(path, segment=segment, thresholds=thresholds, relevance=queries,
                             report=report)  # fmt: skip
        if html is not None:
            from relatum.migration.report import migration_report

            report("writing the report", None)
            migration_report(html, path, found, sample)
    _terminal.report(found.to_dict(), _verdict(found), as_json=as_json)
    return 0 if found.passed else FAILED


def _verdict(found: Verified) -> str:
    least = f"the plan asks for R@{found.k} of {found.min_retention:g}"
    return f"{found}\n{'passed' if found.passed else 'FAILED'}: {least}, and every row once"


def switch(path: str, *, force: bool, as_json: bool) -> int:
    """Switch the alias; return the exit code."""
    try:
        found = {"stands_for": turn(path, force=force)}
    except GateError as error:
        return _failed(error, as_json)
    _terminal.report(found, _terminal.table(found), as_json=as_json)
    return 0


def backfill(path: str, n: int, queried: str | None) -> dict[str, Any]:
    """Replace translated vectors by native ones."""
    counts = {} if queried is None else _counts(queried)
    with _bars(False) as report:
        return {"native_rows": replace_by_native(path, n, queried=counts, report=report)}


def _json_lines(path: str) -> list[Any]:
    _files.check_source(path, [".jsonl", ".json"], "queries with what is relevant")
    found = []
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                try:
                    found.append(json.loads(line))
                except ValueError as error:
                    raise ValueError(f"{path}, line {number}: no JSON ({error})") from error
                if not isinstance(found[-1], dict):
                    raise ValueError(f"{path}, line {number}: expected an object")
    return found


def _counts(path: str) -> dict[str, float]:
    _files.check_source(path, [".csv", ".tsv"], "ids and how often they are asked for")
    found = {}
    with open(path, newline="", encoding="utf-8") as file:
        delimiter = "\t" if path.endswith(".tsv") else ","
        for number, row in enumerate(csv.reader(file, delimiter=delimiter), 1):
            if not row:
                continue
            try:
                i, count = row
                found[i] = float(count)
            except ValueError as error:
                raise ValueError(
                    f"{path}, line {number}: {row!r}; expected an id and a count, without a heading"
                ) from error
    return found
