"""Array back ends: namespace, device, dtype and row blocks.

This is the only file that knows ``array_api_compat``. Everything above it
writes array-API code against the namespace that :func:`namespace` returns.
"""

from __future__ import annotations

import os
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import array_api_compat as compat
import numpy as np

Array = Any
"""An array of any array-API namespace (NumPy, torch, array-api-strict, ...)."""

BLOCK_BYTES = 8 * 2**20
"""Working memory of one block. It fits the last-level cache of a small machine."""


def namespace(*arrays: Array) -> Any:
    """Return the array-API namespace that all ``arrays`` share."""
    return compat.array_namespace(*[a for a in arrays if a is not None])


def is_array(x: object) -> bool:
    return bool(compat.is_array_api_obj(x))


def is_numpy(x: object) -> bool:
    return isinstance(x, np.ndarray)


def is_torch(x: object) -> bool:
    return bool(compat.is_torch_array(x))


def backend_name(x: Array) -> str:
    """Name the library of ``x`` for error messages, such as ``numpy`` or ``torch``."""
    return "torch" if is_torch(x) else type(x).__module__.split(".")[0]


def to_numpy(x: Array) -> np.ndarray:
    """Return ``x`` as a NumPy array on the host, without its gradient."""
    if is_torch(x):
        x = x.detach().cpu()
        return np.asarray(x.float() if str(x.dtype) == "torch.bfloat16" else x)
    try:
        return np.asarray(x)
    except (TypeError, RuntimeError, BufferError, ValueError):
        return np.from_dlpack(x)


def from_numpy(values: np.ndarray, like: Array, *, keep_dtype: bool = False) -> Array:
    """Put ``values`` into the namespace, device and (unless kept) dtype of ``like``."""
    if is_numpy(like):
        return values if keep_dtype else values.astype(like.dtype, copy=False)
    xp = namespace(like)
    out = xp.asarray(values, device=compat.device(like))
    return out if keep_dtype else xp.astype(out, like.dtype, copy=False)


def as_tensor(x: Array) -> Any:
    """Return ``x`` as a torch tensor on the same memory, which is only read if it is read-only."""
    import torch

    if is_numpy(x) and min(x.strides, default=0) < 0:
        x = np.ascontiguousarray(x)  # torch has no negative strides
    if is_numpy(x) and not x.flags.writeable:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "The given NumPy array is not writable")
            return torch.as_tensor(x)
    return torch.as_tensor(x)


def astype(x: Array, dtype: Any) -> Array:
    return x if x.dtype == dtype else namespace(x).astype(x, dtype)


def dtype_kind(x: Array) -> str:
    """Return one of bool, integer, half, float, complex, other."""
    if is_numpy(x) and x.dtype.kind not in "biufc":
        return "other"
    xp = namespace(x)
    if xp.isdtype(x.dtype, "bool"):
        return "bool"
    if xp.isdtype(x.dtype, "integral"):
        return "integer"
    if xp.isdtype(x.dtype, "complex floating"):
        return "complex"
    if str(x.dtype).rsplit(".", 1)[-1] in ("float16", "bfloat16"):
        return "half"
    return "float" if xp.isdtype(x.dtype, "real floating") else "other"


def float_dtype(x: Array) -> Any:
    """Return the dtype that results for ``x`` have: its own float, or a wider one.

    Half precision computes in float32; integers in float64, as in NumPy.
    """
    xp = namespace(x)
    return {"half": xp.float32, "integer": xp.float64}.get(dtype_kind(x), x.dtype)


def wide(x: Array) -> Array:
    """Return ``x`` in float64, or in the widest float that its device has."""
    xp = namespace(x)
    if is_torch(x) and x.device.type == "mps":
        return astype(x, xp.float32)
    return astype(x, xp.float64)


