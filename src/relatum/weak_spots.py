"""Where a translation is weak: item by item, and segment by segment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from relatum import _array, _validation
from relatum._array import Array
from relatum._gemm import unit_rows
from relatum.common_space import CommonSpace
from relatum.neighborhoods import overlaps
from relatum.neighbors import nearest
from relatum.quality import coverage
from relatum.translation import Translation

__all__ = ["Segment", "WeakSpots", "weak_spots"]

SAME = 1e-6
"""Cosines that differ by less are equal, and ordered by row number."""


@dataclass(frozen=True)
class Segment:
    """How good a translation is on the items of one segment."""

    name: str
    n_items: int
    recall_1: float
    """Share of items that find themselves first, in [0, 1]."""
    low: float
    high: float
    """The 95 % interval of ``recall_1``."""
    overlap_k: float
    """Mean share of the k nearest others that are those of the item's own target row."""
    coverage: float | None
    """Mean of :func:`relatum.quality.coverage`, where anchors were given."""


@dataclass(frozen=True, eq=False)
class WeakSpots:
    """What each held-out item finds in the target's space once it is translated."""

    ranks: np.ndarray
    """(n_items,) of int64: the place at which an item finds itself, 1 being the first."""
    overlap: np.ndarray
    """(n_items,): share of its k nearest others that are those of its own target row."""
    coverage: np.ndarray | None
    """(n_items,): how far the anchors cover it, where they were given."""
    native: np.ndarray
    """(n_items, k) of int64: the nearest others of its own target row."""
    translated: np.ndarray
    """(n_items, k) of int64: the nearest others of its translated row."""
    segments: tuple[Segment, ...]
    """The weakest first."""

    @property
    def k(self) -> int:
        """Neighbours of each item."""
        return int(self.native.shape[1])

    def weakest(self, n: int = 20) -> np.ndarray:
        """Return the rows of at most ``n`` items that find themselves last.

        Of equal rank the one that keeps fewer neighbours comes first.
        """
        return np.lexsort((self.overlap, -self.ranks))[:n]

    def most_changed(self, n: int = 20) -> np.ndarray:
        """Return the rows of at most ``n`` items that keep the fewest neighbours.

        Of equal overlap the one that finds itself later comes first.
        """
        return np.lexsort((-self.ranks, self.overlap))[:n]


def weak_spots(
    translation: Translation | CommonSpace,
    X: Array,
    Y: Array,
    *,
    segments: Any = None,
    X_anchors: Array | None = None,
    k: int = 10,
) -> WeakSpots:
    """Say of each held-out item what it finds once it is translated, and of each segment.

    Each translated row of ``X`` searches all rows of ``Y``, as in
    :func:`relatum.translation_scores.translation_scores`.

    Parameters
    ----------
    translation : Translation or CommonSpace
        Fitted.
    X : array (n_items, n_features_x)
    Y : array (n_items, n_features_y)
        Row i is the same item as row i of ``X``.
    segments : sequence (n_items,), optional
        What an item belongs to: a language, a source, a class.
    X_anchors : array (n_anchors, n_features_x), optional
        That the translation was fitted on, for the coverage.
    k : int
        Less than ``n_items - 1``.

    Raises
    ------
    TypeError, ValueError
        Rows, features or segments that do not match, NaN, infinity, a ``k`` that is too
        large.

    Examples
    --------
    >>> import numpy as np, relatum
    >>> from relatum.weak_spots import weak_spots
    >>> X = np.random.default_rng(0).normal(size=(80, 8))
    >>> Y = X[:, ::-1].copy()
    >>> translation = relatum.Translation("procrustes").fit(X[:30], Y[:30])
    >>> Y[40] = Y[41]  # an item that the target's encoder takes for another
    >>> found = weak_spots(translation, X[30:], Y[30:])
    >>> found.weakest(1).tolist()
    [10]
    """
    X, Y = _validation.check_pair(X, Y, min_rows=3)
    n = X.shape[0]
    k = _validation.check_integer(k, "k", maximum=n - 2, maximum_is="one less than others")
    if segments is not None and len(segments) != n:
        raise ValueError(f"segments has {len(segments)} entries; expected {n}: one for each row")
    native = _array.to_numpy(Y)
    translated = _array.to_numpy(translation.transform(X))
    target = translation.transform_target(Y) if isinstance(translation, CommonSpace) else native
    own = nearest(native, native, k, exclude_self=True)[1]
    found = nearest(translated, target, k, exclude_self=True)[1]
    ranks, overlap = _ranks(translated, target), overlaps(found, own) / k
    covered = None if X_anchors is None else coverage(X, X_anchors)
    parts = () if segments is None else _segments(segments, ranks, overlap, covered)
    return WeakSpots(ranks, overlap, covered, own, found, parts)


def share_interval(share: float, n: int, level: float = 0.95) -> tuple[float, float]:
    """Return Wilson's interval of a share of ``n`` items."""
    from scipy.stats import binomtest

    found = binomtest(round(share * n), n).proportion_ci(level, method="wilson")
    return float(found.low), float(found.high)


def _ranks(rows: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Return the place of row i of ``target`` among all that row i of ``rows`` finds."""
    P, T = unit_rows(rows), unit_rows(target)
    columns = np.arange(len(T))
    ranks = np.empty(len(P), dtype=np.int64)
    for some in _array.blocks(len(P), P.dtype.itemsize * len(T)):
        S, itself = P[some] @ T.T, columns[some]
        S -= S[np.arange(len(itself)), itself][:, None]
        before = columns < itself[:, None]
        ranks[some] = 1 + np.count_nonzero((SAME < S) | (before & (-SAME <= S)), axis=1)
    return ranks


def _segments(
    labels: Any, ranks: np.ndarray, overlap: np.ndarray, covered: np.ndarray | None
) -> tuple[Segment, ...]:
    """Score each segment; the one with the lowest share of items found first comes first."""
    names, places = np.unique([str(label) for label in labels], return_inverse=True)
    found = []
    for i, name in enumerate(names.tolist()):
        rows = np.flatnonzero(places == i)
        recall = float(np.mean(ranks[rows] == 1))
        found.append(
            Segment(
                name, len(rows), recall, *share_interval(recall, len(rows)),
                float(overlap[rows].mean()),
                None if covered is None else float(covered[rows].mean()),
            )
        )  # fmt: skip
    return tuple(sorted(found, key=lambda s: (s.recall_1, s.overlap_k, s.name)))
