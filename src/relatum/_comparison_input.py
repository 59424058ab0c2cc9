"""Which rows ``compare`` compares, and on which anchors."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from relatum import _array, _validation
from relatum._array import Array
from relatum.neighbors import check_k

MIN_ROWS = 8


@dataclass(frozen=True)
class Chosen:
    """The rows that are compared, and the anchors, as NumPy arrays."""

    x: np.ndarray
    y: np.ndarray
    anchors_x: np.ndarray
    anchors_y: np.ndarray
    origin: str
    held_out: bool
    notes: list[str] = field(default_factory=list)


def choose(
    X: Array,
    Y: Array,
    anchors: Any,
    *,
    n_anchors: int,
    n_samples: int | None,
    k: int,
    rng: np.random.Generator,
) -> Chosen:
    """Draw or read the anchors, hold their rows out, and sample the others."""
    n = X.shape[0]
    if n < MIN_ROWS:
        raise ValueError(f"X and Y have {n} rows; expected at least {MIN_ROWS} to compare")
    check_k(k, n, "X", exclude_self=True)
    if n_samples is not None:
        _validation.check_integer(n_samples, "n_samples", minimum=max(MIN_ROWS, k + 1))
    rows, pair, origin = _read_anchors(X, Y, anchors, n_anchors, rng)
    others = np.setdiff1d(np.arange(n), rows) if len(rows) else np.arange(n)
    held_out = len(others) >= max(MIN_ROWS, k + 1)
    notes = []
    if not held_out:
        others = np.arange(n)
        notes.append(
            f"only {n - len(rows)} rows are not anchors, too few to compare on; the anchors "
            "are among the compared rows, which flatters the relative measures"
        )
    if n_samples is not None and len(others) > n_samples:
        others = np.sort(rng.choice(others, size=n_samples, replace=False))
    x, y = take_rows(X, others), take_rows(Y, others)
    if pair is None:
        pair = take_rows(X, rows), take_rows(Y, rows)
    return Chosen(x, y, *pair, origin, held_out, notes)


def _read_anchors(
    X: Array, Y: Array, anchors: Any, n_anchors: int, rng: np.random.Generator
) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray] | None, str]:
    """Return anchor rows, or none and a pair of arrays, and where they come from."""
    if anchors is None:
        _validation.check_integer(n_anchors, "n_anchors", minimum=2)
        n = min(n_anchors, X.shape[0] // 2)
        drawn = np.sort(rng.choice(X.shape[0], size=n, replace=False))
        return drawn, None, "rows drawn uniformly"
    if isinstance(anchors, (tuple, list)) and any(getattr(a, "ndim", 0) == 2 for a in anchors):
        if len(anchors) != 2:
            raise ValueError(
                f"anchors has {len(anchors)} arrays; expected a pair (anchors of X, anchors of Y)"
            )
        a, b = anchors
        a, b = _validation.check_pair(a, b, "anchors of X", "anchors of Y", min_rows=2)
        _validation.check_same_features(a, "anchors of X", X, "X")
        _validation.check_same_features(b, "anchors of Y", Y, "Y")
        return _rows_among(X, a), (_array.to_numpy(a), _array.to_numpy(b)), "arrays given"
    if getattr(anchors, "ndim", 1) == 2:
        raise ValueError(
            "anchors is one 2-D array; expected row numbers, or a pair "
            "(anchors of X, anchors of Y) of parallel arrays"
        )
    numbers = list(anchors) if isinstance(anchors, range) else anchors
    rows = _validation.check_indices(numbers, "anchors", X.shape[0])
    return rows, None, "rows given"


def _rows_among(X: Array, anchors: Array) -> np.ndarray:
    """Return the rows of ``X`` that are one of the anchors, to the last bit."""
    known = {row.tobytes() for row in np.ascontiguousarray(_array.to_numpy(anchors))}
    if X.dtype != anchors.dtype:
        return np.empty(0, dtype=np.int64)
    found = [
        start.start + i
        for start in _array.blocks(X.shape[0], 8 * X.shape[1])
        for i, row in enumerate(np.ascontiguousarray(_array.to_numpy(X[start, :])))
        if row.tobytes() in known
    ]
    return np.asarray(found, dtype=np.int64)


def take_rows(X: Array, rows: np.ndarray) -> np.ndarray:
    """Return some rows of ``X`` as a NumPy array."""
    if _array.is_numpy(X):
        return np.asarray(X[rows])
    index = _array.from_numpy(rows, X, keep_dtype=True)
    return _array.to_numpy(_array.namespace(X).take(X, index, axis=0))


def parallel_warning(chosen: Chosen) -> list[str]:
    """Return what :func:`relatum.anchors.parallel_test` warns of, and warn of it."""
    from relatum.anchors import parallel_test

    if len(chosen.anchors_x) < 4:
        return []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        parallel_test(chosen.anchors_x, chosen.anchors_y)
    return [str(w.message) for w in caught]
