"""A curve with its interval band, as the places and words of an inline SVG."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

SIZE = WIDTH, HEIGHT = 400, 220
LEFT, RIGHT, TOP, BOTTOM = 34, 18, 10, 40
STEPS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
MOST_STEPS = 6
BETWEEN_TICKS = 34
"""Units of the picture between two labels below it."""


@dataclass(frozen=True)
class Curve:
    """What the template draws; all places are in units of the picture."""

    rows: list[tuple[int, float, float, float]]
    """Number of anchors, value, and the ends of its interval, by rising number."""
    places: list[tuple[float, float, float, float]]
    """Of each row: x, and y of its value and of the interval's ends."""
    x_ticks: list[tuple[float, str]]
    y_ticks: list[tuple[float, str]]

    @property
    def line(self) -> str:
        """Points of the polyline."""
        return " ".join(f"{x},{y}" for x, y, _, _ in self.places)

    @property
    def band(self) -> str:
        """Points of the polygon: along the lower ends, and back along the upper ones."""
        there = [f"{x},{low}" for x, _, low, _ in self.places]
        return " ".join(there + [f"{x},{high}" for x, _, _, high in reversed(self.places)])


def curve_of(values: Any) -> Curve:
    """Lay out rows of (number of anchors, value, low, high); the numbers on a log scale.

    Raises
    ------
    ValueError
        Anything but such rows: no row, NaN, a number below 1 or twice, ends that do not
        enclose the value.
    """
    rows = np.asarray([tuple(row) for row in values], dtype=np.float64)
    if rows.ndim != 2 or rows.shape[1] != 4 or not np.isfinite(rows).all():
        raise ValueError(
            f"curve has shape {rows.shape}; expected rows of 4 finite numbers: number of anchors, "
            "value, low, high"
        )
    rows = rows[np.argsort(rows[:, 0])]
    n, value, low, high = rows.T
    if n[0] < 1 or (np.diff(n) == 0).any():
        raise ValueError("curve has numbers of anchors below 1 or twice; expected each once")
    if ((value < low) | (value > high)).any():
        raise ValueError("curve has intervals that do not enclose their values")
    ticks = _ticks(float(low.min()), float(high.max()))
    x = _place(np.log(n), np.log(n[0]), np.log(n[-1]), LEFT, WIDTH - RIGHT)
    y = _place(rows[:, 1:], ticks[0], ticks[-1], HEIGHT - BOTTOM, TOP)
    heights = _place(np.asarray(ticks), ticks[0], ticks[-1], HEIGHT - BOTTOM, TOP)
    return Curve(
        [(int(m), float(v), float(lo), float(hi)) for m, v, lo, hi in rows],
        [(float(a), float(v), float(lo), float(hi)) for a, (v, lo, hi) in zip(x, y, strict=True)],
        _apart([(float(a), f"{int(b):,}") for a, b in zip(x, n, strict=True)]),
        [(float(h), f"{t:.2f}") for h, t in zip(heights, ticks, strict=True)],
    )


def _place(values: np.ndarray, first: float, last: float, start: float, end: float) -> np.ndarray:
    if last == first:
        return np.full(np.shape(values), (start + end) / 2)
    return np.round(start + (values - first) / (last - first) * (end - start), 1)


def _ticks(low: float, high: float) -> list[float]:
    """Return round numbers at even distances that enclose both."""
    for step in STEPS:
        first, last = np.floor(low / step + 1e-9), np.ceil(high / step - 1e-9)
        if last - first <= MOST_STEPS:
            break
    last = max(last, first + 1)
    stride = max(1, int(np.ceil((last - first) / MOST_STEPS)))
    return [float(i * step) for i in np.arange(first, last + stride, stride)]


def _apart(ticks: Sequence[tuple[float, str]]) -> list[tuple[float, str]]:
    """Leave out labels that would run into the one before them."""
    kept: list[tuple[float, str]] = []
    for x, text in ticks:
        if not kept or x - kept[-1][0] >= BETWEEN_TICKS:
            kept.append((x, text))
    return kept
