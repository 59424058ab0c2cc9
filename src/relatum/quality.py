"""How good a translation will be, said from its anchors before it is used.

Maps that were fitted without a part of the anchors translate that part, and what
these anchors then find in the index is what new items will find, but for one thing:
the final map knows more anchors, which a learning curve through two sizes makes up
for. The index needs no counterpart on the other side, so it is always at hand.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
from scipy.special import expit, logit

from relatum import _array, _validation
from relatum._array import Array
from relatum._gemm import unit_rows
from relatum._held_out import Parts
from relatum._translated_index import AMONG, anchors_among, overlap_among, shared_nearest
from relatum.projection import fit_projection, project
from relatum.translation import Translation

__all__ = ["Estimate", "PredictedQuality", "coverage", "predict_quality"]

SHARES = (0.5, 0.8)
"""Of the anchors, that maps are fitted on for the learning curve."""
N_BOOTSTRAP = 400
WIDENED = 1.3
"""By what intervals are widened, in logits, for what a bootstrap of anchors does not see."""
WIDENED_AMONG = 2.0
"""The same for neighbours among few items, which depend on which items these are."""
FEWER = (0.5, 2 / 3)
"""The same where more anchors must be left out: their neighbours are looked for among them."""
REPEATS = 2
COVERAGE_PENALTY = 0.1


@dataclass(frozen=True)
class Estimate:
    """A predicted share, and the interval that it will lie in."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f})"


