"""What a similarity threshold becomes when one side is translated."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from numbers import Real
from typing import Any

import numpy as np

from relatum import _array, _validation
from relatum._array import Array
from relatum._gemm import unit_rows
from relatum._held_out import folds
from relatum.translation import Translation

__all__ = ["Recalibrated", "recalibrate_threshold"]

LEAST = 20
"""Pairs above the threshold that are needed to place another."""
N_BOOTSTRAP = 400
SAME = 1 - 1e-5
"""Cosine from which a row of the index is taken for the anchor itself."""


@dataclass(frozen=True)
class Recalibrated:
    """A threshold in the space after translation, and what it costs."""

    before: float
    value: float
    """As many pairs of query and index row lie above it as lay above ``before``."""
    low: float
    high: float
    """The interval of ``value``, by a bootstrap of the anchors."""
    precision: float
    """Of the pairs above it, the share that lay above ``before``; also the share of those
    that are above it still, both being as many."""
    rate: float
    """Share of all pairs that lie above either."""
    level: float

    def __str__(self) -> str:
        """Say in a sentence what came of it."""
        return (
            f"{self.before:g} becomes {self.value:.3f} ({self.low:.3f} to {self.high:.3f}, "
            f"{self.level:.0%}); {self.precision:.0%} of what passes it passed before"
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain numbers, ready for JSON."""
        return asdict(self)


def recalibrate_threshold(
    translation: Translation,
    X_anchors: Array,
    Y_anchors: Array,
    index: Array,
    threshold: float,
    *,
    translated: str = "queries",
    level: float = 0.9,
    random_state: int = 0,
) -> Recalibrated:
    """Return the cosine threshold that lets as many pairs pass after translation as before.

    Translated rows lie less near to their neighbours than native ones, so that a
    threshold of the old space is too strict in the new. Anchors are translated by maps
    that were fitted without them and compared with the index, as they natively were.

    Parameters
    ----------
    translation : Translation
        Fitted on these anchors.
    X_anchors, Y_anchors : array (n_anchors, n_features_x), array (n_anchors, n_features_y)
    index : array (n_index, n_features)
        Rows that are searched; a sample of some thousands will do.
    threshold : float
        A cosine that meant something between native rows of the index's encoder.
    translated : "queries" or "index"
        Translated queries search the target's own index; or the source's index is
        translated and searched by the target's queries.
    level : float
        Of the interval.
    random_state : int

    Raises
    ------
    TypeError, ValueError
        Anchors that do not match each other or the translation, fewer than 20, NaN,
        infinity, a threshold outside (-1, 1) or above which fewer than 20 pairs lie.

    Examples
    --------
    >>> import numpy as np, relatum
    >>> from relatum.thresholds import recalibrate_threshold
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(500, 8))
    >>> Y = X @ rng.normal(size=(8, 6)) + 0.5 * rng.normal(size=(500, 6))
    >>> translation = relatum.Translation("ridge").fit(X[:100], Y[:100])
    >>> found = recalibrate_threshold(translation, X[:100], Y[:100], Y[100:], 0.9)
    >>> bool(found.low <= found.value <= found.high)
    True
    """
    X, Y = _validation.check_pair(X_anchors, Y_anchors, "X_anchors", "Y_anchors", min_rows=20)
    _validation.check_choice(translated, "translated", ["queries", "index"])
    for name, value, low in (("threshold", threshold, -1), ("level", level, 0)):
        if not isinstance(value, Real) or not low < value < 1:
            raise ValueError(f"{name} is {value!r}; expected a number in ({low}, 1)")
    A, B = translation._own_anchors(X, Y)
    rows = _array.to_numpy(_validation.as_matrix(index, "index", finite=True)).astype(np.float32)
    own, name = (B, "Y_anchors") if translated == "queries" else (A, "X_anchors")
    _validation.check_same_features(rows, "index", own, name)
    parts = list(_compared(translation, A, B, rows, translated, random_state))
    before, after = (np.concatenate(side) for side in zip(*parts, strict=True))
    passed = before >= threshold
    if passed.sum() < LEAST:
        raise ValueError(
            f"threshold is {threshold}: {int(passed.sum())} pairs of an anchor and a row of the "
            f"index lie above it, {LEAST} are needed; give more of the index, or a lower threshold"
        )
    everyone = np.ones((1, len(before)))
    value = float(_equal_rate(passed, after, everyone)[0])
    rng = np.random.default_rng(random_state)
    counts = rng.multinomial(len(before), np.full(len(before), 1 / len(before)), N_BOOTSTRAP)
    tail = (1 - level) / 2
    low, high = np.quantile(_equal_rate(passed, after, counts), [tail, 1 - tail])
    precision = float(np.mean(passed[after >= value]))
    return Recalibrated(
        float(threshold), value, float(min(low, value)), float(max(high, value)), precision,
        float(passed.mean()), level,
    )  # fmt: skip


def _compared(
    translation: Translation,
    A: np.ndarray,
    B: np.ndarray,
    index: np.ndarray,
    translated: str,
    seed: int,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield each part of the anchors' cosines with the index, native and translated."""
    for part in folds(len(A), seed):
        to_target = translation._map_without(A, B, part)
        if translated == "queries":
            native = unit_rows(B[part]) @ unit_rows(index).T
            after = unit_rows(to_target(A[part])) @ unit_rows(index).T
        else:
            native = unit_rows(A[part]) @ unit_rows(index).T
            after = unit_rows(B[part]) @ unit_rows(to_target(index)).T
        itself = native > SAME  # the anchor may be in the index
        yield np.where(itself, -np.inf, native), np.where(itself, -np.inf, after)


def _equal_rate(passed: np.ndarray, after: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Return, for each row of ``counts`` (how often each anchor counts), the threshold above
    which as many pairs lie as passed."""
    wanted = counts @ passed.sum(axis=1)
    most = min(after.size, int(4 * passed.sum() + LEAST))
    flat = after.ravel()
    top = np.argpartition(-flat, most - 1)[:most]
    top = top[np.argsort(-flat[top])]
    anchor = top // after.shape[1]
    places = [
        min(int(np.searchsorted(np.cumsum(c[anchor]), w)), most - 1)
        for c, w in zip(counts, wanted, strict=True)
    ]
    return np.asarray(flat[top[places]])
