"""The picture of Figure 7's trade-off: how alike two quantised spaces are, and what it costs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from relatum.paper import picture_frame as frame
from relatum.paper.picture_frame import FAINT, INK, Kept, Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MEANS = {
    False: ("cluster means as they are (the paper's code)", "#4477AA", "o"),
    True: ("cluster means at unit norm (a cosine)", "#EE6677", "s"),
}


def trade_off(
    rows: Sequence[Row],
    kept: Kept,
    path: Path,
    *,
    other: Sequence[str],
    stage: str,
    paper: str | None = None,
) -> None:
    """Draw score, and MRR with clusters, over the threshold of the quantisation.

    ``paper`` is an experiment's id: its values of the score at each threshold are
    drawn as a share of its unquantised score, times ours.
    """
    rows = frame.chosen(rows, {"other": list(other), "stage": stage}, "score")
    relative = frame.chosen(rows, {"projection": "cosine"})
    quantised = frame.chosen(rows, {"projection": "quantised"})
    figure = frame.new_figure(8.0, 4.2)
    left, right = figure.subplots(1, 2)
    handles: list[Any] = []
    for unit_means, some in frame.group(quantised, "unit_means").items():
        name, colour, marker = MEANS[unit_means]
        handles.append(_curve(left, some, "score", colour, marker, name))
    base = frame.mean_std(relative, "score")[0]
    handles.append(left.axhline(base, color=FAINT, ls=":", lw=1.5, label="not quantised"))
    if paper:
        handles += _paper_points(left, paper, base)
    frame.plain(left, title="How far apart (lower: more alike)", x="threshold t", y="score")
    means = [r for r in quantised if not r["unit_means"]]
    _curve(right, means, "mrr", INK, "D", "MRR")
    right.axhline(frame.mean_std(relative, "mrr")[0], color=FAINT, ls=":", lw=1.5)
    frame.plain(right, title="What it costs: words found again", x="threshold t", y="MRR")
    right.set_ylim(bottom=0)
    for t, some in frame.group(means, "threshold").items():
        if t in (1.0, 2.0, 4.0):
            at = frame.mean_std(some, "mrr")[0]
            text = f"{frame.mean_std(some, 'clusters')[0]:.0f} clusters"
            right.annotate(text, (t, at), xytext=(7, 7), textcoords="offset points", fontsize=10)
    frame.legend_below(figure, handles)
    frame.save(figure, path)


def _curve(
    axes: Axes, rows: Sequence[Row], metric: str, colour: str, marker: str, name: str
) -> Any:
    points = frame.group(rows, "threshold")
    means, stds = zip(*(frame.mean_std(some, metric) for some in points.values()), strict=True)
    low, high = ([m + s * d for m, d in zip(means, stds, strict=True)] for s in (-1, 1))
    axes.fill_between(list(points), low, high, color=colour, alpha=0.18, lw=0)
    return axes.plot(list(points), means, color=colour, marker=marker, ms=5, lw=1.8, label=name)[0]


def _paper_points(axes: Axes, paper: str, base: float) -> list[Any]:
    """The paper's scores, scaled so that its unquantised one lies on ours."""
    from relatum.paper.experiment import load_experiment

    values = load_experiment(paper).paper_values
    plain = next(v.value for v in values if v.where.get("projection") == "cosine")
    points = {
        v.where["threshold"]: v.value / plain * base for v in values if "threshold" in v.where
    }
    return axes.plot(list(points), list(points.values()), ls="", marker="D", ms=7, mfc="white",
                     mec=INK, label="the paper, scaled to our unquantised score")  # fmt: skip
