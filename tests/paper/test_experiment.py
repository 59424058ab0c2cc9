"""Experiments as data: what their YAML may hold, and that every one fits its code."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("yaml", reason="the paper's experiments need the extra paper")
pytest.importorskip("pydantic", reason="the paper's experiments need the extra paper")

from relatum import MissingExtraError
from relatum.paper import experiment as ex

TOY = """
id: table-1
title: A toy
section: none
claim: Nothing.
stages:
  - name: measure
    task: relatum_toys:measure
    settings: {factor: {value: 2.0, source: none at all}}
    offline:
      grid: {dataset: [one, two], seed: [0, 1]}
      exclude: [{dataset: two, seed: 1}]
    paper: {settings: {mode: {value: b, source: the code}}, grid: {dataset: [one], seed: [0]}}
    small: {grid: {seed: [5]}}
"""


@pytest.fixture(autouse=True)
def _toys(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parent / "toys"))


def toy(*changes):
    text = TOY
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return ex.parse_experiment(text, "table-1")


def test_cells_are_the_product_of_the_grid_without_what_is_excluded():
    (stage,) = toy().stages
    cells = stage.cells("offline")
    assert [(c["dataset"], c["seed"]) for c in cells] == [("one", 0), ("one", 1), ("two", 0)]
    assert all(c["factor"] == 2.0 and "mode" not in c for c in cells)


def test_presets_override_the_common_settings():
    (stage,) = toy().stages
    assert stage.cells("paper") == [{"factor": 2.0, "mode": "b", "dataset": "one", "seed": 0}]


def test_small_lies_over_offline():
    (stage,) = toy().stages
    assert [(c["dataset"], c["seed"]) for c in stage.cells("small")] == [("one", 5), ("two", 5)]


def test_a_small_setting_takes_the_place_of_a_grid():
    new = "small: {settings: {dataset: {value: two, source: short}}, grid: {seed: [5]}}"
    (stage,) = toy(("small: {grid: {seed: [5]}}", new)).stages
    assert [(c["dataset"], c["seed"]) for c in stage.cells("small")] == [("two", 5)]


def test_a_stage_without_anything_for_a_preset_has_no_cells():
    (stage,) = toy(("    paper: {settings", "    paper: {}\n    #")).stages
    assert stage.cells("paper") == []


def test_a_key_changes_with_every_argument_and_with_the_version():
    (stage,) = toy().stages
    (newer,) = toy(("    settings: {factor", "    version: 2\n    settings: {factor")).stages
    cell = stage.cells("offline")[0]
    keys = {stage.key(cell), stage.key(cell | {"seed": 7}), newer.key(cell)}
    assert len(keys) == 3
    assert stage.key(dict(reversed(cell.items()))) == stage.key(cell)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("title: A toy", "titel: A toy", "titel"),
        ("id: table-1", "id: table-2", "has the id 'table-2'"),
        ("id: table-1", "id: one", "should match pattern"),
        ("source: none at all", "source: ''", "at least 3"),
        ("title: A toy", "title: [", "is no experiment"),
        ("stages:", "uses: table-2\nstages:", "either stages or uses"),
        (
            "claim: Nothing.",
            "claim: N\nchecks: [{claim: c, metric: m, over: {a: 1}, minus: {a: 2}}]",
            "over or minus, not both",
        ),
    ],
)
def test_a_wrong_yaml_is_refused(old, new, message):
    with pytest.raises(ValueError, match=message):
        toy((old, new))


def test_two_stages_of_one_name_are_refused():
    stage = TOY[TOY.index("  - name") :]
    with pytest.raises(ValueError, match="expected each once"):
        ex.parse_experiment(TOY + stage, "table-1")


def test_a_sound_experiment_has_no_problems():
    assert ex.problems(toy()) == []


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("factor: {", "faktor: {", "'faktor' is not a parameter"),
        ("dataset: [one, two]", "dataset: [one, three]", "dataset is 'three'; expected one of"),
        ("seed: [0, 1]", "seed: [zero]", "seed is 'zero': Input should be a valid integer"),
        ("value: b,", "value: c,", "mode is 'c': Input should be 'a' or 'b'"),
        ("dataset: [one], seed: [0]}}", "dataset: [one]}}", "'seed' is not given"),
    ],
)
def test_what_the_signature_does_not_take_is_a_problem(old, new, message):
    assert any(message in problem for problem in ex.problems(toy((old, new))))


def test_a_picture_is_held_against_its_function():
    text = TOY + "pictures: [{name: p, draw: relatum_toys.draw, caption: c, options: {size: 1}}]"
    (problem,) = ex.problems(ex.parse_experiment(text, "table-1"))
    assert "takes no 'size'" in problem


@pytest.mark.parametrize("path", ["relatum_toys:nothing", "relatum.nothing:x", "nothing"])
def test_a_name_of_no_function_is_refused(path):
    with pytest.raises(ValueError, match="names no function"):
        ex.find(path)


def test_a_name_of_something_else_is_refused():
    with pytest.raises(ValueError, match="is not a function"):
        ex.find("relatum_toys:CHOICES")


def test_a_missing_library_of_a_task_is_said_as_such(tmp_path, monkeypatch):
    (tmp_path / "needs_more.py").write_text("import a_library_that_is_not_here")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(MissingExtraError, match="needs a_library_that_is_not_here; install it"):
        ex.find("needs_more:task")


def test_an_unknown_experiment_is_refused():
    with pytest.raises(ValueError, match="experiment is 'table-99'"):
        ex.load_experiment("table-99")


@pytest.mark.parametrize(
    ("where", "found"),
    [({}, True), ({"a": 1}, True), ({"a": [1, 2]}, True), ({"a": 2}, False), ({"b": 1}, False)],
)
def test_matches(where, found):
    assert ex.matches({"a": 1}, where) is found


# --- the experiments that there are ---------------------------------------------------------


@pytest.mark.parametrize("name", ex.experiment_ids())
def test_every_experiment_fits_the_code(name):
    for module in ("torch", "lightning", "torch_geometric", "transformers"):
        pytest.importorskip(module, reason="the experiments need the extra paper")
    assert ex.problems(ex.load_experiment(name)) == []


@pytest.mark.parametrize("name", ex.experiment_ids())
def test_every_experiment_has_both_presets_and_a_small_form(name):
    experiment = ex.load_experiment(ex.load_experiment(name).source)
    for preset in ("offline", "small") if experiment.is_study else ex.PRESETS:
        assert sum(len(stage.cells(preset)) for stage in experiment.stages), preset
    n_small = sum(len(stage.cells("small")) for stage in experiment.stages)
    assert n_small < sum(len(stage.cells("offline")) for stage in experiment.stages)


@pytest.mark.parametrize("name", ex.experiment_ids())
def test_every_experiment_says_what_is_checked_and_shown(name):
    experiment = ex.load_experiment(name)
    assert experiment.checks
    assert experiment.tables or experiment.pictures
    assert experiment.instead or experiment.uses or experiment.silent or experiment.is_study


def test_every_table_and_figure_with_an_experiment_is_here():
    figures = {f"figure-{n}" for n in (1, 3, 4, 5, 6, 7, 8)}
    tables = {f"table-{n}" for n in (1, 2, 3, 4, 5, 6, 8, 13, 14, 15, 16)}
    assert {
        name for name in ex.experiment_ids() if not name.startswith("study")
    } == figures | tables
