"""Numbers in a narrower type, refused where they leave its range."""

from __future__ import annotations

import sys

import numpy as np

from relatum import _validation

INFINITE = 0x7C00
"""The bits of a float16 that is infinite, without its sign."""


def as_dtype(Y: np.ndarray, dtype: np.dtype, first_row: int = 0) -> np.ndarray:
    """Return finite ``Y`` in ``dtype``; messages count rows from ``first_row``."""
    if Y.dtype == dtype:
        return Y
    with np.errstate(over="ignore"):
        out = _half(Y) if dtype == np.float16 else Y.astype(dtype)
    if _left_range(out):
        rows = np.flatnonzero(~np.isfinite(out).all(axis=1)) + first_row
        raise ValueError(
            f"the result leaves the range of {dtype} in {_validation.describe_rows(rows)}; "
            "write a wider type (--dtype float32)"
        )
    return out


def _half(Y: np.ndarray) -> np.ndarray:
    """Convert through torch where it is loaded: ten times as fast as NumPy."""
    torch = sys.modules.get("torch")
    if torch is None or Y.dtype not in (np.float32, np.float64):
        return Y.astype(np.float16)
    out = np.empty(Y.shape, np.float16)
    torch.from_numpy(out).copy_(torch.from_numpy(np.ascontiguousarray(Y)))
    return out


def _left_range(out: np.ndarray) -> bool:
    if out.dtype == np.float16:
        return bool((out.view(np.uint16) & np.uint16(0x7FFF)).max(initial=0) >= INFINITE)
    return not np.isfinite(out).all()
