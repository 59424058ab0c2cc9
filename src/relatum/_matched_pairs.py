"""Pairs of items that a match found: how sure, how far two matches agree, and a last polish."""

from __future__ import annotations

import numpy as np
from scipy.special import logsumexp

from relatum import _array, _validation
from relatum._array import Array
from relatum._climbing import TEMPERATURE, mutual_nearest
from relatum._gemm import unit_rows
from relatum.projection import fit_projection, project

ROUNDS = 3
KEPT = 0.6
"""Share of the pairs found that items are then projected onto, the surest."""
LEAST_SHARED = 0.1
"""Share of items that two matches must both have paired, to compare them at all."""
LEAST_NULL = 5
"""Wrong pairs, made by taking counterparts away, that are needed to estimate anything."""
LARGEST = 4000
"""Items of a side that are matched at once."""


def drawn_items(
    X: Array, Y: Array, least: int, wrong: float, rng: np.random.Generator
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return the row numbers that are matched of each side, and the rows, in single precision.

    All of them, or :data:`LARGEST` at random.
    """
    if not 0 < wrong <= 1:
        raise ValueError(f"wrong is {wrong}; expected a number in (0, 1]")
    items = [
        _array.to_numpy(_validation.as_matrix(M, name, min_rows=least, finite=True))
        for M, name in ((X, "X"), (Y, "Y"))
    ]
    rows = [np.sort(rng.permutation(len(M))[:LARGEST]) for M in items]
    return rows, [M[r].astype(np.float32) for M, r in zip(items, rows, strict=True)]


def agreement(S: np.ndarray, T: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> float:
    """Return of how many pairs T says what S says: T is on some of the rows and columns of S."""
    (kept, best), (kept_t, best_t) = mutual_nearest(S), mutual_nearest(T)
    known = kept[rows] & kept_t & np.isin(best[rows], columns)
    if np.mean(known) < LEAST_SHARED:
        return 0.0
    return float(np.mean(best[rows][known] == columns[best_t[known]]))


def polished(
    S: np.ndarray,
    x: np.ndarray,
    y: np.ndarray,
    a: np.ndarray,
    b: np.ndarray,
    wrong: float,
    seed: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Project both sides onto the pairs found so far, some rounds; return pairs and margins.

    Pairs that take part in a projection look alike in it, right or wrong. So one half of
    them is compared by a projection onto the other. Of the pairs those with the widest
    margins are returned, as many as an estimated share of ``wrong`` ones allows.
    """
    rng = np.random.default_rng(seed)
    pairs, margins = _ranked(S)
    for _ in range(ROUNDS):
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
    order = np.argsort(-margins)
    pairs, margins = pairs[order], margins[order]
    n = _below(wrong, margins, _null_margins(S, pairs, rng))
    return pairs[:n], margins[:n]


def _null_margins(S: np.ndarray, pairs: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return margins of pairs that must be wrong, of items whose counterpart was taken away.

    Of the surest half of the pairs, some lose the row and others the column.
    """
    sure = pairs[: len(pairs) // 2]
    part = rng.integers(6, size=len(sure))
    lost_rows, lost_columns = sure[part == 0, 0], sure[part == 1, 1]
    rows = np.setdiff1d(np.arange(len(S)), lost_rows)
    columns = np.setdiff1d(np.arange(S.shape[1]), lost_columns)
    left, margins = _ranked(S[np.ix_(rows, columns)])
    alone = np.isin(rows[left[:, 0]], sure[part == 1, 0])
    alone |= np.isin(columns[left[:, 1]], sure[part == 0, 1])
    return margins[alone]


def _below(wrong: float, margins: np.ndarray, null: np.ndarray) -> int:
    """Return how many pairs, margins falling, hold an estimated share of ``wrong`` ones.

    The share of wrong pairs is estimated as in Storey, *A direct approach to false
    discovery rates*, JRSS B 2002: from how many margins lie below the median of the null.
    """
    if not len(margins) or len(null) < LEAST_NULL:
        return len(margins)
    n_wrong = min(len(margins), 2 * np.sum(margins <= np.median(null)))
    beyond = len(null) - np.searchsorted(np.sort(null), margins)
    share = n_wrong * beyond / len(null) / np.arange(1, len(margins) + 1)
    allowed = np.flatnonzero(share <= wrong)
    return 1 + int(allowed[-1]) if len(allowed) else 1


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
    mutual, best = mutual_nearest(L)
    rows = np.flatnonzero(mutual)
    columns = best[rows]
    own = L[rows, columns]
    L[rows, columns] = -np.inf
    margins = own - np.maximum(L[rows].max(axis=1), L[:, columns].max(axis=0))
    return np.stack([rows, columns], axis=1), margins


def _log_odds(S: np.ndarray) -> np.ndarray:
    """Return the log of both softmaxes' product: scores that hubs do not win."""
    L = S / TEMPERATURE
    return np.asarray(
        2 * L - logsumexp(L, axis=1, keepdims=True) - logsumexp(L, axis=0, keepdims=True)
    )