@dataclass(frozen=True)
class PredictedQuality:
    """What to expect of a translation on new items, each in [0, 1]."""

    recall_1: Estimate
    """An item finds itself first."""
    recall_k: Estimate
    """It finds itself among the first k."""
    overlap_k: Estimate | None
    """Share of the k nearest others that are those of its own target row: in the index for
    translated queries, among :attr:`among` items for a translated index."""
    head: Estimate | None
    """A head says of the translated row what it says of the target's own."""
    k: int
    n_index: int
    n_anchors: int
    level: float
    translated: str
    """Which side is translated: queries or index."""
    among: int | None = None

    def __str__(self) -> str:
        """Return a table."""
        overlap = f"overlap@{self.k}" + ("" if self.among is None else f" of {self.among}")
        rows = {"R@1": self.recall_1, f"R@{self.k}": self.recall_k,
                overlap: self.overlap_k, "head": self.head}  # fmt: skip
        width = max(12, *map(len, rows))
        lines = [
            f"{name.ljust(width)} {value}" for name, value in rows.items() if value is not None
        ]
        lines.append(
            f"{self.level:.0%} intervals, from {self.n_anchors} anchors, for {self.n_index} rows "
            f"of index, {self.translated} translated"
        )
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """Return plain dicts and numbers, ready for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, found: Mapping[str, Any]) -> Self:
        """Return what :meth:`to_dict` gave."""
        values: dict[str, Any] = dict(found)
        for name in ("recall_1", "recall_k", "overlap_k", "head"):
            values[name] = None if values[name] is None else Estimate(**values[name])
        return cls(**values)


def predict_quality(
    translation: Translation,
    X_anchors: Array,
    Y_anchors: Array,
    index: Array,
    *,
    translated: str = "queries",
    k: int = 10,
    head: Any = None,
    level: float = 0.9,
    n_anchors: int | None = None,
    n_items: int | None = None,
    anchor_weight: float = 1.0,
    random_state: int = 0,
) -> PredictedQuality:
    """Predict a translation's quality on new items from the anchors that it was fitted on.

    Parameters
    ----------
    translation : Translation
        Fitted on these anchors; its method and scale are used, and the anchors that it
        left out stay out.
    X_anchors, Y_anchors : array (n_anchors, n_features_x), array (n_anchors, n_features_y)
    index : array (n_index, n_features)
        Rows that will be searched, of the target's encoder, or of the source's where the
        index is what is translated. A sample of some thousands will do.
    translated : "queries" or "index"
        Translated queries search the target encoder's own index, or its own queries
        search the source's index, translated.
    k : int
    head : fitted classifier, optional
        Has ``predict`` on the target's rows; what is predicted is how often it says the
        same of a translated row.
    level : float
        Of the intervals.
    n_anchors : int, optional
        What to expect of a translation with that many anchors, of which these are a part.
        The learning curve is followed further, which is less sure the further it goes.
    n_items : int, optional
        How many new items the prediction will be held against: what chance does among so few
        widens the intervals. None: very many.
    anchor_weight : float
        Of a translated index: what cosines with the anchors' own rows in it are multiplied by,
        in (0, 1]. ``relatum migrate`` turns these rows, which a map that has seen them brings
        nearer to queries than others.
    random_state : int

    Raises
    ------
    TypeError, ValueError
        Anchors that do not match each other or the translation, fewer than 20, NaN,
        infinity, a level outside (0, 1), a weight outside (0, 1], an index with fewer than
        k + 1 rows, ``n_anchors`` below the number of anchors.

    Examples
    --------
    >>> import numpy as np, relatum
    >>> from relatum.quality import predict_quality
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(500, 8))
    >>> Y = X @ rng.normal(size=(8, 6)) + 0.5 * rng.normal(size=(500, 6))
    >>> translation = relatum.Translation("ridge").fit(X[:100], Y[:100])
    >>> found = predict_quality(translation, X[:100], Y[:100], Y[100:])
    >>> found.recall_1.low <= found.recall_1.value <= found.recall_1.high
    True
    """
    X, Y = _validation.check_pair(X_anchors, Y_anchors, "X_anchors", "Y_anchors", min_rows=20)
    if not 0 < level < 1:
        raise ValueError(f"level is {level}; expected a number in (0, 1)")
    if not 0 < anchor_weight <= 1:
        raise ValueError(f"anchor_weight is {anchor_weight}; expected a number in (0, 1]")
    A, B = translation._own_anchors(X, Y)
    rows = _array.to_numpy(_validation.as_matrix(index, "index", finite=True)).astype(np.float32)
    _validation.check_choice(translated, "translated", ["queries", "index"])
    if translated == "queries":
        _validation.check_same_features(rows, "index", B, "Y_anchors")
        rows = unit_rows(rows)
    else:
        _validation.check_same_features(rows, "index", A, "X_anchors")
    _validation.check_integer(
        k, "k", maximum=len(rows) - 1, maximum_is=f"index has {len(rows)} rows"
    )
    n = _validation.check_integer(
        len(A) if n_anchors is None else n_anchors, "n_anchors", minimum=len(A)
    )
    task = _Task(
        translation, A, B, rows, translated, k, head, anchors_among(rows, A), anchor_weight
    )
    shares = SHARES if translated == "queries" or len(A) * (1 - SHARES[1]) >= AMONG else FEWER
    curves = {share: task.values(share, random_state) for share in shares}
    names = curves[shares[0]].keys()
    found = {
        name: _estimate(
            {share: curves[share][name] for share in shares},
            n,
            level,
            n_items,
            WIDENED_AMONG if name == "overlap_k" and translated == "index" else WIDENED,
        )
        for name in names
    }
    return PredictedQuality(
        found["recall_1"], found["recall_k"], found.get("overlap_k"), found.get("head"),
        k, len(rows), n, level, translated,
        None if translated == "queries" else min(AMONG, len(A)),
    )  # fmt: skip


def coverage(X: Array, anchors: Array) -> np.ndarray:
    r"""Return how far the anchors cover each item, (n_samples,), in [0, 1].

    .. math:: c(x) = k(x)^T (K + \lambda I)^{-1} k(x)

    with the polynomial kernel of degree 3 on rows less the anchors' mean, and λ = 0.1: one
    less the share of an item that a Gaussian process leaves unknown that has seen the
    anchors. Near 1 for an item among the anchors, near 0 for one that has nothing in
    common with them, whose translation is a guess.

    Parameters
    ----------
    X : array (n_samples, n_features)
    anchors : array (n_anchors, n_features)
        Of the same encoder.

    Raises
    ------
    TypeError, ValueError
        Features that do not match, NaN, infinity, fewer than 2 anchors.

    References
    ----------
    Rasmussen and Williams, *Gaussian processes for machine learning*, 2006, equation 2.26.

    Examples
    --------
    >>> import numpy as np
    >>> from relatum.quality import coverage
    >>> rng = np.random.default_rng(0)
    >>> anchors = rng.normal(size=(50, 20)) * (np.arange(20) < 5)  # five directions of twenty
    >>> inside, outside = rng.normal(size=(2, 20)) * (np.arange(20) < 5), np.eye(20)[18:]
    >>> covered = coverage(np.concatenate([inside, outside]), anchors)
    >>> bool(covered[:2].min() > 0.7 > 0.2 > covered[2:].max())
    True
    """
    fitted = fit_projection(
        anchors, similarity=("polynomial", {"degree": 3}), center=True, whiten=COVERAGE_PENALTY
    )
    X = _validation.as_matrix(X, "X", finite=True)
    _validation.check_same_features(X, "X", anchors, "anchors")
    found = [
        _array.to_numpy(project(X[rows, :], fitted))
        for rows in _array.blocks(X.shape[0], 8 * fitted.n_outputs)
    ]
    return np.concatenate([np.einsum("ij,ij->i", R, R) for R in found])


@dataclass(frozen=True)
class _Task:
    """What is measured on anchors that are held out."""

    translation: Translation
    A: np.ndarray
    B: np.ndarray
    index: np.ndarray
    translated: str
    k: int
    head: Any
    known: np.ndarray
    """Which anchor a row of the index is, -1 for none, (n_index,)."""
    anchor_weight: float

    def values(self, share: float, seed: int) -> dict[str, np.ndarray]:
        """Return each measure for each anchor, by maps fitted on ``share`` of the others."""
        totals: dict[str, np.ndarray] = {}
        for repeat in range(REPEATS):
            translated = np.zeros((len(self.A), self.B.shape[1]), np.float32)
            parts = _parts(len(self.A), share, seed + repeat)
            for part in parts:
                to_target = self.translation._map_without(self.A, self.B, part)
                translated[part] = to_target(self.A[part])
                for name, values in self._measured(part, to_target, translated[part]).items():
                    total = totals.setdefault(name, np.zeros(len(self.A)))
                    total[part] += values / REPEATS
            if self.translated == "index":
                total = totals.setdefault("overlap_k", np.zeros(len(self.A)))
                total += self._overlaps(translated, parts, seed + repeat) / REPEATS
        return totals

    def _overlaps(self, translated: np.ndarray, parts: Parts, seed: int) -> np.ndarray:
        """Compare neighbours within each part, which one map translated; among all if they are
        too few."""
        if min(map(len, parts)) < min(AMONG, len(self.A)):
            parts = [np.arange(len(self.A))]
        found = np.zeros(len(self.A))
        for part in parts:
            k = min(self.k, len(part) - 2)
            found[part] = overlap_among(translated[part], self.B[part], k, AMONG, seed)
        return found

    def _measured(
        self, part: np.ndarray, to_target: Callable[[np.ndarray], np.ndarray],
        predicted: np.ndarray,
    ) -> dict[str, np.ndarray]:  # fmt: skip
        """Search the index for a part of the anchors, whose own rows are added to it."""
        own_rows = self.B[part]
        P, B = unit_rows(predicted), unit_rows(own_rows)
        own = np.vecdot(P, B)
        if self.translated == "queries":
            index, twin = self.index, B
            S, T = P @ index.T, B @ index.T
        else:
            index, twin = unit_rows(to_target(self.index)), P
            S = T = B @ index.T
            S[:, (self.known >= 0) & ~np.isin(self.known, part)] *= self.anchor_weight
        same = twin @ index.T > 1 - 1e-5  # the anchor itself may be in the index
        S[same], T[same] = -2, -2
        better = np.sum(own[:, None] < S, axis=1)
        found = {"recall_1": better < 1, "recall_k": better < self.k}
        if self.translated == "queries":
            found["overlap_k"] = shared_nearest(S, T, self.k)
        if self.head is not None:
            found["head"] = self.head.predict(predicted) == self.head.predict(own_rows)
        return {name: values.astype(float) for name, values in found.items()}


def _parts(n: int, share: float, seed: int) -> Parts:
    """Return parts of which each leaves about ``share`` of the rows to fit on."""
    order = np.random.default_rng(seed).permutation(n)
    return [np.sort(part) for part in np.array_split(order, round(1 / (1 - share)))]


def _estimate(
    curves: Mapping[float, np.ndarray], n: int, level: float, n_items: int | None, widened: float
) -> Estimate:
    """Extrapolate a mean over anchors to maps that know ``n``, with an interval."""
    shares = sorted(curves)
    most = curves[shares[-1]]
    known = len(most)
    value = float(_at_full([curves[s].mean(keepdims=True) for s in shares], shares, known, n)[0])
    rng = np.random.default_rng(0)
    rows = rng.integers(known, size=(N_BOOTSTRAP, known))
    drawn = _at_full([curves[s][rows].mean(axis=1) for s in shares], shares, known, n)
    if n_items is not None:
        drawn = drawn + rng.normal(size=N_BOOTSTRAP) * most.std() / np.sqrt(n_items)
    tail = (1 - level) / 2
    low, high = np.quantile(drawn, [tail, 1 - tail])
    centre = _logit(np.array([value]), known)[0]
    spread = widened * (_logit(np.array([low, high]), known) - centre)
    low, high = expit(centre + np.array([min(spread[0], -0.05), max(spread[1], 0.05)]))
    return Estimate(value, float(min(low, value)), float(max(high, value)))


def _at_full(
    means: Sequence[np.ndarray], shares: Sequence[float], known: int, n: int
) -> np.ndarray:
    """Follow the line through two means, in logits over the logarithm of the anchors, to ``n``."""
    a, b = (_logit(m, known) for m in means)
    first, second = np.log(shares)
    slope = np.maximum((b - a) / (second - first), 0)  # more anchors do no harm
    return np.asarray(expit(b + slope * (np.log(n / known) - second)))


def _logit(p: np.ndarray, n: int) -> np.ndarray:
    """Logit, kept off the ends by half an anchor."""
    return np.asarray(logit(np.clip(p, 0.5 / (n + 1), 1 - 0.5 / (n + 1))))
