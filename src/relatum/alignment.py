"""How alike two spaces are as a whole: CKA, SVCCA, PWCCA, Procrustes, RSA.

All take the same items in two spaces whose widths may differ, and none changes
when a space is rotated or scaled, unless it says so. The two measures of the
paper at the end compare relative representations row by row.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from relatum import _array, _canonical, _validation
from relatum._array import Array
from relatum._gemm import unit_rows
from relatum.kernel_alignment import cka, no_variance, rsa_distance

__all__ = [
    "cka",
    "latent_similarity",
    "pairwise_score",
    "procrustes_distance",
    "pwcca",
    "rsa_distance",
    "svcca",
]


def svcca(X: Array, Y: Array, *, variance: float = 0.99) -> float:
    """Return the mean canonical correlation of two spaces' leading principal axes.

    Each space keeps the axes that hold ``variance`` of it; the mean is over the
    ``min`` of the two numbers of axes. In [0, 1]; higher is closer. Rises towards 1
    for unrelated spaces as axes come close to rows: take 10 rows or more an axis.

    Parameters
    ----------
    X, Y : array (n_samples, n_features_x), array (n_samples, n_features_y)
    variance : float
        Share of variance to keep, in (0, 1].

    Raises
    ------
    TypeError, ValueError
        Rows that do not match, fewer than 3, NaN, infinity, rows that are all the
        same, a variance outside (0, 1].

    References
    ----------
    Raghu et al., *SVCCA: singular vector canonical correlation analysis*, NeurIPS
    2017.

    Examples
    --------
    >>> import numpy as np, relatum
    >>> X = np.random.default_rng(0).normal(size=(50, 8))
    >>> round(relatum.alignment.svcca(X, 3 * X[:, ::-1]), 6)
    1.0
    """
    values, _, _ = _canonical_of(X, Y, variance, "SVCCA")
    return float(values.mean())


def pwcca(X: Array, Y: Array, *, variance: float = 0.99) -> float:
    """Return the canonical correlations' mean, weighted by what each carries of ``X``.

    ``sum_i a_i rho_i``, ``a_i`` in proportion to ``sum_j |<h_i, x_j>|`` over the
    columns of centred X, ``h_i`` being X's canonical variates. In [0, 1]; higher is
    closer. Not symmetric, and rotating X (not Y) changes the weights.

    Parameters
    ----------
    X, Y, variance
        As in :func:`svcca`; ``variance=1.0`` is Morcos et al.'s definition.

    Raises
    ------
    TypeError, ValueError
        As in :func:`svcca`.

    References
    ----------
    Morcos et al., *Insights on representational similarity in neural networks with
    canonical correlation*, NeurIPS 2018.

    Examples
    --------
    >>> import numpy as np, relatum
    >>> X = np.random.default_rng(0).normal(size=(50, 8))
    >>> round(relatum.alignment.pwcca(X, 3 * X[:, ::-1]), 6)
    1.0
    """
    values, directions, loadings = _canonical_of(X, Y, variance, "PWCCA")
    return float(_canonical.projection_weights(directions, loadings) @ values)


def _canonical_of(
    X: Array, Y: Array, variance: float, what: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    if not 0 < _validation.check_nonnegative(variance, "variance") <= 1:
        raise ValueError(f"variance is {variance}; expected a share in (0, 1]")
    x, y = _numpy_pair(X, Y)
    axes = [_canonical.principal_axes(a) for a in (x, y)]
    if any(len(a.sizes) == 0 for a in axes):
        raise no_variance(what)
    axes = [a.holding(variance) for a in axes]
    a, b = (_canonical.coordinate_blocks(v, w) for v, w in zip((x, y), axes, strict=True))
    shape = (len(x), max(x.shape[1], y.shape[1]))
    products = [_canonical.cross(p, q, shape) for p, q in ((a, a), (a, b), (b, b))]
    product, root = _canonical.whitened(*products)
    values, directions = _canonical.canonical_correlations(product)
    return values, root @ directions, axes[0].loadings


def _numpy_pair(X: Array, Y: Array) -> tuple[np.ndarray, np.ndarray]:
    X, Y = _validation.check_pair(X, Y, min_rows=3)
    return _array.to_numpy(X), _array.to_numpy(Y)


def procrustes_distance(X: Array, Y: Array) -> float:
    """Return the squared distance that is left after the best rotation or reflection.

    ``min_Q |X - Y Q|² = 2 - 2 |X'Y|_*`` (the nuclear norm), X and Y being centred and
    scaled to unit Frobenius norm, the narrower padded with zeros. In [0, 2]; lower
    is closer, 0 for spaces that differ by an isometry and a scale.

    Parameters
    ----------
    X, Y : array (n_samples, n_features_x), array (n_samples, n_features_y)

    Raises
    ------
    TypeError, ValueError
        Rows that do not match, fewer than 3, NaN, infinity, rows that are all the
        same.
    numpy.linalg.LinAlgError
        The singular values did not converge.

    References
    ----------
    Ding et al., *Grounding representation similarity with statistical testing*,
    NeurIPS 2021.

    Examples
    --------
    >>> import numpy as np, relatum
    >>> X = np.random.default_rng(0).normal(size=(50, 8))
    >>> Q, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(8, 8)))
    >>> abs(round(relatum.alignment.procrustes_distance(X, 2 * X @ Q + 1), 6))
    0.0
    """
    x, y = _numpy_pair(X, Y)
    a, b = _canonical.centred_blocks(x), _canonical.centred_blocks(y)
    n, width = len(x), max(x.shape[1], y.shape[1])
    if n < width:  # the rows' own span holds all, and is smaller
        A, B = (np.asarray(np.linalg.qr(f(slice(0, n)).T, mode="r")).T for f in (a, b))
        product, sizes = A.T @ B, [float(np.vdot(v, v)) for v in (A, B)]
    else:
        product = _canonical.cross(a, b, (n, width))
        sizes = [_sum_of_squares(f, n, width) for f in (a, b)]
    if min(sizes) == 0:
        raise no_variance("the Procrustes distance")
    nuclear = float(np.linalg.svd(product, compute_uv=False).sum())
    return max(0.0, 2 - 2 * nuclear / math.sqrt(sizes[0] * sizes[1]))


def _sum_of_squares(block: _canonical.Blocks, n: int, width: int) -> float:
    return sum(float(np.vdot(x, x)) for x in map(block, _array.blocks(n, 8 * width)))


def latent_similarity(R1: Array, R2: Array) -> Any:
    """Return the mean cosine of row i of ``R1`` with row i of ``R2``.

    In [-1, 1]; higher is closer. A float; while torch records gradients, a 0-d
    tensor that can be differentiated.

    Parameters
    ----------
    R1, R2 : array (n_samples, n_anchors)
        Relative representations of the same items, on parallel anchors.

    Raises
    ------
    TypeError, ValueError
        Rows or columns that do not match, NaN, infinity. Zero rows count as 0 and
        are warned of.

    References
    ----------
    Moschella et al., ICLR 2023, section 4.2.

    Examples
    --------
    >>> import numpy as np, relatum
    >>> R = np.random.default_rng(0).normal(size=(50, 8))
    >>> round(relatum.alignment.latent_similarity(R, 2 * R), 6)
    1.0
    """
    R1, R2 = _validation.check_pair(R1, R2, "R1", "R2", same_features=True)
    xp = _array.namespace(R1)
    if _array.tracks_gradient(R1, R2):
        return xp.mean(cosines(R1, R2))
    for R, name in ((R1, "R1"), (R2, "R2")):
        zero = np.flatnonzero(~_array.to_numpy(xp.any(R != 0, axis=1)))
        if len(zero):
            _validation.warn_zero_rows(zero, name, centred=False)
    return float(row_values(cosines, R1, R2).mean())


def pairwise_score(R1: Array, R2: Array, *, metric: str = "euclidean") -> float:
    """Return the mean distance of row i of ``R1`` to row i of ``R2``: Figure 7's score.

    Lower is closer. Euclidean: in [0, inf), and it grows with the number of
    anchors, so hold it only against scores on as many. The paper calls it the
    "pairwise cosine distance between the two embedding types, averaged", but
    prints 3.30 for the absolute spaces, and a cosine distance is at most 2. We
    read it as the Euclidean distance (what torch names ``pairwise_distance``),
    which gives figures of that size; ``metric="cosine"`` is the wording, in [0, 2].

    Parameters
    ----------
    R1, R2 : array (n_samples, n_anchors)
        Relative representations of the same items, on parallel anchors (or absolute
        ones of equal width).
    metric : "euclidean" or "cosine"

    Raises
    ------
    TypeError, ValueError
        Rows or columns that do not match, NaN, infinity, an unknown metric.

    References
    ----------
    Moschella et al., ICLR 2023, appendix A.3 and Figure 7.

    Examples
    --------
    >>> import numpy as np, relatum
    >>> relatum.alignment.pairwise_score(np.zeros((3, 2)), np.array([[3.0, 4.0]] * 3))
    5.0
    """
    _validation.check_choice(metric, "metric", ("euclidean", "cosine"))
    R1, R2 = _validation.check_pair(R1, R2, "R1", "R2", same_features=True)
    if metric == "cosine":
        return float((1 - row_values(cosines, R1, R2)).mean())
    return float(row_values(distances, R1, R2).mean())


def row_values(function: Any, R1: Array, R2: Array) -> np.ndarray:
    """Apply a function of matching rows in blocks; the result is NumPy, in float64."""
    out = np.empty(R1.shape[0])
    for rows in _array.blocks(R1.shape[0], 8 * R1.shape[1]):
        out[rows] = _array.to_numpy(function(R1[rows, :], R2[rows, :]))
    return out


def cosines(R1: Array, R2: Array) -> Array:
    """Return the cosine of row i of both, (n,)."""
    return _array.namespace(R1, R2).sum(unit_rows(R1) * unit_rows(R2), axis=1)


def distances(R1: Array, R2: Array) -> Array:
    """Return the Euclidean distance of row i of both, (n,)."""
    xp = _array.namespace(R1, R2)
    return xp.linalg.vector_norm(R1 - R2, axis=1)
