"""What each measure would be by chance, and how far it is known: draws for ``compare``.

Everything that is costly (neighbour lists, principal axes, kernel matrices) is
computed once, and permuted or cut in half after that.

- *Null*: the rows of Y are permuted, so that row i is no longer the same item.
- *Spread*: measures that are a mean over rows take the ordinary bootstrap of their
  per-row values. A bootstrap sample of the others would hold repeated rows, which
  are at distance 0 from each other and perfectly alike in both spaces. They take
  random halves without replacement instead: half of a sample, drawn from it without
  replacement, varies about the whole as the whole does about the population.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice

import numpy as np

from relatum import _array, _hsic, kernel_alignment
from relatum.alignment import cosines, distances, row_values
from relatum.neighborhoods import jaccards, overlaps, own_neighbors, reciprocal_ranks
from relatum.neighbors import nearest_unchecked

FULL_REPEATS_AXES = 256
"""Up to this many principal axes a repeat is cheap; its time grows with their cube."""
FEWEST_REPEATS = 40


@dataclass(frozen=True)
class Draws:
    """One measure: its value, its values by chance, its deviations under resampling."""

    value: float
    null: np.ndarray
    spread: np.ndarray
    n_rows: int


@dataclass(frozen=True)
class Repeats:
    """How often to permute and to resample ``n`` rows, and with which generator."""

    n: int
    n_permutations: int
    n_bootstrap: int
    rng: np.random.Generator

    def limited(self, n_axes: int) -> Repeats:
        """Return fewer repeats where each costs the cube of many axes."""
        share = min(1.0, (FULL_REPEATS_AXES / n_axes) ** 3)
        counts = [
            min(count, max(FEWEST_REPEATS, round(count * share)))
            for count in (self.n_permutations, self.n_bootstrap)
        ]
        return Repeats(self.n, counts[0], counts[1], self.rng)

    def permutations(self) -> Iterator[np.ndarray]:
        for _ in range(self.n_permutations):
            yield self.rng.permutation(self.n)

    def halves(self) -> Iterator[np.ndarray]:
        for _ in range(self.n_bootstrap):
            yield np.sort(self.rng.permutation(self.n)[: self.n // 2])

    def of_row_means(
        self, per_row: dict[str, np.ndarray], null: Callable[[np.ndarray], dict[str, float]]
    ) -> dict[str, Draws]:
        """Draw for measures that are a mean of ``per_row``; ``null`` takes a permutation."""
        nulls = _in_parallel(null, self.permutations())
        table = np.stack(list(per_row.values()), axis=1)
        value = table.mean(axis=0)
        means = [
            table[self.rng.integers(self.n, size=self.n)].mean(axis=0)
            for _ in range(self.n_bootstrap)
        ]
        spread = np.reshape(means, (-1, len(value))) - value
        return {
            name: Draws(float(value[i]), np.array([d[name] for d in nulls]), spread[:, i], self.n)
            for i, name in enumerate(per_row)
        }

    def of_whole(
        self,
        value: dict[str, float],
        null: Callable[[np.ndarray], dict[str, float]],
        half: Callable[[np.ndarray], dict[str, float]],
    ) -> dict[str, Draws]:
        """Draw for measures of all rows together; ``half`` takes half of the row numbers."""
        nulls = _in_parallel(null, self.permutations())
        halves = _in_parallel(half, self.halves())
        draws = {}
        for name in value:
            found = np.array([d[name] for d in halves])
            spread = found - found.mean() if len(found) else found
            draws[name] = Draws(value[name], np.array([d[name] for d in nulls]), spread, self.n)
        return draws


def _in_parallel(
    function: Callable[[np.ndarray], dict[str, float]], arguments: Iterator[np.ndarray]
) -> list[dict[str, float]]:
    """Map over repeats, one a core, each on one thread of linear algebra.

    The matrices of a repeat are small: threads within them would wait for each other.
    """
    from threadpoolctl import threadpool_limits

    n = _array.n_threads()
    found: list[dict[str, float]] = []
    with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(n) as executor:
        while batch := list(islice(arguments, n)):  # not all permutations at once
            found += executor.map(function, batch)
    return found


def cross_query(S: np.ndarray, T: np.ndarray, k: int, repeats: Repeats) -> dict[str, Draws]:
    """The paper's Table 1, from S to T."""
    of_target = nearest_unchecked(T, T, k, "cosine")[1]
    of_source = nearest_unchecked(S, T, k, "cosine")[1]

    def null(p: np.ndarray) -> dict[str, float]:  # item i has the target vector p[i]
        return {
            "retrieval_jaccard": float(jaccards(of_target[p], of_source).mean()),
            "mean_reciprocal_rank": float(reciprocal_ranks(of_source, p).mean()),
        }

    per_row = {
        "retrieval_jaccard": jaccards(of_target, of_source),
        "mean_reciprocal_rank": reciprocal_ranks(of_source),
    }
    return repeats.of_row_means(per_row, null)


