"""Where the points of a curve are in its picture."""

from __future__ import annotations

import numpy as np
import pytest

from relatum._report_curve import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, curve_of

VALUES = [(300, 0.91, 0.88, 0.94), (30, 0.4, 0.3, 0.5), (1000, 0.97, 0.95, 0.98)]


def test_rows_are_ordered_and_lie_on_a_log_scale() -> None:
    found = curve_of(VALUES)
    assert [row[0] for row in found.rows] == [30, 300, 1000]
    x = np.array([place[0] for place in found.places])
    assert (x[0], x[-1]) == (LEFT, WIDTH - RIGHT)
    assert (x[1] - x[0]) / (x[2] - x[0]) == pytest.approx(
        np.log(300 / 30) / np.log(1000 / 30), abs=1e-3
    )


def test_values_lie_between_the_ticks_as_they_are_written() -> None:
    found = curve_of(VALUES)
    heights, marks = zip(*[(y, float(text)) for y, text in found.y_ticks], strict=True)
    assert (heights[0], heights[-1]) == (HEIGHT - BOTTOM, TOP)
    for row, place in zip(found.rows, found.places, strict=True):
        np.testing.assert_allclose(np.interp(row[1:], marks, heights), place[1:], atol=0.06)
    assert marks[0] <= 0.3
    assert marks[-1] >= 0.98


def test_line_and_band_go_through_the_places() -> None:
    found = curve_of(VALUES)
    line = [tuple(map(float, p.split(","))) for p in found.line.split()]
    assert line == [(x, y) for x, y, _, _ in found.places]
    band = [tuple(map(float, p.split(","))) for p in found.band.split()]
    assert band[:3] == [(x, low) for x, _, low, _ in found.places]
    assert band[3:] == [(x, high) for x, _, _, high in found.places][::-1]


@pytest.mark.parametrize(
    "span", [(0.5, 0.5), (0.0, 0.0), (0.61, 0.615), (0, 1), (0.97, 1.31), (2, 40)]
)
def test_ticks_enclose_any_values(span: tuple[float, float]) -> None:
    low, high = span
    found = curve_of([(10, low, low, low), (20, high, high, high)])
    marks = [float(text) for _, text in found.y_ticks]
    assert 2 <= len(marks) <= 8
    assert marks[0] <= low
    assert marks[-1] >= high
    np.testing.assert_allclose(np.diff(marks), marks[1] - marks[0], atol=1e-9)


def test_one_number_of_anchors_lies_in_the_middle() -> None:
    found = curve_of([(100, 0.5, 0.4, 0.6)])
    assert found.places[0][0] == (LEFT + WIDTH - RIGHT) / 2


def test_labels_do_not_run_into_each_other() -> None:
    found = curve_of([(n, 0.5, 0.4, 0.6) for n in range(100, 130)])
    x = [place for place, _ in found.x_ticks]
    assert min(np.diff(x)) >= 30
    assert found.x_ticks[0][1] == "100"


@pytest.mark.parametrize(
    ("values", "match"),
    [
        ([], "curve has shape"),
        ([(10, 0.5)], r"curve has shape \(1, 2\); expected rows of 4 finite numbers"),
        ([(10, np.nan, 0, 1)], "4 finite numbers"),
        ([(10, 0.5, 0, 1), (10, 0.6, 0, 1)], "below 1 or twice"),
        ([(0, 0.5, 0, 1)], "below 1 or twice"),
        ([(10, 0.5, 0.6, 1)], "intervals that do not enclose"),
    ],
)
def test_bad_curves_are_refused(values: list, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        curve_of(values)
