"""Pictures of latent spaces with matplotlib; every function returns a Figure.

No window is opened and no global state is touched: ``figure.savefig(path)``
writes the picture anywhere, with or without a display.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from relatum import _files, _picture, _validation
from relatum._picture import MAX_POINTS, Colouring, View
from relatum.similarity import Spec

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["plot_before_after", "plot_spaces", "save_figure"]

MARKERS = "os^DvP"
INK, FAINT = "#222222", "#8a8a8a"


def plot_spaces(
    spaces: Mapping[str, Any],
    labels: Any = None,
    *,
    max_points: int = MAX_POINTS,
    random_state: Any = 0,
) -> Figure:
    """Draw each space by its own two principal components, side by side.

    Parameters
    ----------
    spaces : mapping of name to array (n_rows, n_features)
        Row i of each is the same item; widths may differ.
    labels : sequence (n_rows,), optional
        Classes or numbers to colour by; without, rows are coloured by their place in
        the first space, so that the same item has the same colour in each.
    max_points : int
        Rows drawn, a random sample of all.

    Raises
    ------
    MissingExtraError
        matplotlib is not installed.
    TypeError, ValueError
        No space, rows that do not match, anything but finite 2-D numbers.

    Examples
    --------
    >>> import numpy as np
    >>> from relatum.plot import plot_spaces
    >>> X = np.random.default_rng(0).normal(size=(100, 8))
    >>> len(plot_spaces({"one": X, "another": X[:, ::-1]}).axes)
    2
    """
    names, arrays = list(spaces), list(spaces.values())
    arrays, names = _picture.check_spaces(arrays, names)
    n = len(arrays[0])
    labels = _picture.check_column(labels, "labels", n)
    rows = _picture.sample_rows(np.arange(n), max_points, random_state)
    planes = [_picture.plane(a[rows])[0] for a in arrays]
    colours = _picture.colouring(labels, planes[0][:, 0], names[0], rows)
    figure = _figure(3.2 * len(names), 3.7)
    for axes, at, name, array in zip(
        np.ravel(figure.subplots(1, len(names), squeeze=False)), planes, names, arrays, strict=True
    ):
        _scatter(axes, at, colours, marker="o")
        _title(axes, name, f"{array.shape[1]} numbers an item")
    _legend(figure, colours, [])
    return figure


def plot_before_after(
    spaces: Mapping[str, Any],
    anchors: Any,
    labels: Any = None,
    *,
    similarity: Spec | Sequence[Spec] = "cosine",
    center: bool = True,
    whiten: float | None = None,
    highlight: int = 3,
    max_points: int = 600,
    random_state: Any = 0,
) -> Figure:
    """Draw each space before, and the one relative space that all of them share after.

    Parameters
    ----------
    spaces : mapping of name to array (n_rows, n_features)
        Row i of each is the same item; widths may differ.
    anchors : row numbers, or one array (n_anchors, n_features) for each space
        Parallel anchors. Rows that are anchors are not drawn if 50 others remain.
    labels : sequence (n_rows,), optional
        As in :func:`plot_spaces`.
    similarity, center, whiten
        As in :func:`relatum.relative_projection`. Whitening serves heads and search, but
        evens out the axes that a picture lives on.
    highlight : int
        Items that are numbered in every panel, so that one can follow them.
    max_points : int
        Rows drawn, a random sample of all.

    Raises
    ------
    MissingExtraError
        matplotlib is not installed.
    TypeError, ValueError
        As :func:`plot_spaces`, and all that :func:`relatum.relative_projection` refuses.

    Examples
    --------
    >>> import numpy as np
    >>> from relatum.plot import plot_before_after
    >>> X = np.random.default_rng(0).normal(size=(100, 8))
    >>> figure = plot_before_after({"one": X, "another": X[:, ::-1]}, range(20))
    >>> [axes.get_title() for axes in figure.axes][-1]
    'one relative space'
    """
    seen = _picture.view(
        list(spaces.values()), anchors, list(spaces), labels=labels, similarity=similarity,
        center=center, whiten=whiten, max_points=max_points, random_state=random_state,
    )  # fmt: skip
    n = len(seen.names)
    figure = _figure(2.6 * n + 5.2, 4.4)
    *panels, gap, last = figure.subplots(1, n + 2, width_ratios=[1.0] * n + [0.22, 1.5])
    _arrow(gap)
    picked = _spread_out(seen, highlight)
    for axes, at, name, width in zip(panels, seen.before, seen.names, seen.widths, strict=True):
        _scatter(axes, at, seen.colours, marker="o")
        _title(axes, name, f"{width} numbers an item")
        _number_items(axes, [at], picked)
    for at, marker in zip(seen.after, _markers(n), strict=True):
        _scatter(last, at, seen.colours, marker=marker)
    _title(last, "one relative space", f"all of them, as similarities to {seen.n_anchors} anchors")
    _number_items(last, seen.after, picked)
    _legend(figure, seen.colours, seen.names)
    return figure


def save_figure(figure: Figure, path: str | os.PathLike[str], *, dpi: int = 150) -> Path:
    """Write ``figure`` to ``path`` (PNG, SVG, PDF by its suffix) under a temporary name first."""
    target = Path(path)
    with _files.replacing(target) as temporary:
        figure.savefig(temporary, format=target.suffix.lstrip(".") or "png", dpi=dpi)
    return target


def _figure(width: float, height: float) -> Figure:
    _validation.require("matplotlib", "plot", "a picture")
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained", facecolor="white")


def _markers(n: int) -> list[str]:
    return [MARKERS[i % len(MARKERS)] for i in range(n)]


def _scatter(axes: Axes, at: np.ndarray, colours: Colouring, marker: str) -> None:
    if colours.names:
        shown: dict[str, Any] = {"c": [colours.colours[i] for i in colours.values]}
    else:
        shown = {"c": colours.values, "cmap": "viridis"}
    size = float(np.clip(9_000 / max(1, len(at)), 4, 18))
    axes.scatter(at[:, 0], at[:, 1], s=size, marker=marker, alpha=0.7, linewidths=0, **shown)


def _title(axes: Axes, title: str, below: str) -> None:
    axes.set_title(title, fontsize=12, color=INK, fontweight="bold")
    axes.set_xlabel(below, fontsize=9, color=FAINT)
    axes.set(xlim=(-1.1, 1.1), ylim=(-1.1, 1.1), xticks=[], yticks=[], aspect="equal")
    for spine in axes.spines.values():
        spine.set_color("#dddddd")


def _arrow(axes: Axes) -> None:
    """Fill a narrow panel with an arrow."""
    axes.set(xlim=(0, 1), ylim=(0, 1))
    axes.axis("off")
    axes.annotate(
        "", (1.0, 0.5), (0.0, 0.5), xycoords="axes fraction",
        arrowprops={"arrowstyle": "-|>", "color": FAINT, "lw": 2.5, "mutation_scale": 22},
    )  # fmt: skip


def _spread_out(seen: View, n: int) -> list[int]:
    """Pick ``n`` rows far apart in the common plane, typical of their class and steady.

    Steady rows lie near each other whichever space they come from.
    """
    middle = np.mean(seen.after, axis=0)
    unsteady = np.max([np.linalg.norm(a - middle, axis=1) for a in seen.after], axis=0)
    for code in np.unique(seen.colours.values) if seen.colours.names else ():
        own = seen.colours.values == code
        unsteady[own] += np.linalg.norm(middle[own] - middle[own].mean(axis=0), axis=1)
    steady = np.flatnonzero(unsteady <= np.median(unsteady))
    picked: list[int] = []
    distance = np.linalg.norm(middle[steady], axis=1)
    for _ in range(min(n, len(steady))):
        picked.append(int(steady[np.argmax(distance)]))
        step = np.linalg.norm(middle[steady] - middle[picked[-1]], axis=1)
        distance = step if len(picked) == 1 else np.minimum(distance, step)
    return picked


def _number_items(axes: Axes, planes: list[np.ndarray], picked: list[int]) -> None:
    for number, row in enumerate(picked, start=1):
        for at in planes:
            axes.scatter(
                at[row, 0], at[row, 1], s=46, facecolors="none", edgecolors=INK, linewidths=1.2
            )
        points = np.array([at[row] for at in planes])
        x, y = points.mean(axis=0)
        for point in points:
            axes.plot(*np.transpose([point, (x, y)]), color=INK, lw=0.8)
        axes.annotate(
            str(number), (x, y), xytext=(7, 7), textcoords="offset points", fontsize=10,
            fontweight="bold", color=INK,
            bbox={"boxstyle": "circle,pad=0.15", "fc": "white", "ec": "none", "alpha": 0.8},
        )  # fmt: skip


def _legend(figure: Figure, colours: Colouring, names: list[str]) -> None:
    from matplotlib.lines import Line2D

    classes = [
        Line2D([], [], marker="o", ls="", color=c, label=name)
        for name, c in zip(colours.names, colours.colours, strict=True)
    ]
    shapes = [
        Line2D([], [], marker=m, ls="", color=FAINT, label=name)
        for name, m in zip(names, _markers(len(names)), strict=True)
    ]
    if classes or len(shapes) > 1:
        figure.legend(
            handles=classes + (shapes if len(shapes) > 1 else []), loc="outside lower center",
            ncols=8, frameon=False, fontsize=9, handletextpad=0.1, columnspacing=1.4,
        )  # fmt: skip
