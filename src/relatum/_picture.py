"""What a picture of latent spaces shows: which rows, where, and in which colour."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from relatum import _array, _validation
from relatum._gemm import unit_rows
from relatum.anchors import select_anchors
from relatum.projection import fit_projection, project
from relatum.similarity import Spec

PALETTE = (
    "#4477AA", "#EE6677", "#228833", "#CCBB44", "#AA3377", "#66CCEE",
    "#EE8866", "#44BB99", "#997700", "#7A6FD0", "#B0487A",
)  # fmt: skip
"""Colours of classes, apart from each other for most kinds of colour blindness."""
OTHER = "#999999"
MAX_POINTS = 3_000
"""Points drawn a space; above it a picture says nothing more and a page grows slow."""


def sample_rows(rows: np.ndarray, max_points: int, random_state: Any) -> np.ndarray:
    """Return at most ``max_points`` of ``rows``, drawn at random, in order."""
    if len(rows) <= max_points:
        return rows
    rng = _validation.random_generator(random_state)
    return np.sort(rng.choice(rows, size=max_points, replace=False))


def plane(*spaces: np.ndarray, axes_of: np.ndarray | None = None) -> list[np.ndarray]:
    """Return two principal components of the rows of all ``spaces`` together, by space.

    Each is ``(n_rows, 2)``, moved and scaled (by one factor) to fill -1 to 1, so that
    pictures of different spaces have one size. ``axes_of``: rows whose components are
    taken instead.
    """
    from sklearn.decomposition import PCA

    rows = np.concatenate([np.asarray(s, dtype=np.float64) for s in spaces])
    known = rows if axes_of is None else np.asarray(axes_of, dtype=np.float64)
    at = np.zeros((len(rows), 2))
    if len(known) > 1 and np.ptp(known, axis=0).any():
        found = PCA(min(2, *known.shape), random_state=0).fit(known).transform(rows)
        found = found - (found.max(axis=0) + found.min(axis=0)) / 2
        at[:, : found.shape[1]] = found / np.abs(found).max()
    return np.split(at, np.cumsum([len(s) for s in spaces])[:-1])


@dataclass(frozen=True)
class Colouring:
    """A colour for each row: a class, or a place on a scale from 0 to 1."""

    names: list[str]
    """The classes, the largest first; empty for a scale."""
    values: np.ndarray
    """The number of each row's class, or its place on the scale."""
    meaning: str

    @property
    def colours(self) -> list[str]:
        return [OTHER if n == "other" else PALETTE[i] for i, n in enumerate(self.names)]


def colouring(labels: Any, fallback: np.ndarray, name: str, rows: np.ndarray) -> Colouring:
    """Colour ``rows`` by their ``labels``; without, by their place in the space ``name``.

    Up to 11 classes have a colour of their own, smaller ones are ``other``. Real
    numbers of more than 11 values become a scale.
    """
    if labels is None:
        return Colouring([], _ranks(fallback), f"place in {name}: the first principal component")
    values = np.asarray(labels)
    numeric = values.dtype.kind == "f"
    if numeric and len(np.unique(values)) > len(PALETTE):
        return Colouring([], _ranks(values[rows]), "label, lowest to highest")
    words = [str(v) for v in values.tolist()]
    names = [w for w, _ in sorted(Counter(words).items(), key=lambda item: (-item[1], item[0]))]
    if len(names) > len(PALETTE):
        names = [*names[: len(PALETTE) - 1], "other"]
    number = {w: i for i, w in enumerate(names)}
    codes = np.array([number.get(w, len(names) - 1) for w in words], dtype=np.int64)
    return Colouring(names, codes[rows], "label")


def _ranks(values: np.ndarray) -> np.ndarray:
    order = np.argsort(np.argsort(values, kind="stable"))
    return np.asarray(order / max(1, len(values) - 1))


