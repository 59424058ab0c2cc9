"""The plan file: written, read, edited, and refused where it is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from relatum.migration.plan import (
    EncoderPart,
    GatePart,
    MapPart,
    MigrationPlan,
    RunPart,
    StorePart,
    read_plan,
    state_folder,
    write_plan,
)

PLAN = MigrationPlan(
    StorePart("lancedb:db#items", "body"),
    EncoderPart("new", 'python "my embed.py"', revision="r1", old_name="old"),
    RunPart("items__new", "items_current", rows_per_second=500.0),
    MapPart(300, "procrustes", 4),
    GatePart(0.8, 100),
    {"curve": [{"n_anchors": 100, "recall_10": [0.8, 0.7, 0.9]}], "n_rows": 5},
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    pytest.importorskip("tomlkit")
    found = tmp_path / "plan.toml"
    write_plan(found, PLAN)
    return found


def test_a_plan_is_read_as_it_was_written(path: Path) -> None:
    assert read_plan(path) == PLAN
    assert state_folder(path).name == "plan.toml.state"


def test_a_plan_says_what_is_in_it(path: Path) -> None:
    text = path.read_text()
    for said in ("nothing here is changed or dropped", "[store]", "rows_per_second = 0 sets no"):
        assert said in text


def test_what_is_left_out_has_defaults(path: Path) -> None:
    text = path.read_text()
    for line in ('method = "procrustes"\n', "rows_per_second = 500.0\n", "n_verified = 100\n"):
        assert line in text
        text = text.replace(line, "")
    path.write_text(text)
    found = read_plan(path)
    assert (found.map.method, found.run.rows_per_second) == ("auto", 0)
    assert found.gate.n_verified == GatePart().n_verified


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("n_anchors = 300", "n_anchors = 30", r"map\.n_anchors is 30; expected at least 50"),
        ("n_anchors = 300", 'n_anchors = "all"', r"map\.n_anchors is 'all'; expected int"),
        ("n_anchors = 300", "n_anchors = true", r"map\.n_anchors is True; expected int"),
        ("n_anchors = 300", "n_anchor = 300", r"n_anchor"),
        ("[gate]", "[gates]", r"section"),
        ("[store]", "[store", r"is no TOML"),
        ('shadow = "items__new"\n', "", r"run lacks shadow"),
    ],
)
def test_what_is_wrong_is_named(path: Path, old: str, new: str, message: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(ValueError, match=message):
        read_plan(path)


def test_a_section_that_is_a_value(path: Path) -> None:
    path.write_text("map = 3\n" + path.read_text().replace("[map]", "[predicted.map]"))
    with pytest.raises(ValueError, match=r"map is 3; expected a section \[map\]"):
        read_plan(path)


def test_no_plan(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="expected what relatum migrate plan wrote"):
        read_plan(tmp_path / "none.toml")
