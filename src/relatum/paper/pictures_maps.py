"""Pictures of tables and of planes: a heat map of two fields, clouds of points.

Options are those that :mod:`relatum.paper.pictures` describes, from where both are used.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from relatum.paper import picture_frame as frame
from relatum.paper.picture_frame import INK, Kept, Names, Row, Where

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def heat_map(
    rows: Sequence[Row],
    kept: Kept,
    path: Path,
    *,
    metric: str,
    down: str = "decoder",
    across: str = "encoder",
    panels: str | None = None,
    where: Where | None = None,
    names: Names | None = None,
    down_name: str = "",
    across_name: str = "",
    metric_name: str = "",
    digits: int = 2,
    columns: int = 2,
) -> None:
    """Draw the mean of ``metric`` for each pair of two fields, one colour scale for all panels."""
    rows = frame.chosen(rows, where, metric, down, across, panels)
    groups = frame.group(rows, panels)
    downs, acrosses = frame.values_of(rows, down), frame.values_of(rows, across)
    height = 1.3 + 0.55 * len(downs) * (1.0 if len(groups) > 1 else 1.3)
    figure, axes = frame.panel_axes(len(groups), columns=columns, height=max(2.2, height))
    tables = {p: _table(own, metric, down, across, downs, acrosses) for p, own in groups.items()}
    low, high = (float(f([f(t) for t in tables.values()])) for f in (np.nanmin, np.nanmax))
    last: Any = None
    for a, (panel, table) in zip(axes, tables.items(), strict=True):
        last = a.imshow(table, cmap="cividis", vmin=low, vmax=high, aspect="auto")
        for (i, j), value in np.ndenumerate(table):
            dark = (value - low) < 0.55 * (high - low)
            a.text(j, i, "" if np.isnan(value) else f"{value:.{digits}f}", ha="center",
                   va="center", fontsize=10, color="white" if dark else "black")  # fmt: skip
        title = "" if panel is None else frame.name_of(panel, names, panels)
        frame.plain(a, title=title, x=across_name or across, y=down_name or down, grid="")
        frame.name_ticks(a, acrosses, names, across, columns=min(columns, len(groups)))
        a.set_yticks(range(len(downs)), [frame.name_of(v, names, down) for v in downs])
    figure.colorbar(last, ax=axes, shrink=0.9, pad=0.02).set_label(
        metric_name or metric, fontsize=11
    )
    frame.outer_labels(axes)
    frame.save(figure, path)


def planes(
    rows: Sequence[Row],
    kept: Kept,
    path: Path,
    *,
    panels: Sequence[Sequence[str]],
    titles: Mapping[str, str] | None = None,
    row_names: Sequence[str] = (),
    points: str = "points",
    labels: str = "labels",
    classes: Sequence[str] = (),
    same_frame: Sequence[Sequence[str]] = (),
    equal: bool = True,
) -> None:
    """Draw clouds of points in the plane, a panel for each name in ``panels`` (lists of a line).

    Each kept set has ``points`` ``(n, 2)`` and ``labels`` ``(n,)``, whole numbers that
    ``classes`` names; real numbers become a colour scale. Names that ``same_frame``
    lists together are drawn with the same limits; ``equal``: one unit is as long either way.
    """
    down, across = len(panels), max(len(line) for line in panels)
    side = 7.6 / max(across, 3)
    figure = frame.new_figure(side * across + 0.4, (side + 0.25) * down + 0.4)
    grid = figure.subplots(down, across, squeeze=False)
    numbers = np.unique(np.concatenate([np.asarray(kept[n][labels]) for p in panels for n in p]))
    scale = numbers.dtype.kind == "f" or len(numbers) > frame.MAX_CLASSES
    colours = {} if scale else frame.colours_of(numbers.tolist())
    for i, line in enumerate(panels):
        for j, a in enumerate(grid[i]):
            if j >= len(line):
                a.axis("off")
                continue
            at, label = np.asarray(kept[line[j]][points]), np.asarray(kept[line[j]][labels])
            shown = (
                {"c": label, "cmap": "viridis"}
                if scale
                else {"c": [colours[v] for v in label.tolist()]}
            )
            size = float(np.clip(6_000 / max(1, len(at)), 2, 14))
            a.scatter(at[:, 0], at[:, 1], s=size, alpha=0.7, linewidths=0, **shown)
            frame.no_axes(a, (titles or {}).get(line[j], line[j]))
            together = next((g for g in same_frame if line[j] in g), [line[j]])
            _limits(a, np.concatenate([np.asarray(kept[n][points]) for n in together]), equal)
        if i < len(row_names):
            grid[i][0].set_ylabel(row_names[i], fontsize=11, color=INK)
    named = list(classes) or [str(v) for v in numbers.tolist()]
    if not scale:
        frame.legend_below(
            figure, [frame.dot(c, named[int(v)] if classes else str(v)) for v, c in colours.items()]
        )
    frame.save(figure, path)


def _limits(axes: Axes, at: np.ndarray, equal: bool) -> None:
    """Fit a square panel to points, with a margin; ``equal``: the wider direction decides."""
    low, high = at.min(axis=0), at.max(axis=0)
    half = np.maximum((high - low) / 2, 1e-9) * 1.06
    half = np.full(2, half.max()) if equal else half
    middle = (low + high) / 2
    axes.set(
        xlim=(middle[0] - half[0], middle[0] + half[0]),
        ylim=(middle[1] - half[1], middle[1] + half[1]),
        box_aspect=1,
    )


def _table(
    rows: list[Row], metric: str, down: str, across: str, downs: list[Any], acrosses: list[Any]
) -> np.ndarray:
    table = np.full((len(downs), len(acrosses)), np.nan)
    for i, d in enumerate(downs):
        for j, c in enumerate(acrosses):
            some = [r for r in rows if r[down] == d and r[across] == c]
            if some:
                table[i, j] = frame.mean_std(some, metric)[0]
    return table