def own_space(X: np.ndarray, Y: np.ndarray, k: int, repeats: Repeats) -> dict[str, Draws]:
    """Each item's neighbours in its own space."""
    of_x, of_y = own_neighbors(X, Y, k, "cosine")

    def null(p: np.ndarray) -> dict[str, float]:
        permuted = np.argsort(p)[of_y[p]]  # row j of Y belongs to the item argsort(p)[j]
        shared = overlaps(of_x, permuted)
        return {
            "neighborhood_jaccard": float((shared / (2 * k - shared)).mean()),
            "mutual_knn": float(shared.mean() / k),
        }

    per_row = {
        "neighborhood_jaccard": jaccards(of_x, of_y),
        "mutual_knn": overlaps(of_x, of_y) / k,
    }
    return repeats.of_row_means(per_row, null)


def row_by_row(R1: np.ndarray, R2: np.ndarray, repeats: Repeats) -> dict[str, Draws]:
    """Row i of one relative representation against row i of the other."""
    norm_1, norm_2 = (np.linalg.norm(R, axis=1).astype(np.float64) for R in (R1, R2))
    tiny = np.finfo(np.float64).tiny

    def null(p: np.ndarray) -> dict[str, float]:  # both from one product of rows
        dot, b = np.vecdot(R1, R2[p]), norm_2[p]
        square = np.maximum(norm_1**2 + b**2 - 2.0 * dot, 0.0)
        return {
            "latent_similarity": float((dot / np.maximum(norm_1 * b, tiny)).mean()),
            "pairwise_score": float(np.sqrt(square).mean()),
        }

    per_row = {
        "latent_similarity": row_values(cosines, R1, R2),
        "pairwise_score": row_values(distances, R1, R2),
    }
    return repeats.of_row_means(per_row, null)


def pairs_of_rows(X: np.ndarray, Y: np.ndarray, repeats: Repeats) -> dict[str, Draws]:
    """RBF CKA and RSA, whose matrices hold every pair of rows.

    On halves the kernel width and the ranks are those of all rows.
    """
    K, L = (_centred(_hsic.rbf_matrix(A, 0.5)) for A in (X, Y))
    u, v = (kernel_alignment.standard_dissimilarities(A) for A in (X, Y))
    U, V = (_square(values, len(X)) for values in (u, v))
    value = {"cka_rbf": float(np.vdot(K, L)), "rsa_distance": 1 - float(u @ v)}
    K, L, U, V = (M.astype(np.float32) for M in (K, L, U, V))

    def null(p: np.ndarray) -> dict[str, float]:
        return {
            "cka_rbf": float(np.vdot(K, L[p][:, p])),
            "rsa_distance": 1 - 0.5 * float(np.vdot(U, V[p][:, p])),
        }

    def half(rows: np.ndarray) -> dict[str, float]:
        k, m, s, t = (M[rows][:, rows] for M in (K, L, U, V))
        return {
            "cka_rbf": float(np.vdot(_centred(k), _centred(m))),
            "rsa_distance": 1 - _correlation(s, t),
        }

    return repeats.of_whole(value, null, half)


def _centred(K: np.ndarray) -> np.ndarray:
    """Return ``HKH`` at Frobenius norm 1."""
    mean = K.mean(axis=0)
    K = K - mean - mean[:, None] + mean.mean()
    return np.asarray(K / np.linalg.norm(K))


def _square(condensed: np.ndarray, n: int) -> np.ndarray:
    """Return the symmetric matrix with these entries above its zero diagonal."""
    out = np.zeros((n, n))
    out[np.triu_indices(n, 1)] = condensed
    return out + out.T


def _correlation(U: np.ndarray, V: np.ndarray) -> float:
    """Return the Pearson correlation of two symmetric matrices off their zero diagonals."""
    count = len(U) * (len(U) - 1)
    u, v = U.sum() / count, V.sum() / count
    square_u, square_v = np.vdot(U, U) / count - u * u, np.vdot(V, V) / count - v * v
    return float((np.vdot(U, V) / count - u * v) / np.sqrt(square_u * square_v))
