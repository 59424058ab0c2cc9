"""Similarities of rows to anchors, and one table of what each is invariant to.

Every function takes ``X`` (n_samples, n_features) and ``anchors``
(n_anchors, n_features) and returns (n_samples, n_anchors). All are total:
zero rows and extreme scales give finite values and, in torch, finite gradients.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from relatum import _array, _validation
from relatum._array import Array
from relatum._gemm import unit_rows
from relatum._geodesic import geodesic
from relatum._minkowski import chebyshev, euclidean, manhattan
from relatum._quantised import quantised

__all__ = [
    "SIMILARITIES",
    "TRANSFORMATIONS",
    "Similarity",
    "angular",
    "chebyshev",
    "cosine",
    "dot",
    "euclidean",
    "geodesic",
    "manhattan",
    "polynomial",
    "quantised",
    "similarity",
]


def cosine(X: Array, anchors: Array) -> Array:
    """Cosine similarity, ``x·a / (‖x‖ ‖a‖)``, in [-1, 1]; the paper's equation 3."""
    return unit_rows(X) @ unit_rows(anchors).T


def dot(X: Array, anchors: Array) -> Array:
    """Inner product, ``x·a``; higher is closer."""
    return X @ anchors.T


def angular(X: Array, anchors: Array) -> Array:
    """Angle between ``x`` and ``a`` in radians, in [0, π]; lower is closer.

    ``atan2(sin, cos)`` with the cosine in float64: exact to 1e-7 where
    ``arccos`` of a float32 cosine is wrong by 3e-4, and its gradient is finite at
    0 and π. A zero row has the angle π/2 to everything.
    """
    A = unit_rows(_array.wide(anchors))

    def block(x: Array) -> Array:
        xp = _array.namespace(x)
        c = unit_rows(_array.wide(x)) @ A.T
        return _array.astype(xp.atan2(_array.safe_sqrt((1 - c) * (1 + c)), c), x.dtype)

    if _array.tracks_gradient(X, anchors):
        return block(X)
    return _array.map_rows(block, X, anchors.shape[0], 16 * (X.shape[1] + 2 * anchors.shape[0]))


def polynomial(X: Array, anchors: Array, *, degree: int = 3) -> Array:
    """Polynomial kernel of the cosine, ``((1 + cos) / 2)^degree``, in [0, 1].

    Nearer anchors count for more than they do under the cosine. As a kernel it has more
    than ``n_features`` directions, so that whitening goes on gaining where there are
    more anchors than features.
    """
    degree = _validation.check_integer(degree, "degree")
    A = unit_rows(anchors)

    def block(x: Array) -> Array:
        return ((1 + unit_rows(x) @ A.T) / 2) ** degree

    if _array.tracks_gradient(X, anchors):
        return block(X)
    return _array.map_rows(block, X, anchors.shape[0], 8 * (X.shape[1] + 2 * anchors.shape[0]))


@dataclass(frozen=True)
class Similarity:
    """What a similarity computes and what holds for it."""

    function: Callable[..., Array]
    range: tuple[float, float]
    higher_is_closer: bool
    invariant_to: frozenset[str]
    """Names in :data:`TRANSFORMATIONS` that leave it unchanged when applied to X and anchors."""
    is_kernel: bool = False
    """Its matrix among anchors is positive semidefinite, so whitening is defined."""
    row_wise: bool = True
    """Row i of the result depends on row i of X and on the anchors alone."""
    folds: Literal["unit", "linear"] | None = None
    """It is one product with a matrix, after unit norm (``unit``) or as it is (``linear``)."""


TRANSFORMATIONS: dict[str, str] = {
    "orthogonal": "x → x Q, with Q orthogonal (rotations and reflections)",
    "signed_permutation": "coordinates reordered, some with their sign changed",
    "translation": "x → x + t, the same t for every row",
    "scaling": "x → c x, the same c > 0 for every row",
    "row_scaling": "x_i → c_i x_i, a c_i > 0 for each row",
}

_ROTATION = frozenset({"orthogonal", "signed_permutation"})
_DIRECTION = _ROTATION | {"scaling", "row_scaling"}
_INF = math.inf

SIMILARITIES: dict[str, Similarity] = {
    "cosine": Similarity(cosine, (-1, 1), True, _DIRECTION, is_kernel=True, folds="unit"),
    "dot": Similarity(dot, (-_INF, _INF), True, _ROTATION, is_kernel=True, folds="linear"),
    "angular": Similarity(angular, (0, math.pi), False, _DIRECTION),
    "euclidean": Similarity(euclidean, (0, _INF), False, _ROTATION | {"translation"}),
    "manhattan": Similarity(
        manhattan, (0, _INF), False, frozenset({"signed_permutation", "translation"})
    ),
    "chebyshev": Similarity(
        chebyshev, (0, _INF), False, frozenset({"signed_permutation", "translation"})
    ),
    "geodesic": Similarity(geodesic, (0, _INF), False, _ROTATION | {"translation"}),
    "polynomial": Similarity(polynomial, (0, 1), True, _DIRECTION, is_kernel=True),
    "quantised": Similarity(quantised, (-1, 1), True, _DIRECTION, is_kernel=True, row_wise=False),
}

Spec = str | tuple[str, Mapping[str, Any]] | Callable[[Array, Array], Array]
"""A name, a name with its parameters, or a function of (X, anchors)."""


def similarity(spec: Spec) -> Similarity:
    """Look up a similarity: ``"cosine"``, ``("geodesic", {"n_neighbors": 5})`` or a function.

    A function of your own is taken to be row-wise and invariant to nothing.

    Examples
    --------
    >>> from relatum.similarity import similarity
    >>> similarity("euclidean").higher_is_closer
    False
    """
    if isinstance(spec, tuple):
        if len(spec) != 2 or not isinstance(spec[1], Mapping):
            raise TypeError(f"similarity is {spec!r}; expected a name or (name, parameters)")
        entry = SIMILARITIES[_validation.check_choice(spec[0], "similarity", SIMILARITIES)]
        _check_parameters(spec[0], entry.function, spec[1])
        return Similarity(**{**vars(entry), "function": partial(entry.function, **spec[1])})
    if callable(spec):
        return Similarity(spec, (-_INF, _INF), True, frozenset())
    return SIMILARITIES[_validation.check_choice(spec, "similarity", SIMILARITIES)]


def _check_parameters(
    name: str, function: Callable[..., Array], parameters: Mapping[str, Any]
) -> None:
    import inspect

    known = [
        p.name for p in inspect.signature(function).parameters.values() if p.kind is p.KEYWORD_ONLY
    ]
    for key in parameters:
        if key not in known:
            raise TypeError(
                f"similarity {name!r} has no parameter {key!r}; it has {', '.join(known) or 'none'}"
            )


def as_specs(specs: Spec | Sequence[Spec]) -> list[Spec]:
    """Return one spec as a list, and a list of them (a product of similarities) as it is."""
    if isinstance(specs, list):
        if not specs:
            raise ValueError("similarity is an empty list; expected at least one")
        return specs
    return [specs]  # type: ignore[list-item]


def spec_name(spec: Spec) -> str:
    """Write a spec in one word: ``cosine``, ``geodesic(n_neighbors=5)``."""
    if isinstance(spec, tuple):
        parameters = ", ".join(f"{k}={v!r}" for k, v in sorted(spec[1].items()))
        return f"{spec[0]}({parameters})" if parameters else spec[0]
    return spec if isinstance(spec, str) else getattr(spec, "__name__", repr(spec))
