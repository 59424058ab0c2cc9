"""Numbers in a narrower type, refused where they leave its range; bfloat16 without NumPy's help."""

from __future__ import annotations

import sys

import numpy as np

from relatum import _validation

BFLOAT16 = np.dtype([("bfloat16", "<u2")])
"""The upper half of a float32, which safetensors has as BF16."""
INFINITE = {np.dtype(np.float16): 0x7C00, BFLOAT16: 0x7F80}
"""The bits of an infinite number, without its sign."""


def as_dtype(Y: np.ndarray, dtype: np.dtype, first_row: int = 0) -> np.ndarray:
    """Return finite ``Y`` in ``dtype``; messages count rows from ``first_row``."""
    if Y.dtype == dtype:
        return Y
    with np.errstate(over="ignore"):
        out = _brain(Y) if dtype == BFLOAT16 else _half(Y) if dtype == np.float16 else None
        out = Y.astype(dtype) if out is None else out
    if _left_range(out):
        rows = np.flatnonzero(~np.isfinite(widened(out)).all(axis=1)) + first_row
        raise ValueError(
            f"the result leaves the range of {dtype_name(dtype)} in "
            f"{_validation.describe_rows(rows)}; "
            "write a wider type (--dtype float32)"
        )
    return out


def _half(Y: np.ndarray) -> np.ndarray:
    out = _through_torch(Y, "float16", np.dtype(np.float16))
    return Y.astype(np.float16) if out is None else out


def _through_torch(Y: np.ndarray, name: str, dtype: np.dtype) -> np.ndarray | None:
    """Convert through torch where it is loaded: ten times as fast as NumPy."""
    torch = sys.modules.get("torch")
    if torch is None or Y.dtype not in (np.float32, np.float64):
        return None
    out = np.empty(Y.shape, np.int16)
    half = torch.from_numpy(out).view(getattr(torch, name))
    half.copy_(torch.from_numpy(np.ascontiguousarray(Y)))
    return out.view(dtype)


def _brain(Y: np.ndarray) -> np.ndarray:
    """Round to the nearest number of 8 significant bits, to an even one between two."""
    if (out := _through_torch(Y, "bfloat16", BFLOAT16)) is not None:
        return out
    bits = np.ascontiguousarray(Y, dtype=np.float32).view(np.uint32)
    rounded = (bits + (np.uint32(0x7FFF) + ((bits >> 16) & np.uint32(1)))) >> 16
    return rounded.astype(np.uint16).view(BFLOAT16)


def widened(X: np.ndarray) -> np.ndarray:
    """Return bfloat16 as float32, and anything else as it is."""
    if X.dtype != BFLOAT16:
        return X
    bits = X.view(np.uint16).astype(np.uint32)
    return (bits << 16).view(np.float32)


def dtype_name(dtype: np.dtype) -> str:
    return "bfloat16" if dtype == BFLOAT16 else str(dtype)


def _left_range(out: np.ndarray) -> bool:
    if out.dtype in INFINITE:
        bits = out.view(np.uint16) & np.uint16(0x7FFF)
        return bool(bits.max(initial=0) >= INFINITE[out.dtype])
    return not np.isfinite(out).all()
