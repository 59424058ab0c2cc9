"""Which anchors are not the same item on both sides, where most of them are."""

from __future__ import annotations

import numpy as np
from scipy.stats import norm

from relatum._anchor_pair import AnchorPair
from relatum._gemm import unit_rows
from relatum._held_out import folds
from relatum._linear_maps import unit_ridge

LEAST = 40
"""With fewer anchors a map tells too little."""
ROUNDS = 4
EVIDENCE = 3.0
"""By how much, in log-likelihood, two kinds of anchors must explain more than one kind."""
PENALTY = 1.0


def wrong_pairs(pair: AnchorPair, seed: int = 0) -> np.ndarray:
    """Return the rows that look like other items on the two sides, in rising order.

    A map that was fitted without an anchor says how near it should be to its
    counterpart, beside how near to other anchors: a z-score, about 0 with spread 1 for
    a wrong pair. A mixture of that and of one normal distribution of right pairs gives
    each anchor's odds. Those likelier wrong than right are left out and the map is fitted
    again, until the same ones are found.

    Nothing is returned where the two kinds do not come apart.
    """
    wrong = np.zeros(0, dtype=np.int64)
    if len(pair) < LEAST:
        return wrong
    for _ in range(ROUNDS):
        z = _scores(pair, wrong, seed)
        found = _of_the_null(z)
        if np.array_equal(found, wrong):
            break
        wrong = found
    return wrong if len(wrong) and _apart(z, wrong) else np.zeros(0, dtype=np.int64)


def _scores(pair: AnchorPair, wrong: np.ndarray, seed: int) -> np.ndarray:
    """Return each anchor's z-score by maps that saw neither it nor the wrong ones."""
    z = np.empty(len(pair))
    A, B = (
        (M + mean).astype(np.float32) for M, mean in ((pair.A, pair.mean_a), (pair.B, pair.mean_b))
    )
    for part in folds(len(pair), seed):
        kept = np.setdiff1d(np.arange(len(pair)), np.union1d(part, wrong))
        mean_a, mean_b = A[kept].mean(axis=0), B[kept].mean(axis=0)
        matrix = unit_ridge(A[kept] - mean_a, B[kept] - mean_b, PENALTY)
        S = unit_rows((A[part] - mean_a) @ matrix) @ unit_rows(B[part] - mean_b).T
        off = ~np.eye(len(part), dtype=bool)
        # what is near everything on either side says nothing
        for axis in (0, 1):
            middle = np.mean(S, axis=axis, where=off, keepdims=True)
            spread = np.std(S, axis=axis, where=off, keepdims=True)
            S = (S - middle) / np.maximum(spread, 1e-12)
        z[part] = np.diag(S) / max(float(np.std(S[off])), 1e-12)
    return z


def _of_the_null(z: np.ndarray) -> np.ndarray:
    """Return the rows that are likelier of N(0, 1) than of the other component."""
    share, mean, spread = 0.1, float(np.median(z)), float(np.std(z))
    odds = np.zeros(len(z))
    for _ in range(200):
        null = share * norm.pdf(z)
        odds = null / (null + (1 - share) * norm.pdf(z, mean, spread) + 1e-300)
        share = float(np.clip(odds.mean(), 1e-4, 0.5))
        weight = 1 - odds
        mean = float(np.average(z, weights=weight))
        spread = max(0.5, float(np.sqrt(np.average((z - mean) ** 2, weights=weight))))
    both = np.log(share * norm.pdf(z) + (1 - share) * norm.pdf(z, mean, spread) + 1e-300).sum()
    if both - norm.logpdf(z, z.mean(), z.std()).sum() < EVIDENCE:
        return np.zeros(0, dtype=np.int64)
    return np.flatnonzero((odds > 0.5) & (z < mean))


def _apart(z: np.ndarray, wrong: np.ndarray) -> bool:
    """Tell whether the wrong ones are near 0 and the others well above."""
    right = np.setdiff1d(np.arange(len(z)), wrong)
    return bool(np.mean(z[right]) > 2.5 and np.mean(z[wrong]) < 1.0)
