"""Cross-domain similarity local scaling: cosine search that does not favour hubs."""

from __future__ import annotations

import numpy as np

from relatum._gemm import unit_rows
from relatum.neighbors import nearest


def csls_nearest(
    queries: np.ndarray, index: np.ndarray, k: int, *, density: np.ndarray
) -> np.ndarray:
    """Return the rows of ``index`` with the highest CSLS to each query, the best first.

    ``CSLS(q, t) = 2 cos(q, t) - r(q) - r(t)``, r being the density of a row among the
    rows of the other side. ``r(q)`` is the same for all of a query's candidates, so
    that the order is that of ``cos(q, t) - r(t) / 2``: an inner product with one more
    coordinate, which the exact search takes as it is.

    Parameters
    ----------
    queries, index : array (n_queries, n_features), array (n_index, n_features)
    k : int
    density : array (n_index,)
        r(t): the mean cosine of each row of ``index`` to its nearest queries (10 of them
        in the paper), over all queries that belong to the other side.

    Returns
    -------
    array (n_queries, k) of int64

    References
    ----------
    Conneau et al., *Word translation without parallel data*, ICLR 2018.
    """
    one = np.ones((len(queries), 1), dtype=queries.dtype)
    penalty = (-density / 2).astype(index.dtype)[:, None]
    asked = np.concatenate([unit_rows(queries), one], axis=1)
    searched = np.concatenate([unit_rows(index), penalty], axis=1)
    return nearest(asked, searched, k, metric="inner_product")[1]
