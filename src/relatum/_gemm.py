"""``normalise(X - mean) @ basis``: the one product that every folded map is.

Blocks keep the extra memory constant, and the output is written once. The fast
path takes each row's norm in the precision of the data; rows whose squares
overflow or vanish are then done again with a scaled norm.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from relatum import _array, _validation
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


def expression(X: Array, basis: Array, mean: Array | None, unit: bool) -> Array:
    """The product as one differentiable expression: no blocks, no checks."""
    if mean is not None:
        X = X - mean
    return (unit_rows(X) if unit else X) @ basis


def project(X: Array, basis: Array, *, mean: Array | None = None, unit: bool = True,
            out: Array | None = None, bfloat16: bool = False, name: str = "X") -> Array:
    """Return ``normalise(X - mean) @ basis``, checked, in blocks.

    ``X`` (n, d), ``basis`` (d, k) and ``mean`` (d,) share namespace and dtype.
    Raises ValueError with the row numbers where ``X`` is not finite, and warns
    of rows without a direction, whose result is zero.
    """
    if _array.tracks_gradient(X, basis, mean):
        return expression(X, basis, mean, unit)
    if out is None:
        out = _array.empty((X.shape[0], basis.shape[1]), X)
    if bfloat16:
        return _project_bfloat16(X, basis, mean, unit, out, name)
    if _array.is_numpy(X):
        norms = _run(_numpy_step, X, basis, mean, unit, out)
    elif _array.is_torch(X):
        norms = _run(_torch_step, X, basis, mean, unit, out)
    else:
        return _project_any(X, basis, mean, unit, out, name)
    _repair(X, basis, mean, unit, out, norms, name)
    return out


def _run(step: Callable[..., None], X: Array, basis: Array, mean: Array | None, unit: bool,
         out: Array) -> Array:
    """Fill ``out`` block by block; return each row's norm (its sum, if not ``unit``)."""
    norms = _array.empty((X.shape[0],), out)
    rows_of = list(_array.blocks(X.shape[0], X.dtype.itemsize * max(X.shape[1], out.shape[1])))
    scratch = None if mean is None else _array.empty((rows_of[0].stop, X.shape[1]), X)
    with _Threads() as threads:
        for rows in rows_of:
            centred = None if scratch is None else scratch[: rows.stop - rows.start]
            step(X[rows], basis, mean, unit, out[rows], norms[rows], centred, threads)
    return norms


