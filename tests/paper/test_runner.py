"""The runner: every cell once, interrupted or not, and clear words when data are missing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("yaml", reason="the paper's experiments need the extra paper")
pytest.importorskip("pydantic", reason="the paper's experiments need the extra paper")
pytest.importorskip("filelock", reason="the paper's experiments need the extra paper")

from relatum import RelatumWarning
from relatum.paper import results
from relatum.paper.experiment import parse_experiment
from relatum.paper.runner import DATA_DIR, MissingDataError, reproduce

TEXT = """
id: table-1
title: A toy
section: none
claim: Nothing.
stages:
  - name: measure
    task: relatum_toys:{task}
    {extra}
    offline: {{grid: {{dataset: [one, two], seed: [0, 1, 2]}}}}
"""


@pytest.fixture(autouse=True)
def _toys(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parent / "toys"))
    monkeypatch.delenv(DATA_DIR, raising=False)


@pytest.fixture
def folders(tmp_path):
    return {"results_dir": tmp_path / "results", "work_dir": tmp_path / "work"}


def toy(task="measure", extra="version: 1"):
    return parse_experiment(TEXT.format(task=task, extra=extra), "table-1")


def read(folders):
    return results.read(results.results_path(folders["results_dir"], "offline", "table-1"))


def without_time(lines):
    return [{k: v for k, v in line.items() if k not in ("time", "seconds")} for line in lines]


def test_every_cell_is_run_and_written(folders):
    outcome = reproduce(toy(), **folders)
    assert (outcome.n_run, outcome.n_before, outcome.missing) == (6, 0, [])
    assert [line["rows"][0]["score"] for line in read(folders)] == [1, 2, 3, 10, 20, 30]


def test_nothing_is_run_twice(folders):
    reproduce(toy(), **folders)
    outcome = reproduce(toy(), **folders)
    assert (outcome.n_run, outcome.n_before) == (0, 6)
    assert len(read(folders)) == 6


def test_an_interrupted_experiment_goes_on_and_ends_with_the_same_lines(
    folders, tmp_path, monkeypatch
):
    whole = {"results_dir": tmp_path / "whole", "work_dir": tmp_path / "whole-work"}
    reproduce(toy(), **whole)
    monkeypatch.setenv("TOY_FAILS_AT", "two 1")
    with pytest.raises(KeyboardInterrupt):
        reproduce(toy(), **folders)
    assert len(read(folders)) == 4
    monkeypatch.delenv("TOY_FAILS_AT")
    assert reproduce(toy(), **folders).n_run == 2
    calls = (folders["work_dir"] / "offline" / "table-1" / "calls.txt").read_text().split("\n")
    assert calls.count("two 1") == 2
    assert len(calls) == 8  # six cells, the one that was interrupted again, and the end
    assert without_time(read(folders)) == without_time(read(whole))


def test_another_version_or_setting_runs_again_and_keeps_what_was(folders):
    reproduce(toy(), **folders)
    before = read(folders)
    assert reproduce(toy(extra="version: 2"), **folders).n_run == 6
    changed = toy(extra="settings: {factor: {value: 3.0, source: none}}")
    assert reproduce(changed, **folders).n_run == 6
    assert read(folders)[:6] == before


def test_progress_is_said(folders):
    told, said = [], []
    reproduce(toy(), on_cell=lambda *a: told.append(a), say=said.append, **folders)
    assert told[0] == ("measure", 0, 6)
    assert told[-1] == ("measure", 6, 6)
    assert "measuring two" in said


def test_cells_in_two_processes_give_the_same_rows(folders, tmp_path):
    with pytest.warns(RelatumWarning) as told:
        reproduce(toy("warns", "jobs: 2"), **folders)
    assert sorted(str(w.message) for w in told) == ["one is odd", "two is odd"]  # once each
    lines = read(folders)
    assert sorted(line["rows"][0]["score"] for line in lines) == [0, 0, 1, 1, 2, 2]
    assert len({line["rows"][0]["pid"] for line in lines}) == 2


def test_missing_data_are_said_and_what_was_measured_stays(folders, tmp_path):
    (tmp_path / "data" / "one").mkdir(parents=True)
    with pytest.raises(MissingDataError, match=r"table-1 needs the data 'two'.*put it into"):
        reproduce(toy("needs_data"), data_dir=tmp_path / "data", **folders)
    assert len(read(folders)) == 3


def test_without_a_data_folder_the_option_is_named(folders):
    with pytest.raises(MissingDataError, match=r"say --data-dir FOLDER \(or set RELATUM_DATA_DIR"):
        reproduce(toy("needs_data"), **folders)


def test_the_environment_stands_in_for_the_option(folders, tmp_path, monkeypatch):
    for name in ("one", "two"):
        (tmp_path / "data" / name).mkdir(parents=True)
    monkeypatch.setenv(DATA_DIR, str(tmp_path / "data"))
    assert reproduce(toy("needs_data"), **folders).n_run == 6


def test_an_optional_stage_goes_without_missing_data(folders, tmp_path):
    (tmp_path / "data" / "two").mkdir(parents=True)
    said = []
    outcome = reproduce(
        toy("needs_data", "optional: true"), data_dir=tmp_path / "data", say=said.append, **folders
    )
    assert outcome.n_run == 3
    assert len(outcome.missing) == 3
    assert any(text.startswith("left out: table-1 needs the data 'one'") for text in said)


def test_a_preset_that_there_is_not_is_refused(folders):
    with pytest.raises(ValueError, match="table-1 has no preset 'paper'"):
        reproduce(toy(), preset="paper", **folders)


def test_a_second_run_at_the_same_time_is_refused(folders):
    import filelock

    work = folders["work_dir"] / "offline" / "table-1"
    work.mkdir(parents=True)
    with (
        filelock.FileLock(work / "running.lock"),
        pytest.raises(OSError, match="another run of this experiment is under way"),
    ):
        reproduce(toy(), **folders)


def test_arrays_are_kept_beside_the_results(make_run, tmp_path):
    run = make_run()
    run.keep("latents", X=np.eye(2))
    assert (tmp_path / "results" / "small" / "table-1.latents.npz").is_file()
    np.testing.assert_array_equal(run.kept("latents")["X"], np.eye(2))


def test_only_the_paper_preset_may_ask_a_hub(make_run):
    assert make_run(preset="offline").offline
    assert not make_run(preset="paper").offline
