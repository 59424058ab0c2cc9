"""What the commands around a translation do where there is one space for both encoders."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from relatum import artifact
from relatum._translation_methods import METHODS
from relatum._validation import check_choice
from relatum.common_space import CommonSpace
from relatum.row_maps import RowMap, digest
from relatum.translation import Translation

METHOD = "common-space"
"""What ``relatum fit --method`` calls it."""

Fitted = Translation | CommonSpace


def fit(
    X: np.ndarray, Y: np.ndarray, x: np.ndarray, y: np.ndarray, *, method: str, random_state: int,
    **settings: Any,
) -> Fitted:  # fmt: skip
    """Fit a translation, or a common space where that is the method."""
    check_choice(method, "--method", ["auto", *METHODS, METHOD])
    if method != METHOD:
        translation = Translation(method=method, random_state=random_state, **settings)
        return translation.fit(X, Y, X_background=x, y_background=y)
    return CommonSpace(random_state=random_state).fit(X, Y, X_background=x, y_background=y)


def load(path: str) -> Fitted:
    """Read what ``relatum fit`` wrote."""
    found = artifact.load(path)
    if not isinstance(found, (Translation, CommonSpace)):
        raise TypeError(
            f"{path} holds a {type(found).__name__}; expected a translation, as relatum fit writes"
        )
    return found


def about(found: Fitted) -> dict[str, Any]:
    """Say what was fitted, on how many anchors, and between which widths."""
    if isinstance(found, Translation):
        return {"method": found.method_, "n_anchors": found.n_anchors_,
                "n_features": found.n_features_in_, "n_outputs": found.n_features_out_}  # fmt: skip
    return {"method": METHOD, "n_anchors": len(found.anchors_x_),
            "n_features": found.n_features_in_, "n_outputs": found.n_features_out_}  # fmt: skip


def widths(found: Fitted) -> tuple[int, int]:
    """Return the features of the source and of the target."""
    if isinstance(found, Translation):
        return found.n_features_in_, found.n_features_out_
    return found.n_features_in_, found.anchors_y_.shape[1]


def rows_into(found: CommonSpace, path: str, *, target: bool) -> RowMap:
    """Return the way of one side into a common space as a function of rows."""
    place = found.transform_target if target else found.transform
    return RowMap(
        place, widths(found)[target], found.n_features_out_,
        {"space": digest(np.frombuffer(Path(path).read_bytes(), np.uint8)), "target": target},
        dtype="float32", centred=True,
    )  # fmt: skip
