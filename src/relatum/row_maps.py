"""Functions of rows that a whole file can go through, and what tells one from another."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from relatum import _array, _gemm, _validation
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
    without_direction : callable, optional
        Numbers of rows that the function warns of as without direction.
    centred : bool
        These rows are the mean, not zero.
    """

    function: Callable[[np.ndarray], Any]
    n_features: int
    n_outputs: int
    settings: Mapping[str, Any] = field(default_factory=dict)
    dtype: str | None = None
    whole: bool = False
    without_direction: Callable[[np.ndarray], np.ndarray] | None = None
    centred: bool = False


def projection_of_rows(projection: Projection, precision: str | None = None) -> RowMap:
    """Return :func:`relatum.projection.project` as a function of rows."""
    if precision is not None:
        _validation.check_choice(precision, "precision", PRECISIONS)
    first = projection.parts[0]
    mean = None if first.mean is None else _array.to_numpy(first.mean)
    arrays = [_array.to_numpy(part.anchors) for part in projection.parts]
    space = projection.space
    return RowMap(
        lambda X: project(X, projection, precision=precision),
        first.anchors.shape[1],
        projection.n_outputs,
        {"similarity": list(map(str, space.similarity)), "center": space.center,
         "whiten": space.whiten, "anchors": digest(*arrays), "precision": precision},
        dtype="float32" if precision == "bfloat16" else precision,
        whole=not all(part.entry.row_wise for part in projection.parts),
        without_direction=lambda X: _gemm.rows_without_direction(
            X, None if mean is None else mean.astype(X.dtype)
        ),
        centred=space.center,
    )  # fmt: skip


def translation_of_rows(fitted: TranslationMap) -> RowMap:
    """Return :func:`relatum.translation.translate` as a function of rows."""
    arrays = fitted.to_arrays("map")
    return RowMap(
        lambda X: translate(X, fitted),
        fitted.matrix.shape[0],
        fitted.matrix.shape[1],
        {"map": digest(*(arrays[name] for name in sorted(arrays)))},
    )


def digest(*arrays: np.ndarray) -> str:
    """Return what tells arrays from others."""
    found = hashlib.sha256()
    for a in arrays:
        found.update(f"{a.dtype} {a.shape}".encode())
        found.update(np.ascontiguousarray(a).data)
    return found.hexdigest()[:16]
