"""Growing anchors: from a few pairs and unpaired items of both sides to many pairs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count, islice

import numpy as np

from relatum import _array, _validation
from relatum._array import Array
from relatum._climbing import Climb, climbs
from relatum._matched_pairs import agreement, drawn_items, polished
from relatum._transport import Cloud, transport_plan

__all__ = ["Grown", "Round", "grow_anchors"]

LEAST = 50
"""Items of a side."""
CLIMBS = 5
"""At most."""
RESTED = 0.97
"""Share of mutual nearest neighbours that stay, from which no further climb is made."""
SEED_WEIGHT = 10.0
"""What a seed counts for beside an item that is assigned."""
AGREEMENT = 0.4
"""Share of the pairs in common that two runs must give the same counterpart."""
SAMPLE = 0.9
"""Share of the items of each side that the other run sees."""
CHECKED_BY = 10
"""Seeds that are enough to check with, of twice as many or more; a fifth of many."""
SEEDS_FOUND = 0.3
"""Share of those seeds that climbs without them must find."""


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
            f"{len(self.pairs)} pairs found"
            if self.found
            else "could not grow: no pairs to trust (are the seeds pairs?)"
        )
        seeds = max((r.seeds for r in self.rounds), default=0.0)
        return (
            f"{what}; two runs agree on {self.agreement:.0%} of the pairs that both found, and "
            f"find {seeds:.0%} of the seeds that were kept from them"
        )


def grow_anchors(
    X: Array,
    Y: Array,
    X_seeds: Array,
    Y_seeds: Array,
    *,
    wrong: float = 0.1,
    random_state: int = 0,
    progress: Callable[[str], object] = lambda text: None,
) -> Grown:
    """Find which unpaired items of two encoders are the same, from a few that are known.

    The first assignment P is a transport plan between both sides, whose clouds of items
    have the same shape, from what the seeds and their principal axes say of them. Then
    both sides are seen through their own principal axes, the few strongest first, and
    turned onto each other by ``isometry(w A' B + X' P Y)``, A and B being the seeds: what
    the coarse match gets right decides the finer one. P becomes the square root of softmax
    over rows times softmax over columns, so that items without a counterpart weigh little.
    The climb begins anew with the assignment that it ended in, until that rests. The last
    rounds project both sides onto the pairs found so far, with a polynomial kernel,
    whitened.

    Another run lacks a tenth of the items of each side, and after its first climb it goes on
    without some of the seeds (a fifth of them and at least 10; all of fewer than 20), so
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
    wrong : float
        Share of wrong pairs that may be among those returned, as estimated; 1 returns all
        mutual nearest neighbours.
    random_state : int
    progress : callable
        Called with what is being done.

    Raises
    ------
    TypeError, ValueError
        Seeds that do not match, fewer than 5, features that do not match, NaN, infinity,
        fewer than 50 items on a side, a ``wrong`` outside (0, 1].

    References
    ----------
    The coarse-to-fine scheme is that of Melzi et al., *ZoomOut: spectral upsampling for
    efficient shape correspondence*, SIGGRAPH Asia 2019; the transport plan: Cuturi,
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
    rng = np.random.default_rng(random_state)
    rows, (x, y) = drawn_items(X, Y, LEAST, wrong, rng)
    for M, seed, name in zip((x, y), seeds, "XY", strict=True):
        _validation.check_same_features(M, name, seed, f"{name}_seeds")
    a, b = (_array.to_numpy(s).astype(np.float32) for s in seeds)
    x_part, y_part = (np.sort(rng.permutation(len(M))[: int(SAMPLE * len(M))]) for M in (x, y))
    n_held = max(CHECKED_BY, len(a) // 5) if len(a) >= 2 * CHECKED_BY else len(a)
    held = rng.permutation(len(a))[:n_held]
    weights = np.full(len(a), SEED_WEIGHT)
    later = np.where(np.isin(np.arange(len(a)), held), 0.0, weights)
    start = transport_plan(Cloud.of(x[x_part], a), Cloud.of(y[y_part], b))
    run = climbs(x[x_part], y[y_part], a, b, weights, later, start)
    T, rounds = _checked(_told(run, "run 1 of 2", progress), held)
    n_climbs = 1 + int(np.argmax([r.seeds for r in rounds]))
    start = transport_plan(Cloud.of(x, a), Cloud.of(y, b))
    run = climbs(x, y, a, b, weights, weights, start)
    for climb in islice(_told(run, "run 2 of 2", progress), n_climbs):
        S = climb.similarities
    same = agreement(S, T, x_part, y_part)
    if same < AGREEMENT or rounds[n_climbs - 1].seeds < SEEDS_FOUND:
        return Grown(np.zeros((0, 2), np.int64), np.zeros(0), False, same, rounds)
    pairs, margins = polished(S, x, y, a, b, wrong, random_state)
    pairs = np.stack([rows[i][pairs[:, i]] for i in (0, 1)], axis=1)
    return Grown(pairs, margins, True, same, rounds)


def _told(run: Iterator[Climb], label: str, progress: Callable[[str], object]) -> Iterator[Climb]:
    """Say which climb is being made."""
    for i in count(1):
        progress(f"{label}, climb {i}")
        yield next(run)


def _checked(run: Iterator[Climb], held: np.ndarray) -> tuple[np.ndarray, tuple[Round, ...]]:
    """Climb until nothing moves; return what found most of the held-out seeds."""
    best = -1.0, np.zeros((0, 0))
    rounds: list[Round] = []
    for climb in islice(run, CLIMBS):
        # the first climb has seen these seeds
        found = float(np.mean(climb.found[held])) if rounds else 0.0
        rounds.append(Round(climb.mutual, climb.stayed, found))
        if found > best[0]:
            best = found, climb.similarities
        if climb.stayed >= RESTED:
            break
    return best[1], tuple(rounds)
