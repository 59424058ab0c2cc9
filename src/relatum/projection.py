"""Relative projection: plain, centred, whitened, products, and the inverse.

Section 3.1 of Moschella et al. (ICLR 2023), and the variants that stand beside
it. :func:`fit_projection` turns anchors into a :class:`Projection`, and
:func:`project` applies it; :func:`relative_projection` does both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from relatum import _array, _gemm, _validation
from relatum._array import Array
from relatum._space import Space, hash_ids
from relatum._whitening import inverse_sqrt
from relatum.similarity import SIMILARITIES, Similarity, Spec, as_specs, similarity, spec_name

__all__ = [
    "Projection",
    "Space",
    "fit_projection",
    "inverse_project",
    "inverse_relative_projection",
    "project",
    "relative_projection",
]

PRECISIONS = ("float64", "float32", "bfloat16")


@dataclass(frozen=True)
class _Part:
    """One similarity of a projection, ready to be applied."""

    spec: Spec
    entry: Similarity
    anchors: Array  # centred, in float64
    mean: Array | None
    basis: Array | None  # where all folds into one product
    whitener: Array | None  # (K + λI)^(-1/2), where it does not fold
    pseudo_inverses: dict[float, Array] = field(default_factory=dict, compare=False)


@dataclass(frozen=True)
class Projection:
    """Anchors and settings, prepared so that projecting costs one product."""

    parts: tuple[_Part, ...]
    n_features: int
    space: Space

    @property
    def n_outputs(self) -> int:
        return self.space.n_outputs


def fit_projection(
    anchors: Array,
    *,
    similarity: Spec | Sequence[Spec] = "cosine",
    center: bool = False,
    whiten: float | None = None,
    anchor_ids: Any = None,
) -> Projection:
    """Prepare the relative projection onto ``anchors``.

    Parameters
    ----------
    anchors : array (n_anchors, n_features)
        Absolute representations of the anchor items; at least 2.
    similarity : str, (str, parameters), function, or a list of them
        A list concatenates the projections of each (a product space).
    center : bool
        Subtract the anchors' mean from rows and anchors first.
    whiten : None or float
        λ ≥ 0: multiply by ``(K + λI)^(-1/2)``, K being the anchors' own
        similarity matrix. Only for kernels (cosine, dot, polynomial, quantised).
    anchor_ids : sequence, optional
        Ids of the anchors, for :class:`Space` to tell parallel sets from others.

    Raises
    ------
    ValueError
        Fewer than 2 anchors, NaN, infinity, anchors that are all the same, λ < 0,
        an unknown similarity, or whitening of one that is not a kernel. Repeated
        anchors, and zero rows under a cosine, are warned of.
    """
    anchors = _validation.as_matrix(anchors, "anchors")
    if anchors.shape[0] < 2:
        raise ValueError(f"anchors has {anchors.shape[0]} row; expected at least 2")
    if anchor_ids is not None and len(anchor_ids) != anchors.shape[0]:
        raise ValueError(
            f"anchor_ids has {len(anchor_ids)} ids, anchors has "
            f"{anchors.shape[0]} rows; expected one id for each anchor"
        )
    whiten = _validation.check_whiten(whiten)
    _validation.check_finite(_array.constant(anchors), "anchors")
    _validation.check_distinct(_array.to_numpy(anchors), "anchors")
    projection = prepare(
        anchors, similarity=similarity, center=center, whiten=whiten, ids_hash=hash_ids(anchor_ids)
    )
    for part in projection.parts:
        if "row_scaling" in part.entry.invariant_to:
            _warn_zero_anchors(part.anchors, center)
    return projection


def prepare(
    anchors: Array,
    *,
    similarity: Spec | Sequence[Spec] = "cosine",
    center: bool = False,
    whiten: float | None = None,
    ids_hash: str | None = None,
) -> Projection:
    """:func:`fit_projection` without its checks: differentiable in ``anchors``."""
    specs = as_specs(similarity)
    parts = tuple(_fit_part(anchors, spec, bool(center), whiten) for spec in specs)
    k = anchors.shape[0]
    space = Space(
        k, k * len(specs), tuple(spec_name(s) for s in specs), bool(center), whiten, ids_hash
    )
    return Projection(parts, anchors.shape[1], space)


def _fit_part(anchors: Array, spec: Spec, center: bool, whiten: float | None) -> _Part:
    entry = similarity(spec)
    if whiten is not None and not entry.is_kernel:
        kernels = ", ".join(n for n, s in SIMILARITIES.items() if s.is_kernel)
        raise ValueError(
            f"whiten takes a similarity that is a kernel ({kernels}); "
            f"{spec_name(spec)!r} is not positive semidefinite"
        )
    xp = _array.namespace(anchors)
    A = _array.wide(anchors)
    mean = xp.mean(A, axis=0) if center else None
    A = _gemm.centre(A, mean, eps=float(xp.finfo(anchors.dtype).eps))
    whitener = None if whiten is None else inverse_sqrt(entry.function(A, A), whiten)
    basis = None
    if entry.folds is not None:
        basis = (_gemm.unit_rows(A) if entry.folds == "unit" else A).T
        if whitener is not None:
            basis, whitener = basis @ whitener, None
    return _Part(spec, entry, A, mean, basis, whitener)


def _warn_zero_anchors(A: Array, center: bool) -> None:
    zero = np.flatnonzero(~_array.to_numpy(A).any(axis=1))
    if len(zero):
        _validation.warn_zero_rows(zero, "anchors", center)


def project(
    X: Array, projection: Projection, *, precision: str | None = None, out: Any = None
) -> Array:
    """Return the relative representation of ``X``, ``(n_samples, n_outputs)``.

    See :func:`relative_projection` for ``precision`` and what is refused. NumPy arrays may
    be written to ``out``, of any float dtype, where all similarities are one product.
    """
    X = _validation.as_matrix(X, "X")
    _check_match(X, projection)
    X, bfloat16 = _to_precision(X, precision, projection)
    if _array.tracks_gradient(X, *[part.anchors for part in projection.parts]):
        _validation.check_finite(_array.constant(X), "X")
        for part in projection.parts:
            _warn_without_direction(X, part)
        return project_unchecked(X, projection)
    k = projection.space.n_anchors
    if out is None:
        out = _array.empty((X.shape[0], projection.n_outputs), X)
    views = _array.is_numpy(X) or _array.is_torch(X)  # the standard promises no view
    for i, part in enumerate(projection.parts):
        columns = slice(i * k, (i + 1) * k)
        target = out[:, columns] if views else _array.empty((X.shape[0], k), X)
        if part.basis is None:
            _similarities(X, part, target)
        else:
            _gemm.project(
                X,
                _array.astype(part.basis, X.dtype),
                mean=_cast(part.mean, X),
                unit=part.entry.folds == "unit",
                out=target,
                bfloat16=bfloat16,
            )
        if not views:
            out[:, columns] = target
    return out


def project_unchecked(X: Array, projection: Projection) -> Array:
    """:func:`project` as one differentiable expression that reads no values."""
    xp = _array.namespace(X)
    results = []
    for part in projection.parts:
        mean = _cast(part.mean, X)
        if part.basis is not None:
            basis = _array.astype(part.basis, X.dtype)
            results.append(_gemm.expression(X, basis, mean, part.entry.folds == "unit"))
        else:
            results.append(_relate(X, part, mean))
    return results[0] if len(results) == 1 else xp.concat(results, axis=1)


def _relate(X: Array, part: _Part, mean: Array | None) -> Array:
    """Similarities that do not fold into one product, whitened where asked."""
    R = part.entry.function(_gemm.centre(X, mean), _array.astype(part.anchors, X.dtype))
    if tuple(R.shape) != (X.shape[0], part.anchors.shape[0]):
        raise ValueError(
            f"similarity {spec_name(part.spec)} returned shape {tuple(R.shape)}; "
            f"expected {(X.shape[0], part.anchors.shape[0])}: (samples, anchors)"
        )
    return R if part.whitener is None else R @ _array.astype(part.whitener, X.dtype)


def _similarities(X: Array, part: _Part, out: Array) -> None:
    """Fill ``out`` with similarities that do not fold into one product."""
    _validation.check_finite(X, "X")
    _warn_without_direction(X, part)
    mean = _cast(part.mean, X)
    with np.errstate(over="ignore", invalid="ignore"):
        if part.entry.row_wise:
            _array.map_rows(
                lambda x: _relate(x, part, mean),
                X,
                part.anchors.shape[0],
                8 * (X.shape[1] + part.anchors.shape[0]),
                8 * _array.BLOCK_BYTES,
                out,
            )
        else:
            out[:, :] = _relate(X, part, mean)
    _validation.check_overflow(out, spec_name(part.spec))


def _warn_without_direction(X: Array, part: _Part) -> None:
    if "row_scaling" in part.entry.invariant_to:
        rows = _gemm.rows_without_direction(X, _cast(part.mean, X))
        if len(rows):
            _validation.warn_zero_rows(rows, "X", part.mean is not None)


def _cast(mean: Array | None, X: Array) -> Array | None:
    return None if mean is None else _array.astype(mean, X.dtype)


def _check_match(X: Array, projection: Projection) -> None:
    anchors = projection.parts[0].anchors
    _validation.check_same_backend(X, "X", anchors, "anchors")
    _validation.check_same_features(anchors, "anchors", X, "X")


def _to_precision(X: Array, precision: str | None, projection: Projection) -> tuple[Array, bool]:
    """Return ``X`` in the dtype to compute in, and whether products go in bfloat16."""
    if precision is None:
        return X, False
    _validation.check_choice(precision, "precision", PRECISIONS)
    xp = _array.namespace(X)
    if precision != "bfloat16":
        return _array.astype(X, getattr(xp, precision)), False
    if any(part.basis is None for part in projection.parts):
        raise ValueError(
            "precision='bfloat16' takes similarities that are one product (cosine, "
            f"dot); got {' + '.join(projection.space.similarity)}"
        )
    return _array.astype(X, xp.float32), True


def relative_projection(
    X: Array,
    anchors: Array,
    *,
    similarity: Spec | Sequence[Spec] = "cosine",
    center: bool = False,
    whiten: float | None = None,
    precision: str | None = None,
) -> Array:
    r"""Represent each row of ``X`` by its similarities to the anchors.

    Plain: ``R[i, j] = sim(x_i, a_j)`` (equation 2 of Moschella et al., 2023).
    Centred: the anchors' mean is subtracted from both first. Whitened:
    ``R (K + λI)^(-1/2)`` with ``K[i, j] = sim(a_i, a_j)``, the Nyström map of
    the kernel. With cosine or dot all of it is one product,
    ``normalise(X - m) @ B``, computed in blocks with one output.

    Parameters
    ----------
    X : array (n_samples, n_features)
        Absolute representations: NumPy, torch or any array-API namespace.
    anchors : array (n_anchors, n_features)
        Absolute representations of the anchor items, of the same library.
    similarity : str, (str, parameters), function, or a list of them
        See :data:`relatum.similarity.SIMILARITIES`. A list gives the product
        space: one block of ``n_anchors`` columns for each.
    center : bool
        Subtract the anchors' mean.
    whiten : None or float
        λ ≥ 0; about 0.3 to 1 suits unit vectors.
    precision : None, "float64", "float32" or "bfloat16"
        What to compute in; None is the precision of ``X``. ``bfloat16``
        multiplies in bfloat16 (through torch) and returns float32: largest error
        seen 5.1e-3 (``benchmarks/run.py projection``), for about half the time of
        float32 where the processor has AMX or AVX512-BF16.

    Returns
    -------
    array (n_samples, n_anchors * number of similarities)
        Same library and device as ``X``; float32 for half precision, float64
        for integers. In torch it is differentiable in ``X`` and ``anchors``.

    Raises
    ------
    TypeError, ValueError
        Input that is not a finite 2-D array of numbers, features that do not
        match, and all that :func:`fit_projection` refuses. Rows of ``X``
        without a direction (zero under a cosine) give zeros and a warning.

    References
    ----------
    Moschella et al., *Relative representations enable zero-shot latent space
    communication*, ICLR 2023.

    Examples
    --------
    >>> import numpy as np, relatum
    >>> X = np.random.default_rng(0).normal(size=(50, 8))
    >>> Q, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(8, 8)))
    >>> R = relatum.relative_projection(X, X[:10])
    >>> S = relatum.relative_projection(X @ Q, X[:10] @ Q)  # the same space, rotated
    >>> bool(np.allclose(R, S))
    True
    """
    fitted = fit_projection(anchors, similarity=similarity, center=center, whiten=whiten)
    return project(X, fitted, precision=precision)


def inverse_project(R: Array, projection: Projection) -> Array:
    """Return the absolute representation ``(n_samples, n_features)`` that ``R`` came from.

    See :func:`inverse_relative_projection`.
    """
    R = _validation.as_matrix(R, "R", finite=True)
    _validation.check_same_backend(R, "R", projection.parts[0].anchors, "anchors")
    if R.shape[1] != projection.n_outputs:
        raise ValueError(
            f"R has {R.shape[1]} columns; expected {projection.n_outputs}: one for "
            "each anchor and similarity"
        )
    k = projection.space.n_anchors
    for i, part in enumerate(projection.parts):
        name = part.spec if isinstance(part.spec, str) else ""
        if part.basis is not None or name in ("euclidean", "angular"):
            return _invert(R[:, i * k : (i + 1) * k], part, name)
    raise ValueError(
        f"similarity {' + '.join(projection.space.similarity)} has no inverse; "
        "cosine, dot, angular and euclidean have one"
    )


def _invert(R: Array, part: _Part, name: str) -> Array:
    xp = _array.namespace(R)
    values, A = _array.wide(R), part.anchors
    rtol = float(xp.finfo(R.dtype).eps) * max(A.shape)
    if name == "euclidean":  # differences of squared distances are linear in x
        center = xp.mean(A, axis=0)
        A = A - center
        square = xp.sum(A * A, axis=1)[None, :] - values * values
        square = square - xp.mean(square, axis=1, keepdims=True)
        X = center + 0.5 * square @ _pseudo_inverse(part, A.T, rtol)
    else:
        basis = part.basis
        if name == "angular":
            basis, values = _gemm.unit_rows(A).T, xp.cos(values)
        X = values @ _pseudo_inverse(part, basis, rtol)
        if part.entry.folds != "linear":
            X = _gemm.unit_rows(X) * xp.mean(xp.linalg.vector_norm(A, axis=1))
    return _array.astype(X if part.mean is None else X + part.mean, R.dtype)


def _pseudo_inverse(part: _Part, matrix: Array, rtol: float) -> Array:
    """Return pinv(matrix), kept with ``part`` so that its next batch costs one product."""
    if _array.tracks_gradient(matrix):
        return _array.namespace(matrix).linalg.pinv(matrix, rtol=rtol)
    if rtol not in part.pseudo_inverses:
        part.pseudo_inverses[rtol] = _array.namespace(matrix).linalg.pinv(matrix, rtol=rtol)
    return part.pseudo_inverses[rtol]


def inverse_relative_projection(
    R: Array,
    anchors: Array,
    *,
    similarity: Spec | Sequence[Spec] = "cosine",
    center: bool = False,
    whiten: float | None = None,
) -> Array:
    """Return absolute representations whose relative representation is ``R``.

    The least-squares solution: ``X = R pinv(B)`` for ``R = normalise(X - m) B``.
    A cosine forgets each row's norm, so rows come back at the anchors' mean norm
    (about m, when centred). What lies outside the anchors' span is lost: with
    fewer anchors than features the result is the shortest solution.

    Parameters
    ----------
    R : array (n_samples, n_anchors * number of similarities)
    anchors : array (n_anchors, n_features)
        Of the space to return to; it may be another encoder's, parallel to the
        one that R came from.
    similarity, center, whiten
        As in :func:`relative_projection`. Cosine, dot, angular and euclidean have
        an inverse; of a product the first that has one is used.

    Raises
    ------
    ValueError
        A similarity without an inverse, or a wrong number of columns.

    Examples
    --------
    >>> import numpy as np, relatum
    >>> X = np.random.default_rng(0).normal(size=(50, 8))
    >>> X /= np.linalg.norm(X, axis=1, keepdims=True)
    >>> R = relatum.relative_projection(X, X[:10])
    >>> bool(np.allclose(relatum.inverse_relative_projection(R, X[:10]), X))
    True
    """
    fitted = fit_projection(anchors, similarity=similarity, center=center, whiten=whiten)
    return inverse_project(R, fitted)
