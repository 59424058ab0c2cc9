"""Comparison measures against the products and searches that they are made of."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from _harness import Row, embeddings, race

from relatum.alignment import cka
from relatum.neighborhoods import retrieval_scores


def cases(scale: float) -> Iterator[Row]:
    n = int(20_000 * scale)
    X, Y = embeddings(n, 768, 0), embeddings(n, 768, 1)

    def products() -> object:
        return X.T @ X, Y.T @ Y, X.T @ Y

    yield race("linear CKA", lambda: cka(X, Y), "its three products in NumPy", products, goal=1.5)
    try:
        import faiss
    except ImportError:
        return
    S = embeddings(n, 300, 2)
    T = S + 0.5 * embeddings(n, 300, 3)

    def searches() -> object:
        s, t = (M / np.linalg.norm(M, axis=1, keepdims=True) for M in (S, T))
        index = faiss.IndexFlatIP(300)
        index.add(t)
        return index.search(t, 10), index.search(s, 10)

    yield race(
        "Jaccard and MRR, k=10",
        lambda: retrieval_scores(S, T, k=10),
        "two bare faiss searches",
        searches,
        goal=1.15,
        rounds=5,
    )