@dataclass(frozen=True)
class View:
    """Rows of several spaces before and after the relative projection, ready to be drawn."""

    names: list[str]
    widths: list[int]
    rows: np.ndarray
    before: list[np.ndarray]
    """One plane a space: its own two principal components."""
    after: list[np.ndarray]
    """The same rows in one plane of the relative space, at unit norm: what a cosine sees."""
    colours: Colouring
    n_rows: int
    n_shown: int
    """Rows that could be drawn: all, or all but the anchors."""
    n_anchors: int


def view(
    spaces: Sequence[Any],
    anchors: Any,
    names: Sequence[str],
    *,
    labels: Any = None,
    similarity: Spec | Sequence[Spec] = "cosine",
    center: bool = True,
    whiten: float | None = None,
    max_points: int = MAX_POINTS,
    random_state: Any = 0,
) -> View:
    """Project ``spaces`` onto their parallel anchors and lay both out in planes.

    ``anchors``: row numbers, one array of anchors for each space, or None to
    draw at most 300 rows. Rows that are anchors are left out if 50 others remain.
    """
    spaces, names = check_spaces(spaces, names)
    n = spaces[0].shape[0]
    labels = check_column(labels, "labels", n)
    chosen, held_out = _anchors(spaces, anchors, random_state)
    rows = sample_rows(held_out, max_points, random_state)
    drawn = [s[rows] for s in spaces]
    after = [
        unit_rows(
            project(x, fit_projection(a, similarity=similarity, center=center, whiten=whiten))
        )
        for x, a in zip(drawn, chosen, strict=True)
    ]
    before = [plane(x)[0] for x in drawn]
    colours = colouring(labels, before[0][:, 0], names[0], rows)
    widths = [s.shape[1] for s in spaces]
    return View(
        names, widths, rows, before, plane(*after), colours, n, len(held_out), len(chosen[0])
    )


def check_spaces(spaces: Sequence[Any], names: Sequence[str]) -> tuple[list[np.ndarray], list[str]]:
    """Return the spaces as NumPy matrices of the same rows, and their names."""
    if len(spaces) == 0 or len(spaces) != len(names):
        raise ValueError(
            f"names has {len(names)} entries for {len(spaces)} space(s); "
            "expected one each, and at least one space"
        )
    checked = [
        _array.to_numpy(_validation.as_matrix(s, str(n), min_rows=2, finite=True))
        for s, n in zip(spaces, names, strict=True)
    ]
    for space, name in zip(checked[1:], names[1:], strict=True):
        _validation.check_same_rows(checked[0], str(names[0]), space, str(name))
    return checked, [str(n) for n in names]


def check_column(values: Any, name: str, n_rows: int) -> np.ndarray | None:
    """Return one entry a row as an array, or None for None."""
    if values is None:
        return None
    if isinstance(values, str) or len(values) != n_rows:
        raise ValueError(f"{name} has {len(values)} entries; expected {n_rows}: one for each row")
    column = np.asarray(values)
    return column if column.ndim == 1 else np.array([str(v) for v in values])


def _anchors(
    spaces: list[np.ndarray], anchors: Any, random_state: Any
) -> tuple[list[np.ndarray], np.ndarray]:
    """Return each space's anchors, and the rows to draw."""
    n = spaces[0].shape[0]
    if isinstance(anchors, (tuple, list)) and any(np.ndim(a) == 2 for a in anchors):
        if len(anchors) != len(spaces):
            raise ValueError(
                f"anchors has {len(anchors)} arrays for {len(spaces)} spaces; "
                "expected one each, or row numbers"
            )
        return [_array.to_numpy(_validation.as_matrix(a, "anchors")) for a in anchors], np.arange(n)
    if anchors is None:
        anchors = select_anchors(spaces[0], min(300, n // 2), random_state=random_state)
    if isinstance(anchors, range):
        anchors = np.asarray(anchors)
    indices = _validation.check_indices(anchors, "anchors", n)
    others = np.setdiff1d(np.arange(n), indices)
    return [s[indices] for s in spaces], others if len(others) >= 50 else np.arange(n)
