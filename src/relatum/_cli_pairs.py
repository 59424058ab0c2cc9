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
from relatum._sources import Source

Sides = tuple[np.ndarray, np.ndarray]
Ids = tuple[np.ndarray | None, np.ndarray | None]


@dataclass(frozen=True)
class Pairs:
    """What two files say of a translation; rows are read as they are asked for."""

    sides: tuple[Source, Source]
    rows: Sides
    """Row numbers of the anchors in both files."""
    rest: Sides | None
    """Those of the other items that both files have, where that is known."""
    ids: tuple[np.ndarray | None, np.ndarray | None]
    """Of both files, where they have any."""

    def anchors(self) -> Sides:
        """Return the anchors in both encoders."""
        return self._take(self.rows)

    def others(self, most: int, seed: int) -> Sides | None:
        """Return the other items in both encoders: at most ``most`` of them, drawn at random."""
        rows = self._other_rows(most, seed)
        return None if rows is None else self._take(rows)

    def names_of_others(self, most: int, seed: int) -> list[str]:
        """Return the ids of the same items, or their rows in the first file."""
        rows = self._other_rows(most, seed)
        if rows is None:
            return []
        if self.ids[0] is None:
            return [f"row {row}" for row in rows[0]]
        return [str(i) for i in self.ids[0][rows[0]]]

    def _other_rows(self, most: int, seed: int) -> Sides | None:
        if self.rest is None or not len(self.rest[0]):
            return None
        if len(self.rest[0]) <= most:
            return self.rest
        chosen = _drawn(len(self.rest[0]), most, seed)
        return self.rest[0][chosen], self.rest[1][chosen]

    def background(self, most: int, seed: int) -> Sides:
        """Return rows of either file, at most ``most`` of each, drawn at random."""
        x, y = (_drawn(s.n_rows, most, [seed, i]) for i, s in enumerate(self.sides))
        return self._take((x, y))

    def _take(self, rows: Sides) -> Sides:
        x, y = (_finite_rows(side, r) for side, r in zip(self.sides, rows, strict=True))
        return x, y


def _finite_rows(side: Source, rows: np.ndarray) -> np.ndarray:
    """Read rows; those that are not finite are refused by their numbers in the file."""
    X = vectors.take(side, rows)
    bad = rows[~np.isfinite(X).all(axis=1)]
    if bad.size:
        raise ValueError(
            f"{side.name} contains NaN or infinity in {_validation.describe_rows(np.sort(bad))}; "
            "expected finite numbers"
        )
    return X


def _drawn(n: int, most: int, seed: int | list[int]) -> np.ndarray:
    return np.sort(np.random.default_rng(seed).permutation(n)[:most])


def translation_inputs(paths: tuple[str, str], anchors: str | None, columns: Columns) -> Pairs:
    """Read which rows are the anchors on both sides, and which other items both files have."""
    columns.check(*paths)
    sides = columns.open(paths[0]), columns.open(paths[1])
    ids = sides[0].ids(), sides[1].ids()
    sizes = sides[0].n_rows, sides[1].n_rows
    if anchors is None:
        return Pairs(sides, _shared(ids, sizes, paths), None, ids)
    pairs = _read_pairs(anchors)
    if pairs is None:  # row numbers of the first file
        x, y = _shared(ids, sizes, paths)
        rows = _validation.check_indices(vectors.read_indices(anchors), anchors, sizes[0])
        place = np.full(sizes[0], -1)
        place[x] = y
        if (lost := rows[place[rows] < 0]).size:
            raise ValueError(
                f"{anchors}: {paths[1]} lacks the items of {_validation.describe_rows(lost)}"
            )
        chosen = rows, place[rows]
    else:
        chosen = _rows_of(pairs, ids, sizes, paths, anchors)
        if any(i is None for i in ids) and np.any(chosen[0] != chosen[1]):
            return Pairs(sides, chosen, None, ids)  # row i of one is not row i of the other
        try:
            x, y = _shared(ids, sizes, paths)
        except ValueError:  # nothing but the pairs says which items are the same
            return Pairs(sides, chosen, None, ids)
    others = ~np.isin(x, chosen[0]) & ~np.isin(y, chosen[1])
    return Pairs(sides, chosen, (x[others], y[others]), ids)


def _shared(ids: Ids, sizes: tuple[int, int], paths: tuple[str, str]) -> Sides:
    return paired_rows(ids[0], sizes[0], paths[0], ids[1], sizes[1], paths[1])


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
    pairs: np.ndarray, ids: Ids, sizes: tuple[int, int], paths: tuple[str, str], name: str
) -> Sides:
    """Turn pairs of ids (where both files have ids) or of row numbers into row numbers."""
    found = []
    for column, (own, size, path) in enumerate(zip(ids, sizes, paths, strict=True)):
        wanted = pairs[:, column]
        if own is not None and wanted.dtype.kind == "U":
            rows = {str(i): row for row, i in enumerate(own.tolist())}
            lost = [w for w in wanted.tolist() if w not in rows]
            if lost:
                raise ValueError(
                    f"{name}: {path} has no item {lost[0]!r} ({len(lost)} of {len(wanted)} are "
                    "not there); expected ids of the file, without a heading"
                )
            found.append(np.asarray([rows[w] for w in wanted.tolist()]))
        else:
            found.append(_validation.check_indices(_integers(wanted, name), name, size))
    return found[0], found[1]


def _integers(values: np.ndarray, name: str) -> np.ndarray:
    try:
        return values.astype(np.int64)
    except ValueError as error:
        raise ValueError(
            f"{name} holds {str(values[0])!r}; expected row numbers, or ids where both files have "
            "ids (no heading)"
        ) from error
