"""What all pictures of the experiments have in common: figure, colours, names, grouping, file."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from relatum import _files, _validation
from relatum._picture import PALETTE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Row = dict[str, Any]
Kept = Mapping[str, Mapping[str, np.ndarray]]
Where = Mapping[str, Any]
Names = Mapping[str, str]

INK, FAINT, GRID = "#222222", "#6b6b6b", "#e3e3e3"
DPI = 150
MAX_BYTES = 200_000
MAX_CLASSES = len(PALETTE)
MARKERS = "osD^vPX*"
STYLES = ("-", "--", ":", "-.")

COLOURS = {"absolute": "#7f7f7f", "cosine": "#4477AA", "centred": "#CCBB44", "whitened": "#EE6677"}
"""One colour for each projection, the same in every picture."""
NAMES = {
    "absolute": "absolute",
    "cosine": "relative (the paper's)",
    "centred": "relative, centred",
    "whitened": "relative, whitened",
}


def new_figure(width: float = 8.0, height: float = 4.5) -> Figure:
    """Return an empty white figure; 8 inches are 800 pixels on a page."""
    _validation.require("matplotlib", "paper", "a picture")
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained", facecolor="white")


def panel_axes(n: int, *, columns: int = 3, height: float = 3.4) -> tuple[Figure, list[Axes]]:
    """Return a figure with ``n`` panels that share their axes, at most ``columns`` a line."""
    across = min(n, columns)
    down = -(-n // across)
    figure = new_figure(8.0, height * down if n > 1 else 4.5)
    axes = figure.subplots(down, across, squeeze=False, sharex=True, sharey=True).ravel().tolist()
    for unused in axes[n:]:
        unused.axis("off")
    for a in axes[max(0, n - across) : n]:  # the lowest of each column keeps its numbers
        a.tick_params(labelbottom=True)
    return figure, axes[:n]


def outer_labels(axes: Sequence[Axes]) -> None:
    """Keep the names of the axes on the outer panels alone, where all share one scale."""
    for a in axes:
        place = a.get_subplotspec()
        if place is not None and not place.is_first_col():
            a.set_ylabel("")
        below = place.get_gridspec().ncols if place is not None else 0
        if place is not None and place.num1 + below < len(axes):
            a.set_xlabel("")


def plain(axes: Axes, *, title: str = "", x: str = "", y: str = "", grid: str = "y") -> None:
    """Give ``axes`` the common look; ``grid`` is "y", "both" or "" for none."""
    if title:
        axes.set_title(title, fontsize=11, color=INK)
    axes.set_xlabel(x, fontsize=11, color=INK)
    axes.set_ylabel(y, fontsize=11, color=INK)
    axes.tick_params(labelsize=10, colors=INK, length=3)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color("#999999")
    axes.set_axisbelow(True)
    if grid:
        axes.grid(visible=True, axis=grid, color=GRID, linewidth=0.8)  # type: ignore[arg-type]


def no_axes(axes: Axes, title: str = "") -> None:
    """A panel of a latent plane: a thin frame, no numbers."""
    axes.set(xticks=[], yticks=[])
    if title:
        axes.set_title(title, fontsize=11, color=INK)
    for spine in axes.spines.values():
        spine.set_color("#dddddd")


def legend_below(figure: Figure, handles: Sequence[Any], *, title: str = "") -> None:
    """One legend for all panels, below them; none for fewer than two entries."""
    if len(handles) > 1:
        longest = max(len(str(h.get_label())) for h in handles)
        columns = max(1, min(len(handles), int(95 // (longest + 6))))
        figure.legend(
            handles=handles, loc="outside lower center", ncols=columns, frameon=False,
            fontsize=10, title=title or None, columnspacing=1.4, handletextpad=0.5,
        )  # fmt: skip


def save(figure: Figure, path: Path) -> None:
    """Write ``figure`` as PNG, with a palette of 256 colours where it would be large."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI, metadata={"Software": ""})
    data = buffer.getvalue()
    if len(data) > MAX_BYTES:
        from PIL import Image

        small = io.BytesIO()
        image = Image.open(buffer).convert("RGB")
        image.quantize(256, method=Image.Quantize.MEDIANCUT).save(small, "PNG", optimize=True)
        data = small.getvalue()
    path.parent.mkdir(parents=True, exist_ok=True)
    with _files.replacing(path) as temporary:
        temporary.write_bytes(data)


def chosen(rows: Iterable[Row], where: Where | None, *fields: str | None) -> list[Row]:
    """Return the rows of ``where`` that have all ``fields``.

    Raises
    ------
    ValueError
        None is left to draw.
    """
    from relatum.paper.experiment import matches

    needed = [f for f in fields if f]
    found = [
        r for r in rows if matches(r, where or {}) and all(r.get(f) is not None for f in needed)
    ]
    if not found:
        raise ValueError(f"no row has {', '.join(needed)} where {dict(where or {})}")
    return found


