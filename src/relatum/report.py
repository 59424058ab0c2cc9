"""One HTML file about two spaces: a picture before, a picture after, and the measures.

The file holds everything that it shows, so it opens without a network.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from relatum import _picture, _report_page
from relatum._picture import View
from relatum._report_page import MAX_POINTS, NAME_LENGTH, Items, Panel, number
from relatum.comparison import Comparison
from relatum.similarity import Spec

__all__ = ["Table", "comparison_report"]

MEASURE_WORDS = {
    "retrieval_jaccard": "Overlap of what an item of {x} and its counterpart find in {y}",
    "retrieval_jaccard_from_y": "Overlap of what an item of {y} and its counterpart find in {x}",
    "mean_reciprocal_rank": "How high an item of {x} finds its counterpart in {y} (1: first)",
    "mean_reciprocal_rank_from_y": "How high an item of {y} finds its counterpart in {x}",
    "latent_similarity": "Mean cosine of an item and its counterpart",
    "pairwise_score": "Mean distance of an item and its counterpart",
    "neighborhood_jaccard": "Overlap of an item's neighbours in {x} and in {y}",
    "mutual_knn": "Share of an item's neighbours that both spaces have",
    "cka": "Agreement of all similarities (linear CKA)",
    "cka_unbiased": "The same, corrected for few items and many dimensions",
    "cka_rbf": "The same, of near items above all (RBF CKA)",
    "svcca": "Correlation of the main directions (SVCCA)",
    "pwcca": "Correlation of the directions, weighted (PWCCA)",
    "procrustes_distance": "What is left after the best rotation (Procrustes)",
    "rsa_distance": "Disagreement on the order of all distances (RSA)",
}
"""What each measure is in words; ``{x}`` and ``{y}`` are the names of the spaces."""
VERDICTS = ((0.9, "nearly a perfect match"), (0.5, "much alike"), (0.2, "somewhat alike"))


@dataclass(frozen=True)
class Table:
    """A further table of a report, all of it text."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    text: str = ""


def comparison_report(
    path: str | os.PathLike[str],
    X: Any,
    Y: Any,
    anchors: Any,
    comparison: Comparison,
    *,
    labels: Any = None,
    texts: Any = None,
    ids: Any = None,
    names: tuple[str, str] = ("X", "Y"),
    title: str | None = None,
    tables: Iterable[Table] = (),
    similarity: Spec | Sequence[Spec] | None = None,
    max_points: int = MAX_POINTS,
    random_state: Any = 0,
) -> Path:
    """Write one HTML file about two spaces, before and after the relative projection.

    Each space is drawn by its own two principal components; then both in one plane of
    their relative space. Pointing at an item marks it in all three pictures.

    Parameters
    ----------
    path : str or path
        Written under a temporary name first; an older file is replaced.
    X, Y : array (n_rows, n_features_x), array (n_rows, n_features_y)
        Row i of both is the same item.
    anchors : row numbers, a pair of arrays, or None
        As given to :func:`relatum.compare`. None draws rows uniformly.
    comparison : relatum.comparison.Comparison
        What :func:`relatum.compare` gave; its settings also make the picture.
    labels, texts, ids : sequence (n_rows,), optional
        Class or number to colour by, text to show, and id of each row.
    names : pair of str
        What the two spaces are called.
    title : str, optional
    tables : iterable of Table
        Further tables, below the measures.
    similarity : str, (str, parameters), function, or a list of them
        None takes the name in the comparison's settings.
    max_points : int
        Rows drawn, a random sample of all; the page says so.
    random_state : int, Generator, RandomState or None

    Returns
    -------
    Path

    Raises
    ------
    MissingExtraError
        Jinja2 is not installed.
    TypeError, ValueError
        Rows, labels, texts or ids that do not match, and all that
        :func:`relatum.relative_projection` refuses.

    Examples
    --------
    >>> import numpy as np, relatum, tempfile, pathlib
    >>> from relatum.report import comparison_report
    >>> X = np.random.default_rng(0).normal(size=(200, 8))
    >>> found = relatum.compare(X, X[:, ::-1], range(20), n_permutations=19, n_bootstrap=0)
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> comparison_report(folder / "report.html", X, X[:, ::-1], range(20), found).name
    'report.html'
    """
    _report_page.require_jinja2()
    settings = comparison.to_dict()["settings"]
    shown = _picture.view(
        [X, Y], anchors, [_report_page.cut(name, NAME_LENGTH) for name in names], labels=labels,
        similarity=settings["similarity"].split(" + ") if similarity is None else similarity,
        center=settings["center"], whiten=settings["whiten"],
        max_points=max_points, random_state=random_state,
    )  # fmt: skip
    items = Items.of(shown.rows, shown.n_rows, ids=ids, texts=texts, labels=labels)
    panels = _panels(shown)
    colourings = [(shown.colours.meaning, shown.colours)]
    return _report_page.write_page(
        path, "report.html",
        title=title or f"{shown.names[0]} and {shown.names[1]}: two latent spaces, compared",
        panels=panels,
        data=_report_page.page_data(panels, shown.names, items, colourings),
        tables=list(tables),
        drawn=_drawn(shown),
        **_measures(comparison, shown.names),
    )  # fmt: skip


