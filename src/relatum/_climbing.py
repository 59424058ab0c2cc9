"""Two sets of items turned onto each other, coarse to fine, from a few pairs of points.

Both sides are seen through their own principal axes, the few strongest first. A
rotation that the given pairs and a soft assignment of all items agree on is found, and
the next axes are added: what the coarse match gets right decides the finer one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, repeat

import numpy as np

from relatum._gemm import unit_rows
from relatum._linear_maps import isometry
from relatum._principal_axes import PrincipalAxes

LEVELS = (8, 10, 12, 16, 20, 24, 32, 40, 48, 64, 80, 96, 128, 160, 200, 256)
"""Numbers of principal axes."""
AGAIN = 20
"""From how many axes a climb begins that has an assignment to begin with."""
STEPS = 4
"""Assignments at each level."""
TEMPERATURE = 0.02


@dataclass(frozen=True)
class Climb:
    """One way through the levels."""

    similarities: np.ndarray
    """Cosines of all items of both sides, (n_x, n_y)."""
    mutual: float
    """Share of items that are each other's nearest."""
    stayed: float
    """Share of those that were so after the climb before."""
    found: np.ndarray
    """Which of the given pairs are each other's nearest among all items."""


def climbs(
    x: np.ndarray,
    y: np.ndarray,
    a: np.ndarray,
    b: np.ndarray,
    first: np.ndarray,
    later: np.ndarray,
    start: np.ndarray | None = None,
) -> Iterator[Climb]:
    """Climb again and again, each time from the assignment that the climb before ended in.

    At each level both sides are turned onto each other by ``isometry(A' diag(w) B + X' P Y)``,
    A and B being the given pairs of points and P a soft assignment of the items. ``first``
    and ``later`` are the weights w in the first climb and after it. ``start`` is the P that
    the first climb begins with; without it, it begins with the pairs alone.
    """
    to_x, to_y = (PrincipalAxes.of(side, LEVELS[-1]) for side in (x, y))
    fx, fy, ga, gb = to_x(x), to_y(y), to_x(a), to_y(b)
    widest = min(fx.shape[1], fy.shape[1])
    levels = [k for k in LEVELS if k < widest] + [widest]
    P = start
    before = np.full(len(x), -1)
    for weights in chain([first], repeat(later)):
        weights = weights.astype(fx.dtype)[:, None]
        for k in levels if P is None else [k for k in levels if k >= min(AGAIN, widest)]:
            for _ in range(STEPS):
                product = (weights * ga[:, :k]).T @ gb[:, :k]
                if P is not None:
                    product += fx[:, :k].T @ (P @ fy[:, :k])
                turn = isometry(product)
                S = unit_rows(fx[:, :k] @ turn) @ unit_rows(fy[:, :k]).T
                P = _odds(S)
        mutual, nearest = mutual_nearest(S)
        now = np.where(mutual, nearest, -1)
        stayed = float(np.mean(now[mutual] == before[mutual])) if mutual.any() else 0.0
        found = _found(ga[:, :k] @ turn, gb[:, :k], fx[:, :k] @ turn, fy[:, :k])
        yield Climb(S, float(np.mean(mutual)), stayed, found)
        before = now


def mutual_nearest(S: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return which rows' best column has that row for its best, and those columns."""
    best = S.argmax(axis=1)
    return S.argmax(axis=0)[best] == np.arange(len(S)), best


def _found(a: np.ndarray, b: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return of which pairs each is the other's nearest, all items being rivals."""
    own = np.sum(unit_rows(a) * unit_rows(b), axis=1)
    ahead = unit_rows(a) @ unit_rows(y).T, unit_rows(b) @ unit_rows(x).T
    return np.asarray((ahead[0].max(axis=1) < own) & (ahead[1].max(axis=1) < own))


def _odds(S: np.ndarray) -> np.ndarray:
    """Return soft weights of pairs: large where each is the other's first choice."""
    # rows and columns without any near item still have a sum
    P = np.exp((S - 1) / TEMPERATURE) + np.finfo(S.dtype).tiny
    return np.asarray(P / np.sqrt(P.sum(axis=1, keepdims=True) * P.sum(axis=0, keepdims=True)))
