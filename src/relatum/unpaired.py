"""Matching two encoders' items without any pair that is known."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
from scipy.stats import norm

from relatum._array import Array
from relatum._climbing import climbs
from relatum._gemm import unit_rows
from relatum._matched_pairs import agreement, drawn_items, polished

__all__ = ["Matched", "match_unpaired"]

LEAST = 200
"""Items of a side."""
CENTRES = (40, 60, 30, 80)
"""Centres that items of each side are gathered in, one number after another."""
RESTARTS = 8
TRIES = 30
"""Starts of each assignment of centres to centres."""
KEPT = 2
"""Assignments that are followed up, the best."""
CENTRE_WEIGHT = 3.0
CLIMBS = 5
HOPELESS = 0.1
"""Where fewer of the pairs than that stay in the third climb, no more are made."""
RESTED = 0.8
"""Share of the pairs that must stay in the last climb."""
AGREEMENT = 0.7
"""Share of the pairs in common to which two restarts must give the same counterpart."""


@dataclass(frozen=True)
class Matched:
    """Pairs that were found, and whether to believe them."""

    pairs: np.ndarray
    """Rows of X and of Y, (n_pairs, 2), the surest first."""
    margins: np.ndarray
    """By how much each pair is ahead of the next best, (n_pairs,)."""
    found: bool
    """Whether two restarts agree."""
    agreement: float
    """The most that any two restarts agree, of the pairs that both found."""
    n_restarts: int
    n_rested: int
    """Restarts that came to rest."""

    def __str__(self) -> str:
        """Say in a sentence what came of it."""
        what = f"{len(self.pairs)} pairs found" if self.found else "could not match"
        return (
            f"{what}; {self.n_rested} of {self.n_restarts} restarts came to rest, and the best two "
            f"agree on {self.agreement:.0%} of the pairs"
        )


def match_unpaired(
    X: Array,
    Y: Array,
    *,
    wrong: float = 0.1,
    random_state: int = 0,
    progress: Callable[[str], object] = lambda text: None,
) -> Matched:
    """Find which items of two encoders are the same, from nothing but their geometry.

    Each side's items are gathered around centres (k-means), and centres are assigned to
    centres so that their mutual cosines fit (a quadratic assignment). From there both
    sides are turned onto each other as in :func:`relatum.growing.grow_anchors`, without
    the centres after the first climb. That is done with several numbers of centres and
    seeds until two restarts come to rest at the same pairs.

    It takes items that lie in groups, much the same items on both sides, and encoders
    that see them alike; where these are not given, restarts disagree, and there are no
    pairs. A dozen known pairs are worth far more: see :mod:`relatum.growing`.

    Parameters
    ----------
    X : array (n_x, n_features_x)
        Items of one encoder. At most 4,000 are matched, drawn at random from more.
    Y : array (n_y, n_features_y)
    wrong : float
        Share of wrong pairs that may be among those returned, as estimated; 1 returns all
        mutual nearest neighbours.
    random_state : int
    progress : callable
        Called with what is being done.

    Raises
    ------
    TypeError, ValueError
        NaN, infinity, fewer than 200 items on a side, a ``wrong`` outside (0, 1].

    References
    ----------
    Centres and a quadratic assignment of them: Dar, *mini-vec2vec*, 2025; the assignment
    is that of Vogelstein et al., *Fast approximate quadratic programming for graph
    matching*, PLOS ONE 2015, through SciPy.

    Examples
    --------
    >>> import numpy as np
    >>> from relatum.unpaired import match_unpaired
    >>> rng = np.random.default_rng(0)
    >>> groups = 2 * rng.normal(size=(40, 16)) * np.linspace(2, 0.5, 16)
    >>> X = groups[rng.integers(40, size=600)] + 0.5 * rng.normal(size=(600, 16))
    >>> order = rng.permutation(600)
    >>> Y = (X @ np.linalg.qr(rng.normal(size=(16, 16)))[0])[order]
    >>> matched = match_unpaired(X, Y)
    >>> matched.found, bool(np.mean(order[matched.pairs[:, 1]] == matched.pairs[:, 0]) > 0.95)
    (True, True)
    """
    rng = np.random.default_rng(random_state)
    rows, (x, y) = drawn_items(X, Y, LEAST, wrong, rng)
    everything = np.arange(len(x)), np.arange(len(y))
    rested: list[np.ndarray] = []
    best = 0.0
    for restart in range(RESTARTS):
        progress(f"restart {restart + 1} of at most {RESTARTS}")
        S = _from_centres(x, y, CENTRES[restart % len(CENTRES)], random_state + restart)
        if S is None:
            continue
        same = max((agreement(S, T, *everything) for T in rested), default=0.0)
        best = max(best, same)
        rested.append(S)
        if same < AGREEMENT:
            continue
        pairs, margins = polished(S, x, y, x[:0], y[:0], wrong, random_state)
        pairs = np.stack([rows[i][pairs[:, i]] for i in (0, 1)], axis=1)
        return Matched(pairs, margins, True, same, restart + 1, len(rested))
    none = np.zeros((0, 2), np.int64), np.zeros(0)
    return Matched(*none, False, best, RESTARTS, len(rested))


def _from_centres(x: np.ndarray, y: np.ndarray, k: int, seed: int) -> np.ndarray | None:
    """Return how near items are to each other after climbs that came to rest, if any did."""
    for a, b in islice(_assigned_centres(x, y, min(k, len(x) // 5, len(y) // 5), seed), KEPT):
        weights = np.full(len(a), CENTRE_WEIGHT)
        run = climbs(x, y, a, b, weights, np.zeros(len(a)))
        for i, climb in enumerate(islice(run, CLIMBS)):
            if climb.stayed >= RESTED:
                return climb.similarities
            if i >= 2 and climb.stayed < HOPELESS:
                break
    return None


def _assigned_centres(
    x: np.ndarray, y: np.ndarray, k: int, seed: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield centres of both sides, row i of the one for row i of the other; the best first."""
    from scipy.optimize import quadratic_assignment

    (a, b), rng = (_centres(side, k, seed) for side in (x, y)), np.random.default_rng(seed)
    P, Q = (_normal_scores(unit_rows(c) @ unit_rows(c).T) for c in (a, b))
    found: dict[tuple[int, ...], float] = {}
    for _ in range(TRIES):
        options = {"maximize": True, "P0": "randomized", "rng": rng}
        result = quadratic_assignment(P, Q, method="faq", options=options)
        found[tuple(result.col_ind.tolist())] = float(result.fun)
    for columns in sorted(found, key=found.__getitem__, reverse=True):
        yield a + x.mean(axis=0), b[list(columns)] + y.mean(axis=0)


def _centres(x: np.ndarray, k: int, seed: int) -> np.ndarray:
    """Return the centres of items at unit norm, less their mean, (k, n_features)."""
    from sklearn.cluster import KMeans

    z = unit_rows(x - x.mean(axis=0))
    found = KMeans(k, n_init=3, random_state=seed).fit(z).cluster_centers_
    return np.asarray(found, dtype=x.dtype)


def _normal_scores(K: np.ndarray) -> np.ndarray:
    """Replace what is off the diagonal by normal quantiles of its ranks.

    Encoders differ in how far apart they hold things; ranks do not.
    """
    upper = np.triu_indices(len(K), 1)
    ranks = np.argsort(np.argsort(K[upper]))
    out = np.zeros_like(K)
    out[upper] = norm.ppf((ranks + 0.5) / len(ranks))
    return np.asarray(out + out.T)
