"""Numbers in a narrower type, refused where they leave its range; bfloat16 without NumPy's help."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from relatum import _array, _validation

BFLOAT16 = np.dtype([("bfloat16", "<u2")])
"""The upper half of a float32, which safetensors has as BF16."""
INFINITE = {np.dtype(np.float16): 0x7C00, BFLOAT16: 0x7F80}
"""The bits of an infinite number, without its sign."""


def as_dtype(Y: np.ndarray, dtype: np.dtype, first_row: int = 0) -> np.ndarray:
    """Return finite ``Y`` in ``dtype``; messages count rows from ``first_row``."""
    if Y.dtype == dtype:
        return Y
    out = converted(Y, dtype)
    check_range(out, first_row)
    return out


def check_range(out: np.ndarray, first_row: int = 0) -> None:
    """Refuse numbers that left the range of their type when they were converted."""
    if _left_range(out):
        rows = np.flatnonzero(~np.isfinite(widened(out)).all(axis=1)) + first_row
        raise ValueError(
            f"the result leaves the range of {dtype_name(out.dtype)} in "
            f"{_validation.describe_rows(rows)}; write a wider type (--dtype float32)"
        )


def converted(Y: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Return ``Y`` in ``dtype``, infinite where that cannot hold it."""
    out = np.empty(Y.shape, dtype)
    convert(Y, out)
    return out


def convert(Y: np.ndarray, out: np.ndarray) -> None:
    """Write ``Y`` to ``out``: in half precision through torch where that is loaded.

    It takes a tenth of NumPy's time.
    """
    name = dtype_name(out.dtype)
    torch = sys.modules.get("torch") if name in ("float16", "bfloat16") else None
    if torch is not None and Y.dtype in (np.float32, np.float64):
        as_tensor(out).copy_(_array.as_tensor(np.require(Y, requirements="W")))
        return
    with np.errstate(over="ignore"):
        out[...] = _brain(Y) if name == "bfloat16" else Y


def as_tensor(out: np.ndarray) -> Any:
    """Return a torch tensor on the same memory, in bfloat16 too."""
    if out.dtype == BFLOAT16:
        import torch

        return torch.from_numpy(out.view(np.int16)).view(torch.bfloat16)
    return _array.as_tensor(out)


def _brain(Y: np.ndarray) -> np.ndarray:
    """Round to the nearest number of 8 significant bits, to an even one between two."""
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
