"""The tables that the docs show, written from the library's own."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

import relatum
from relatum.comparison import MEASURES
from relatum.similarity import SIMILARITIES, TRANSFORMATIONS
from relatum.translation import METHODS


def markdown(header: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    header = list(header)
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def _tick(value: bool) -> str:
    return "yes" if value else "–"


def _bound(value: float) -> str:
    return {math.inf: "∞", -math.inf: "−∞", math.pi: "π"}.get(value, f"{value:g}")


def _has_inverse(similarity: str) -> bool:
    anchors = np.eye(4, 3) + 1
    try:
        relatum.inverse_relative_projection(np.ones((2, 4)), anchors, similarity=similarity)
    except ValueError:
        return False
    return True


def similarities() -> str:
    """Range, orientation, and what a similarity can be used for."""
    rows = [
        [
            f"`{name}`",
            f"{_bound(s.range[0])} to {_bound(s.range[1])}",
            "higher" if s.higher_is_closer else "lower",
            _tick(s.is_kernel),
            _tick(_has_inverse(name)),
        ]
        for name, s in SIMILARITIES.items()
    ]
    return markdown(["name", "range", "closer is", "can be whitened", "has an inverse"], rows)


def invariances() -> str:
    """Which transformations leave each similarity unchanged."""
    rows = [
        [f"`{name}`", *(_tick(t in s.invariant_to) for t in TRANSFORMATIONS)]
        for name, s in SIMILARITIES.items()
    ]
    return markdown(["name", *(t.replace("_", " ") for t in TRANSFORMATIONS)], rows)


def transformations() -> str:
    rows = [[name.replace("_", " "), meaning] for name, meaning in TRANSFORMATIONS.items()]
    return markdown(["transformation", "meaning"], rows)


def translations() -> str:
    """What each method of translation is."""
    rows = [
        [f"`{name}`", m.says, "one" if m.same_width else "any two"] for name, m in METHODS.items()
    ]
    return markdown(["method", "what it fits", "widths"], rows)


def measures() -> str:
    rows = [
        [
            f"`{name}`",
            "higher" if m.higher_is_closer else "lower",
            f"{_bound(m.range[0])} to {_bound(m.range[1])}",
            m.on,
            ", ".join(t.replace("_", " ") for t in TRANSFORMATIONS if t in m.invariant_to) or "–",
        ]
        for name, m in MEASURES.items()
    ]
    return markdown(["measure", "closer is", "range", "on", "unchanged by (on one side)"], rows)


def names() -> str:
    """The top-level names, each with the module that it comes from."""
    rows = []
    for name in relatum.__all__:
        home = getattr(relatum, name).__module__
        home = "relatum" if home.startswith("relatum._") else home
        rows.append([f"{{py:obj}}`relatum.{name} <{home}.{name}>`", f"`{home}`"])
    return markdown(["name", "module"], rows)
