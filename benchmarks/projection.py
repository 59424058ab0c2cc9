"""Relative projection against the raw product ``X @ A.T``, its physical limit."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from _harness import Row, embeddings, memory, race

from relatum.projection import fit_projection, project, relative_projection

KINDS = {"plain": {}, "centred": {"center": True}, "whitened": {"center": True, "whiten": 0.3}}


def cases(scale: float) -> Iterator[Row]:
    n, d, k = int(200_000 * scale), 768, 768
    X = embeddings(n, d)
    A = X[:: n // k][:k].copy()
    yield from _numpy(X, A)
    try:
        import torch
    except ImportError:
        return
    yield from _torch(torch.from_numpy(X), torch.from_numpy(A))


def _numpy(X: np.ndarray, A: np.ndarray) -> Iterator[Row]:
    output = X.shape[0] * A.shape[0] * 4
    for name, kwargs in KINDS.items():
        fitted = fit_projection(A, **kwargs)
        yield race(
            f"project, NumPy, {name}",
            lambda f=fitted: project(X, f),
            "NumPy X @ A.T",
            lambda: X @ A.T,
            goal=1.15,
        )
        yield memory(
            f"project, NumPy, {name}: memory", lambda f=fitted: project(X, f), output, goal=1.03
        )
    from sklearn.metrics.pairwise import cosine_similarity

    yield race(
        "relative_projection, NumPy, plain",
        lambda: relative_projection(X, A),
        "scikit-learn cosine_similarity",
        lambda: cosine_similarity(X, A),
    )


def _torch(X, A) -> Iterator[Row]:  # type: ignore[no-untyped-def]
    import torch

    output = X.shape[0] * A.shape[0] * 4
    with torch.no_grad():
        for name, kwargs in KINDS.items():
            fitted = fit_projection(A, **kwargs)
            yield race(
                f"project, torch, {name}",
                lambda f=fitted: project(X, f),
                "torch X @ A.T",
                lambda: X @ A.T,
                goal=1.05,
            )
            yield race(
                f"relative_projection (fit and project), torch, {name}",
                lambda kw=kwargs: relative_projection(X, A, **kw),
                "torch X @ A.T",
                lambda: X @ A.T,
                goal=1.05,
            )
            yield memory(
                f"project, torch, {name}: memory", lambda f=fitted: project(X, f), output, goal=1.03
            )
        for name, kwargs in KINDS.items():
            fitted = fit_projection(A, **kwargs)
            exact = project(X[:20_000], fitted, precision="float64")
            half = project(X[:20_000], fitted, precision="bfloat16")
            error = float((half - exact).abs().max())
            yield race(
                f"project, torch, {name}, bfloat16 (largest error {error:.1e})",
                lambda f=fitted: project(X, f, precision="bfloat16"),
                "torch float32 X @ A.T",
                lambda: X @ A.T,
                goal=0.45,
            )
