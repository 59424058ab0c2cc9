"""The rules by which anchors are chosen, over rows in memory or in a file.

Each goes over the rows block by block; rows in memory are one block. The geometric ones look
at directions alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any, Protocol

import numpy as np

from relatum import _array, _validation
from relatum._array import Array
from relatum._gemm import unit_rows
from relatum._overlap import ahead
from relatum._sources import Source, block_rows

Block = tuple[slice, np.ndarray]
ENOUGH = 20_000
"""Rows from which k-means works on mini-batches."""
PER_CENTRE = 100
"""Rows for each centre, drawn from more, that the centres are fitted to."""


class Rows(Protocol):
    """Rows that can be gone over again and again."""

    n_rows: int
    n_features: int

    def blocks(self) -> Iterator[Block]:
        """Yield all rows in their order, floats, with their numbers."""

    def take(self, rows: np.ndarray) -> np.ndarray:
        """Return rows by their numbers."""


class _InMemory:
    def __init__(self, X: np.ndarray) -> None:
        self.X = X
        self.n_rows, self.n_features = X.shape

    def blocks(self) -> Iterator[Block]:
        yield slice(0, self.n_rows), self.X

    def take(self, rows: np.ndarray) -> np.ndarray:
        return np.asarray(self.X[rows])


class _InFile:
    def __init__(self, source: Source, block: int) -> None:
        self.source, self.block = source, block
        self.n_rows, self.n_features = source.n_rows, source.n_features
        self._checked = False

    def blocks(self) -> Iterator[Block]:
        with closing(ahead(self.source.batches(0, self.block))) as batches:
            for batch in batches:
                X = _validation.as_matrix(batch.X)
                if not self._checked:
                    _validation.check_finite(X, self.source.name, batch.start)
                yield slice(batch.start, batch.start + len(X)), X
        self._checked = True

    def take(self, rows: np.ndarray) -> np.ndarray:
        X = np.asarray(_validation.as_matrix(self.source.take(rows)[0]))
        _validation.check_finite(X, self.source.name)
        return X


def in_memory(X: Array) -> Rows:
    """Return the rows of a checked array."""
    return _InMemory(_array.to_numpy(_validation.as_matrix(X, "X", finite=True)))


def opened(source: Source, memory: int) -> Rows:
    """Return the rows of a file: read once where they fit into ``memory``, else by blocks."""
    source = source.bare(ids=False)
    row = source.n_features * max(4, source.dtype.itemsize)
    block = block_rows(memory, row, 4, 64 * 2**20, f"{source.n_features} numbers")
    if 2 * row * source.n_rows > memory:
        return _InFile(source, block)
    X = np.empty((source.n_rows, source.n_features), _array.float_dtype(np.empty(0, source.dtype)))
    for rows, part in _InFile(source, max(1, 16 * 2**20 // row)).blocks():
        X[rows] = part
    return _InMemory(X)


def _uniform(X: Rows, k: int, rng: np.random.Generator, **_: Any) -> np.ndarray:
    return np.asarray(rng.choice(X.n_rows, size=k, replace=False))


def _stratified(
    X: Rows, k: int, rng: np.random.Generator, *, labels: np.ndarray, **_: Any
) -> np.ndarray:
    """Deal one row of each class in turn until ``k`` are dealt."""
    order = rng.permutation(X.n_rows)
    classes = np.unique(labels, return_inverse=True)[1]
    turn = np.empty(X.n_rows, dtype=np.int64)
    for c in range(classes.max() + 1):
        members = order[classes[order] == c]
        turn[members] = np.arange(len(members))
    rank = np.lexsort((rng.random(X.n_rows), turn))
    return np.asarray(rank[:k])


def _inverse_norms(X: Rows) -> np.ndarray:
    norms = np.empty(X.n_rows)
    for rows, block in X.blocks():
        for some in _array.blocks(len(block), 8 * X.n_features):  # no copy of all rows
            part = block[some]
            norms[rows][some] = np.sqrt(np.vecdot(part, part))
    return np.asarray(np.divide(1.0, norms, out=np.zeros_like(norms), where=norms > 0))


def _farthest_point(X: Rows, k: int, rng: np.random.Generator, **_: Any) -> np.ndarray:
    """One matrix-vector product for each anchor, no copy of the rows.

    What follows the product stays in the precision of the rows, and in arrays that are there.
    """
    dtype = X.take(np.asarray([0])).dtype
    inverse = np.minimum(_inverse_norms(X), np.finfo(dtype).max).astype(dtype)
    chosen = [int(rng.integers(X.n_rows))]
    closest, cosines = np.full_like(inverse, -np.inf), np.empty_like(inverse)
    while len(chosen) < k:
        latest = chosen[-1]
        anchor = X.take(np.asarray([latest]))[0] * inverse[latest]
        for rows, block in X.blocks():
            cosine = np.matmul(block, anchor, out=cosines[rows])
            cosine *= inverse[rows]
            np.maximum(closest[rows], cosine, out=closest[rows])
        closest[latest] = np.inf
        chosen.append(int(np.argmin(closest)))
    return np.asarray(chosen)


def _kmeans(X: Rows, k: int, rng: np.random.Generator, **_: Any) -> np.ndarray:
    """The member of each cluster that is nearest to its centre; empty ones drawn anew."""
    centres = _centres(X, k, rng)
    nearest, found = np.full(k, np.inf), np.full(k, -1)
    half = np.sum(centres**2, axis=1) / 2
    for rows, block in X.blocks():
        for some in _array.blocks(len(block), 8 * (X.n_features + k)):
            unit = unit_rows(block[some])
            label = np.argmax(unit @ centres.T - half, axis=1)
            distance = np.linalg.norm(unit - centres[label], axis=1)
            order = np.lexsort((distance, label))
            first = order[np.unique(label[order], return_index=True)[1]]
            first = first[distance[first] < nearest[label[first]]]
            nearest[label[first]] = distance[first]
            found[label[first]] = first + some.start + rows.start
    found = found[found >= 0]
    rest = np.setdiff1d(np.arange(X.n_rows), found)
    return np.concatenate([found, rng.choice(rest, size=k - len(found), replace=False)])


def _centres(X: Rows, k: int, rng: np.random.Generator) -> np.ndarray:
    import sklearn.cluster

    seed = int(rng.integers(2**31))
    n = max(ENOUGH, PER_CENTRE * k)
    some = np.arange(X.n_rows)
    if n < X.n_rows:
        some = np.sort(rng.choice(X.n_rows, size=n, replace=False))
    sample = X.take(some)
    kind = sklearn.cluster.KMeans if len(sample) <= ENOUGH else sklearn.cluster.MiniBatchKMeans
    model = kind(n_clusters=k, n_init=1, random_state=seed).fit(unit_rows(sample))
    return np.asarray(model.cluster_centers_)


def _pivoted_cholesky(X: Rows, k: int, rng: np.random.Generator, **_: Any) -> np.ndarray:
    """Pivoted Cholesky of the cosine kernel, done in feature space.

    The residual diagonal is the squared norm that the anchors so far leave
    unexplained. When nothing is left (as many anchors as the rank of the rows), a
    new sweep begins over the rows not chosen yet.
    """
    inverse = _inverse_norms(X)
    free = np.ones(X.n_rows, dtype=bool)
    chosen: list[int] = []
    residual, basis = np.zeros(X.n_rows), np.zeros((0, X.n_features))
    while len(chosen) < k:
        if residual.max() <= 1e-6:
            residual, basis = np.where(free, 1.0, 0.0), basis[:0]
            pivot = int(rng.choice(np.flatnonzero(free)))
        else:
            pivot = int(np.argmax(residual))
        chosen.append(pivot)
        free[pivot] = False
        row = X.take(np.asarray([pivot]))[0].astype(np.float64) * inverse[pivot]
        row -= basis.T @ (basis @ row)
        row -= basis.T @ (basis @ row)  # twice: rounding leaves a trace of the basis
        norm = np.linalg.norm(row)
        if norm > 0:
            basis = np.vstack([basis, row / norm])
            for rows, block in X.blocks():
                residual[rows] -= ((block @ basis[-1].astype(block.dtype)) * inverse[rows]) ** 2
        residual[~free] = 0.0
    return np.asarray(chosen)


def _most_frequent(
    X: Rows, k: int, rng: np.random.Generator, *, frequencies: np.ndarray, **_: Any
) -> np.ndarray:
    return np.argsort(-frequencies.astype(np.float64), kind="stable")[:k]


METHODS: dict[str, Callable[..., np.ndarray]] = {
    "uniform": _uniform,
    "stratified": _stratified,
    "farthest_point": _farthest_point,
    "kmeans": _kmeans,
    "pivoted_cholesky": _pivoted_cholesky,
    "most_frequent": _most_frequent,
}
