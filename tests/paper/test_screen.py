"""What ``relatum reproduce`` shows, and how it ends."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

pytest.importorskip("yaml", reason="the paper's experiments need the extra paper")
pytest.importorskip("pydantic", reason="the paper's experiments need the extra paper")
pytest.importorskip("filelock", reason="the paper's experiments need the extra paper")

from rich.console import Console

from relatum.cli import main
from relatum.paper import screen, summary
from relatum.paper.experiment import experiment_ids, parse_experiment
from relatum.paper.runner import DATA_DIR

TEXT = """
id: table-1
title: A toy
section: Table 1
claim: Stitching costs something.
stages:
  - name: measure
    task: relatum_toys:{task}
    optional: {optional}
    offline: {{grid: {{dataset: [one, two], seed: [0, 1, 2]}}}}
    paper: {{grid: {{dataset: [one], seed: [0]}}}}
    small: {{grid: {{seed: [0]}}}}
tables: [{{title: Scores, rows: [dataset], columns: [stitched], metrics: [score]}}]
checks:
  - {{claim: native, metric: score, where: {{stitched: false}}, at_least: 10}}
  - {{claim: stitched, metric: score, where: {{stitched: true}}, at_least: 10, paper: 12}}
  - {{claim: nothing, metric: none, at_most: 1}}
"""


@pytest.fixture(autouse=True)
def _toy(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(Path(__file__).parent / "toys"))
    monkeypatch.delenv(DATA_DIR, raising=False)
    monkeypatch.chdir(tmp_path)
    use(monkeypatch)


def use(monkeypatch, task="measure", optional="false"):
    experiment = parse_experiment(TEXT.format(task=task, optional=optional), "table-1")
    monkeypatch.setattr(screen, "load_experiment", lambda name: experiment)
    monkeypatch.setattr(summary, "load_experiment", lambda name: experiment)
    monkeypatch.setattr(screen, "experiment_ids", lambda: ["table-1"])


def test_a_run_prints_progress_tables_and_checks(capsys):
    assert main(["reproduce", "table-1"]) == 0
    out = capsys.readouterr().out
    for text in (
        "table-1 measure: 6 of 6 cells",
        "Scores",
        "2.00 ± 1.00",
        "yes  native: 11 (≥ 10)",
        "NO  stitched: 5.5 (≥ 10; paper 12)",
        "-  nothing: no rows (≤ 1)",
        "table-1: incomplete",
        "6 cells run, 0 were there, 0 left out; results in results/offline/table-1.jsonl",
    ):
        assert text in out


def test_the_small_form_keeps_its_results_apart():
    assert main(["reproduce", "table-1", "--small"]) == 0
    assert Path("results/small/table-1.jsonl").is_file()
    assert not Path("results/offline").exists()


def test_the_small_form_is_held_against_nothing(capsys):
    assert main(["reproduce", "table-1", "--small"]) == 0
    out = capsys.readouterr().out
    assert "its numbers measure nothing" in out
    assert "native:" not in out
    assert "table-1: small form" in out


def test_a_run_that_has_nothing_to_do_says_so(capsys):
    main(["reproduce", "table-1"])
    capsys.readouterr()
    assert main(["reproduce", "table-1"]) == 0
    out = capsys.readouterr().out
    assert "nothing was run: all 6 cells were in results/offline/table-1.jsonl, measured on" in out


def test_json_is_one_object(capsys):
    assert main(["reproduce", "table-1", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["cells_run"] == 6
    assert [c["passed"] for c in found["checks"]] == [True, False, None]


def test_the_list_counts_what_is_done(capsys):
    main(["reproduce", "table-1", "--small"])
    main(["reproduce", "table-1"])
    capsys.readouterr()
    assert main(["reproduce", "--list"]) == 0
    assert "6/6" in capsys.readouterr().out
    assert main(["reproduce", "--list", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["experiments"]
    assert row["offline"] == {"done": 6, "cells": 6}
    assert row["paper"] == {"done": 0, "cells": 1}


def test_missing_data_end_in_one_line(capsys, monkeypatch):
    use(monkeypatch, "needs_data")
    assert main(["reproduce", "table-1"]) == 2
    err = capsys.readouterr().err
    assert err.startswith("relatum: error: table-1 needs the data 'one'")
    assert err.count("\n") == 1


def test_what_an_optional_stage_leaves_out_is_counted(capsys, monkeypatch):
    use(monkeypatch, "needs_data_for_two", "true")
    assert main(["reproduce", "table-1", "--json"]) == 0
    (left_out,) = json.loads(capsys.readouterr().out)["left_out"]
    assert left_out["cells"] == 3
    assert main(["reproduce", "table-1"]) == 0
    out = capsys.readouterr().out
    assert "0 cells run, 3 were there, 3 left out" in out
    assert "left out (3 cells): table-1 needs the data 'two'" in out


def test_without_any_cell_it_fails(capsys, monkeypatch):
    use(monkeypatch, "needs_data", "true")
    assert main(["reproduce", "table-1"]) == 2
    assert "table-1 needs the data 'one'" in capsys.readouterr().err


def test_an_interrupt_ends_with_130_and_the_next_run_goes_on(capsys, monkeypatch):
    monkeypatch.setenv("TOY_FAILS_AT", "two 0")
    assert main(["reproduce", "table-1"]) == 130
    assert "kept in results/offline/table-1.jsonl" in capsys.readouterr().out
    monkeypatch.delenv("TOY_FAILS_AT")
    assert main(["reproduce", "table-1"]) == 0
    assert "3 cells run, 3 were there" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "which experiment"),
        (["table-1", "--preset", "online"], "--preset is 'online'"),
        (["table-1", "--preset", "paper", "--small"], "--small goes with --preset offline"),
        (["table-1", "--logger", "paper"], "--logger is 'paper'"),
        (["table-1", "--data-dir", "nowhere"], "--data-dir is nowhere; expected a folder"),
    ],
)
def test_wrong_use_is_said(arguments, message, capsys):
    assert main(["reproduce", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_one_stage_is_run_by_its_name(capsys):
    assert main(["reproduce", "table-1", "--stage", "measure"]) == 0
    assert "6 cells run" in capsys.readouterr().out
    assert main(["reproduce", "table-1", "--stage", "other"]) == 2
    assert "stage is 'other'; expected" in capsys.readouterr().err


def test_an_unknown_experiment_is_said(capsys, monkeypatch):
    monkeypatch.undo()
    assert main(["reproduce", "table-99"]) == 2
    assert "experiment is 'table-99'" in capsys.readouterr().err


def test_a_terminal_shows_a_bar():
    console = Console(file=io.StringIO(), force_terminal=True, width=100)
    with screen._progress(console, "table-1") as (on_cell, say):
        on_cell("measure", 1, 6)
        say("measuring one")
    assert "table-1 measure" in console.file.getvalue()


def test_the_real_list_names_every_experiment(capsys, monkeypatch):
    monkeypatch.undo()
    assert main(["reproduce", "--list"]) == 0
    out = capsys.readouterr().out
    for name in experiment_ids():
        assert name in out
