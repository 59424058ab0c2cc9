"""What rows say: means, checks, verdicts, tables."""

from __future__ import annotations

import math
import statistics
from pathlib import Path

import pytest

pytest.importorskip("yaml", reason="the paper's experiments need the extra paper")
pytest.importorskip("pydantic", reason="the paper's experiments need the extra paper")

from relatum.paper import summary
from relatum.paper.experiment import Check, Experiment, Table, load_experiment

ROWS = [
    {"data": data, "stitched": stitched, "seed": seed, "f1": f1}
    for data, stitched, seed, f1 in [
        ("a", False, 0, 90.0),
        ("a", False, 1, 92.0),
        ("a", True, 0, 80.0),
        ("a", True, 1, 84.0),
        ("b", False, 0, 50.0),
        ("b", True, 0, 20.0),
        ("b", True, 1, None),
    ]
]


ROOT = Path(__file__).parents[2]


def check(**changes):
    return Check(**({"claim": "c", "metric": "f1"} | changes))


def test_the_mean_leaves_out_what_is_no_number():
    found = summary.mean_of([*ROWS[:2], {"f1": math.nan}, {"f1": "x"}, {}], "f1")
    assert found.value == 91
    assert found.std == pytest.approx(statistics.stdev([90, 92]))
    assert found.n == 2


def test_the_mean_of_nothing_is_none():
    assert summary.mean_of([{"f1": None}], "f1") is None


def test_a_single_number_has_no_deviation():
    assert math.isnan(summary.mean_of(ROWS[:1], "f1").std)


def test_a_check_takes_the_mean_of_what_matches():
    found = summary.run_check(check(where={"stitched": True, "data": "a"}, at_least=82), ROWS)
    assert found.value == 82
    assert found.passed is True


def test_the_worst_group_decides():
    low = check(where={"stitched": False}, each=["data"], at_least=60)
    found = summary.run_check(low, ROWS)
    assert (found.value, found.mean, found.group, found.passed) == (50, 70.5, {"data": "b"}, False)
    high = summary.run_check(check(where={"stitched": False}, each=["data"], at_most=95), ROWS)
    assert (found.value, high.value, high.passed) == (50, 91, True)


def test_a_ratio_stays_within_its_group():
    ratio = check(where={"stitched": True}, over={"stitched": False}, each=["data"], at_least=0.5)
    found = summary.run_check(ratio, ROWS)
    assert found.value == pytest.approx(20 / 50)
    assert found.mean == pytest.approx((82 / 91 + 20 / 50) / 2)
    assert found.passed is False


def test_a_difference():
    found = summary.run_check(
        check(where={"stitched": True, "data": "a"}, minus={"stitched": False, "data": "a"}), ROWS
    )
    assert found.value == -9
    assert found.passed is None


def test_a_ratio_to_zero_is_infinite():
    rows = [{"f1": 1.0, "k": 1}, {"f1": 0.0, "k": 2}]
    assert summary.run_check(check(where={"k": 1}, over={"k": 2}), rows).value == math.inf


def test_a_check_without_rows_is_neither_held_nor_broken():
    found = summary.run_check(check(where={"data": "c"}, at_least=1), ROWS)
    assert (found.value, found.passed) == (None, None)
    divisor = summary.run_check(check(over={"data": "c"}, at_least=1), ROWS)
    assert divisor.value is None


@pytest.mark.parametrize(
    ("bounds", "verdict"),
    [
        ([{"at_least": 1}], "agrees"),
        ([{"at_least": 1}, {}], "agrees"),
        ([{"at_least": 1}, {"at_least": 1000}], "differs"),
        ([{"at_least": 1}, {"at_least": 1000, "ours": True}], "agrees"),
        ([{"at_least": 1000, "ours": True}], "differs"),
        ([{"at_least": 1}, {"at_least": 1, "where": {"data": "c"}}], "incomplete"),
        ([{}], "differs"),
        ([{"at_least": 1, "where": {"data": "c"}}], "not run"),
    ],
)
def test_verdicts(bounds, verdict):
    outcomes = [summary.run_check(check(**bound), ROWS) for bound in bounds]
    assert summary.verdict(outcomes, ROWS) == verdict


