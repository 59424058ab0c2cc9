"""Accuracy and similarity to the reference along trainings: Figures 3 (right) and 8."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from relatum.paper import names
from relatum.paper import picture_frame as frame
from relatum.paper.picture_frame import Kept, Row, Where

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ACCURACY, SIMILARITY = "#4477AA", "#EE6677"


def curves(
    rows: Sequence[Row],
    kept: Kept,
    path: Path,
    *,
    n: int = 1,
    columns: int = 1,
    seed: int = 0,
    where: Where | None = None,
) -> None:
    """Draw validation accuracy and similarity over the epochs of ``n`` trainings.

    The trainings are drawn at random, with ``seed``, from the rows of ``where`` that
    have both curves. With more than four, panels carry r alone.
    """
    rows = frame.chosen(rows, where, "accuracies", "similarities", "pearson")
    drawn = np.random.default_rng(seed).permutation(len(rows))[:n]
    across = min(columns, len(drawn))
    down = -(-len(drawn) // across)
    figure = frame.new_figure(8.0, 4.5 if len(drawn) == 1 else 7.6 * down / across * 0.75)
    axes = figure.subplots(down, across, squeeze=False).ravel().tolist()
    for a in axes[len(drawn) :]:
        a.axis("off")
    handles: list[object] = []
    for a, number in zip(axes, drawn, strict=False):
        handles = _two_curves(a, rows[number], small=len(drawn) > 4)
    frame.legend_below(figure, handles)
    frame.save(figure, path)


def _two_curves(a: Axes, row: Row, *, small: bool) -> list[object]:
    epochs = np.arange(1, len(row["accuracies"]) + 1)
    other = a.twinx()
    one = a.plot(epochs, row["accuracies"], color=ACCURACY, label="validation accuracy")
    two = other.plot(
        epochs,
        [np.nan if s is None else s for s in row["similarities"]],
        color=SIMILARITY,
        label="similarity to the reference",
    )
    title = f"r = {row['pearson']:.2f}"
    if small:
        frame.no_axes(a)
        frame.no_axes(other)
        a.set_title(title, fontsize=8, color=frame.FAINT, pad=2)
    else:
        conv, optimizer = (names.value(field, row[field]) for field in ("conv", "optimizer"))
        about = f"{conv}, {row['n_layers']} layers, {optimizer}, {title}"
        frame.plain(a, title=about, x="epoch", y="validation accuracy")
        frame.plain(other, y="similarity to the reference", grid="")
        other.spines["right"].set_visible(True)
    return [*one, *two]
