"""``normalise(X - mean) @ basis + bias``: the one product that every folded map is.

Blocks keep the extra memory constant, and the output is written once. The fast
path takes each row's norm in the precision of the data; rows whose squares
overflow or vanish are then done again with a scaled norm.
"""

from __future__ import annotations

import functools
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import numpy as np

from relatum import _array, _half, _validation
from relatum._array import Array


def unit_rows(X: Array) -> Array:
    """Return the rows of ``X`` at Euclidean norm 1; zero rows stay zero.

    Each row is first divided by its largest entry, so that squares neither
    overflow nor vanish; the gradient is finite everywhere.
    """
    xp = _array.namespace(X)
    largest = _array.constant(xp.max(xp.abs(X), axis=1, keepdims=True))
    scaled = X / xp.where(largest > 0, largest, xp.ones_like(largest))
    square = xp.sum(scaled * scaled, axis=1, keepdims=True)
    return scaled / xp.sqrt(xp.where(square > 0, square, xp.ones_like(square)))


def centre(X: Array, mean: Array | None, eps: float | None = None) -> Array:
    """Return ``X - mean``; rows that differ from the mean by rounding alone become zero.

    Their direction would be noise. ``eps`` is the rounding error of X, if not that
    of its dtype.
    """
    if mean is None:
        return X
    xp = _array.namespace(X)
    moved = X - mean
    noise = _rounding(X, mean, eps)
    lost = xp.max(xp.abs(_array.constant(moved)), axis=1, keepdims=True) <= noise
    return xp.where(lost, xp.zeros_like(moved), moved)


def _rounding(X: Array, mean: Array, eps: float | None = None) -> Array:
    """Entries of ``X - mean`` up to this size are rounding errors of a mean in X's dtype."""
    xp = _array.namespace(X)
    return 4 * float(eps or xp.finfo(X.dtype).eps) * xp.max(xp.abs(_array.constant(mean)))


def rows_without_direction(X: Array, mean: Array | None) -> np.ndarray:
    """Return the numbers of the rows that are zero, or the mean where there is one."""
    xp = _array.namespace(X)
    found: list[int] = []
    for rows in _array.blocks(X.shape[0], 8 * X.shape[1]):
        same = xp.all(centre(_array.constant(X)[rows, :], mean) == 0, axis=1)
        found += (np.flatnonzero(_array.to_numpy(same)) + rows.start).tolist()
    return np.asarray(found, dtype=np.int64)


def expression(
    X: Array, basis: Array, mean: Array | None, unit: bool, bias: Array | None = None
) -> Array:
    """The product as one differentiable expression: no blocks, no checks."""
    X = centre(X, mean)
    product = (unit_rows(X) if unit else X) @ basis
    return product if bias is None else product + bias


def project(
    X: Array,
    basis: Array,
    *,
    mean: Array | None = None,
    unit: bool = True,
    bias: Array | None = None,
    out: Array | None = None,
    bfloat16: bool = False,
    name: str = "X",
) -> Array:
    """Return ``normalise(X - mean) @ basis + bias``, checked, in blocks.

    ``X`` (n, d), ``basis`` (d, k), ``mean`` (d,) and ``bias`` (k,) share namespace and
    dtype; ``bias`` goes without ``unit`` and without ``bfloat16``. A NumPy ``out`` may be
    of a narrower dtype, to which each block is converted while it is in the cache.
    Raises ValueError with the row numbers where ``X`` is not finite or the result
    overflows, and warns of rows without a direction, whose result is zero.
    """
    if _array.tracks_gradient(X, basis, mean, bias):
        return expression(X, basis, mean, unit, bias)
    if out is None:
        out = _array.empty((X.shape[0], basis.shape[1]), X)
    if bfloat16:
        return _project_bfloat16(X, basis, mean, unit, out, name)
    if _array.is_numpy(X):
        norms = _run_numpy(X, basis, mean, unit, out, bias)
    elif _array.is_torch(X):
        norms = _run_torch(X, basis, mean, unit, out, bias)
    else:
        return _project_any(X, basis, mean, unit, out, name, bias)
    _repair(X, basis, mean, unit, out, norms, name, bias)
    return out


