"""Translating against the one product that it costs; fitting against the time it may take."""

from __future__ import annotations

import statistics
from collections.abc import Iterator

import numpy as np
from _harness import Row, embeddings, memory, race, timed

import relatum

SECONDS = 5.0
"""That choosing among all methods may take on 1,000 pairs."""


def cases(scale: float) -> Iterator[Row]:
    n, n_anchors, d_x, d_y = int(200_000 * scale), int(1000 * scale), 768, 1024
    X = embeddings(n, d_x)
    A = X[:: n // n_anchors][:n_anchors].copy()
    turn = np.linalg.qr(np.random.default_rng(1).normal(size=(d_y, d_x)))[0].T
    noise = 0.05 * np.random.default_rng(2).normal(size=(n_anchors, d_y))
    B = (A @ turn + noise).astype(np.float32)
    fitted = relatum.Translation("ridge", robust=False).fit(A, B)
    matrix = fitted.as_affine()[0].astype(np.float32)
    yield race(
        f"translate {n:,} x {d_x} to {d_y}",
        lambda: fitted.transform(X),
        "NumPy X @ W",
        lambda: X @ matrix,
        goal=1.05,
    )
    yield memory("the same: memory", lambda: fitted.transform(X), n * d_y * 4, goal=1.05)
    times = sorted(timed(lambda: relatum.Translation().fit(A, B)) for _ in range(3))
    yield Row(
        f"fit auto on {n_anchors:,} pairs, {d_x} to {d_y}",
        f"{SECONDS:g} s",
        statistics.median(times) / SECONDS,
        times[0] / SECONDS,
        times[-1] / SECONDS,
        1.0,
        statistics.median(times),
        SECONDS,
    )
