"""Documentation pages: made of the experiment and its results alone."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

pytest.importorskip("yaml", reason="the paper's experiments need the extra paper")
pytest.importorskip("pydantic", reason="the paper's experiments need the extra paper")
pytest.importorskip("jinja2", reason="the paper's experiments need the extra paper")

from relatum.paper import pages, results, summary
from relatum.paper.data_graphs import FOLDERS
from relatum.paper.data_images import DATASETS
from relatum.paper.data_words import SPACES
from relatum.paper.experiment import experiment_ids, load_experiment, parse_experiment
from relatum.paper.runner import reproduce

ROOT = Path(__file__).parents[2]
TEXT = """
id: table-1
title: A toy
section: Table 1
claim: Stitching costs something.
instead: [{what: a lot, by: a little, why: no room}]
silent: [Nothing is said of the seed.]
notes: [It is half.]
stages:
  - name: measure
    task: relatum_toys:measure
    settings: {factor: {value: 2.0, source: section 9}}
    offline: {grid: {dataset: [one, two], seed: [0, 1, 2]}}
    paper: {settings: {factor: {value: 4.0, source: the code}}, grid: {dataset: [one], seed: [0]}}
paper_values: [{where: {dataset: one, stitched: true}, metric: score, value: 8.0, std: 0.5}]
tables: [{title: Scores, rows: [dataset], columns: [stitched], metrics: [score]}]
checks:
  - {claim: stitched over native, metric: score, where: {stitched: true}, over: {stitched: false},
     each: [dataset], at_least: 0.4, at_most: 0.6, paper: 0.7, note: a toy}
  - {claim: too much, metric: score, at_least: 1000}
  - {claim: ours, metric: score, at_least: 1, ours: true}
