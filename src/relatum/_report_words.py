"""What the report of a translation says in sentences, and the rows of its main table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from relatum._report_page import number
from relatum.common_space import CommonSpace
from relatum.translation import Translation
from relatum.translation_scores import RetrievalQuality, TranslationScores
from relatum.weak_spots import WeakSpots, share_interval


def percent(share: float, digits: int = 1) -> str:
    """Write a share in percent."""
    return f"{100 * share:.{digits}f}\u00a0%"


def summary(scores: TranslationScores, a: str, b: str) -> str:
    """Say the main result in two sentences."""
    q = scores.translated
    return (
        f"Of {scores.n_items:,} held-out items of {a}, {percent(q.recall_1)} find themselves first "
        f"among all of them in {b} once they are translated, and {percent(q.recall_k)} among the "
        f"first {scores.k}. They keep {scores.k * q.overlap_k:.1f} of their {scores.k} nearest "
        "neighbours."
    )


def prediction(scores: TranslationScores, known: Mapping[str, Any]) -> str:
    """Hold the prediction against what was measured; another size of index is said."""
    first = known["recall_1"]
    low, high, found = first["low"], first["high"], scores.translated.recall_1
    place = "inside" if low <= found <= high else "above" if found > high else "below"
    index = "a translated index" if known["translated"] == "index" else "an index"
    size = scores.n_items / known["n_index"]
    other = ", which is easier," if size < 0.8 else ", which is harder," if size > 1.25 else ""
    return (
        f"The {known['n_anchors']:,} anchors alone predicted {percent(first['value'])} "
        f"({percent(low)} to {percent(high)}) for {index} of {known['n_index']:,} rows. Among "
        f"{scores.n_items:,} items{other} {percent(found)} were measured: {place} the interval."
    )


def about(translation: Translation | CommonSpace, scores: TranslationScores) -> str:
    """Say what was fitted and measured."""
    fitted = translation if isinstance(translation, Translation) else translation.translation_
    return (
        f"Method {scores.method}, fitted on {fitted.n_anchors_:,} anchors. {scores.n_items:,} "
        "items, each searched among all of them. The interval below a measured share is that of "
        "95 %, for other items of the same kind."
    )


def measures(scores: TranslationScores, known: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """Return rows of the table: what was measured in each way, and what was predicted."""
    return _measured(scores, known) + ([] if known is None else _only_predicted(scores, known))


def _measured(scores: TranslationScores, known: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    k = scores.k
    rows = [
        ("Finds itself first", "R@1", "recall_1"),
        (f"Finds itself among the first {k}", f"R@{k}", "recall_k"),
        (f"Share of its {k} nearest neighbours kept", f"overlap@{k}", "overlap_k"),
        ("Mean cosine with its own target row, both less the mean", "cosine", "cosine"),
    ]
    found = []
    for words, short, name in rows:
        value = getattr(scores.translated, name)
        ends = share_interval(value, scores.n_items) if name.startswith("recall") else None
        predicted = known[name] if known and _is_comparable(name, known, k) else None
        found.append({
            "words": words, "short": short, "value": number(value), "interval": _interval(ends),
            "predicted": _estimate(predicted),
            "corrected": "–" if name == "cosine" else _value(scores.corrected, name),
            "unchanged": _value(scores.unchanged, name),
        })  # fmt: skip
    return found


def _only_predicted(scores: TranslationScores, known: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return rows for what was predicted and not measured."""
    k = known["k"]
    among = "" if known.get("among") is None else f" among {known['among']} items"
    rows = [
        (f"Finds itself among the first {k}", f"R@{k}", "recall_k"),
        (f"Share of its neighbours kept{among}", f"overlap@{k}", "overlap_k"),
        ("What a head says stays the same", "head", "head"),
    ]
    return [
        {"words": words, "short": short, "value": "–", "interval": "",
         "predicted": _estimate(known[name]), "corrected": "–", "unchanged": "–"}
        for words, short, name in rows
        if known[name] is not None and not _is_comparable(name, known, scores.k)
    ]  # fmt: skip


def _is_comparable(name: str, known: Mapping[str, Any], k: int) -> bool:
    """Tell whether what was predicted is what is measured: of the same k, among all items."""
    if name in ("recall_1", "recall_k"):
        return name == "recall_1" or bool(known["k"] == k)
    return name == "overlap_k" and known["k"] == k and known.get("among") is None


def _value(quality: RetrievalQuality | None, name: str) -> str:
    return number(None if quality is None else getattr(quality, name))


def _estimate(estimate: Mapping[str, float] | None) -> str:
    if estimate is None:
        return "–"
    ends = _interval((estimate["low"], estimate["high"]))
    return f"{number(estimate['value'])} ({ends})"


def _interval(ends: tuple[float, float] | None) -> str:
    return "" if ends is None else " to ".join(map(number, ends))


def ranks(weak: WeakSpots) -> str:
    """Say how many items do not find themselves first."""
    n, later = len(weak.ranks), int(np.sum(weak.ranks > 1))
    if not later:
        return f"Each of the {n:,} items finds itself first."
    far = int(np.sum(weak.ranks > weak.k))
    return (
        f"{later:,} of {n:,} items do not find themselves first: {later - far:,} come at the "
        f"places 2 to {weak.k}, {far:,} later."
    )
