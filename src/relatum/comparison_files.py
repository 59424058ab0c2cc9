"""CKA, SVCCA, PWCCA and Procrustes of all rows of two files, whatever their size.

They are functions of three products: of the two spaces' centred rows with themselves and
with each other. One pass finds the means, a second the products.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import numpy as np

from relatum import _array, _canonical, _hsic, _validation
from relatum._overlap import ahead
from relatum._sources import MEMORY, Source, block_rows
from relatum._whole_space import VARIANCE
from relatum.kernel_alignment import no_variance
from relatum.vectors import as_source

__all__ = ["compare_all_rows"]

COPIES = 6
"""Copies of a block at once: read ahead, read, picked, centred, in either space."""
PRODUCT_ROWS = 8192
"""Rows of one product; sums of more are kept in float64."""


def compare_all_rows(
    A: Any,
    B: Any,
    *,
    rows: tuple[np.ndarray, np.ndarray] | None = None,
    memory: int = MEMORY,
    progress: Callable[[int], object] | None = None,
) -> dict[str, float]:
    """Return the measures that need no neighbours, over all rows of two spaces.

    Those of :mod:`relatum.alignment`: ``cka``, ``cka_unbiased``, ``svcca``, ``pwcca`` and
    ``procrustes_distance``, to about six digits for single precision. Each file is read
    twice, block by block.

    Parameters
    ----------
    A, B : str, path, array or what :func:`relatum.open_embeddings` returns
        Row i of both is the same item, and there are at least as many rows as features.
    rows : pair of arrays of row numbers, optional
        The rows of A and of B that are the same items, both rising; else all.
    memory : int
        Bytes for the rows.
    progress : callable, optional
        Called with the number of rows gone through, in the end three times all.

    Raises
    ------
    ValueError
        Rows that do not match, fewer than 4 or fewer than features, rows that are not
        finite, rows that are all the same, or row numbers that do not rise.

    Examples
    --------
    >>> import numpy as np, relatum
    >>> from relatum.comparison_files import compare_all_rows
    >>> X = np.random.default_rng(0).normal(size=(500, 8))
    >>> Q, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(8, 8)))
    >>> found = compare_all_rows(X, 2 * X @ Q + 1)
    >>> round(found["cka"], 6), round(found["svcca"], 6)
    (1.0, 1.0)
    """
    a, b = as_source(A, name="A"), as_source(B, name="B")
    pair = _checked(a, b, rows)
    n = a.n_rows if pair is None else len(pair[0])
    width = 8 * (a.n_features + b.n_features)
    size = block_rows(memory, width, COPIES, PRODUCT_ROWS * width, "both files")
    say = progress or (lambda done: None)
    spaces = [_Space(source, of) for source, of in zip((a, b), pair or (None, None), strict=True)]
    for i, space in enumerate(spaces):
        for part in space.blocks(size):
            space.add(part)
            say(i * n + space.done)
    sums = _Products()
    for x, y in zip(*(space.blocks(size) for space in spaces), strict=True):
        sums.add(spaces[0].centred(x), spaces[1].centred(y))
        say(2 * n + sums.n)
    return _measures(sums)


def _checked(
    a: Source, b: Source, rows: tuple[np.ndarray, np.ndarray] | None
) -> tuple[np.ndarray, np.ndarray] | None:
    if rows is None:
        if a.n_rows != b.n_rows:
            raise ValueError(f"{a.name} has {a.n_rows} rows, {b.name} has {b.n_rows}; "
                             "expected the same number, or the rows that match")  # fmt: skip
        n = a.n_rows
    else:
        of_a, of_b = (
            _validation.check_indices(r, f"rows of {s.name}", s.n_rows)
            for r, s in zip(rows, (a, b), strict=True)
        )
        if len(of_a) != len(of_b):
            raise ValueError(f"rows has {len(of_a)} of {a.name} and {len(of_b)} of {b.name}; "
                             "expected as many")  # fmt: skip
        for one, source in ((of_a, a), (of_b, b)):
            if (np.diff(one) <= 0).any():
                raise ValueError(f"rows of {source.name} do not rise; expected the order of "
                                 "the file, as it is read from beginning to end")  # fmt: skip
        rows, n = (of_a, of_b), len(of_a)
    least = max(4, a.n_features, b.n_features)
    if n < least:
        raise ValueError(f"{a.name} and {b.name} share {n} rows; expected at least {least}")
    return rows


class _Space:
    """One file: its rows in blocks of one size, and what centres and scales them."""

    def __init__(self, source: Source, rows: np.ndarray | None) -> None:
        self.source, self.rows, self.done = source, rows, 0
        self.dtype = np.dtype(np.float64 if source.dtype.itemsize > 4 else np.float32)
        self.total, self.largest = np.zeros(source.n_features), 0.0

    def blocks(self, size: int) -> Iterator[np.ndarray]:
        """Yield the rows that are wanted, ``size`` at a time."""
        waiting: list[np.ndarray] = []
        with closing(ahead(self.source.bare(ids=False).batches(0, size))) as batches:
            for batch in batches:
                if self.rows is None:
                    yield batch.X
                    continue
                low, high = np.searchsorted(self.rows, [batch.start, batch.start + len(batch.X)])
                waiting.append(batch.X[self.rows[low:high] - batch.start])
                if sum(map(len, waiting)) >= size:
                    whole = np.concatenate(waiting)
                    yield whole[:size]
                    waiting = [whole[size:]]
        if waiting and len(rest := np.concatenate(waiting)):
            yield rest

    def add(self, part: np.ndarray) -> None:
        """Take part in the mean; refuse rows that are not finite."""
        with np.errstate(all="ignore"):
            self.total += part.sum(axis=0, dtype=np.float64)
            self.largest = max(self.largest, float(np.abs(part).max()))
        if not np.isfinite(self.total).all():
            first = self.done if self.rows is None else 0
            _validation.check_finite(part, self.source.name, first)
            raise ValueError(f"{self.source.name} has values whose sum overflows; scale them down")
        self.done += len(part)

    def centred(self, part: np.ndarray) -> np.ndarray:
        """Return rows less their mean, of a size at which no product overflows."""
        scale = self.dtype.type(self.largest or 1.0)
        moved = part.astype(self.dtype, copy=False) / scale
        moved -= (self.total / (self.done * float(scale))).astype(self.dtype)
        return moved


class _Products:
    """Products of the centred rows of two spaces, and sums of their squared lengths."""

    def __init__(self) -> None:
        self.n = 0
        self.xx: Any = 0.0
        self.xy: Any = 0.0
        self.yy: Any = 0.0
        self.squares = np.zeros((2, 2))
        self.lengths = np.zeros(2)

    def add(self, x: np.ndarray, y: np.ndarray) -> None:
        self.n += len(x)
        common = np.result_type(x, y)
        self.xx = self.xx + _array.wide(x.T @ x)
        self.yy = self.yy + _array.wide(y.T @ y)
        self.xy = self.xy + _array.wide(x.astype(common, copy=False).T @ y)
        lengths = np.stack([np.vecdot(x, x), np.vecdot(y, y)]).astype(np.float64)
        self.squares += lengths @ lengths.T
        self.lengths += lengths.sum(axis=1)


def _measures(p: _Products) -> dict[str, float]:
    axes = [_axes(square, p.n) for square in (p.xx, p.yy)]
    a, b = (axis.holding(VARIANCE) for axis in axes)
    product = (a.directions / a.sizes).T @ p.xy @ (b.directions / b.sizes)
    values, directions = _canonical.canonical_correlations(product)
    weights = _canonical.projection_weights(directions, a.loadings)
    scale = float(np.trace(p.xx) * np.trace(p.yy)) ** 0.5
    return {
        "cka": _cka(p, unbiased=False),
        "cka_unbiased": _cka(p, unbiased=True),
        "svcca": float(values.mean()),
        "pwcca": float(weights @ values),
        "procrustes_distance": max(0.0, 2 - 2 * _canonical.nuclear_norm(p.xy) / scale),
    }


def _cka(p: _Products, *, unbiased: bool) -> float:
    def of(product: np.ndarray, i: int, j: int) -> float:
        square = float(np.vdot(product, product))
        if not unbiased:
            return square
        both = p.lengths[i] * p.lengths[j]
        return _hsic.unbiased_of_centred(square, p.squares[i, j], both, p.n)

    xx, xy, yy = of(p.xx, 0, 0), of(p.xy, 0, 1), of(p.yy, 1, 1)
    value = xy / (xx**0.5 * yy**0.5) if xx > 0 and yy > 0 else float("nan")
    if np.isnan(value):
        raise no_variance("CKA")
    return min(1.0, max(-1.0, value))


def _axes(square: np.ndarray, n: int) -> _canonical.Axes:
    w, U = np.linalg.eigh(square)
    w, U = w[::-1], U[:, ::-1]
    kept = w > 10 * n * np.finfo(np.float64).eps * w[0]
    if not kept.any():
        raise no_variance("CCA")
    return _canonical.Axes(U[:, kept], np.sqrt(w[kept]))
