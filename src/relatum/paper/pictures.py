"""Pictures that several experiments share: scatter, lines, bars; heat map and planes.

Each takes the rows of an experiment, its kept arrays and the path of the PNG, and
options from the experiment's YAML. Fields of rows are named by their names; ``where``
leaves only the rows that have its values (a list allows each of its values);
``panels`` makes a panel for each value of a field; ``names`` says how values are
written. Everything that is not named is averaged over.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from relatum.paper import picture_frame as frame
from relatum.paper.picture_frame import FAINT, INK, Kept, Names, Row, Where
from relatum.paper.pictures_maps import heat_map, planes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["bars", "heat_map", "lines", "planes", "scatter"]


def scatter(
    rows: Sequence[Row],
    kept: Kept,
    path: Path,
    *,
    x: str,
    y: str,
    colour: str | None = None,
    panels: str | None = None,
    where: Where | None = None,
    x_name: str = "",
    y_name: str = "",
    colour_name: str = "",
    names: Names | None = None,
    correlation: bool = False,
    size: float = 14.0,
) -> None:
    """Draw a point for each row at its fields ``x`` and ``y``, coloured by a third.

    A field with more than 11 numbers becomes a colour bar, any other a legend.
    ``correlation`` writes Pearson's r of the points into each panel.
    """
    rows = frame.chosen(rows, where, x, y, colour, panels)
    groups = frame.group(rows, panels)
    figure, axes = frame.panel_axes(len(groups))
    scale = _is_scale(rows, colour)
    values = frame.values_of(rows, colour)
    colours = {} if scale else frame.colours_of(values)
    limits = {"vmin": min(values), "vmax": max(values), "cmap": "viridis"} if scale else {}
    last: Any = None
    for a, (panel, own) in zip(axes, groups.items(), strict=True):
        xs, ys = (np.array([row[f] for row in own], dtype=float) for f in (x, y))
        of_row = [row[colour] if colour else None for row in own]
        c: Any = of_row if scale else [colours[v] for v in of_row]
        last = a.scatter(xs, ys, s=size, c=c, alpha=0.75, linewidths=0, **limits)
        title = "" if panel is None else frame.name_of(panel, names, panels)
        frame.plain(a, title=title, x=x_name or x, y=y_name or y, grid="both")
        if correlation and len(own) > 2 and np.ptp(xs) > 0 and np.ptp(ys) > 0:
            r = float(np.corrcoef(xs, ys)[0, 1])
            a.text(0.03, 0.97, f"r = {r:.2f}", transform=a.transAxes, va="top", fontsize=11)
    if scale:
        bar = figure.colorbar(last, ax=axes, shrink=0.9, pad=0.02)
        bar.set_label(colour_name or str(colour), fontsize=11)
    elif colour:
        handles = [frame.dot(colours[v], frame.name_of(v, names, colour)) for v in values]
        frame.legend_below(figure, handles, title=colour_name)
    frame.outer_labels(axes)
    frame.save(figure, path)


def lines(
    rows: Sequence[Row],
    kept: Kept,
    path: Path,
    *,
    x: str,
    y: str,
    line: str | None = None,
    dashed: str | None = None,
    panels: str | None = None,
    where: Where | None = None,
    x_name: str = "",
    y_name: str = "",
    names: Names | None = None,
    band: bool = True,
    markers: bool = True,
    log_x: bool = False,
    log_y: bool = False,
    level: float | None = None,
    level_name: str = "",
) -> None:
    """Draw the mean of ``y`` over ``x``, a line for each value of ``line``; band: ± 1 std.

    ``dashed`` is a second field: its first value is drawn solid, its others dashed,
    dotted. ``level`` is a thin line across, say the paper's value. Fields may hold
    lists (a curve in one row): ``x`` and ``y`` of equal length.
    """
    found = frame.chosen(rows, where, x, y, line, dashed, panels)
    rows = [point for row in found for point in _unrolled(row, x, y)]
    groups = frame.group(rows, panels)
    figure, axes = frame.panel_axes(len(groups))
    colours = frame.colours_of(frame.values_of(rows, line))
    styles = dict(zip(frame.values_of(rows, dashed), cycle(frame.STYLES), strict=False))
    markers_of = dict(zip(colours, cycle(frame.MARKERS), strict=False))
    for a, (panel, own) in zip(axes, groups.items(), strict=True):
        for value, of_line in frame.group(own, line).items():
            for dash, some in frame.group(of_line, dashed).items():
                mark = markers_of[value] if markers else ""
                _draw_line(a, some, x, y, colours[value], styles[dash], mark, band)
        if level is not None:
            a.axhline(level, color=FAINT, lw=1.2, ls=(0, (2, 2)), label=level_name)
        title = "" if panel is None else frame.name_of(panel, names, panels)
        frame.plain(a, title=title, x=x_name or x, y=y_name or y)
        _scales(a, own, x, log_x, log_y)
    handles = [
        frame.stroke(colours[v], frame.name_of(v, names, line), "-", markers_of[v] * markers)
        for v in colours
        if v is not None
    ]
    handles += [
        frame.stroke(INK, frame.name_of(v, names, dashed), style, "")
        for v, style in styles.items()
        if v is not None
    ]
    if level_name:
        handles.append(frame.stroke(FAINT, level_name, (0, (2, 2)), ""))
    frame.legend_below(figure, handles)
    frame.outer_labels(axes)
    frame.save(figure, path)


def bars(
    rows: Sequence[Row],
    kept: Kept,
    path: Path,
    *,
    metric: str,
    groups: str,
    bar: str,
    panels: str | None = None,
    where: Where | None = None,
    paper: str | None = None,
    y_name: str = "",
    names: Names | None = None,
    log_y: bool = False,
    columns: int = 1,
) -> None:
    """Draw means with ± 1 std as bars: a group for each value of one field, a bar for another's.

    ``paper`` is an experiment's id: its ``paper_values`` for the same fields and
    metric are drawn over the bars as diamonds, with the paper's std.
    """
    rows = frame.chosen(rows, where, metric, groups, bar, panels)
    by_panel = frame.group(rows, panels)
    figure, axes = frame.panel_axes(len(by_panel), columns=columns, height=3.0)
    kinds, places = frame.values_of(rows, bar), frame.values_of(rows, groups)
    colours = frame.colours_of(kinds)
    width = 0.8 / len(kinds)
    seen = False
    for a, (panel, own) in zip(axes, by_panel.items(), strict=True):
        for i, kind in enumerate(kinds):
            at = np.arange(len(places)) + (i - (len(kinds) - 1) / 2) * width
            for place, centre in zip(places, at, strict=True):
                some = [r for r in own if r[groups] == place and r[bar] == kind]
                if some:
                    mean, std = frame.mean_std(some, metric)
                    _bar(a, float(centre), mean, std, width, colours[kind])
                wanted = {groups: place, bar: kind} | ({panels: panel} if panels else {})
                seen |= _diamond(a, float(centre), frame.paper_value(paper, metric, wanted, where))
        title = "" if panel is None else frame.name_of(panel, names, panels)
        frame.plain(a, title=title, y=y_name or metric)
        frame.name_ticks(a, places, names, groups, columns=min(columns, len(by_panel)))
        if log_y:
            frame.log_scale(a)
    handles: list[Any] = [frame.patch(colours[k], frame.name_of(k, names, bar)) for k in kinds]
    if seen:
        handles.append(frame.dot("white", "the paper", "D", INK))
    frame.legend_below(figure, handles)
    frame.outer_labels(axes)
    frame.save(figure, path)


def _is_scale(rows: Sequence[Row], field: str | None) -> bool:
    values = frame.values_of(rows, field)
    numeric = all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in values)
    return numeric and len(values) > frame.MAX_CLASSES


def _unrolled(row: Row, x: str, y: str) -> list[Row]:
    """A row for each point of a curve that one row holds as lists."""
    if not isinstance(row[y], (list, tuple)):
        return [row]
    return [row | {x: a, y: b} for a, b in zip(row[x], row[y], strict=True)]


def _draw_line(
    axes: Axes, rows: list[Row], x: str, y: str, colour: str, style: Any, marker: str, band: bool
) -> None:
    points = [(v, *frame.mean_std(some, y)) for v, some in frame.group(rows, x).items()]
    if not points:
        return
    at, means, stds = (np.array(c) for c in zip(*points, strict=True))
    axes.plot(at, means, color=colour, ls=style, marker=marker, ms=5, lw=1.8)
    if band and stds.any():
        axes.fill_between(at, means - stds, means + stds, color=colour, alpha=0.18, lw=0)


def _scales(axes: Axes, rows: list[Row], x: str, log_x: bool, log_y: bool) -> None:
    if log_y:
        frame.log_scale(axes)
    if not log_x:
        return
    axes.set_xscale("log")
    found = frame.values_of(rows, x)
    if len(found) <= 8:  # a tick for each value, not for each power of ten
        axes.set_xticks(found, [f"{v:g}" for v in found])
        axes.set_xticks([], minor=True)


def _bar(axes: Axes, at: float, mean: float, std: float, width: float, colour: str) -> None:
    axes.bar(at, mean, width * 0.94, color=colour, yerr=std or None,
             error_kw={"elinewidth": 1.1, "ecolor": INK, "capsize": 2})  # fmt: skip


def _diamond(axes: Axes, at: float, value: tuple[float, float] | None) -> bool:
    if value is None:
        return False
    axes.errorbar(at, value[0], value[1] or None, marker="D", ms=5, mfc="white", mec=INK,
                  ecolor=INK, elinewidth=1.0, capsize=2, zorder=5, clip_on=False)  # fmt: skip
    return True
