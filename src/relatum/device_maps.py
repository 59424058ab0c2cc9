"""Functions of rows on a torch device: rows go there and back through pinned memory.

Several threads call such a function, each with a stream of its own, so that the rows of
one are copied while those of another are computed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from relatum import _array, _half, _validation
from relatum._translation_map import TranslationMap, translate
from relatum.projection import Projection, project
from relatum.row_maps import RowMap, projection_of_rows, translation_of_rows

__all__ = ["projection_on_device", "translation_on_device"]


def projection_on_device(
    projection: Projection, device: str, precision: str | None = None
) -> RowMap:
    """Return :func:`relatum.row_maps.projection_of_rows`, computed by torch on a device.

    Parameters
    ----------
    projection : Projection
        Of NumPy anchors, as :func:`relatum.projection.fit_projection` gives it.
    device : str
        What torch calls it, such as ``cuda`` or ``cuda:1``.
    precision : "float64", "float32" or "bfloat16", optional

    Raises
    ------
    MissingExtraError
        torch is not installed.
    ValueError
        A device that torch does not have here.

    Examples
    --------
    >>> import numpy as np
    >>> from relatum.device_maps import projection_on_device
    >>> from relatum.projection import fit_projection
    >>> rows = projection_on_device(fit_projection(np.eye(3)), "cpu")
    >>> rows.function(np.eye(3)[:1])
    array([[1., 0., 0.]])
    """
    like = _tensor_on(device)
    names = ("anchors", "mean", "basis", "whitener")

    def moved(part: Any) -> Any:
        there = {name: _moved(getattr(part, name), like) for name in names}
        return replace(part, **there, pseudo_inverses={})

    on_device = replace(projection, parts=tuple(moved(part) for part in projection.parts))
    rows = projection_of_rows(projection, precision)
    return _on_device(rows, device, lambda X: project(X, on_device, precision=precision))


def translation_on_device(fitted: TranslationMap, device: str) -> RowMap:
    """Return :func:`relatum.row_maps.translation_of_rows`, computed by torch on a device."""
    _tensor_on(device)
    return _on_device(translation_of_rows(fitted), device, lambda X: translate(X, fitted))


def _tensor_on(device: str) -> Any:
    torch = _validation.require("torch", "torch", f"the device {device!r}")
    try:
        return torch.empty(0, dtype=torch.float64, device=device)
    except (RuntimeError, AssertionError, TypeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ValueError(f"device is {device!r}; torch cannot use it here: {reason}") from error


def _moved(values: Any, like: Any) -> Any:
    return None if values is None else _array.from_numpy(values, like)


def _on_device(rows: RowMap, device: str, function: Callable[[Any], Any]) -> RowMap:
    import torch

    cuda = torch.device(device).type == "cuda"

    def into(X: np.ndarray, out: np.ndarray) -> None:
        with torch.no_grad():
            if not cuda:
                _half.convert(function(_there(X, device)).cpu().numpy(), out)
                return
            stream: Any = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
            with torch.cuda.stream(stream):
                result = _half.as_tensor(out)
                Y = function(_there(X, device)).to(result.dtype)
                host = torch.empty(Y.shape, dtype=Y.dtype, pin_memory=True)
                host.copy_(Y, non_blocking=True)
                stream.synchronize()
                result.copy_(host)

    def whole(X: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return np.asarray(function(_there(X, device)).cpu().numpy())

    return replace(
        rows, function=whole, into=into, settings={**rows.settings, "device": device}
    )  # fmt: skip


def _there(X: np.ndarray, device: str) -> Any:
    import torch

    # a copy of what may only be read: to silence torch about it is not safe in threads
    rows = _array.as_tensor(np.require(X, requirements="W"))
    if torch.device(device).type == "cuda":
        return rows.pin_memory().to(device, non_blocking=True)
    return rows.to(device)
