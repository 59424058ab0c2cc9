"""What ``relatum compare`` reads: two files in one order, whole or a sample of their rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from relatum import _validation, vectors
from relatum._array_sources import ArraySource
from relatum._cli_inputs import Columns, pair, paired_rows, read_labels_of
from relatum._sources import Source


@dataclass(frozen=True)
class ComparisonInputs:
    """What ``relatum compare`` compares; row i of all is the same item."""

    X: np.ndarray
    Y: np.ndarray
    anchors: Any
    """None, row numbers of both, or a pair of arrays."""
    ids: np.ndarray | None
    labels: np.ndarray | None
    names: tuple[str, str]
    sources: tuple[Source, Source]
    rows: tuple[np.ndarray, np.ndarray]
    """Rows of the files that are the same items, whether they are compared or not."""

    @property
    def n_shared(self) -> int:
        return len(self.rows[0])

    def all_rows(self, memory: int, progress: Callable[[int], object]) -> dict[str, float]:
        """Compare all items that both files have, by the measures that need no neighbours."""
        from relatum.comparison_files import compare_all_rows

        if len(self.X) == self.n_shared:  # they are here, and in one order
            return compare_all_rows(self.X, self.Y, memory=memory, progress=progress)
        whole = all(
            len(rows) == source.n_rows and (np.diff(rows) > 0).all()
            for rows, source in zip(self.rows, self.sources, strict=True)
        )
        rows = None if whole else self.rows
        return compare_all_rows(*self.sources, rows=rows, memory=memory, progress=progress)


def comparison_inputs(
    paths: tuple[str, str], anchors: str | None, anchors_b: str | None, columns: Columns,
    labels: str | None = None, label_column: str | None = None, *, n_rows: int, memory: int,
    seed: int,
) -> ComparisonInputs:  # fmt: skip
    """Read what is compared; of files larger than ``memory`` only ``n_rows`` and the anchors."""
    columns.check(*paths, anchors, anchors_b)
    a, b = columns.open(paths[0]), columns.open(paths[1])
    ids = a.ids()
    rows_a, rows_b = paired_rows(ids, a.n_rows, paths[0], b.ids(), b.n_rows, paths[1])
    shared = rows_a, rows_b
    chosen = _comparison_anchors(paths, (a, b), anchors, anchors_b, columns, rows_a)
    size = sum(s.n_rows * s.n_features * s.dtype.itemsize for s in (a, b))
    if size > memory and n_rows < len(rows_a):
        among = None if chosen is None or isinstance(chosen, tuple) else chosen
        kept = _some(len(rows_a), n_rows, among, seed)
        if among is not None:
            chosen = np.searchsorted(kept, among)
        rows_a, rows_b = rows_a[kept], rows_b[kept]
    named = None if labels is None else read_labels_of((paths[0], labels), a.n_rows, label_column)
    return ComparisonInputs(
        _rows_of(a, rows_a),
        _rows_of(b, rows_b),
        chosen,
        None if ids is None else ids[rows_a],
        None if named is None else named[rows_a],
        (Path(paths[0]).stem, Path(paths[1]).stem),
        (a, b),
        shared,
    )


def _some(n: int, most: int, among: np.ndarray | None, seed: int) -> np.ndarray:
    """Return at most ``most`` of ``n`` rows drawn at random, in their order, and ``among``."""
    drawn = np.random.default_rng(seed).permutation(n)[:most]
    return np.unique(drawn if among is None else np.concatenate([drawn, among]))


def _rows_of(source: Source, rows: np.ndarray) -> np.ndarray:
    """Return rows of a file: as it is, on the disk where it is mapped, where they are all."""
    if isinstance(source, ArraySource) and np.array_equal(rows, np.arange(source.n_rows)):
        return source.array
    return vectors.take(source, rows)


def _comparison_anchors(
    paths: tuple[str, str], spaces: tuple[Source, Source], anchors: str | None,
    anchors_b: str | None, columns: Columns, rows_a: np.ndarray,
) -> Any:  # fmt: skip
    if anchors is None:
        if anchors_b is not None:
            raise ValueError("--anchors-b comes with --anchors: the same items in the encoder of A")
        return None
    if anchors_b is None:
        n = spaces[0].n_rows
        try:
            rows = vectors.read_indices(anchors)
        except ValueError as error:
            raise ValueError(f"{error} (embeddings of anchors come with --anchors-b)") from None
        rows = _validation.check_indices(rows, anchors, n)
        return _places(rows, rows_a, n, anchors, paths[1])
    left = columns.read_anchors(anchors, spaces[0], paths[0])
    right = columns.read_anchors(anchors_b, spaces[1], paths[1])
    left, right = pair(left, anchors, right, anchors_b)
    return left.array, right.array


def _places(rows: np.ndarray, paired: np.ndarray, n: int, anchors: str, other: str) -> np.ndarray:
    """Turn row numbers of a file into places among its paired rows."""
    place = np.full(n, -1)
    place[paired] = np.arange(len(paired))
    found = place[rows]
    if (found < 0).any():
        missing = rows[found < 0]
        message = f"{anchors}: {other} lacks the items of {_validation.describe_rows(missing)}"
        if (found < 0).all():
            raise ValueError(f"{message}; expected anchors that both files have")
        _validation.warn(f"{message}; {int((found >= 0).sum())} anchors are left")
    return np.asarray(found[found >= 0])
