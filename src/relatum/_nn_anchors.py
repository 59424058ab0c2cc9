"""Anchors in a torch buffer: the base of the projection and its inverse."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch

from relatum import _array, _validation
from relatum._space import hash_ids
from relatum.projection import Projection, Space, fit_projection, prepare
from relatum.similarity import Spec, as_specs, spec_name

HALF = (torch.float16, torch.bfloat16)


class Anchored(torch.nn.Module):
    """Anchors in a buffer, and what is prepared from them.

    Only the anchors and the hash of their ids are in ``state_dict``. What is
    prepared from them is kept outside the buffers, so that a change of precision
    prepares it anew from the anchors instead of rounding it.
    """

    anchors: torch.Tensor | None
    anchor_ids_hash: torch.Tensor

    def __init__(
        self,
        anchors: Any,
        similarity: Spec | Sequence[Spec],
        center: bool,
        whiten: float | None,
        anchor_ids: Any,
    ) -> None:
        super().__init__()
        self.similarity = similarity
        self.center = bool(center)
        self.whiten = _validation.check_whiten(whiten)
        self._prepared: dict[torch.dtype, Projection] = {}
        self._seen: Any = None
        if anchors is not None and not _array.is_torch(anchors):
            anchors = torch.as_tensor(_array.to_numpy(_validation.as_matrix(anchors, "anchors")))
        if anchors is not None:
            anchors = _validation.as_matrix(anchors.detach().clone(), "anchors")
        self.register_buffer("anchors", anchors)
        self._set_ids_hash(hash_ids(anchor_ids))
        if anchors is not None:
            self._check_anchors(anchor_ids)
            self._renew()

    def _set_ids_hash(self, text: str | None) -> None:
        # as a tensor, so that it travels with the anchors; all zeros: ids unknown
        code = list(bytes.fromhex(text)) if text else [0] * 8
        self.register_buffer("anchor_ids_hash", torch.tensor(code, dtype=torch.uint8))
        self._ids_hash = text

    def _check_anchors(self, anchor_ids: Any = None) -> None:
        fit_projection(
            self.anchors,
            similarity=self.similarity,
            center=self.center,
            whiten=self.whiten,
            anchor_ids=anchor_ids,
        )

    def _prepare(self, anchors: torch.Tensor) -> Projection:
        return prepare(
            anchors,
            similarity=self.similarity,
            center=self.center,
            whiten=self.whiten,
            ids_hash=self._ids_hash,
        )

    def _renew(self) -> None:
        """Prepare anew from the buffer, outside of any recording of gradients."""
        anchors = self.anchors
        self._prepared = {}
        if anchors is None or anchors.is_meta or not bool(torch.isfinite(anchors).all()):
            return  # nothing to prepare from yet: :meth:`_fixed` says so if it stays so
        with torch.inference_mode(False), torch.no_grad():
            self._keep(self._prepare(anchors), anchors.dtype)
        self._seen = state_of([anchors])

    def _keep(self, projection: Projection, dtype: torch.dtype) -> None:
        """Hold ``projection`` as computed (the widest float) and cast to ``dtype``."""
        widest = projection.parts[0].anchors.dtype
        dtype = torch.float32 if dtype in HALF else dtype
        self._prepared = {widest: projection, dtype: _cast(projection, dtype)}

    def _fixed(self, dtype: torch.dtype | None) -> Projection:
        """Return what was prepared from the buffer, renewed if someone changed it."""
        if not torch.compiler.is_compiling() and self._seen != state_of([self.anchors]):
            self._renew()
        if not self._prepared:
            self._check_anchors()
        return self._held(dtype)

    def _held(self, dtype: torch.dtype | None) -> Projection:
        """Return what is prepared in ``dtype``, else (or for None) in the widest."""
        held = None if dtype is None else self._prepared.get(dtype)
        return next(iter(self._prepared.values())) if held is None else held

    def _apply(self, fn: Callable[..., Any], recurse: bool = True) -> Any:
        module = super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        self._renew()
        return module

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        code = bytes(self.anchor_ids_hash.tolist())
        self._ids_hash = code.hex() if any(code) else None
        if self.anchors is not None and not self.anchors.is_meta:
            self._check_anchors()
        self._renew()

    @property
    def space(self) -> Space:
        """What a head must have been trained in to run on this projection's output."""
        if self._prepared:
            return self._held(None).space
        names = tuple(spec_name(s) for s in as_specs(self.similarity))
        k = self._count_anchors()
        return Space(k, k * len(names), names, self.center, self.whiten, self._ids_hash)

    def _count_anchors(self) -> int:
        assert self.anchors is not None
        return int(self.anchors.shape[0])

    def extra_repr(self) -> str:
        names = "+".join(spec_name(s) for s in as_specs(self.similarity))
        parts = [f"similarity={names}", f"center={self.center}", f"whiten={self.whiten}"]
        if self.anchors is not None:
            parts.insert(0, f"anchors={tuple(self.anchors.shape)}")
        return ", ".join(parts)


def check_input(X: torch.Tensor, name: str, n_columns: int, against: str) -> None:
    if X.ndim != 2:
        raise ValueError(
            f"{name} has {X.ndim} dimension(s), shape {tuple(X.shape)}; expected 2: (rows, "
            f"features); maps are {name}.flatten(1)"
        )
    if X.shape[1] != n_columns:
        raise ValueError(
            f"{name} has {X.shape[1]} features, {against} {n_columns}; expected the same number"
        )


def _cast(projection: Projection, dtype: torch.dtype) -> Projection:
    """Return ``projection`` with its arrays in ``dtype``."""

    def cast(array: Any) -> Any:
        return None if array is None else array.to(dtype)

    parts = tuple(
        replace(
            part,
            anchors=cast(part.anchors),
            mean=cast(part.mean),
            basis=cast(part.basis),
            whitener=cast(part.whitener),
        )
        for part in projection.parts
    )
    return replace(projection, parts=parts)


def state_of(tensors: list[Any]) -> list[tuple[int, int, int]]:
    """Return what changes when a tensor is replaced, moved or written in place."""
    return [
        (id(t), t.data_ptr(), 0 if t.is_inference() else t._version)
        for t in tensors
        if isinstance(t, torch.Tensor)
    ]
