"""What kind of relative space a representation lives in."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Space:
    """What kind of relative space a representation lives in.

    Two encoders' relative representations share a space when every field agrees:
    a head trained in one runs in the other.
    """

    n_anchors: int
    n_outputs: int
    similarity: tuple[str, ...]
    center: bool
    whiten: float | None
    anchor_ids: str | None = None
    """Hash of the anchors' ids in order, where they are known."""

    def differences(self, other: Space) -> list[str]:
        """Name what differs, in words; ids count only where both are known."""
        found: list[str] = []
        for field in ("n_anchors", "similarity", "center", "whiten", "n_outputs", "anchor_ids"):
            mine, theirs = getattr(self, field), getattr(other, field)
            if field == "anchor_ids" and (mine is None or theirs is None):
                continue
            if mine != theirs and not (field == "n_outputs" and found):
                found.append(f"{field} is {_show(mine)} here and {_show(theirs)} there")
        return found


def _show(value: Any) -> str:
    return "+".join(value) if isinstance(value, tuple) else str(value)


def hash_ids(ids: Any) -> str | None:
    """Return a short hash of the anchors' ids in order (None for None)."""
    if ids is None:
        return None
    text = "\n".join(str(i) for i in np.asarray(ids).tolist())
    return hashlib.sha256(text.encode()).hexdigest()[:16]