pictures: [{name: plot, draw: relatum_toys.draw, caption: Scores., options: {colour: blue}}]
"""


@pytest.fixture
def toy(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parent / "toys"))
    experiment = parse_experiment(TEXT, "table-1")
    monkeypatch.setattr(pages, "load_experiment", lambda name: experiment)
    monkeypatch.setattr(summary, "load_experiment", lambda name: experiment)
    monkeypatch.setattr(pages, "experiment_ids", lambda: ["table-1"])
    return experiment


@pytest.fixture
def ran(toy, tmp_path):
    reproduce(toy, results_dir=tmp_path / "results", work_dir=tmp_path / "work")
    return tmp_path / "results"


def test_the_page_says_what_was_measured(ran, tmp_path):
    pages.write_pages(ran, tmp_path / "docs")
    page = (tmp_path / "docs" / "table-1.md").read_text()
    for text in (
        "# Table 1: A toy",
        "**Here: differs.** 6 of 6 cells",
        "| stitched over native (worst: one); a toy | 0.7 | 0.5 (0.5) | ≥ 0.4 and ≤ 0.6 | yes |",
        "| too much | – | 16.5 | ≥ 1000 | **no** |",
        "| ours | ours | 16.5 | ≥ 1 | yes |",
        "| one | 4.00 ± 2.00 | 2.00 ± 1.00 |",
        "| one | on other encoders | mean distance ↓ | 8.00 ± 0.50 | 2.00 ± 1.00 | 0.25 |",
        "| a lot | a little | no room |",
        "- Nothing is said of the seed.",
        "- It is half.",
        "| all | `factor` | 2.0 | 4.0 | section 9; the code |",
        '| all | `dataset` | ["one", "two"] | ["one"] | grid |',
        "table-1-plot.png",
    ):
        assert text in page


def test_the_summary_has_a_row_an_experiment(ran, tmp_path):
    pages.write_pages(ran, tmp_path / "docs")
    index = (tmp_path / "docs" / "index.md").read_text()
    assert "| [table-1](table-1.md) | A toy | differs | 1 of 2 | 1 of 1 |" in index


def test_without_results_the_page_says_so_and_shows_no_picture(toy, tmp_path):
    pages.write_pages(tmp_path / "none", tmp_path / "docs")
    page = (tmp_path / "docs" / "table-1.md").read_text()
    assert "**Here: not run.**" in page
    assert "not run | ≥ 1000 | – |" in page
    assert ".png" not in page
    assert pages.draw_pictures(tmp_path / "none", tmp_path / "docs") == []


def test_nothing_is_drawn_before_every_stage_has_begun(ran, tmp_path, monkeypatch):
    more = TEXT.replace(
        "paper_values:",
        "  - {name: more, task: relatum_toys:slow, offline: {grid: {dataset: [one], seed: [0]}}}\n"
        "paper_values:",
    )
    experiment = parse_experiment(more, "table-1")
    monkeypatch.setattr(pages, "load_experiment", lambda name: experiment)
    monkeypatch.setattr(summary, "load_experiment", lambda name: experiment)
    assert pages.draw_pictures(ran, tmp_path / "docs") == []
    pages.write_pages(ran, tmp_path / "docs")
    assert ".png" not in (tmp_path / "docs" / "table-1.md").read_text()
    reproduce(experiment, results_dir=ran, work_dir=tmp_path / "work")
    assert len(pages.draw_pictures(ran, tmp_path / "docs")) == 1


def test_an_unfinished_experiment_is_said_to_be(ran, tmp_path):
    path = results.results_path(ran, "offline", "table-1")
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:4]))
    pages.write_pages(ran, tmp_path / "docs")
    assert "incomplete (4 of 6 cells)" in (tmp_path / "docs" / "index.md").read_text()
    assert "| one | 4.00 ± 2.00 | 2.00 ± 1.00 | 3 |" in (tmp_path / "docs/table-1.md").read_text()


def test_lines_of_older_settings_are_left_out(ran, tmp_path):
    path = results.results_path(ran, "offline", "table-1")
    line = results.read(path)[0]
    results.append(path, line | {"key": "older", "rows": [{"score": 1e9}]})
    pages.write_pages(ran, tmp_path / "docs")
    assert "| one | 4.00 ± 2.00 |" in (tmp_path / "docs" / "table-1.md").read_text()


def test_pictures_get_the_rows_the_kept_arrays_and_their_options(ran, tmp_path):
    import numpy as np

    np.savez(ran / "offline" / "table-1.latents.npz", X=np.eye(2))
    (path,) = pages.draw_pictures(ran, tmp_path / "docs")
    assert path.name == "table-1-plot.png"
    assert path.read_text() == "12 ['latents'] blue"


@pytest.mark.parametrize(
    ("seconds", "text"), [(90, "1.5 minutes"), (5_999, "100.0 minutes"), (72_000, "20.0 hours")]
)
def test_minutes(seconds, text):
    assert pages.minutes(seconds) == text


def test_the_page_of_data_names_every_folder_that_is_read():
    page = (ROOT / "docs" / "experiments" / "data.md").read_text(encoding="utf-8")
    code = "".join(p.read_text("utf-8") for p in (ROOT / "src/relatum/paper").glob("*.py"))
    literal = re.findall(r'run\.data\("([\w-]+)', code)
    folders = [source.folders[0] for source in DATASETS.values()]
    files = [file for source in SPACES.values() if not source.package for file in source.files[:1]]
    assert {"trec", "sib200"} <= set(literal)
    for name in {*literal, *folders, *FOLDERS.values(), *files}:
        assert name.removesuffix(".json") in page, name


# --- the committed ones ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All pages, written once from the committed results."""
    folder = tmp_path_factory.mktemp("pages")
    pages.write_pages(ROOT / "results", folder)
    return folder


@pytest.mark.parametrize("name", [*experiment_ids(), "index"])
def test_committed_pages_are_those_of_the_committed_results(name: str, written: Path) -> None:
    committed = (ROOT / "docs" / "experiments" / f"{name}.md").read_text(encoding="utf-8")
    assert (written / f"{name}.md").read_text(encoding="utf-8") == committed, "run: make pages"


@pytest.mark.parametrize("name", experiment_ids())
def test_committed_pictures_are_there(name):
    experiment = load_experiment(name)
    ran = summary.evaluate(experiment, ROOT / "results", "offline").lines
    for picture in experiment.pictures if pages.drawable(experiment, ran) else []:
        path = ROOT / "docs" / "experiments" / f"{name}-{picture.name}.png"
        assert path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n", "run: make pages"


@pytest.mark.parametrize("path", sorted((ROOT / "results").rglob("*.jsonl")), ids=lambda p: p.stem)
def test_committed_results_have_the_form_and_name_no_folder(path):
    lines = results.read(path)
    assert lines
    for line in lines:
        assert line["preset"] == path.parent.name
        assert line["experiment"] == path.stem
    assert "/work" not in path.read_text()
    assert "/home" not in path.read_text()
