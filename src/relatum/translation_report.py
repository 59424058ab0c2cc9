"""One HTML file about a translation: pictures, how good it is, and where it is weak.

Every number comes from :mod:`relatum.translation_scores` and :mod:`relatum.weak_spots`, or is
handed in; here it only becomes a page.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from relatum import _array, _picture, _report_page, _report_words, _validation
from relatum._array import Array
from relatum._gemm import unit_rows
from relatum._picture import Colouring
from relatum._report_curve import LEFT, RIGHT, SIZE, curve_of
from relatum._report_page import MAX_POINTS, NAME_LENGTH, TEXT_LENGTH, Items, Numbers, Panel, cut
from relatum.common_space import CommonSpace
from relatum.quality import Estimate, PredictedQuality
from relatum.thresholds import Recalibrated
from relatum.translation import Translation
from relatum.translation_scores import TranslationScores, translation_scores
from relatum.weak_spots import WeakSpots, weak_spots

__all__ = ["translation_report"]

N_WEAKEST = 20
"""Items that are listed as the weakest."""
N_SEGMENTS = 40
N_NEIGHBOURS = 5
"""Neighbours that are shown of an item whose neighbours changed."""
RETENTION = "Retention: quality after translation over the same quality natively"


def translation_report(
    path: str | os.PathLike[str],
    translation: Translation | CommonSpace,
    X: Array,
    Y: Array,
    *,
    ids: Any = None,
    texts: Any = None,
    segments: Any = None,
    names: tuple[str, str] = ("source", "target"),
    title: str | None = None,
    predicted: PredictedQuality | Mapping[str, Any] | None = None,
    curve: Iterable[Sequence[float]] | None = None,
    curve_measure: str = RETENTION,
    scores: TranslationScores | None = None,
    verified: Iterable[tuple[str, Estimate, Estimate | None]] = (),
    verified_about: str = "",
    thresholds: Iterable[Recalibrated] = (),
    X_anchors: Array | None = None,
    k: int = 10,
    max_points: int = MAX_POINTS,
    n_changed: int = 20,
    random_state: Any = 0,
) -> Path:
    """Write one HTML file about a translation, from held-out items that both encoders have.

    Three linked pictures: source, target, and the translated source on the target. Below
    them what was measured beside what was predicted, segments and items where the map is
    weak, and neighbours that changed. What is not given is left out.

    Parameters
    ----------
    path : str or path
        Written under a temporary name first; an older file is replaced.
    translation : Translation or CommonSpace
        Fitted.
    X : array (n_items, n_features_x)
    Y : array (n_items, n_features_y)
        Row i is the same item as row i of ``X``; none of them an anchor.
    ids, texts, segments : sequence (n_items,), optional
        Id and text of each item, and what it belongs to (a language, a source, a class).
    names : pair of str
        What the two encoders are called.
    title : str, optional
    predicted : PredictedQuality, or what its ``to_dict`` gave, optional
        Stands beside what was measured.
    curve : sequence of (n_anchors, value, low, high), optional
        Drawn with its interval.
    curve_measure : str
        What the curve's values are.
    scores : TranslationScores, optional
        Computed where they are not given.
    verified : iterable of (str, Estimate, Estimate or None)
        What was measured where the translation is in use, each beside its prediction.
    verified_about : str
        Says of what.
    thresholds : iterable of relatum.thresholds.Recalibrated
    X_anchors : array (n_anchors, n_features_x), optional
        That the translation was fitted on; says how far they cover each item.
    k : int
        Neighbours that are compared. Less than ``n_items - 1``.
    max_points : int
        Items drawn, a random sample of all; the page says so.
    n_changed : int
        Items whose neighbours are listed; 0 leaves them out.
    random_state : int, Generator, RandomState or None
        Of the sample.

    Returns
    -------
    Path

    Raises
    ------
    MissingExtraError
        Jinja2 is not installed.
    TypeError, ValueError
        Rows, ids, texts or segments that do not match, a curve of anything but four
        numbers each, and all that :func:`relatum.weak_spots.weak_spots` refuses.

    Examples
    --------
    >>> import numpy as np, relatum, tempfile, pathlib
    >>> from relatum.translation_report import translation_report
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(200, 8))
    >>> Y = X @ rng.normal(size=(8, 6)) + 0.3 * rng.normal(size=(200, 6))
    >>> translation = relatum.Translation("ridge").fit(X[:60], Y[:60])
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> translation_report(folder / "report.html", translation, X[60:], Y[60:]).name
    'report.html'
    """
    _report_page.require_jinja2()
    n_changed = _validation.check_integer(n_changed, "n_changed", minimum=0)
    grown = None if curve is None else curve_of(curve)
    (x, y), checked = _picture.check_spaces([X, Y], names)
    a, b = (cut(name, NAME_LENGTH) for name in checked)
    segments = _picture.check_column(segments, "segments", len(x))
    rows = _picture.sample_rows(np.arange(len(x)), max_points, random_state)
    items = Items.of(rows, len(x), ids=ids, texts=texts, labels=segments)
    everyone = _Lines(len(x), ids, texts, segments, rows)
    weak = weak_spots(translation, X, Y, segments=segments, X_anchors=X_anchors, k=k)
    scores = translation_scores(translation, X, Y, k=k) if scores is None else scores
    known = predicted.to_dict() if isinstance(predicted, PredictedQuality) else predicted
    panels = _panels(translation, x[rows], y[rows], (a, b))
    return _report_page.write_page(
        path, "translation_report.html",
        title=title or f"{a} translated into {b}",
        a=a, b=b, panels=panels,
        data=_report_page.page_data(
            panels, (a, b), items, _colourings(weak, segments, panels[0], a, rows),
            _numbers(weak, rows),
        ),
        drawn=_drawn(len(rows), len(x), isinstance(translation, Translation)),
        summary=_report_words.summary(scores, a, b),
        prediction=None if known is None else _report_words.prediction(scores, known),
        about=_report_words.about(translation, scores),
        measures=_report_words.measures(scores, known),
        level=None if known is None else round(100 * known["level"]),
        scores=scores,
        verified=list(verified), verified_about=verified_about,
        curve=grown, curve_measure=curve_measure, size=SIZE, left=LEFT, right=RIGHT,
        ranks=_report_words.ranks(weak),
        segments=weak.segments[:N_SEGMENTS], n_segments=len(weak.segments),
        weakest=[everyone.line(row, weak) for row in weak.weakest(N_WEAKEST)],
        changed=[_change(row, weak, everyone) for row in weak.most_changed(n_changed)],
        covered=weak.coverage is not None, k=weak.k,
        thresholds=[t.to_dict() for t in thresholds],
        number=_report_page.number, percent=_report_words.percent,
    )  # fmt: skip


class _Lines:
    """What is said of any item, drawn or not."""

    def __init__(
        self, n: int, ids: Any, texts: Any, segments: np.ndarray | None, drawn: np.ndarray
    ) -> None:
        self.ids = _picture.check_column(ids, "ids", n)
        self.texts = _picture.check_column(texts, "texts", n)
        self.segments = segments
        self.drawn = {int(row): place for place, row in enumerate(drawn)}

    def words(self, row: int) -> dict[str, Any]:
        """Id and text of an item, and its number among those that are drawn."""
        return {
            "id": f"row {row}" if self.ids is None else cut(self.ids[row], NAME_LENGTH),
            "text": None if self.texts is None else cut(self.texts[row], TEXT_LENGTH),
            "item": self.drawn.get(int(row)),
        }

    def line(self, row: int, weak: WeakSpots) -> dict[str, Any]:
        """The same with what was measured."""
        return self.words(row) | {
            "segment": None if self.segments is None else cut(self.segments[row], NAME_LENGTH),
            "rank": int(weak.ranks[row]),
            "kept": round(float(weak.overlap[row]) * weak.k),
            "coverage": None if weak.coverage is None else float(weak.coverage[row]),
        }


def _panels(
    translation: Translation | CommonSpace, x: np.ndarray, y: np.ndarray, names: tuple[str, str]
) -> list[Panel]:
    """Lay out the source, the target, and both where they meet, by the target's main axes."""
    a, b = names
    same = isinstance(translation, Translation)
    target = y if isinstance(translation, Translation) else translation.transform_target(y)
    meet = unit_rows(_array.to_numpy(target))
    came = unit_rows(_array.to_numpy(translation.transform(x)))
    at_target, at_source = _picture.plane(meet, came, axes_of=meet)
    before = at_target if same else _picture.plane(unit_rows(y))[0]
    axes = "its own two main axes"
    return [
        Panel(f"{a}, before", f"{x.shape[1]} numbers an item, {axes}",
              [(0, _picture.plane(unit_rows(x))[0])]),
        Panel(f"{b}, before", f"{y.shape[1]} numbers an item, {axes}", [(1, before)]),
        Panel(
            f"After: {a} in the space of {b}" if same else "After: one common space",
            f"both on the axes of {b}" if same else f"both on the main axes of {b} in it",
            [(0, at_source), (1, at_target)],
        ),
    ]  # fmt: skip


