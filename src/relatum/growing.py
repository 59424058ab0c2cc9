"""Growing anchors: from a few pairs and unpaired items of both sides to many pairs.

Both spaces are seen through their own principal axes, the few strongest first. A
rotation that the seeds and a soft assignment of all items agree on is found, and
the next axes are added: what the coarse match gets right decides the finer one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import logsumexp

from relatum import _array, _validation
from relatum._array import Array
from relatum._gemm import unit_rows
from relatum._linear_maps import isometry
from relatum.projection import fit_projection, project

__all__ = ["Grown", "Round", "grow_anchors"]

Sides = tuple[np.ndarray, np.ndarray]

LEVELS = (8, 10, 12, 16, 20, 24, 32, 40, 48, 64, 80, 96, 128, 160, 200, 256)
"""Numbers of principal axes."""
COARSE = 40
"""Up to that many axes, every item is given a counterpart; later only where both sides agree."""
AGAIN = 20
"""From how many axes the climb begins again, with the assignment of the climb before."""
STEPS = 4
"""Assignments at each level."""
CLIMBS = 5
"""At most."""
RESTED = 0.97
"""Share of mutual nearest neighbours that stay, from which no further climb is made."""
TEMPERATURE = 0.02
SEED_WEIGHT = 10.0
"""What a seed counts for beside an item that is assigned."""
REFINEMENTS = 3
KEPT = 0.6
"""Share of the pairs found that items are then projected onto, the surest."""
AGREEMENT = 0.4
"""Share of the pairs in common that two runs must give the same counterpart."""
SAMPLE = 0.9
"""Share of the items of each side that the other run sees."""
LEAST_SHARED = 0.1
"""Share of the other run's items that both must have paired, to compare them at all."""
ENOUGH_SEEDS = 40
"""From that many on, a fifth of the seeds is enough to check with."""
SEEDS_FOUND = 0.3
"""Share of those seeds that climbs without them must find."""
LARGEST = 4000
"""Items of a side that are matched at once."""


@dataclass(frozen=True)
class Round:
    """One climb through the levels."""

    mutual: float
    """Share of items that are each other's nearest."""
    stayed: float
    """Share of those that were so after the climb before."""
    seeds: float
    """Share of the held-out seeds that are found among all items; 0 after the first climb."""


@dataclass(frozen=True)
class Grown:
    """Pairs that were found, and whether to believe them."""

    pairs: np.ndarray
    """Rows of X and of Y, (n_pairs, 2), the surest first."""
    margins: np.ndarray
    """By how much each pair is ahead of the next best, (n_pairs,)."""
    found: bool
    """Whether two runs agree, and find the seeds."""
    agreement: float
    """Share of the pairs that both runs found of which both say the same."""
    rounds: tuple[Round, ...]
    """Of the run that was checked by the seeds."""

    def __str__(self) -> str:
        """Say in a sentence what came of it."""
        what = (
            f"{len(self.pairs)} pairs found" if self.found else "could not grow: no pairs to trust"
        )
        seeds = max((r.seeds for r in self.rounds), default=0.0)
        return (
            f"{what}; climbs without held-out seeds find {seeds:.0%} of those, and agree on "
            f"{self.agreement:.0%} of the pairs"
        )


