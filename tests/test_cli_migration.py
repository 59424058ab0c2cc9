"""relatum migrate: what the commands read, print and return."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from migrating import N, World

from relatum.cli import main

pytest.importorskip("tomlkit")


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.chdir(tmp_path)
    return World(tmp_path)


def plan(world: World, *more: str) -> int:
    return main(
        ["migrate", "plan", world.store.url, "--to-encoder", "new-12", "--embed", str(world.new),
         "-o", "plan.toml", "--pilot", "100", "-n", "150", "--method", "procrustes", *more]
    )  # fmt: skip


def test_all_steps_with_what_they_print(
    world: World, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert plan(world, "--price-per-1000", "2") == 0
    said = capsys.readouterr().out
    for words in ("600 rows", "R@10", "staying", "price of the anchors: 0.3; of everything: 1.2",
                  "to embed 150 anchors", "relatum migrate run plan.toml"):  # fmt: skip
        assert words in said
    assert main(["migrate", "switch", "plan.toml"]) == 2
    assert "was not run" in capsys.readouterr().err
    assert main(["migrate", "run", "plan.toml"]) == 0
    assert "600 rows, each once; 0 of them native" in capsys.readouterr().out
    assert main(["migrate", "switch", "plan.toml"]) == 1
    assert "gate: not verified" in capsys.readouterr().out
    (tmp_path / "queries.jsonl").write_text("\n")
    assert main(["migrate", "verify", "plan.toml", "--segment", "section", "--threshold", "0.5",
                 "--relevance", "queries.jsonl"]) == 0  # fmt: skip
    said = capsys.readouterr().out
    for words in ("verified", "predicted", "threshold 0.5 becomes", "passed: the plan asks for"):
        assert words in said
    assert main(["migrate", "switch", "plan.toml", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"stands_for": "items__new_12"}
    assert main(["migrate", "rollback", "plan.toml"]) == 0
    assert "stands_for  items" in capsys.readouterr().out
    (tmp_path / "counts.csv").write_text("i5,3\n\ni7,2\n")
    assert main(["migrate", "backfill", "plan.toml", "-n", "5", "--queried", "counts.csv"]) == 0
    assert "native_rows  155" in capsys.readouterr().out
    assert main(["migrate", "status", "plan.toml", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["rows"], told["shadow_rows"], told["stands_for"]) == (N, N, "items")


def test_help_is_not_cut_off(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["migrate", "--help"]) == 0
    text = capsys.readouterr().out.split("Commands:")[1]
    assert "..." not in text
    for command in ("plan", "run", "verify", "switch", "rollback", "backfill", "status"):
        assert f"\n  {command} " in text
        assert main(["migrate", command, "--help"]) == 0
        assert f"Example: relatum migrate {command}" in capsys.readouterr().out


def test_objects_for_machines(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert plan(world, "--json") == 0
    assert json.loads(capsys.readouterr().out)["n_anchors"] == 150
    assert main(["migrate", "run", "plan.toml", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["filled"]["n_written"] == N
    assert main(["migrate", "verify", "plan.toml", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["passed"] is True
    assert found["held"]["whole"] is True


def test_gates_end_with_one(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    plan(world, "--min-retention", "0.9999")
    assert main(["migrate", "run", "plan.toml"]) == 1
    assert "gate: predicted R@10 is 0." in capsys.readouterr().out
    assert main(["migrate", "run", "plan.toml", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["passed"] is False


@pytest.mark.parametrize(
    ("name", "content", "arguments", "message"),
    [
        ("counts.csv", "id,count\n", ["backfill", "plan.toml", "-n", "1", "--queried"],
         r"counts.csv, line 1: ['id', 'count']; expected an id and a count, without a heading"),
        ("q.jsonl", "{", ["verify", "plan.toml", "--relevance"], "q.jsonl, line 1: no JSON"),
        ("q.jsonl", "[1]\n", ["verify", "plan.toml", "--relevance"],
         "q.jsonl, line 1: expected an object"),
    ],
)  # fmt: skip
def test_files_that_are_wrong(
    world: World, capsys: pytest.CaptureFixture[str], name: str, content: str,
    arguments: list[str], message: str,
) -> None:  # fmt: skip
    plan(world)
    Path(name).write_text(content)
    assert main(["migrate", *arguments, name]) == 2
    assert message in capsys.readouterr().err


def test_an_unknown_plan_and_store(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["migrate", "run", "none.toml"]) == 2
    assert "none.toml: no such file" in capsys.readouterr().err
    arguments = ["--to-encoder", "new", "--embed", str(world.new)]
    assert main(["migrate", "plan", "parquet:nowhere", *arguments]) == 2
    assert "nowhere: no such folder" in capsys.readouterr().err
