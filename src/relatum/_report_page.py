"""What the HTML reports share: one page of linked pictures, and how it is written.

Everything is in the one file: points as two bytes a coordinate in base64, texts cut. Jinja2
escapes whatever comes from the user; a few lines of script draw the pictures.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Self

import numpy as np

import relatum
from relatum import _files, _picture, _validation
from relatum._picture import Colouring

MAX_POINTS = 20_000
"""Points drawn a space; up to here hovering stays smooth and the file small."""
TEXT_LENGTH = 220
"""Characters of an item's text that are shown."""
ALL_TEXTS = 2_000_000
"""Characters of all texts of the pictures; of many items each shows less."""
NAME_LENGTH = 80
"""Characters of a name, an id or a label."""
LARGEST = 32767
"""What the place 1 is written as."""


@dataclass(frozen=True)
class Panel:
    """A picture: the first space is drawn as circles, the second as squares."""

    title: str
    below: str
    planes: Sequence[tuple[int, np.ndarray]]
    """Number of the space, and where its rows are: (n, 2), from -1 to 1."""


@dataclass(frozen=True)
class Numbers:
    """What is said of each item in numbers."""

    words: str
    """The number stands where ``#`` is."""
    values: np.ndarray
    digits: int = 0


@dataclass(frozen=True)
class Items:
    """What is said of each item in words."""

    ids: list[str]
    texts: list[str] | None
    labels: list[str] | None

    @classmethod
    def of(cls, rows: np.ndarray, n_rows: int, *, ids: Any, texts: Any, labels: Any) -> Self:
        """Check that each column has ``n_rows`` entries, and take those of ``rows``."""
        columns = {"ids": ids, "texts": texts, "labels": labels}
        most = {"texts": min(TEXT_LENGTH, max(NAME_LENGTH, ALL_TEXTS // max(1, len(rows))))}
        found: dict[str, Any] = {}
        for name, values in columns.items():
            column = _picture.check_column(values, name, n_rows)
            length = most.get(name, NAME_LENGTH)
            found[name] = None if column is None else [cut(v, length) for v in column[rows]]
        found["ids"] = found["ids"] or [f"row {i}" for i in rows]
        return cls(**found)


def cut(value: Any, length: int) -> str:
    """Return a value as text of at most ``length`` characters that UTF-8 can write."""
    text = str(value)[: length + 1].encode("utf-8", "replace").decode("utf-8")
    return text if len(text) <= length else text[: length - 1] + "…"


def page_data(
    panels: Sequence[Panel],
    names: Sequence[str],
    items: Items,
    colourings: Sequence[tuple[str, Colouring]],
    numbers: Sequence[Numbers] = (),
) -> dict[str, Any]:
    """Return what the script draws. ``colourings``: what items can be coloured by, and how."""
    return {
        "names": [cut(name, NAME_LENGTH) for name in names],
        "ids": items.ids,
        "texts": items.texts,
        "labels": items.labels,
        "panels": [
            [{"space": space, "at": packed(LARGEST * at, "<i2")} for space, at in panel.planes]
            for panel in panels
        ],
        "colourings": [_colouring_data(title, colours) for title, colours in colourings],
        "numbers": [
            {"words": n.words, "digits": n.digits, "values": packed(n.values, "<f4")}
            for n in numbers
        ],
    }


def packed(values: np.ndarray, dtype: str) -> str:
    """Return values as base64 of ``dtype``, rounded where that holds integers."""
    values = np.asarray(values)
    if np.dtype(dtype).kind in "iu":
        values = np.round(values)
    return base64.b64encode(np.ascontiguousarray(values, dtype=dtype).tobytes()).decode("ascii")


def _colouring_data(title: str, colours: Colouring) -> dict[str, Any]:
    """One byte an item: the number of its class, or its place on the scale of 255 steps."""
    return {
        "title": title,
        "classes": [cut(name, NAME_LENGTH) for name in colours.names],
        "colours": colours.colours,
        "values": packed(colours.values * (1 if colours.names else 255), "u1"),
        "meaning": cut(colours.meaning, 2 * NAME_LENGTH),
    }


def require_jinja2() -> Any:
    """Import what pages are made with, or say which extra brings it."""
    return _validation.require("jinja2", "plot", "a report")


def write_page(path: str | os.PathLike[str], template: str, **context: Any) -> Path:
    """Fill a template and write it to ``path``, under a temporary name first."""
    jinja2 = require_jinja2()
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True,
        loader=jinja2.FunctionLoader(_source),
    )  # fmt: skip
    environment.policies["json.dumps_kwargs"] = {"ensure_ascii": False}
    page = environment.get_template(template).render(version=relatum.__version__, **context)
    with _files.replacing(path) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return Path(path)


def _source(name: str) -> str:
    return files("relatum").joinpath(name).read_text(encoding="utf-8")


def number(value: float | None, digits: int = 3) -> str:
    """Write a number for a table; a dash for None."""
    return "–" if value is None else f"{value:.{digits}f}"