class _Threads:
    """Run an element-wise NumPy pass over slices of a block, one slice a core."""

    def __enter__(self) -> _Threads:
        self.n = _array.n_threads()
        self.executor = ThreadPoolExecutor(self.n) if self.n > 1 else None
        return self

    def __exit__(self, *_: object) -> None:
        if self.executor is not None:
            self.executor.shutdown()

    def over_rows(self, function: Callable[[slice], None], n_rows: int) -> None:
        if self.executor is None or n_rows < 64:
            function(slice(0, n_rows))
        else:
            list(self.executor.map(function, _array.blocks(n_rows, 1, -(-n_rows // self.n))))


def _numpy_step(x: np.ndarray, basis: np.ndarray, mean: np.ndarray | None, unit: bool,
                out: np.ndarray, norms: np.ndarray, centred: np.ndarray | None,
                threads: _Threads) -> None:
    def prepare(rows: slice) -> None:
        part = x[rows]
        with np.errstate(all="ignore"):
            if centred is not None:
                part = np.subtract(part, mean, out=centred[rows])
            if unit:
                np.sqrt(np.vecdot(part, part), out=norms[rows])
            else:
                np.sum(part, axis=1, out=norms[rows])

    def scale(rows: slice) -> None:
        with np.errstate(all="ignore"):
            np.divide(out[rows], norms[rows, None], out=out[rows])

    threads.over_rows(prepare, len(x))
    with np.errstate(all="ignore"):
        np.matmul(x if centred is None else centred, basis, out=out)
    if unit:
        threads.over_rows(scale, len(x))


def _torch_step(x: Any, basis: Any, mean: Any, unit: bool, out: Any, norms: Any,
                centred: Any, _threads: _Threads) -> None:
    import torch

    x = x.detach()
    part = x if centred is None else torch.sub(x, mean, out=centred)
    norms.copy_(torch.linalg.vector_norm(part, dim=1) if unit else part.sum(1))
    if basis.dtype == torch.bfloat16:
        product = torch.mm(part.to(torch.bfloat16), basis)
        torch.mul(product, norms.reciprocal()[:, None] if unit else 1.0, out=out)
        return
    torch.mm(part, basis, out=out)
    if unit:
        out.mul_(norms.reciprocal()[:, None])


def _project_bfloat16(X: Array, basis: Array, mean: Array | None, unit: bool, out: Array,
                      name: str) -> Array:
    """Multiply in bfloat16 through torch; NumPy memory is shared, not copied."""
    torch = _validation.require("torch", "torch", "precision='bfloat16'")
    if not (_array.is_torch(X) or _array.is_numpy(X)):
        raise TypeError(f"precision='bfloat16' takes NumPy and torch arrays; {name} is a "
                        f"{_array.backend_name(X)} array")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")
        tensors = [None if a is None else torch.as_tensor(a) for a in (X, basis, mean, out)]
    x, b, m, o = tensors
    if x.device.type == "cpu" and not bfloat16_is_fast():
        _validation.warn("precision='bfloat16' is slow here: this processor has neither AMX "
                         "nor AVX512-BF16; the result is the same")
    with torch.no_grad():
        norms = _run(_torch_step, x, b.to(torch.bfloat16), m, unit, o)
        _repair(x, b, m, unit, o, norms, name)
    return out


def bfloat16_is_fast() -> bool:
    """Tell whether this processor multiplies bfloat16 in hardware."""
    import torch

    flags = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    return any(bool(flags.get(f)) for f in ("avx512_bf16", "amx_bf16", "bf16", "sve_bf16"))


def _project_any(X: Array, basis: Array, mean: Array | None, unit: bool, out: Array,
                 name: str) -> Array:
    """The same for any array-API namespace, without in-place operations of a library."""
    _validation.check_finite(X, name)
    xp = _array.namespace(X)
    zero: list[int] = []
    for rows in _array.blocks(X.shape[0], 8 * max(X.shape[1], out.shape[1])):
        block = X[rows, :]
        out[rows, :] = expression(block, basis, mean, unit)
        if unit:
            same = xp.all(block == (0 if mean is None else mean), axis=1)
            zero += (np.flatnonzero(_array.to_numpy(same)) + rows.start).tolist()
    if zero:
        _validation.warn_zero_rows(np.asarray(zero), name, mean is not None)
    return out


def _repair(X: Array, basis: Array, mean: Array | None, unit: bool, out: Array, norms: Array,
            name: str) -> None:
    """Refuse rows that are not finite; redo those whose norm left the safe range."""
    xp = _array.namespace(out)
    info = xp.finfo(out.dtype)
    low = (float(info.smallest_normal) / float(info.eps)) ** 0.5 if unit else 0.0
    high = float(info.max) ** 0.5 if unit else float(info.max)
    size = xp.abs(norms)
    safe = (size >= low) & (size <= high)  # False for NaN
    if bool(xp.all(safe)):
        return
    rows = np.flatnonzero(~_array.to_numpy(safe))
    index = _array.from_numpy(rows, out, keep_dtype=True)
    part = X[index]
    finite = _array.to_numpy(xp.all(xp.isfinite(part), axis=1))
    if not finite.all():
        raise ValueError(f"{name} contains NaN or infinity in "
                         f"{_validation.describe_rows(rows[~finite])}; expected finite numbers")
    out[index] = expression(part, basis, mean, unit)
    if unit:
        without = xp.all(part == (0 if mean is None else mean), axis=1)
        zero = rows[_array.to_numpy(without)]
        if len(zero):
            _validation.warn_zero_rows(zero, name, mean is not None)