def _run_numpy(
    X: np.ndarray,
    basis: np.ndarray,
    mean: np.ndarray | None,
    unit: bool,
    out: np.ndarray,
    bias: np.ndarray | None = None,
) -> np.ndarray:
    """Fill ``out`` block by block, one thread a core; return the norm of each row.

    NumPy's element-wise passes use one core each, so every thread prepares and
    multiplies blocks of its own, with a BLAS that uses one core meanwhile. Rows are
    scaled after the product, while it is in the cache.
    """
    norms = np.empty(len(X), dtype=X.dtype)
    width = X.dtype.itemsize * max(X.shape[1], out.shape[1])
    rows_of = list(_array.blocks(len(X), width, _array.BLOCK_BYTES // 4))
    n_threads = min(_array.n_threads(), len(rows_of))
    step = rows_of[0].stop
    waiting = iter(rows_of)  # a thread takes the next as it is done with one

    def work(_: int) -> None:
        moved = np.empty((0 if mean is None else step, X.shape[1]), X.dtype)
        wide = np.empty((0 if out.dtype == X.dtype else step, out.shape[1]), X.dtype)
        for rows in waiting:
            n = rows.stop - rows.start
            part = X[rows] if mean is None else moved[:n]
            product = wide[:n] if len(wide) else out[rows]
            with np.errstate(all="ignore"):  # of each thread alone
                _prepare(X[rows], mean, part, norms[rows])
                np.matmul(part, basis, out=product)
                if unit:
                    product *= (1 / norms[rows])[:, None]
                if bias is not None:
                    product += bias
            if len(wide):
                _half.convert(product, out[rows])

    if n_threads == 1:
        work(0)
        return norms
    with _blas_of_one_thread(), ThreadPoolExecutor(n_threads) as threads:
        list(threads.map(work, range(n_threads)))
    return norms


def _prepare(x: np.ndarray, mean: np.ndarray | None, part: np.ndarray, norms: np.ndarray) -> None:
    """Write ``x - mean`` to ``part``, and its norms, few enough rows at a time for the cache.

    Without a mean ``part`` is ``x`` and stays.
    """
    for rows in _array.blocks(len(x), 1, 128):
        moved = x[rows] if mean is None else np.subtract(x[rows], mean, out=part[rows])
        np.sqrt(np.vecdot(moved, moved), out=norms[rows])


def unit_rows_into(X: np.ndarray, out: np.ndarray) -> None:
    """Write :func:`unit_rows` of ``X`` to ``out``, of a float dtype, in two passes.

    Rows whose squares overflow or vanish are done again with a scaled norm.
    """
    norms = np.empty(len(X), out.dtype)
    X = X.astype(out.dtype, copy=False)
    with np.errstate(all="ignore"):
        for some in _array.blocks(len(X), 1, 128):
            norm = np.sqrt(np.vecdot(X[some], X[some]), out=norms[some])
            np.multiply(X[some], (1 / norm)[:, None], out=out[some])
    info = np.finfo(out.dtype)
    safe = (norms >= (info.tiny / info.eps) ** 0.5) & (norms <= info.max**0.5)
    if not safe.all():
        rows = np.flatnonzero(~safe)
        out[rows] = unit_rows(X[rows])


@contextmanager
def one_core_each() -> Iterator[None]:
    """Let the BLAS and torch use one core, while several threads call them."""
    torch = sys.modules.get("torch")
    before = torch.get_num_threads() if torch else 0
    with _blas_of_one_thread():
        try:
            if torch:
                torch.set_num_threads(1)  # also of threads that begin now
            yield
        finally:
            if torch:
                torch.set_num_threads(before)


_limiting = threading.Lock()
_limited: list[Any] = []
"""What restores the BLAS, and a place for each call that wants it limited."""


@contextmanager
def _blas_of_one_thread() -> Iterator[None]:
    """Limit the BLAS, which is one for all threads, until the last that asked for it is done."""
    with _limiting:
        _limited.append(None if _limited else _blas().limit(limits=1, user_api="blas"))
    try:
        yield
    finally:
        with _limiting:
            if len(_limited) == 1:
                _limited[0].restore_original_limits()
            _limited.pop()


@functools.cache
def _blas() -> Any:
    import threadpoolctl

    return threadpoolctl.ThreadpoolController()


def _run_torch(X: Any, basis: Any, mean: Any, unit: bool, out: Any, bias: Any = None) -> Any:
    """Fill ``out`` block by block; torch's own passes use every core."""
    norms = _array.empty((X.shape[0],), out)
    rows_of = list(_array.blocks(X.shape[0], X.dtype.itemsize * max(X.shape[1], out.shape[1])))
    work = _Workspace(rows_of[0].stop, X, basis, mean)
    for rows in rows_of:
        _torch_step(X[rows], basis, mean, unit, out[rows], norms[rows], work)
        if bias is not None:
            out[rows].add_(bias)
    return norms


class _Workspace:
    """What one block needs between input and output, allocated once for all blocks."""

    def __init__(self, n_rows: int, X: Array, basis: Array, mean: Array | None) -> None:
        half = basis.dtype != X.dtype  # a bfloat16 basis
        shapes = {
            "centred": (mean is not None, X, X.shape[1]),
            "half": (half, basis, X.shape[1]),
            "product": (half, basis, basis.shape[1]),
        }
        self.buffers = {
            name: _array.empty((n_rows, width), like)
            for name, (needed, like, width) in shapes.items()
            if needed
        }

    def __call__(self, name: str, n_rows: int) -> Any:
        return self.buffers[name][:n_rows]


def _torch_step(
    x: Any, basis: Any, mean: Any, unit: bool, out: Any, norms: Any, work: _Workspace
) -> None:
    import torch

    x = x.detach()
    part = x if mean is None else torch.sub(x, mean, out=work("centred", len(x)))
    torch.linalg.vector_norm(part, dim=1, out=norms)
    if basis.dtype == torch.bfloat16:
        half = work("half", len(x)).copy_(part)
        out.copy_(torch.mm(half, basis, out=work("product", len(x))))
    else:
        torch.mm(part, basis, out=out)
    if unit:
        out.mul_(norms.reciprocal()[:, None])


def _project_bfloat16(
    X: Array, basis: Array, mean: Array | None, unit: bool, out: Array, name: str
) -> Array:
    """Multiply in bfloat16 through torch; NumPy memory is shared, not copied."""
    torch = _validation.require("torch", "torch", "precision='bfloat16'")
    if not (_array.is_torch(X) or _array.is_numpy(X)):
        raise TypeError(
            f"precision='bfloat16' takes NumPy and torch arrays; {name} is a "
            f"{_array.backend_name(X)} array"
        )
    x, b, o = (_array.as_tensor(a) for a in (X, basis, out))
    m = None if mean is None else _array.as_tensor(mean)
    if x.device.type == "cpu" and not bfloat16_is_fast():
        _validation.warn(
            "precision='bfloat16' is slow here: this processor has neither AMX "
            "nor AVX512-BF16; the result is the same"
        )
    with torch.no_grad():
        norms = _run_torch(x, b.to(torch.bfloat16), m, unit, o)
        _repair(x, b, m, unit, o, norms, name)
    return out


def bfloat16_is_fast() -> bool:
    """Tell whether this processor multiplies bfloat16 in hardware."""
    import torch

    flags = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    return any(bool(flags.get(f)) for f in ("avx512_bf16", "amx_bf16", "bf16", "sve_bf16"))


def _project_any(
    X: Array,
    basis: Array,
    mean: Array | None,
    unit: bool,
    out: Array,
    name: str,
    bias: Array | None = None,
) -> Array:
    """The same for any array-API namespace, without in-place operations of a library."""
    _validation.check_finite(X, name)
    for rows in _array.blocks(X.shape[0], 8 * max(X.shape[1], out.shape[1])):
        with np.errstate(all="ignore"):  # array-api-strict computes through NumPy
            out[rows, :] = expression(X[rows, :], basis, mean, unit, bias)
        _validation.check_overflow(out[rows, :], "product", rows.start)
    if unit and len(zero := rows_without_direction(X, mean)):
        _validation.warn_zero_rows(zero, name, mean is not None)
    return out


def _repair(
    X: Array,
    basis: Array,
    mean: Array | None,
    unit: bool,
    out: Array,
    norms: Array,
    name: str,
    bias: Array | None = None,
) -> None:
    """Refuse rows that are not finite; redo those whose norm left the safe range."""
    xp = _array.namespace(out)
    low, high = _safe_range(X, basis, mean, unit, norms)
    safe = (norms >= low) & (norms <= high)  # False for NaN
    if bool(xp.all(safe)):
        return
    unsafe = np.flatnonzero(~_array.to_numpy(safe))
    zero: list[int] = []
    for some in _array.blocks(len(unsafe), 8 * max(X.shape[1], out.shape[1])):
        rows = unsafe[some]
        index = _array.from_numpy(rows, out, keep_dtype=True)
        part = X[index]
        finite = _array.to_numpy(xp.all(xp.isfinite(part), axis=1))
        if not finite.all():
            _validation.check_finite(X, name)
        with np.errstate(all="ignore"):
            result = expression(part, basis, mean, unit, bias)
        if not bool(xp.all(xp.isfinite(result))):
            whole = _array.empty((X.shape[0], 1), norms)
            whole[...] = 0
            whole[index, 0] = xp.max(xp.abs(result), axis=1)
            _validation.check_overflow(whole, "product")
        out[index] = result if result.dtype == out.dtype else _half.converted(result, out.dtype)
        zero += rows[rows_without_direction(part, mean)].tolist() if unit else []
    if zero:
        _validation.warn_zero_rows(np.asarray(zero), name, mean is not None)


def _safe_range(
    X: Array, basis: Array, mean: Array | None, unit: bool, norms: Array
) -> tuple[float, float]:
    """Return the least and the largest norm of a row at which the fast path is exact."""
    xp = _array.namespace(norms)
    info = xp.finfo(norms.dtype)
    largest, root_d = float(info.max), float(X.shape[1]) ** 0.5
    if not unit:
        entry = float(xp.max(xp.abs(basis))) * root_d
        return 0.0, min(largest**0.5, largest / max(entry, 1.0))
    low = (float(info.smallest_normal) / float(info.eps)) ** 0.5
    if mean is not None:
        low = max(low, 2 * root_d * float(_rounding(X, mean)))
    return low, largest**0.5
