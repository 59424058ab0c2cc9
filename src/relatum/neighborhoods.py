"""How far two spaces agree on who is near whom.

The cross-query measures are those of the paper's Table 1: both are asked in one
index, so the two representations need to live in one space. The neighbourhood
measures look for each item's neighbours in its own space.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from relatum import _array, _validation
from relatum._array import Array
from relatum.neighbors import METRICS, check_k, nearest_unchecked

__all__ = [
    "RetrievalScores",
    "mean_reciprocal_rank",
    "mutual_knn",
    "neighborhood_jaccard",
    "retrieval_jaccard",
    "retrieval_scores",
]


class RetrievalScores(NamedTuple):
    """Both cross-query measures, from the same two searches."""

    jaccard: float
    mrr: float


def retrieval_jaccard(S: Array, T: Array, *, k: int = 10) -> float:
    r"""Return the mean overlap of what each item's two vectors find in the target index.

    ``mean_i |N(t_i) ∩ N(s_i)| / |N(t_i) ∪ N(s_i)|``, where ``N(v)`` are the ``k``
    rows of ``T`` with the highest cosine to ``v``. The item itself is never
    left out. In [0, 1]; higher is closer. Not symmetric in S and T.

    Parameters
    ----------
    S, T : array (n_samples, n_anchors)
        Relative representations of the same items, on parallel anchors: source
        (the queries) and target (the index).
    k : int
        Neighbours to look at, at most ``n_samples``.

    Raises
    ------
    TypeError, ValueError
        Rows or columns that do not match, NaN, infinity, a ``k`` above the rows.

    References
    ----------
    Moschella et al., *Relative representations enable zero-shot latent space
    communication*, ICLR 2023, Table 1 (as its published code computes it).

    Examples
    --------
    >>> import numpy as np, relatum
    >>> R = np.random.default_rng(0).normal(size=(50, 8))
    >>> relatum.neighborhoods.retrieval_jaccard(R, R)
    1.0
    """
    return retrieval_scores(S, T, k=k).jaccard


def mean_reciprocal_rank(S: Array, T: Array, *, k: int = 10) -> float:
    """Return the mean of 1 / rank of each item's own target vector among what its source finds.

    0 for an item whose target vector is not among the ``k`` rows of ``T`` with the
    highest cosine to its source vector. In [0, 1]; higher is closer.

    Parameters
    ----------
    S, T : array (n_samples, n_anchors)
        As in :func:`retrieval_jaccard`.
    k : int

    Raises
    ------
    TypeError, ValueError
        As in :func:`retrieval_jaccard`.

    References
    ----------
    Moschella et al., ICLR 2023, Table 1.

    Examples
    --------
    >>> import numpy as np, relatum
    >>> R = np.random.default_rng(0).normal(size=(50, 8))
    >>> relatum.neighborhoods.mean_reciprocal_rank(R, R)
    1.0
    """
    s, t = _checked(S, T, k, "S", "T", same_features=True)
    return float(reciprocal_ranks(nearest_unchecked(s, t, k, "cosine")[1]).mean())


def retrieval_scores(S: Array, T: Array, *, k: int = 10) -> RetrievalScores:
    """Return :func:`retrieval_jaccard` and :func:`mean_reciprocal_rank` from two searches.

    Parameters
    ----------
    S, T : array (n_samples, n_anchors)
        As in :func:`retrieval_jaccard`.
    k : int

    Returns
    -------
    RetrievalScores
        With the fields ``jaccard`` and ``mrr``, both in [0, 1]; higher is closer.

    Raises
    ------
    TypeError, ValueError
        As in :func:`retrieval_jaccard`.

    Examples
    --------
    >>> import numpy as np, relatum
    >>> R = np.random.default_rng(0).normal(size=(50, 8))
    >>> relatum.neighborhoods.retrieval_scores(R, R)
    RetrievalScores(jaccard=1.0, mrr=1.0)
    """
    s, t = _checked(S, T, k, "S", "T", same_features=True)
    from_target = nearest_unchecked(t, t, k, "cosine")[1]
    from_source = nearest_unchecked(s, t, k, "cosine")[1]
    return RetrievalScores(
        float(jaccards(from_target, from_source).mean()),
        float(reciprocal_ranks(from_source).mean()),
    )


def neighborhood_jaccard(X: Array, Y: Array, *, k: int = 10, metric: str = "cosine") -> float:
    """Return the mean Jaccard index of each item's neighbours in its two spaces.

    ``mean_i |A_i ∩ B_i| / |A_i ∪ B_i|``: ``A_i`` are the ``k`` nearest of item i in
    ``X``, ``B_i`` those in ``Y``, the item itself left out. The widths may differ.
    In [0, 1]; higher is closer; unrelated spaces give about k / (2n).

    Parameters
    ----------
    X, Y : array (n_samples, n_features_x), array (n_samples, n_features_y)
        Row i of both is the same item.
    k : int
        At most ``n_samples - 1``.
    metric : "cosine", "inner_product" or "euclidean"

    Raises
    ------
    TypeError, ValueError
        Rows that do not match, NaN, infinity, an unknown metric, a ``k`` above
        the rows.

    Examples
    --------
    >>> import numpy as np, relatum
    >>> X = np.random.default_rng(0).normal(size=(50, 8))
    >>> Q, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(8, 8)))
    >>> relatum.neighborhoods.neighborhood_jaccard(X, X @ Q)
    1.0
    """
    return float(jaccards(*own_neighbors(X, Y, k, metric)).mean())


def mutual_knn(X: Array, Y: Array, *, k: int = 10, metric: str = "cosine") -> float:
    """Return the mean share of each item's neighbours that its two spaces have in common.

    ``mean_i |A_i ∩ B_i| / k``, with ``A_i`` and ``B_i`` as in
    :func:`neighborhood_jaccard`. In [0, 1]; higher is closer; unrelated spaces give
    about k / n.

    Parameters
    ----------
    X, Y, k, metric
        As in :func:`neighborhood_jaccard`.

    Raises
    ------
    TypeError, ValueError
        As in :func:`neighborhood_jaccard`.

    References
    ----------
    Huh et al., *The Platonic Representation Hypothesis*, ICML 2024.

    Examples
    --------
    >>> import numpy as np, relatum
    >>> X = np.random.default_rng(0).normal(size=(50, 8))
    >>> relatum.neighborhoods.mutual_knn(X, 3 * X)
    1.0
    """
    return float(overlaps(*own_neighbors(X, Y, k, metric)).mean() / k)


def own_neighbors(X: Array, Y: Array, k: int, metric: str) -> tuple[np.ndarray, np.ndarray]:
    """Return each item's ``k`` neighbours in either space, the item itself left out."""
    _validation.check_choice(metric, "metric", METRICS)
    x, y = _checked(X, Y, k, "X", "Y", exclude_self=True)
    return (
        nearest_unchecked(x, x, k, metric, exclude_self=True)[1],
        nearest_unchecked(y, y, k, metric, exclude_self=True)[1],
    )