def tracks_gradient(*arrays: Array) -> bool:
    """Tell whether the result must stay one differentiable torch expression.

    True while autograd records any of ``arrays`` and while torch compiles.
    """
    torch = sys.modules.get("torch")
    if torch is None:
        return False
    tensors = [a for a in arrays if a is not None and is_torch(a)]
    if not tensors:
        return False
    if torch.compiler.is_compiling():
        return True
    return bool(torch.is_grad_enabled() and any(t.requires_grad for t in tensors))


def constant(x: Array) -> Array:
    """Return ``x`` cut off from the gradient (``x`` itself outside torch)."""
    return x.detach() if is_torch(x) else x


def safe_sqrt(x: Array) -> Array:
    """Return sqrt(max(x, 0)) whose gradient at zero is zero instead of infinite."""
    xp = namespace(x)
    positive = ~(x <= 0)  # True for NaN, which stays NaN
    root = xp.sqrt(xp.where(positive, x, xp.ones_like(x)))
    return xp.where(positive, root, xp.zeros_like(x))


def empty(shape: tuple[int, ...], like: Array, dtype: Any = None) -> Array:
    """Return uninitialised memory of ``like``'s library and device.

    On the processor torch's comes from NumPy, which asks the system for huge pages:
    the first write to a large output then takes far fewer page faults.
    """
    xp = namespace(like)
    dtype = dtype or like.dtype
    if is_torch(like) and like.device.type == "cpu" and dtype in (xp.float32, xp.float64):
        return xp.from_numpy(np.empty(shape, str(dtype).rsplit(".", 1)[-1]))
    return xp.empty(shape, dtype=dtype, device=compat.device(like))


def blocks(n_rows: int, bytes_per_row: int, budget: int | None = None) -> Iterator[slice]:
    """Yield slices that cover ``n_rows`` and hold about ``budget`` bytes each."""
    budget = BLOCK_BYTES if budget is None else budget
    step = max(1, min(n_rows, budget // max(1, bytes_per_row)))
    for start in range(0, n_rows, step):
        yield slice(start, min(start + step, n_rows))


def map_rows(
    function: Callable[[Array], Array],
    X: Array,
    n_columns: int,
    bytes_per_row: int,
    budget: int | None = None,
    out: Array | None = None,
) -> Array:
    """Apply a row-wise ``function`` to ``X`` in blocks, written into one output."""
    if tracks_gradient(X):
        return function(X)
    out = empty((X.shape[0], n_columns), X) if out is None else out
    for rows in blocks(X.shape[0], bytes_per_row, budget):
        out[rows, :] = astype(function(X[rows, :]), out.dtype)
    return out


def segment_mean(X: Array, labels: np.ndarray, n_segments: int) -> Array:
    """Return the mean of the rows of ``X`` that share a label, ``(n_segments, d)``."""
    counts = np.maximum(np.bincount(labels, minlength=n_segments), 1)[:, None]
    xp = namespace(X)
    if is_torch(X):
        index = xp.asarray(labels, device=X.device)
        total = xp.zeros((n_segments, X.shape[1]), dtype=X.dtype, device=X.device)
        return total.index_add(0, index, X) / from_numpy(counts, X)
    from scipy.sparse import csr_array

    member = csr_array(
        (np.ones(len(labels)), (labels, np.arange(len(labels)))), shape=(n_segments, len(labels))
    )
    return from_numpy((member @ to_numpy(X)) / counts, X)


_alone = threading.local()


@contextmanager
def one_thread() -> Iterator[None]:
    """Let what this thread calls use no other threads: several of its kind are at work."""
    _alone.here = True
    try:
        yield
    finally:
        _alone.here = False


def n_threads() -> int:
    """Return how many threads element-wise work may use."""
    if getattr(_alone, "here", False):
        return 1
    limit = os.environ.get("OMP_NUM_THREADS", "")
    if limit.isdigit() and int(limit) > 0:
        return int(limit)
    try:
        return min(8, len(os.sched_getaffinity(0)))
    except AttributeError:  # macOS and Windows have no affinity
        return min(8, os.cpu_count() or 1)
