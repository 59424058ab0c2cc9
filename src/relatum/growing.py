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

LEVELS = (8, 10, 12, 16, 20, 24, 32, 40, 48, 64, 80, 96, 128, 160, 200, 256)
"""Numbers of principal axes."""
STEPS = 4
"""Assignments at each level."""
TEMPERATURE = 0.02
SEED_WEIGHT = 10.0
"""What a seed counts for beside an item that is assigned."""
REFINEMENTS = 3
AGREEMENT = 0.5
"""Share of items that two runs must give the same counterpart."""
LARGEST = 4000
"""Items of a side that are matched at once."""


@dataclass(frozen=True)
class Round:
    """One level of growing."""

    n_axes: int
    mutual: float
    """Share of items that are each other's nearest."""


@dataclass(frozen=True)
class Grown:
    """Pairs that were found, and whether to believe them."""

    pairs: np.ndarray
    """Rows of X and of Y, (n_pairs, 2), the surest first."""
    margins: np.ndarray
    """By how much each pair is ahead of the next best, (n_pairs,)."""
    found: bool
    """Whether runs that lacked different seeds agree."""
    agreement: float
    """Share of items to which they gave the same counterpart."""
    rounds: tuple[Round, ...]

    def __str__(self) -> str:
        """Say in a sentence what came of it."""
        what = (
            f"{len(self.pairs)} pairs found" if self.found else "could not grow: no pairs to trust"
        )
        return f"{what}; runs without some of the seeds agree on {self.agreement:.0%} of the items"


def grow_anchors(
    X: Array,
    Y: Array,
    X_seeds: Array,
    Y_seeds: Array,
    *,
    share: float = 0.9,
    random_state: int = 0,
    progress: Callable[[str], object] = lambda text: None,
) -> Grown:
    """Find which unpaired items of two encoders are the same, from a few that are known.

    At each level both sides are held in their first principal axes, turned onto each
    other by ``isometry(w seeds + X' P Y)``, P being a soft assignment: softmax over rows
    times softmax over columns of the cosines, square root taken, so that items without a
    counterpart weigh little. The last rounds project both sides onto the pairs found so
    far, with a polynomial kernel, whitened.

    Two runs, each without a different fifth of the seeds, must agree on half of the
    items; otherwise ``found`` is False, and there are no pairs.

    Parameters
    ----------
    X : array (n_x, n_features_x)
        Items of one encoder. At most 4,000 are matched, drawn at random from more.
    Y : array (n_y, n_features_y)
        Items of the other; those that are in both need not be known.
    X_seeds, Y_seeds : array (n_seeds, n_features_x), array (n_seeds, n_features_y)
        Parallel anchors, at least 5.
    share : float
        Of the mutual nearest neighbours, how many are returned: those with the widest
        margins.
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
    if not 0 < share <= 1:
        raise ValueError(f"share is {share}; expected a number in (0, 1]")
    rng = np.random.default_rng(random_state)
    rows = [_drawn(M.shape[0], rng) for M in items]
    x, y = (_array.to_numpy(M).astype(np.float32)[r] for M, r in zip(items, rows, strict=True))
    a, b = (_array.to_numpy(s).astype(np.float32) for s in seeds)
    parts = np.array_split(rng.permutation(len(a)), 5)[:2]
    matches = []
    for i, part in enumerate(parts):
        progress(f"run {i + 1} of 3")
        kept = np.setdiff1d(np.arange(len(a)), part)
        matches.append(_spectral(x, y, a[kept], b[kept])[0].argmax(axis=1))
    agreement = float(np.mean(matches[0] == matches[1]))
    progress("run 3 of 3")
    S, rounds = _spectral(x, y, a, b)
    found = agreement >= AGREEMENT
    if not found:
        return Grown(np.zeros((0, 2), np.int64), np.zeros(0), False, agreement, rounds)
    pairs, margins = _refined(S, x, y, a, b)
    order = np.argsort(-margins)[: max(1, int(share * len(pairs)))]
    pairs = np.stack([rows[0][pairs[order, 0]], rows[1][pairs[order, 1]]], axis=1)
    return Grown(pairs, margins[order], True, agreement, rounds)


def _drawn(n: int, rng: np.random.Generator) -> np.ndarray:
    return np.sort(rng.permutation(n)[:LARGEST])


def _spectral(
    x: np.ndarray, y: np.ndarray, a: np.ndarray, b: np.ndarray
) -> tuple[np.ndarray, tuple[Round, ...]]:
    """Return how near each item is to each of the other side, and how the levels went."""
    (fx, ga), (fy, gb) = _principal(x, a), _principal(y, b)
    widest = min(fx.shape[1], fy.shape[1])
    levels = [k for k in LEVELS if k < widest] + [widest]
    P: np.ndarray | None = None
    S, rounds = np.zeros((0, 0)), []
    for k in levels:
        for _ in range(STEPS):
            product = SEED_WEIGHT * ga[:, :k].T @ gb[:, :k]
            if P is not None:
                product = product + fx[:, :k].T @ (P @ fy[:, :k])
            turned = unit_rows(fx[:, :k] @ isometry(product))
            S = turned @ unit_rows(fy[:, :k]).T
            P = _assignment(S)
        rounds.append(Round(k, float(np.mean(_mutual(S)[0]))))
    return S, tuple(rounds)


def _principal(x: np.ndarray, a: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the coordinates of items and seeds on the items' principal axes."""
    mean = x.mean(axis=0)
    z = unit_rows(x - mean)
    w, V = np.linalg.eigh(z.T @ z)
    axes = V[:, np.argsort(-w)][:, : min(z.shape[1], len(z) - 1, LEVELS[-1])]
    return z @ axes, unit_rows(a - mean) @ axes


def _assignment(S: np.ndarray) -> np.ndarray:
    """Return soft weights of pairs: large where each is the other's first choice."""
    return np.asarray(np.exp(_log_odds(S) / 2))


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
    S: np.ndarray, x: np.ndarray, y: np.ndarray, a: np.ndarray, b: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Project both sides onto the pairs found so far, some rounds; return pairs and margins."""
    pairs, margins = _ranked(S)
    for i in range(REFINEMENTS):
        kept = pairs[np.argsort(-margins)[: int((0.5 + 0.2 * i) * len(pairs))]]
        R, T = (
            unit_rows(_relative(side, np.concatenate([seeds, side[rows]])))
            for side, seeds, rows in ((x, a, kept[:, 0]), (y, b, kept[:, 1]))
        )
        pairs, margins = _ranked(R @ T.T)
    return pairs, margins


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
