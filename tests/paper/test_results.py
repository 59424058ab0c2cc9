"""Results as JSON lines: appended whole, read back, damaged ones refused."""

from __future__ import annotations

import json

import pytest

from relatum._files import FileFormatError
from relatum.paper import results


def line(key="k", seconds=1.234, **cell):
    return results.make_line(
        experiment="table-1",
        preset="offline",
        stage="s",
        key=key,
        cell={"seed": 3} | cell,
        rows=[{"score": 1.0}],
        seconds=seconds,
    )


def test_a_line_says_all_that_it_takes_to_run_it_again():
    found = line()
    assert set(found) == set(results.FIELDS)
    assert found["command"] == "relatum reproduce table-1"
    assert found["seed"] == 3
    assert found["seconds"] == 1.23
    assert found["versions"]["numpy"]


@pytest.mark.parametrize(("preset", "end"), [("paper", "--preset paper"), ("small", "--small")])
def test_the_command_names_the_preset(preset, end):
    found = results.make_line(
        experiment="table-1", preset=preset, stage="s", key="k", cell={}, rows=[{}], seconds=0
    )
    assert found["command"] == f"relatum reproduce table-1 {end}"


def test_what_is_appended_is_read_back(tmp_path):
    path = tmp_path / "new" / "table-1.jsonl"
    results.append(path, line("a"))
    before = path.read_bytes()
    results.append(path, line("b"))
    assert path.read_bytes().startswith(before)
    assert [x["key"] for x in results.read(path)] == ["a", "b"]


def test_a_line_cut_short_by_a_crash_is_left_out_and_then_goes(tmp_path):
    path = tmp_path / "r.jsonl"
    results.append(path, line("a"))
    with path.open("a") as file:
        file.write('{"experiment": "tab')
    assert [x["key"] for x in results.read(path)] == ["a"]
    results.append(path, line("b"))
    assert [x["key"] for x in results.read(path)] == ["a", "b"]


def test_no_file_is_no_results(tmp_path):
    assert results.read(tmp_path / "none.jsonl") == []


def test_a_line_that_is_not_json_is_refused_by_its_number(tmp_path):
    path = tmp_path / "r.jsonl"
    path.write_text(json.dumps(line()) + "\n{,}\n")
    with pytest.raises(FileFormatError, match=r"r\.jsonl, line 2 is not JSON"):
        results.read(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seconds": "1"}, "seconds is '1'; expected int or float"),
        ({"rows": []}, r"rows is \[\]; expected objects"),
        ({"rows": [1]}, r"rows is \[1\]; expected objects"),
        ({"commit": None}, "commit is None; expected str"),
    ],
)
def test_a_line_of_another_form_is_refused(change, message, tmp_path):
    with pytest.raises(FileFormatError, match=message):
        results.append(tmp_path / "r.jsonl", line() | change)
    assert not (tmp_path / "r.jsonl").exists()


def test_a_line_that_is_no_object_is_refused():
    with pytest.raises(FileFormatError, match="is a list; expected an object"):
        results.check_line([], "x")


def test_infinity_is_refused_and_nothing_is_written(tmp_path):
    with pytest.raises(ValueError, match="JSON compliant"):
        results.append(tmp_path / "r.jsonl", line() | {"seconds": float("inf")})
    assert not (tmp_path / "r.jsonl").exists()


def test_rows_carry_their_cell_and_the_last_of_a_key_counts():
    old, new = line("a", dataset="x"), line("a", dataset="x")
    new["rows"] = [{"score": 2.0, "seed": 9}]
    assert results.rows_of([old, new]) == [{"stage": "s", "seed": 9, "dataset": "x", "score": 2.0}]