def grow_anchors(
    X: Array,
    Y: Array,
    X_seeds: Array,
    Y_seeds: Array,
    *,
    share: float | None = None,
    random_state: int = 0,
    progress: Callable[[str], object] = lambda text: None,
) -> Grown:
    """Find which unpaired items of two encoders are the same, from a few that are known.

    At each level both sides are held in their first principal axes, turned onto each
    other by ``isometry(w seeds + X' P Y)``, P being a soft assignment of the items to each
    other. On few axes it is doubly stochastic (Sinkhorn): every item pulls. On more it is
    the square root of softmax over rows times softmax over columns, so that items without
    a counterpart weigh little. The climb begins anew with the assignment that it ended in,
    until that rests. The last rounds project both sides onto the pairs found so far, with
    a polynomial kernel, whitened.

    Another run lacks a tenth of the items of each side and the Sinkhorn start, and after its
    first climb it goes on without the seeds (of 40 or more: without a fifth of them), so
    that they can check it: as many climbs are made as find most of them. Where it finds
    less than 30 % of those seeds, or says the same as the run with all items and seeds of
    less than 40 % of the pairs that both find, ``found`` is False, and there are no pairs.

    Parameters
    ----------
    X : array (n_x, n_features_x)
        Items of one encoder. At most 4,000 are matched, drawn at random from more.
    Y : array (n_y, n_features_y)
        Items of the other; those that are in both need not be known.
    X_seeds, Y_seeds : array (n_seeds, n_features_x), array (n_seeds, n_features_y)
        Parallel anchors, at least 5.
    share : float, optional
        Of the mutual nearest neighbours, how many are returned: those with the widest
        margins. By default the share of pairs that both runs agree on: near 1 where every
        item has a counterpart, less where many have none.
    random_state : int
    progress : callable
        Called with what is being done.

    Raises
    ------
    TypeError, ValueError
        Seeds that do not match, fewer than 5, features that do not match, NaN, infinity,
        fewer than 50 items on a side, a share outside (0, 1].

    References
    ----------
    The coarse-to-fine scheme is that of Melzi et al., *ZoomOut: spectral upsampling for
    efficient shape correspondence*, SIGGRAPH Asia 2019; soft assignments: Cuturi,
    *Sinkhorn distances*, NeurIPS 2013.

    Examples
    --------
    >>> import numpy as np
    >>> from relatum.growing import grow_anchors
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(300, 12)) * np.linspace(3, 1, 12)
    >>> Y = X @ np.linalg.qr(rng.normal(size=(12, 12)))[0]
    >>> order = rng.permutation(280)
    >>> grown = grow_anchors(X[20:], Y[20:][order], X[:20], Y[:20])
    >>> grown.found, bool(np.mean(order[grown.pairs[:, 1]] == grown.pairs[:, 0]) > 0.95)
    (True, True)
    """
    seeds = _validation.check_pair(X_seeds, Y_seeds, "X_seeds", "Y_seeds", min_rows=5)
    items = [_validation.as_matrix(M, n, min_rows=50, finite=True) for M, n in ((X, "X"), (Y, "Y"))]
    for M, seed, name in zip(items, seeds, "XY", strict=True):
        _validation.check_same_features(M, name, seed, f"{name}_seeds")
    if share is not None and not 0 < share <= 1:
        raise ValueError(f"share is {share}; expected a number in (0, 1]")
    rng = np.random.default_rng(random_state)
    rows = [_drawn(M.shape[0], rng) for M in items]
    x, y = (_array.to_numpy(M).astype(np.float32)[r] for M, r in zip(items, rows, strict=True))
    a, b = (_array.to_numpy(s).astype(np.float32) for s in seeds)
    x_part, y_part = (np.sort(rng.permutation(len(M))[: int(SAMPLE * len(M))]) for M in (x, y))
    progress("run 1 of 2")
    held = rng.permutation(len(a))[: len(a) // 5] if len(a) >= ENOUGH_SEEDS else np.arange(len(a))
    T, rounds = _climbs(x[x_part], y[y_part], a, b, CLIMBS, held)
    progress("run 2 of 2")
    n_climbs = 1 + int(np.argmax([r.seeds for r in rounds]))
    S, _ = _climbs(x, y, a, b, n_climbs)
    agreement = _agreement(S, T, x_part, y_part)
    if agreement < AGREEMENT or rounds[n_climbs - 1].seeds < SEEDS_FOUND:
        return Grown(np.zeros((0, 2), np.int64), np.zeros(0), False, agreement, rounds)
    pairs, margins = _refined(S, x, y, a, b, random_state)
    kept = agreement if share is None else share
    order = np.argsort(-margins)[: max(1, int(kept * len(pairs)))]
    pairs = np.stack([rows[0][pairs[order, 0]], rows[1][pairs[order, 1]]], axis=1)
    return Grown(pairs, margins[order], True, agreement, rounds)


def _agreement(S: np.ndarray, T: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> float:
    """Return of how many pairs T says what S says: T is on some of the rows and columns of S."""
    (kept, best), (kept_t, best_t) = _mutual(S), _mutual(T)
    known = kept[rows] & kept_t & np.isin(best[rows], columns)
    if np.mean(known) < LEAST_SHARED:
        return 0.0
    return float(np.mean(best[rows][known] == columns[best_t[known]]))


def _drawn(n: int, rng: np.random.Generator) -> np.ndarray:
    return np.sort(rng.permutation(n)[:LARGEST])


def _climbs(
    x: np.ndarray,
    y: np.ndarray,
    a: np.ndarray,
    b: np.ndarray,
    n_climbs: int,
    held: np.ndarray | None = None,
) -> tuple[np.ndarray, tuple[Round, ...]]:
    """Return how near each item is to each of the other side, and how the climbs went.

    Where seeds are ``held`` out, they take part in the first climb alone, so that they can
    tell how good the others are; there is no doubly stochastic start, and the result is
    that of the climb that finds most of them.
    """
    check = held is not None
    kept = np.ones(len(a)) if held is None else 1.0 - np.isin(np.arange(len(a)), held)
    held = np.arange(len(a)) if held is None else held
    to_x, to_y = _Axes.of(x), _Axes.of(y)
    fx, fy, ga, gb = to_x(x), to_y(y), to_x(a), to_y(b)
    widest = min(fx.shape[1], fy.shape[1])
    levels = [k for k in LEVELS if k < widest] + [widest]
    P: np.ndarray | None = None
    before, best = np.full(len(x), -1), (-1.0, np.zeros((0, 0)))
    rounds: list[Round] = []
    for climb in range(n_climbs):
        first = climb == 0
        for k in levels if first else [k for k in levels if k >= min(AGAIN, widest)]:
            for _ in range(STEPS):
                weight = SEED_WEIGHT * (np.ones_like(kept) if first else kept).astype(fx.dtype)
                product = (weight[:, None] * ga[:, :k]).T @ gb[:, :k]
                if P is not None:
                    product += fx[:, :k].T @ (P @ fy[:, :k])
                turn = isometry(product)
                S = unit_rows(fx[:, :k] @ turn) @ unit_rows(fy[:, :k]).T
                P = _doubly_stochastic(S) if first and k <= COARSE and not check else _odds(S)
        mutual, nearest = _mutual(S)
        now = np.where(mutual, nearest, -1)
        stayed = float(np.mean(now[mutual] == before[mutual])) if mutual.any() else 0.0
        found = 0.0  # after the first climb, which has seen them
        if not first:
            found = _found(ga[held, :k] @ turn, gb[held, :k], fx[:, :k] @ turn, fy[:, :k])
        rounds.append(Round(float(np.mean(mutual)), stayed, found))
        if not check or found > best[0]:
            best = found, S
        if stayed >= RESTED:
            break
        before = now
    return best[1], tuple(rounds)


def _found(a: np.ndarray, b: np.ndarray, x: np.ndarray, y: np.ndarray) -> float:
    """Return the share of pairs of which each is the other's nearest among all items."""
    own = np.sum(unit_rows(a) * unit_rows(b), axis=1)
    ahead = unit_rows(a) @ unit_rows(y).T, unit_rows(b) @ unit_rows(x).T
    return float(np.mean((ahead[0].max(axis=1) < own) & (ahead[1].max(axis=1) < own)))


@dataclass(frozen=True)
class _Axes:
    """Principal axes of a side's items at unit norm, the strongest first."""

    mean: np.ndarray
    axes: np.ndarray

    @classmethod
    def of(cls, x: np.ndarray) -> _Axes:
        mean = x.mean(axis=0)
        z = unit_rows(x - mean)
        w, V = np.linalg.eigh(z.T.astype(np.float64) @ z)
        order = np.argsort(-w)[: min(z.shape[1], len(z) - 1, LEVELS[-1])]
        return cls(mean, V[:, order].astype(x.dtype))

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        return np.asarray(unit_rows(rows - self.mean) @ self.axes)


def _kernel(S: np.ndarray) -> np.ndarray:
    # rows and columns without any near item still have a sum
    return np.asarray(np.exp((S - 1) / TEMPERATURE) + np.finfo(S.dtype).tiny)


def _doubly_stochastic(S: np.ndarray) -> np.ndarray:
    """Return soft weights of pairs whose rows and columns sum to 1 (Sinkhorn, three times)."""
    P = _kernel(S)
    for _ in range(3):
        P /= P.sum(axis=1, keepdims=True)
        P /= P.sum(axis=0, keepdims=True)
    return P


def _odds(S: np.ndarray) -> np.ndarray:
    """Return soft weights of pairs: large where each is the other's first choice."""
    P = _kernel(S)
    return np.asarray(P / np.sqrt(P.sum(axis=1, keepdims=True) * P.sum(axis=0, keepdims=True)))


def _mutual(S: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return which rows' best column has that row for its best, and those columns."""
    best = S.argmax(axis=1)
    return S.argmax(axis=0)[best] == np.arange(len(S)), best


def _log_odds(S: np.ndarray) -> np.ndarray:
    """Return the log of both softmaxes' product: scores that hubs do not win."""
    L = S / TEMPERATURE
    return np.asarray(
        2 * L - logsumexp(L, axis=1, keepdims=True) - logsumexp(L, axis=0, keepdims=True)
    )


def _refined(
    S: np.ndarray, x: np.ndarray, y: np.ndarray, a: np.ndarray, b: np.ndarray, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Project both sides onto the pairs found so far, some rounds; return pairs and margins.

    Pairs that take part in a projection look alike in it, right or wrong. So one half of
    them is compared by a projection onto the other.
    """
    rng = np.random.default_rng(seed)
    pairs, margins = _ranked(S)
    for _ in range(REFINEMENTS):
        kept = pairs[np.argsort(-margins)[: int(KEPT * len(pairs))]]
        half = rng.integers(2, size=len(kept))
        by = [_compared(x, y, a, b, kept[half != h]) for h in (0, 1)]
        S = (by[0] + by[1]) / 2
        for h in (0, 1):  # what the other half's projection has not seen is compared by that
            seen = kept[half != h]
            rows = np.setdiff1d(np.arange(len(x)), seen[:, 0])
            columns = np.setdiff1d(np.arange(len(y)), seen[:, 1])
            own = np.isin(rows, kept[half == h, 0])[:, None]
            own = own | np.isin(columns, kept[half == h, 1])[None]
            block = np.ix_(rows, columns)
            S[block] = np.where(own, by[h][block], S[block])
        pairs, margins = _ranked(S)
    return pairs, margins


def _compared(
    x: np.ndarray, y: np.ndarray, a: np.ndarray, b: np.ndarray, pairs: np.ndarray
) -> np.ndarray:
    """Return the cosines of items, both sides projected onto seeds and pairs."""
    R, T = (
        unit_rows(_relative(side, np.concatenate([seeds, side[rows]])))
        for side, seeds, rows in ((x, a, pairs[:, 0]), (y, b, pairs[:, 1]))
    )
    return np.asarray(R @ T.T)


def _relative(x: np.ndarray, anchors: np.ndarray) -> np.ndarray:
    similarity = ("polynomial", {"degree": 3})
    fitted = fit_projection(anchors, similarity=similarity, center=True, whiten=0.1)
    return np.asarray(project(x, fitted))


def _ranked(S: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mutual nearest neighbours, and by how much each is ahead of the next best."""
    L = _log_odds(S)
    mutual, best = _mutual(L)
    rows = np.flatnonzero(mutual)
    columns = best[rows]
    own = L[rows, columns]
    L[rows, columns] = -np.inf
    margins = own - np.maximum(L[rows].max(axis=1), L[:, columns].max(axis=0))
    return np.stack([rows, columns], axis=1), margins