def test_without_all_cells_there_is_no_verdict():
    outcomes = [summary.run_check(check(at_least=1), ROWS)]
    assert summary.verdict(outcomes, ROWS, complete=False) == "incomplete"


def test_a_table_has_a_line_a_group_and_leaves_out_empty_columns():
    table = Table(title="t", rows=["data"], columns=["stitched"], metrics=["f1", "mae"], digits=1)
    header, body = summary.pivot(table, ROWS)
    assert header[1:] == ["on its own encoder, F1, % ↑", "on other encoders, F1, % ↑"]
    assert body == [["a", "91.0 ± 1.4", "82.0 ± 2.8"], ["b", "50.0", "20.0"]]


def test_a_table_of_one_metric_does_not_repeat_it():
    table = Table(title="t", rows=["data"], columns=["stitched"], metrics=["f1"])
    assert summary.pivot(table, ROWS[:3])[0] == [
        "data", "on its own encoder", "on other encoders",
    ]  # fmt: skip


def test_a_missing_cell_is_a_dash():
    rows = [{"a": 1, "b": 1, "m": 1.0}, {"a": 2, "b": 2, "m": 2.0}]
    table = Table(title="t", rows=["a"], columns=["b"], metrics=["m"])
    assert summary.pivot(table, rows)[1] == [["1", "1.00", "–"], ["2", "–", "2.00"]]


def test_means_are_counted_where_that_is_wanted():
    table = Table(title="t", rows=["data"], columns=["stitched"], metrics=["f1"])
    header, body = summary.pivot(table, ROWS, counted=True)
    assert header[-1] == "n"
    assert [line[-1] for line in body] == ["2", "1"]


def test_a_spread_that_does_not_show_is_not_written():
    assert summary.show(summary.Mean(1.0, 0.004, 2)) == "1.00"
    assert summary.show(summary.Mean(1.0, 0.006, 2)) == "1.00 ± 0.01"


def test_the_papers_numbers_stand_beside_ours():
    value = {"where": {"data": "a", "stitched": True}, "metric": "f1", "value": 80}
    experiment = Experiment(
        id="table-1", title="t", section="s", claim="c", uses="table-2", paper_values=[value]
    )
    ((paper, ours),) = summary.against_paper(experiment, ROWS)
    assert (paper.value, ours.value) == (80, 82)


def test_seconds_add_up():
    assert summary.seconds_of([{"seconds": 1.5}, {"seconds": 2}]) == 3.5


def test_lines_are_in_the_order_of_their_numbers_and_words_as_they_come():
    rows = [{"set": s, "n": n, "f1": 1.0} for s, n in (("b", 10), ("b", 2), ("a", 3), ("a", 1))]
    table = Table(title="t", rows=["set", "n"], metrics=["f1"])
    _, body = summary.pivot(table, rows)
    assert [line[:2] for line in body] == [["b", "2"], ["b", "10"], ["a", "1"], ["a", "3"]]


def test_what_a_claim_is_held_against_may_lie_outside_of_its_groups():
    rows = [{"kind": k, "f1": v} for k, v in (("none", 3.0), ("one", 5.0), ("two", 4.0))]
    check = Check(claim="c", metric="f1", where={"kind": ["one", "two"]}, minus={"kind": "none"},
                  each=["kind"], at_least=1)  # fmt: skip
    outcome = summary.run_check(check, rows)
    assert (outcome.value, outcome.group, outcome.passed) == (1.0, {"kind": "two"}, True)


def test_time_on_the_clock_counts_cells_beside_each_other_once() -> None:
    def line(end: int, seconds: float) -> dict[str, object]:
        return {"time": f"2026-01-01T00:00:{end:02}+00:00", "seconds": seconds}

    assert summary.on_the_clock([]) == 0
    assert summary.on_the_clock([line(30, 10), line(40, 10)]) == 20
    assert summary.on_the_clock([line(50, 5), line(30, 10), line(35, 10), line(34, 2)]) == 20


def test_a_claim_that_cannot_be_tried_has_no_verdict_of_agreement() -> None:
    found = summary.evaluate(load_experiment("table-16"), ROOT / "results", "offline")
    assert found.verdict == "cannot run here"
    assert load_experiment("table-16").cannot
