"""Functions of rows that a whole file can go through, and what tells one from another."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from relatum import _array, _validation
from relatum._translation_map import TranslationMap, translate
from relatum.projection import PRECISIONS, Projection, project

__all__ = ["RowMap", "projection_of_rows", "translation_of_rows"]


@dataclass(frozen=True)
class RowMap:
    """A function of rows, and what tells it from another.

    Attributes
    ----------
    function : callable
        From rows (n, n_features) to rows (n, n_outputs); the same whatever rows come along.
    n_features, n_outputs : int
    settings : mapping
        What can be written as JSON; a run goes on only where it is the same.
    dtype : str, optional
        Of what the function returns; else that of its rows, float32 for half precision.
    whole : bool
        The function takes all rows at once.
    centred : bool
        Rows without a direction are the mean, not zero.
    into : callable, optional
        The same function, which writes its result into an array of any float dtype; several
        threads call it at once.
    """

    function: Callable[[np.ndarray], Any]
    n_features: int
    n_outputs: int
    settings: Mapping[str, Any] = field(default_factory=dict)
    dtype: str | None = None
    whole: bool = False
    centred: bool = False
    into: Callable[[np.ndarray, np.ndarray], Any] | None = None


def projection_of_rows(projection: Projection, precision: str | None = None) -> RowMap:
    """Return :func:`relatum.projection.project` as a function of rows."""
    if precision is not None:
        _validation.check_choice(precision, "precision", PRECISIONS)
    first = projection.parts[0]
    one_product = all(part.basis is not None for part in projection.parts)
    arrays = [_array.to_numpy(part.anchors) for part in projection.parts]
    space = projection.space

    def into(X: np.ndarray, out: np.ndarray) -> None:
        project(X, projection, precision=precision, out=out)

    return RowMap(
        lambda X: project(X, projection, precision=precision),
        first.anchors.shape[1],
        projection.n_outputs,
        {"similarity": list(map(str, space.similarity)), "center": space.center,
         "whiten": space.whiten, "anchors": digest(*arrays), "precision": precision},
        dtype="float32" if precision == "bfloat16" else precision,
        whole=not all(part.entry.row_wise for part in projection.parts),
        centred=space.center,
        into=into if one_product and precision != "bfloat16" else None,
    )  # fmt: skip


def translation_of_rows(fitted: TranslationMap) -> RowMap:
    """Return :func:`relatum.translation.translate` as a function of rows."""
    arrays = fitted.to_arrays("map")
    return RowMap(
        lambda X: translate(X, fitted),
        fitted.matrix.shape[0],
        fitted.matrix.shape[1],
        {"map": digest(*(arrays[name] for name in sorted(arrays)))},
        into=None if fitted.kernel else lambda X, out: translate(X, fitted, out=out),
    )


def digest(*arrays: np.ndarray) -> str:
    """Return what tells arrays from others."""
    found = hashlib.sha256()
    for a in arrays:
        found.update(f"{a.dtype} {a.shape}".encode())
        found.update(np.ascontiguousarray(a).data)
    return found.hexdigest()[:16]
