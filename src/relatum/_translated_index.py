"""What native queries find in an index whose vectors were translated."""

from __future__ import annotations

import numpy as np

from relatum._gemm import unit_rows

AMONG = 100
"""Items among which neighbours are compared: only items that both encoders have embedded have
neighbours in both, and how many are shared depends on how many items there are."""


def overlap_among(
    P: np.ndarray, B: np.ndarray, k: int, size: int, seed: int, *, queries: np.ndarray | None = None
) -> np.ndarray:
    """Return for each row of ``B`` which share of its k nearest others its nearest of ``P`` are.

    Row i of all is the same item: native in ``B``; in ``P`` as an index has it, which
    ``queries`` search (else those of ``B``). The others are ``size`` - 1 drawn at random.
    """
    P, B = unit_rows(P), unit_rows(B)
    Q = B if queries is None else unit_rows(queries)
    n = len(B)
    size = min(size, n)
    found = np.zeros(n)
    order = np.random.default_rng(seed).permutation(n)
    for start in range(0, n, size):
        block = order[start : start + size]
        searched = block if len(block) == size else order[-size:]  # the last is made full
        S, T = Q[block] @ P[searched].T, B[block] @ B[searched].T
        itself = block[:, None] == searched[None, :]
        S[itself], T[itself] = -2, -2
        found[block] = shared_nearest(S, T, k)
    return found


def anchors_among(X: np.ndarray, anchors: np.ndarray) -> np.ndarray:
    """Say for each row of an index, not yet translated, which anchor it is; -1: none."""
    X, anchors = (np.ascontiguousarray(M, np.float32) for M in (X, anchors))
    place = {row.tobytes(): i for i, row in enumerate(anchors)}
    return np.array([place.get(row.tobytes(), -1) for row in X], np.int64)


def shared_nearest(S: np.ndarray, T: np.ndarray, k: int) -> np.ndarray:
    """Return the share of the k largest of each row of T that are among those of S."""
    a, b = (np.argpartition(-M, k - 1, axis=1)[:, :k] for M in (S, T))
    return np.array([len(np.intersect1d(x, y)) / k for x, y in zip(a, b, strict=True)])
