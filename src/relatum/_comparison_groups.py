"""Which measures share their costly part, and what draws them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from relatum import _resampling, _whole_space
from relatum._resampling import Draws, Repeats

Group = tuple[frozenset[str], Callable[[], dict[str, Draws]]]


def groups(
    x: np.ndarray,
    y: np.ndarray,
    R: np.ndarray,
    S: np.ndarray,
    k: int,
    repeats: Callable[..., Repeats],
    rng: np.random.Generator,
    max_pair_rows: int,
) -> dict[str, Group]:
    """Return the measures that share their costly part, each group with its own random stream.

    ``x``, ``y`` are absolute representations, ``R``, ``S`` relative ones, of the same rows.
    """
    n = len(x)
    to_y, from_y, own, rows, whole, pairs = (partial(repeats, rng=g) for g in rng.spawn(6))
    some = rng.permutation(n)[:max_pair_rows]

    def reversed_query() -> dict[str, Draws]:
        draws = _resampling.cross_query(S, R, k, from_y(n))
        return {f"{name}_from_y": d for name, d in draws.items()}

    def group(names: str, function: Callable[[], dict[str, Draws]]) -> Group:
        return frozenset(names.split()), function

    return {
        "X's rows asked in Y": group(
            "retrieval_jaccard mean_reciprocal_rank",
            lambda: _resampling.cross_query(R, S, k, to_y(n)),
        ),
        "Y's rows asked in X": group(
            "retrieval_jaccard_from_y mean_reciprocal_rank_from_y", reversed_query
        ),
        "row by row": group(
            "latent_similarity pairwise_score", lambda: _resampling.row_by_row(R, S, rows(n))
        ),
        "neighbours in each space": group(
            "neighborhood_jaccard mutual_knn", lambda: _resampling.own_space(x, y, k, own(n))
        ),
        "principal axes": group(
            "cka cka_unbiased svcca pwcca procrustes_distance",
            lambda: _whole_space.whole_space(x, y, whole(n)),
        ),
        "pairs of rows": group(
            "cka_rbf rsa_distance",
            lambda: _resampling.pairs_of_rows(x[some], y[some], pairs(len(some))),
        ),
    }
