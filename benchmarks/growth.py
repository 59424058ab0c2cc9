"""How a projection grows with rows, anchors and features, beside the bare product.

In memory; `streaming_growth` does the same for files.
"""

from __future__ import annotations

from collections.abc import Iterator

from _harness import Row, embeddings, race

from relatum.projection import fit_projection, project

ROWS = (10_000, 100_000, 1_000_000)
ANCHORS = (10, 30, 100, 300, 1_000, 4_096)
FEATURES = (64, 256, 1_024, 4_096)


def cases(scale: float) -> Iterator[Row]:
    for n in ROWS:
        yield _case(n, 384, 300, scale)
    for k in ANCHORS:
        yield _case(50_000, 384, k, scale)
    for d in FEATURES:
        yield _case(50_000, d, 300, scale)


def _case(n: int, d: int, k: int, scale: float) -> Row:
    n = max(1_000, k, int(n * scale))
    X = embeddings(n, d)
    A = X[:k].copy()
    fitted = fit_projection(A, center=True)
    return race(
        f"project {n:,} × {d} on {k:,} anchors, centred", lambda: project(X, fitted),
        "NumPy X @ A.T", lambda: X @ A.T, rounds=5,
    )  # fmt: skip