def overlaps(A: np.ndarray, B: np.ndarray) -> np.ndarray:
    """Return how many entries rows i of ``A`` and ``B`` share; each row is without repeats."""
    both = np.sort(np.concatenate([A, B], axis=1), axis=1)
    return np.asarray(np.count_nonzero(both[:, 1:] == both[:, :-1], axis=1))


def jaccards(A: np.ndarray, B: np.ndarray) -> np.ndarray:
    """Return the Jaccard index of rows i of ``A`` and ``B``."""
    shared = overlaps(A, B)
    return np.asarray(shared / (A.shape[1] + B.shape[1] - shared))


def reciprocal_ranks(found: np.ndarray, wanted: np.ndarray | None = None) -> np.ndarray:
    """Return 1 / rank of ``wanted[i]`` (by default i) in row i of ``found``, 0 if absent."""
    wanted = np.arange(len(found)) if wanted is None else wanted
    hit = found == wanted[:, None]
    return np.where(hit.any(axis=1), 1.0 / (1 + hit.argmax(axis=1)), 0.0)


def _checked(
    A: Array,
    B: Array,
    k: int,
    name_a: str,
    name_b: str,
    *,
    same_features: bool = False,
    exclude_self: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    A, B = _validation.check_pair(A, B, name_a, name_b, same_features=same_features)
    check_k(k, A.shape[0], name_a, exclude_self=exclude_self)
    return _array.to_numpy(A), _array.to_numpy(B)