def _panels(shown: View) -> list[Panel]:
    before = [
        Panel(
            f"{name}, before",
            f"{width} numbers an item, its own two main axes",
            [(space, shown.before[space])],
        )
        for space, (name, width) in enumerate(zip(shown.names, shown.widths, strict=True))
    ]
    below = f"both as similarities to the same {shown.n_anchors} anchors"
    return [*before, Panel("After: one relative space", below, list(enumerate(shown.after)))]


def _drawn(shown: View) -> str:
    n, of = len(shown.rows), shown.n_shown
    which = f"all {n:,} items" if n == of else f"a random sample of {n:,} of {of:,} items"
    if of < shown.n_rows:
        which += f" (the {shown.n_rows - of:,} anchors are left out)"
    return (
        f"Drawn: {which}. Two main axes hold only a part of each space; the measures below use "
        "all of its dimensions. In the last picture every row has unit length, which is what a "
        "cosine sees."
    )


def _measures(comparison: Comparison, names: list[str]) -> dict[str, Any]:
    """Rows and sentences about the measures."""
    found = comparison.to_dict()
    s = found["settings"]
    rows = [_measure_row(name, r, names) for name, r in found["results"].items()]
    kind = f"similarity {s['similarity']}" + (", centred" if s["center"] else "")
    kind += "" if s["whiten"] is None else f", whitened with λ = {s['whiten']:g}"
    return {
        "measures": rows,
        "warnings": found["warnings"],
        "summary": _summary(found, names),
        "reading": "Each value stands beside what it is by chance (the items of one space "
        "shuffled), and with the interval that it would mostly fall in for other items of the "
        "same kind. p is the share of shuffles that come as close.",
        "settings": f"{s['n_rows']:,} items compared, {s['n_anchors']} anchors, {kind}, "
        f"{s['k']} neighbours, {s['n_permutations']} shuffles, {s['n_bootstrap']} resamples.",
    }


def _summary(found: dict[str, Any], names: list[str]) -> str:
    """Say the main result in one sentence."""
    rank = found["results"].get("mean_reciprocal_rank")
    if rank is None:
        return "Two spaces of the same items, held against chance."
    chance = "" if rank["null_mean"] is None else f" ({rank['null_mean']:.3f} by chance)"
    return (
        f"In the relative space, an item of {names[0]} finds its own counterpart in {names[1]} "
        f"with a mean reciprocal rank of {rank['value']:.2f}{chance}: 1 is always first."
    )


def _measure_row(name: str, r: dict[str, Any], names: list[str]) -> dict[str, Any]:
    calibrated = r["calibrated"]
    return {
        "name": name,
        "words": MEASURE_WORDS.get(name, name).format(x=names[0], y=names[1]),
        "closer": "higher" if r["higher_is_closer"] else "lower",
        "value": number(r["value"]),
        "interval": "–" if r["interval"] is None else " to ".join(map(number, r["interval"])),
        "chance": number(r["null_mean"]),
        "p": number(r["p_value"]),
        "calibrated": number(calibrated, 2),
        "percent": None if calibrated is None else round(100 * min(1.0, max(0.0, calibrated)), 1),
        "verdict": _verdict(calibrated, r["p_value"]),
    }


def _verdict(calibrated: float | None, p_value: float | None) -> str:
    if calibrated is None or p_value is None:
        return "not held against chance"
    if p_value > 0.05:
        return "no more than chance"
    return next((words for at, words in VERDICTS if calibrated >= at), "a little above chance")