def _colourings(
    weak: WeakSpots, segments: np.ndarray | None, first: Panel, name: str, rows: np.ndarray
) -> list[tuple[str, Colouring]]:
    """What items can be coloured by: their segment or place, and how good the map is there."""
    words = None if segments is None else [str(s) for s in segments]
    own = _picture.colouring(words, first.planes[0][1][:, 0], name, rows)
    kept = f"of {weak.k} neighbours kept: none to all"
    found = [
        (f"place in {name}" if segments is None else "segment", own),
        ("neighbours kept", Colouring([], weak.overlap[rows], kept)),
    ]
    if weak.coverage is not None:
        covered = np.clip(weak.coverage[rows], 0, 1)
        found.append(("coverage", Colouring([], covered, "covered by the anchors: 0 to 1")))
    return found


def _numbers(weak: WeakSpots, rows: np.ndarray) -> list[Numbers]:
    found = [
        Numbers("finds itself at place #", weak.ranks[rows]),
        Numbers(f"# of {weak.k} neighbours kept", weak.overlap[rows] * weak.k),
    ]
    if weak.coverage is not None:
        found.append(Numbers("covered by the anchors: #", weak.coverage[rows], 2))
    return found


def _drawn(n: int, of: int, same_axes: bool) -> str:
    which = f"all {n:,} items" if n == of else f"a random sample of {n:,} of {of:,} items"
    axes = " The last two pictures have the same axes." if same_axes else ""
    return (
        f"Drawn: {which}, at unit length, which is what a cosine sees.{axes} Two main axes hold "
        "only a part of a space; all numbers on this page use all of its dimensions."
    )


def _change(row: int, weak: WeakSpots, everyone: _Lines) -> dict[str, Any]:
    """An item with its nearest others, before and after; ``both``: among the k of both."""
    sides = []
    for own, other in ((weak.native, weak.translated), (weak.translated, weak.native)):
        among = set(other[row].tolist())
        sides.append(
            [everyone.words(i) | {"both": int(i) in among} for i in own[row, :N_NEIGHBOURS]]
        )
    return everyone.line(row, weak) | {"native": sides[0], "translated": sides[1]}
