"""Documentation pages made from experiments and their results: nothing on them is typed in."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from relatum import _validation
from relatum.paper import names, summary
from relatum.paper.experiment import (
    Experiment,
    PaperValue,
    Row,
    Stage,
    experiment_ids,
    find,
    load_experiment,
)


def write_pages(results_dir: Path, target: Path) -> list[Path]:
    """Write a page for each experiment, and the summary; returns what was written."""
    target.mkdir(parents=True, exist_ok=True)
    written = []
    entries = []
    for name in experiment_ids():
        experiment = load_experiment(name)
        page = describe(experiment, results_dir)
        entries.append(page)
        written.append(_write(target / f"{name}.md", _render("page.md.j2", page)))
    text = _render("summary.md.j2", {"experiments": [_entry(page) for page in entries]})
    return [*written, _write(target / "index.md", text)]


def draw_pictures(results_dir: Path, target: Path, only: Sequence[str] = ()) -> list[Path]:
    """Draw the pictures of experiments that have results (all, or those named)."""
    target.mkdir(parents=True, exist_ok=True)
    drawn = []
    for name in only or experiment_ids():
        experiment = load_experiment(name)
        found = summary.evaluate(experiment, results_dir, "offline")
        kept = kept_arrays(results_dir, experiment.source)
        for picture in experiment.pictures if drawable(experiment, found.lines) else []:
            path = target / f"{name}-{picture.name}.png"
            find(picture.draw)(found.rows, kept, path, **picture.options)
            drawn.append(path)
    return drawn


def drawable(experiment: Experiment, lines: Sequence[Mapping[str, Any]]) -> bool:
    """Say whether every stage (but optional ones) has begun to give results."""
    stages = load_experiment(experiment.source).stages
    needed = {s.name for s in stages if s.cells("offline") and not s.optional}
    return bool(lines) and needed <= {line["stage"] for line in lines}


def kept_arrays(
    folder: Path, experiment: str, preset: str = "offline"
) -> dict[str, dict[str, np.ndarray]]:
    """Return the arrays that an experiment kept for its pictures, by their names."""
    found = {}
    for path in sorted((folder / preset).glob(f"{experiment}.*.npz")):
        with np.load(path, allow_pickle=False) as file:
            name = path.name.removeprefix(f"{experiment}.").removesuffix(".npz")
            found[name] = {key: file[key] for key in file.files}
    return found


def describe(experiment: Experiment, results_dir: Path) -> dict[str, Any]:
    """Return all that the page of an experiment says."""
    found = summary.evaluate(experiment, results_dir, "offline")
    values = summary.against_paper(experiment, found.rows)
    shown = [(value, ours) for value, ours in values if ours is not None]
    fields = list(dict.fromkeys(field for value, _ in shown for field in value.where))
    counted = found.n_done < found.n_cells
    return {
        "e": experiment,
        "heading": f"{experiment.id.replace('-', ' ').capitalize()}: {experiment.title}",
        "verdict": found.verdict,
        "n_done": found.n_done,
        "n_cells": found.n_cells,
        "minutes": minutes(found.seconds),
        "on_the_clock": minutes(found.on_the_clock),
        "outcomes": found.outcomes,
        "checks": [_check(outcome) for outcome in found.outcomes],
        "tables": [
            {"title": table.title, "header": header, "body": body}
            for table in experiment.tables
            for header, body in [summary.pivot(table, found.rows, counted)]
            if body
        ],
        "paper_fields": [names.field(field) for field in fields],
        "paper_values": [_paper_value(v, ours, fields, found.rows) for v, ours in shown],
        "paper_alone": [
            {
                "what": ", ".join(
                    f"{names.field(f)} {' or '.join(names.value(f, x) for x in _listed(v))}"
                    for f, v in value.where.items()
                    if any(names.value(f, x) for x in _listed(v))
                ),
                "metric": names.metric(value.metric),
                "paper": _shown(value),
            }
            for value, ours in values
            if ours is None
        ],
        "pictures": [
            {"file": f"{experiment.id}-{p.name}.png", "caption": p.caption}
            for p in (experiment.pictures if drawable(experiment, found.lines) else [])
        ],
        "settings": _by_stage(experiment.stages),
    }


def minutes(seconds: float) -> str:
    """Write seconds as minutes."""
    return f"{seconds / 60:.1f} minutes" if seconds < 6_000 else f"{seconds / 3600:.1f} hours"


def _entry(page: Mapping[str, Any]) -> dict[str, Any]:
    experiment = page["e"]
    verdict = page["verdict"]
    if verdict == "incomplete":
        verdict += f" ({page['n_done']} of {page['n_cells']} cells)"
    took = f"with [{experiment.uses}]({experiment.uses}.md)" if experiment.uses else page["minutes"]
    return {
        "id": experiment.id,
        "is_study": experiment.is_study,
        "title": experiment.title,
        "verdict": verdict,
        "held": summary.held(o for o in page["outcomes"] if not o.check.ours),
        "ours": summary.held(o for o in page["outcomes"] if o.check.ours),
        "took": took if page["n_done"] else "–",
        "clock": "" if experiment.uses or not page["n_done"] else page["on_the_clock"],
    }


def _check(outcome: summary.Outcome) -> dict[str, str]:
    check = outcome.check
    group = ", ".join(names.value(f, v) for f, v in outcome.group.items())
    value = "not run" if outcome.value is None else f"{outcome.value:.3g}"
    if outcome.group and outcome.mean is not None:
        value += f" ({outcome.mean:.3g})"
    return {
        "claim": check.claim,
        "group": f" (worst: {group})" if group else "",
        "note": f"; {check.note}" if check.note else "",
        "paper": "ours" if check.ours else "–" if check.paper is None else f"{check.paper:g}",
        "value": value,
        "bound": " and ".join(summary.bounds(check)) or "–",
        "holds": {True: "yes", False: "**no**", None: "–"}[outcome.passed],
    }


def _paper_value(
    value: PaperValue, ours: summary.Mean, fields: Sequence[str], rows: Sequence[Row]
) -> dict[str, Any]:
    ratio = f"{ours.value / value.value:.2f}" if value.value else "–"
    return {
        "fields": [names.value(f, _measured(value.where.get(f), f, rows)) for f in fields],
        "metric": names.metric(value.metric),
        "paper": _shown(value),
        "ours": summary.show(ours),
        "ratio": ratio,
    }


def _shown(value: PaperValue) -> str:
    spread = float("nan") if value.std is None else value.std
    return summary.show(summary.Mean(value.value, spread, 1))


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _measured(value: Any, field: str, rows: Sequence[Row]) -> Any:
    """Of several values that would do, those that results have; all where they have none."""
    if not isinstance(value, list):
        return value
    return [v for v in value if any(row.get(field) == v for row in rows)] or value


def _by_stage(stages: Sequence[Stage]) -> list[dict[str, str]]:
    """The settings of all stages, one line for those that share it."""
    lines: dict[tuple[str, ...], list[str]] = {}
    for stage in stages:
        for s in _settings(stage):
            key = (s["name"], s["offline"], s["paper"], s["source"])
            lines.setdefault(key, []).append(stage.name)
    return [
        {
            "stage": "all" if len(members) == len(stages) else ", ".join(members),
            **dict(zip(("name", "offline", "paper", "source"), key, strict=True)),
        }
        for key, members in lines.items()
    ]


def _settings(stage: Stage) -> list[dict[str, str]]:
    """One line a setting: what each preset has, and the source."""
    shown: dict[str, dict[str, str]] = {}
    for preset in ("offline", "paper"):
        layers = [stage.settings, *(layer.settings for layer in stage.layers(preset))]
        for settings in layers if stage.cells(preset) else []:
            for name, setting in settings.items():
                line = shown.setdefault(name, {"stage": stage.name, "name": name, "source": ""})
                line[preset] = _value(setting.value)
                if setting.source not in line["source"]:
                    line["source"] += ("; " if line["source"] else "") + setting.source
        for layer in stage.layers(preset):
            for name, values in layer.grid.items():
                line = shown.setdefault(name, {"stage": stage.name, "name": name, "source": "grid"})
                line[preset] = _value(values)
    return [{"offline": "–", "paper": "–"} | line for line in shown.values()]


def _value(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text.strip('"') if isinstance(value, str) else text


def _render(template: str, values: Mapping[str, Any]) -> str:
    jinja2 = _validation.require("jinja2", "paper", "documentation pages")
    text = (resources.files(__package__) / template).read_text(encoding="utf-8")
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True)
    return str(environment.from_string(text).render(**values)).rstrip() + "\n"


def _write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path
