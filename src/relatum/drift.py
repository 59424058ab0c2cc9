"""Whether rows still are what a translation was fitted on, and what is lost where they are not.

An encoder gives other rows for the same text without its prompt prefix, in another
revision, at another precision. Rows alone show that in part (:func:`row_shift`). The
anchors' items, embedded again, show what it costs (:func:`predict_retention`).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from relatum import _array, _validation
from relatum._array import Array
from relatum._gemm import unit_rows
from relatum._same_encoder import RowShift, row_shift
from relatum.quality import Estimate
from relatum.translation import Translation

__all__ = ["PredictedRetention", "RowShift", "predict_retention", "row_shift"]

PARTS = 10
"""Parts of the anchors that are held out, one after another."""
N_BOOTSTRAP = 400
WIDENED = 1.5
"""By what intervals are widened, in logarithms: a bootstrap of anchors does not see that the map
is one of many."""


@dataclass(frozen=True)
class PredictedRetention:
    """What items find when they are embedded again, held against what the anchors' rows find."""

    retention: Estimate
    """:attr:`overlap_k` of the rows embedded again, over that of the anchors' own."""
    recall_1: tuple[float, float]
    """An item finds itself first: by the anchors' own rows, and embedded again."""
    overlap_k: tuple[float, float]
    """Share of the k nearest in the index that are those of its own target row, likewise."""
    k: int
    n_index: int
    n_anchors: int
    level: float

    @property
    def worse(self) -> bool:
        """Whether less is found, by more than chance: the interval ends below 1."""
        return self.retention.high < 1

    def __str__(self) -> str:
        """Return a table."""
        names = {"R@1": self.recall_1, f"overlap@{self.k}": self.overlap_k}
        lines = [f"{name:<12} {own:.3f}, again {new:.3f}" for name, (own, new) in names.items()]
        lines.append(f"{'retention':<12} {self.retention}")
        lines.append(
            f"{self.level:.0%} interval, from {self.n_anchors} anchors, for {self.n_index} rows of "
            f"index; {'worse' if self.worse else 'no worse'} than as the map was fitted"
        )
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """Return plain dicts and numbers, ready for JSON."""
        return asdict(self) | {"worse": self.worse}


def predict_retention(
    translation: Translation,
    X_anchors: Array,
    X_again: Array,
    Y_anchors: Array,
    index: Array,
    *,
    k: int = 10,
    level: float = 0.9,
    random_state: int = 0,
) -> PredictedRetention:
    """Predict what rows keep of a translation's quality that are embedded in another way.

    Maps that were fitted without a part of the anchors translate that part twice: its own
    rows, and the same items embedded again. Both search the index, and the ratio of what
    they find has a narrow interval, since the items are the same.

    Parameters
    ----------
    translation : Translation
        Fitted on ``X_anchors`` and ``Y_anchors``; its method and scale are used, and the
        anchors that it left out stay out.
    X_anchors, Y_anchors : array (n_anchors, n_features_x), array (n_anchors, n_features_y)
    X_again : array (n_anchors, n_features_x)
        Row i is the item of row i of ``X_anchors`` as it is embedded now.
    index : array (n_index, n_features_y)
        Rows of the target's encoder that are searched. A sample of some thousands will do.
    k : int
    level : float
        Of the interval.
    random_state : int

    Raises
    ------
    TypeError, ValueError
        Anchors that do not match each other, the rows embedded again or the translation,
        fewer than 20, NaN, infinity, a level outside (0, 1), an index with fewer than k rows.

    Examples
    --------
    >>> import numpy as np, relatum
    >>> from relatum.drift import predict_retention
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(500, 8))
    >>> Y = X @ rng.normal(size=(8, 6)) + 0.5 * rng.normal(size=(500, 6))
    >>> translation = relatum.Translation("ridge").fit(X[:100], Y[:100])
    >>> predict_retention(translation, X[:100], X[:100], Y[:100], Y[100:]).worse
    False
    >>> predict_retention(translation, X[:100], X[:100] + 1, Y[:100], Y[100:]).worse
    True
    """
    X, Y = _validation.check_pair(X_anchors, Y_anchors, "X_anchors", "Y_anchors", min_rows=20)
    again, _ = _validation.check_pair(X_again, Y, "X_again", "Y_anchors", min_rows=20)
    _validation.check_same_features(again, "X_again", X, "X_anchors")
    if not 0 < level < 1:
        raise ValueError(f"level is {level}; expected a number in (0, 1)")
    (A, B), (U, _) = translation._own_anchors(X, Y), translation._own_anchors(again, Y)
    rows = _array.to_numpy(_validation.as_matrix(index, "index", finite=True)).astype(np.float32)
    _validation.check_same_features(rows, "index", B, "Y_anchors")
    k = _validation.check_integer(
        k, "k", maximum=len(rows), maximum_is=f"index has {len(rows)} rows"
    )
    rows = unit_rows(rows)
    found = np.zeros((2, 2, len(A)))
    order = np.random.default_rng(random_state).permutation(len(A))
    for part in np.array_split(order, PARTS):
        to_target = translation._map_without(A, B, part)
        for which, M in enumerate((A, U)):
            found[which][:, part] = _found(to_target(M[part]), B[part], rows, k)
    (recall, overlap), (recall_again, overlap_again) = found
    return PredictedRetention(
        _ratio(overlap_again, overlap, level),
        (float(recall.mean()), float(recall_again.mean())),
        (float(overlap.mean()), float(overlap_again.mean())),
        k, len(rows), len(A), level,
    )  # fmt: skip


def _found(P: np.ndarray, B: np.ndarray, index: np.ndarray, k: int) -> np.ndarray:
    """Return whether rows find themselves first and the overlap of the k nearest, (2, n_items)."""
    P, B = unit_rows(P), unit_rows(B)
    S, T = P @ index.T, B @ index.T
    same = T > 1 - 1e-5  # the anchor itself may be in the index
    S[same], T[same] = -2, -2
    first = S.max(axis=1) <= np.vecdot(P, B)
    near = [np.argpartition(-M, k - 1, axis=1)[:, :k] for M in (S, T)]
    shared = [len(np.intersect1d(a, b)) / k for a, b in zip(*near, strict=True)]
    return np.stack([first, np.array(shared)])


def _ratio(new: np.ndarray, old: np.ndarray, level: float) -> Estimate:
    """Return the ratio of two means over the same anchors, with an interval by their bootstrap."""
    least = 0.5 / len(old)  # where nothing is found
    rows = np.random.default_rng(0).integers(len(old), size=(N_BOOTSTRAP, len(old)))
    drawn = (new[rows].mean(axis=1) + least) / (old[rows].mean(axis=1) + least)
    value = float((new.mean() + least) / (old.mean() + least))
    ends = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    low, high = value * (ends / value) ** WIDENED
    return Estimate(value, float(min(low, value)), float(max(high, value)))
