"""Parallel anchors of two files: by row number, by pairs, or all items that both have."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from relatum import _files, _validation, vectors
from relatum._cli_inputs import Columns, paired_rows
from relatum._formats import is_npy, load_npy
from relatum.vectors import Embeddings

Sides = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Pairs:
    """What two files say of a translation."""

    X: np.ndarray
    """Anchors in the source's encoder."""
    Y: np.ndarray
    """The same in the target's."""
    rest: Sides | None
    """The other items that both files have, where that is known."""
    source: np.ndarray
    """All rows of the source's file."""
    index: np.ndarray
    """All rows of the target's file."""
    rows: Sides
    """Row numbers of the anchors in both files."""
    ids: tuple[np.ndarray | None, np.ndarray | None]
    """Of both files, where they have any."""


def translation_inputs(paths: tuple[str, str], anchors: str | None, columns: Columns) -> Pairs:
    """Read the anchors on both sides, and the other items that both files have."""
    columns.check(*paths)
    sides = columns.read(paths[0]), columns.read(paths[1])
    left, right = sides[0].array, sides[1].array
    ids = sides[0].ids, sides[1].ids

    def pairs_of(chosen: Sides, rest: Sides | None) -> Pairs:
        return Pairs(left[chosen[0]], right[chosen[1]], rest, left, right, chosen, ids)

    if anchors is None:
        return pairs_of(_shared(sides, paths), None)
    pairs = _read_pairs(anchors)
    if pairs is None:  # row numbers of the first file
        x, y = _shared(sides, paths)
        rows = _validation.check_indices(
            vectors.read_indices(anchors), anchors, len(sides[0].array)
        )
        place = np.full(len(sides[0].array), -1)
        place[x] = y
        if (lost := rows[place[rows] < 0]).size:
            raise ValueError(
                f"{anchors}: {paths[1]} lacks the items of {_validation.describe_rows(lost)}"
            )
        chosen = rows, place[rows]
    else:
        chosen = _rows_of(pairs, sides, paths, anchors)
        try:
            x, y = _shared(sides, paths)
        except ValueError:  # nothing but the pairs says which items are the same
            return pairs_of(chosen, None)
    others = ~np.isin(x, chosen[0]) & ~np.isin(y, chosen[1])
    return pairs_of(chosen, (left[x[others]], right[y[others]]))


def _shared(sides: tuple[Embeddings, Embeddings], paths: tuple[str, str]) -> Sides:
    a, b = sides
    return paired_rows(a.ids, len(a.array), paths[0], b.ids, len(b.array), paths[1])


def _read_pairs(path: str) -> Any:
    """Return an array (n, 2) of row numbers or ids; None where the file is one column."""
    suffix = Path(path).suffix.lower()
    if suffix in (".csv", ".tsv"):
        _files.check_source(path, [".csv", ".tsv"], "pairs of anchors")
        with open(path, newline="", encoding="utf-8") as file:
            lines = [r for r in csv.reader(file, delimiter="\t" if suffix == ".tsv" else ",") if r]
        wrong = [i + 1 for i, r in enumerate(lines) if len(r) != 2]
        if wrong or not lines:
            what = f"line {wrong[0]} has {len(lines[wrong[0] - 1])}" if wrong else "it is empty"
            raise ValueError(f"{path}: {what}; expected two columns: source, target")
        return np.asarray([[cell.strip() for cell in r] for r in lines])
    if is_npy(path):
        values = load_npy(path, "anchors")
        if values.ndim == 2 and values.shape[1] == 2 and values.dtype.kind in "iuU":
            return values
    return None


def _rows_of(
    pairs: np.ndarray, sides: tuple[Embeddings, Embeddings], paths: tuple[str, str], name: str
) -> Sides:
    """Turn pairs of ids (where both files have ids) or of row numbers into row numbers."""
    found = []
    for column, (side, path) in enumerate(zip(sides, paths, strict=True)):
        wanted = pairs[:, column]
        if side.ids is not None and wanted.dtype.kind == "U":
            rows = {str(i): row for row, i in enumerate(side.ids.tolist())}
            lost = [w for w in wanted.tolist() if w not in rows]
            if lost:
                raise ValueError(
                    f"{name}: {path} has no item {lost[0]!r} ({len(lost)} of {len(wanted)} are "
                    "not there); expected ids of the file, without a heading"
                )
            found.append(np.asarray([rows[w] for w in wanted.tolist()]))
        else:
            found.append(_validation.check_indices(_integers(wanted, name), name, len(side.array)))
    return found[0], found[1]


def _integers(values: np.ndarray, name: str) -> np.ndarray:
    try:
        return values.astype(np.int64)
    except ValueError as error:
        raise ValueError(
            f"{name} holds {str(values[0])!r}; expected row numbers, or ids where both files have "
            "ids (no heading)"
        ) from error
