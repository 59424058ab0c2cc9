"""What a stitching experiment starts from: the same data as several encoders see them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class Encoded:
    """What one encoder (or the encoder of one language) gives.

    Attributes
    ----------
    train, test, validation : array (n_samples, n_features)
        Absolute representations; ``validation`` only where there is something to choose.
    y_train, y_test, y_validation : array (n_samples,)
        Class numbers from 0.
    pools : mapping of str to array (n_pool, n_features)
        Items to draw anchors from; row i is the same item for every encoder.
    """

    train: np.ndarray
    y_train: np.ndarray
    test: np.ndarray
    y_test: np.ndarray
    pools: Mapping[str, np.ndarray]
    validation: np.ndarray | None = None
    y_validation: np.ndarray | None = None

    @property
    def width(self) -> int:
        return int(self.train.shape[1])


@dataclass(frozen=True)
class Material:
    """One data set under every encoder, before any head is trained.

    Attributes
    ----------
    encoders : mapping of str to Encoded
        By the name that rows show as ``decoder`` and ``encoder``.
    ordered : bool
        Whether classes are ordered, so that the mean absolute error means something.
    pool_labels : mapping of str to array (n_pool,)
        Classes of a pool's items, for anchors drawn evenly over them.
    """

    encoders: Mapping[str, Encoded]
    n_classes: int
    ordered: bool = False
    pool_labels: Mapping[str, np.ndarray] = field(default_factory=dict)