def values_of(rows: Iterable[Row], field: str | None) -> list[Any]:
    """Return the values of ``field``: numbers in order, projections as in :data:`NAMES`."""
    if field is None:
        return [None]
    found = list(dict.fromkeys(row[field] for row in rows))
    if all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in found):
        return sorted(found)
    known = {name: i for i, name in enumerate(NAMES)}
    return sorted(found, key=lambda v: known.get(v, len(known)))  # stable: others as they came


def group(rows: Iterable[Row], field: str | None) -> dict[Any, list[Row]]:
    """Return the rows of each value of ``field``; all under None without one."""
    rows = list(rows)
    return {v: [r for r in rows if field is None or r[field] == v] for v in values_of(rows, field)}


def mean_std(rows: Iterable[Row], metric: str) -> tuple[float, float]:
    """Return mean and standard deviation (of the sample; 0 for one row) of ``metric``."""
    values = np.array([row[metric] for row in rows], dtype=np.float64)
    return float(values.mean()), float(values.std(ddof=1)) if len(values) > 1 else 0.0


def name_of(value: Any, names: Names | None, field: str | None = None) -> str:
    """How a value is written in a picture: by ``names``, by :data:`NAMES`, or as it is."""
    if isinstance(value, bool):
        key = f"{field}: {'yes' if value else 'no'}"
        return (names or {}).get(key, key)
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return {**NAMES, **(names or {})}.get(text, text)


def colours_of(values: Sequence[Any]) -> dict[Any, str]:
    """Return a colour for each value: projections have their own, others by the palette."""
    if any(v in COLOURS for v in values):
        free = [c for c in PALETTE if c not in COLOURS.values()]
    else:
        free = list(PALETTE)
    others = [v for v in values if v not in COLOURS]
    given = {v: free[i % len(free)] for i, v in enumerate(others)}
    return {v: COLOURS.get(v) or given[v] for v in values}


def paper_value(
    paper: str | None, metric: str, wanted: Where, where: Where | None
) -> tuple[float, float] | None:
    """The one paper value whose fields are those wanted; fields that it does not name are free."""
    if paper is None:
        return None
    from relatum.paper.experiment import load_experiment

    asked = {**(where or {}), **wanted}
    for value in load_experiment(paper).paper_values:
        named = set(wanted) <= set(value.where)
        if value.metric == metric and named and _overlap(value.where, asked):
            return value.value, value.std or 0.0
    return None


def _overlap(one: Where, other: Where) -> bool:
    """Say whether a row could have the values of both; a list allows each of its values."""
    sets = [({k: v if isinstance(v, list) else [v] for k, v in w.items()}) for w in (one, other)]
    return all(any(v in sets[1][k] for v in sets[0][k]) for k in set(one) & set(other))


def name_ticks(
    axes: Axes, values: Sequence[Any], names: Names | None, field: str, *, columns: int = 1
) -> None:
    """Write values below an axis: in one line, broken where that is too wide, or slanted.

    ``columns`` is the number of panels that share the picture's width.
    """
    texts = [name_of(v, names, field) for v in values]
    room = int(68 / columns / max(1, len(texts)))  # letters
    broken = [t if len(t) <= room else t.replace(" ", "\n") for t in texts]
    fits = max(len(line) for t in broken for line in t.split("\n")) <= room
    axes.set_xticks(range(len(texts)), broken if fits else texts)
    if not fits:
        axes.tick_params(axis="x", labelrotation=30)
        for label in axes.get_xticklabels():
            label.set(ha="right", rotation_mode="anchor")


def log_scale(axes: Axes) -> None:
    """Make the y axis logarithmic, with plain numbers at 1, 2 and 5 of each power of ten."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    axes.set_yscale("log")
    low, high = axes.get_ylim()
    steps = (1.0, 2.0, 5.0) if high < 1_000 * low else (1.0,)
    axes.yaxis.set_major_locator(LogLocator(subs=steps))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def dot(colour: str, name: str, marker: str = "o", edge: str = "none") -> Any:
    from matplotlib.lines import Line2D

    return Line2D([], [], marker=marker, ls="", color=colour, mec=edge, ms=7, label=name)


def stroke(colour: str, name: str, style: Any, marker: str) -> Any:
    from matplotlib.lines import Line2D

    return Line2D([], [], color=colour, ls=style, marker=marker, ms=5, lw=1.8, label=name)


def patch(colour: str, name: str) -> Any:
    from matplotlib.patches import Patch

    return Patch(color=colour, label=name)
