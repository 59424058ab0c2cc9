"""The paper's quantised similarity (appendix A.3, Figure 7)."""

from __future__ import annotations

from typing import Any

import numpy as np

from relatum import _array, _validation
from relatum._array import Array
from relatum._gemm import unit_rows

AGGLOMERATIVE_LIMIT = 30_000
"""Rows (X and anchors together) above which agglomerative clustering is refused:
its distance matrix alone would take n² / 2 * 8 bytes, 3.6 GB here."""


def quantised(
    X: Array,
    anchors: Array,
    *,
    threshold: float | None = None,
    n_clusters: int | None = None,
    linkage: str = "ward",
    random_state: int = 0,
    unit_means: bool = True,
) -> Array:
    """Cosine similarity after each vector is replaced by its cluster's mean, in [-1, 1].

    Vectors and anchors are L2-normalised and clustered *together*; each row
    becomes the mean of its cluster; then the cosine is taken. So the result of a
    row depends on the rows beside it.

    Parameters
    ----------
    threshold : distance at which agglomerative clustering stops merging, as in
        the paper; 0 merges nothing but repeated rows.
    n_clusters : instead, the number of centres of a k-means vector quantiser,
        for sizes at which agglomerative clustering does not go.
    linkage : how agglomerative clustering measures clusters (scikit-learn's names);
        ``complete`` bounds each cluster's diameter by ``threshold``.
    random_state : seed of k-means.
    unit_means : whether the means are scaled to unit norm, so that the result is a
        cosine. The paper's published code takes their inner product as it is, which
        shrinks with the width of the clusters.

    Raises
    ------
    ValueError
        Unless exactly one of ``threshold`` and ``n_clusters`` is given, or if
        there are too many rows for agglomerative clustering.
    """
    if (threshold is None) == (n_clusters is None):
        raise ValueError(
            "quantised takes exactly one of threshold (agglomerative) and n_clusters "
            f"(k-means); got threshold={threshold!r}, n_clusters={n_clusters!r}"
        )
    xp = _array.namespace(X, anchors)
    n = X.shape[0]
    together = xp.concat([unit_rows(X), unit_rows(anchors)], axis=0)
    points = _array.to_numpy(together).astype(np.float64)
    if threshold is not None:
        labels = _agglomerative(
            points, _validation.check_nonnegative(threshold, "threshold"), linkage
        )
    else:
        labels = _kmeans(
            points,
            _validation.check_integer(
                n_clusters, "n_clusters", maximum=len(points), maximum_is="rows of X and anchors"
            ),
            random_state,
        )
    means = _array.segment_mean(together, labels, int(labels.max()) + 1)
    means = unit_rows(means) if unit_means else means
    label = _array.from_numpy(labels, X, keep_dtype=True)
    return xp.take(means, label[:n], axis=0) @ xp.take(means, label[n:], axis=0).T


def _agglomerative(points: np.ndarray, threshold: float, linkage: str) -> np.ndarray:
    if len(points) > AGGLOMERATIVE_LIMIT:
        raise ValueError(
            f"X and anchors have {len(points)} rows together; agglomerative clustering goes up "
            f"to {AGGLOMERATIVE_LIMIT}: pass n_clusters to quantise by k-means"
        )
    _validation.check_choice(linkage, "linkage", ["ward", "complete", "average", "single"])
    # scikit-learn wants a positive threshold; the smallest merges repeated rows alone
    model: Any = _cluster("AgglomerativeClustering")(
        n_clusters=None, distance_threshold=max(threshold, 1e-9), linkage=linkage
    )
    return np.asarray(model.fit_predict(points), dtype=np.int64)


def _kmeans(points: np.ndarray, n_clusters: int, random_state: int) -> np.ndarray:
    n_clusters = min(n_clusters, len(np.unique(points, axis=0)))  # k-means warns of repeated rows
    kind = "KMeans" if len(points) <= 20_000 else "MiniBatchKMeans"
    model: Any = _cluster(kind)(n_clusters=n_clusters, n_init=1, random_state=random_state)
    labels = np.asarray(model.fit_predict(points))
    return np.unique(labels, return_inverse=True)[1].astype(np.int64)


def _cluster(name: str) -> Any:
    import sklearn.cluster  # scikit-learn is slow to import: only where it is used

    return getattr(sklearn.cluster, name)
