"""Choosing anchors among many rows, and their neighbours, against what it must at least cost."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from _harness import Row, embeddings, race

import relatum
from relatum import neighbors


def cases(scale: float) -> Iterator[Row]:
    n = max(20_000, int(1_000_000 * scale))
    X = embeddings(n, 384)
    yield _farthest(X, 300)
    yield _kmeans(X, 300)
    yield from _neighbours(X[: max(5_000, int(50_000 * scale))])


def _farthest(X: np.ndarray, k: int) -> Row:
    some = X[:k].copy()

    def passes() -> None:
        for x in some:
            X @ x

    return race(
        f"farthest point, {k} of {len(X):,} × {X.shape[1]}",
        lambda: relatum.select_anchors(X, k, method="farthest_point", random_state=0),
        f"{k} bare products with one vector", passes, goal=1.2, rounds=3,
    )  # fmt: skip


def _kmeans(X: np.ndarray, k: int) -> Row:
    from sklearn.cluster import MiniBatchKMeans
    from sklearn.metrics import pairwise_distances_argmin
    from sklearn.preprocessing import normalize

    def rival() -> object:
        unit = normalize(X)
        fitted = MiniBatchKMeans(k, random_state=0, n_init=1).fit(unit)
        return pairwise_distances_argmin(fitted.cluster_centers_, unit)

    return race(
        f"k-means, {k} of {len(X):,} × {X.shape[1]}",
        lambda: relatum.select_anchors(X, k, method="kmeans", random_state=0),
        "scikit-learn MiniBatchKMeans and the row nearest to each centre", rival,
        goal=1.0, rounds=3,
    )  # fmt: skip


def _neighbours(X: np.ndarray) -> Iterator[Row]:
    faiss = neighbors.find_faiss()
    if faiss is None:
        return
    unit = X / np.linalg.norm(X, axis=1, keepdims=True)
    queries = unit[: len(unit) // 5]

    def search() -> object:
        index = faiss.IndexFlatIP(unit.shape[1])
        index.add(unit)
        return index.search(queries, 10)

    case = f"10 neighbours of {len(queries):,} among {len(X):,} × {X.shape[1]}"
    find = neighbors.find_faiss
    for name, finder, goal in (("with", find, 1.1), ("without", lambda: None, 2.5)):
        neighbors.find_faiss = finder
        try:
            yield race(
                f"{case}, {name} faiss", lambda: neighbors.nearest(queries, unit, 10),
                "bare faiss, exact", search, goal=goal,
            )  # fmt: skip
        finally:
            neighbors.find_faiss = find
