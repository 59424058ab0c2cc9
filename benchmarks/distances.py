"""L1 and L∞ projections against a product of the same shape, and against the rivals."""

from __future__ import annotations

from collections.abc import Iterator

from _harness import Row, embeddings, race

from relatum import _minkowski
from relatum.similarity import chebyshev, manhattan


def cases(scale: float) -> Iterator[Row]:
    n, d, k = int(20_000 * scale), 768, 768
    X = embeddings(n, d)
    A = X[:: n // k][:k].copy()
    with_faiss = _minkowski._faiss() is not None

    def product() -> object:
        return X @ A.T

    label = "with faiss" if with_faiss else "without faiss"
    yield race(
        f"manhattan, {label}",
        lambda: manhattan(X, A),
        "NumPy X @ A.T",
        product,
        goal=10 if with_faiss else None,
        rounds=5,
    )
    yield race("chebyshev", lambda: chebyshev(X, A), "NumPy X @ A.T", product, goal=40, rounds=5)
    yield from _without_faiss(X, A)
    try:
        import torch
    except ImportError:
        return
    T, B = torch.from_numpy(X), torch.from_numpy(A)
    yield race(
        f"manhattan, {label}",
        lambda: manhattan(X, A),
        "torch.cdist(p=1)",
        lambda: torch.cdist(T, B, p=1.0),
        rounds=3,
    )


def _without_faiss(X, A) -> Iterator[Row]:  # type: ignore[no-untyped-def]
    from scipy.spatial.distance import cdist

    keep, _minkowski._faiss = _minkowski._faiss, lambda: None
    try:
        yield race(
            "manhattan, without faiss",
            lambda: manhattan(X, A),
            "SciPy cdist",
            lambda: cdist(X, A, "cityblock"),
            goal=1.0,
            rounds=3,
        )
    finally:
        _minkowski._faiss = keep
