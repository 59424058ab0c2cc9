"""What is left after a linear map, fitted by kernel ridge regression."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from relatum import _array
from relatum._array import Array
from relatum._linear_maps import solved
from relatum.similarity import polynomial

DEGREE = 3
PENALTY = 0.3
"""Added to the kernel's diagonal, which is 1."""


@dataclass(frozen=True)
class KernelPart:
    """``k(z, anchors) @ coefficients``, z a centred row, k the polynomial kernel."""

    anchors: np.ndarray
    """Centred, (n_anchors, n_features_x)."""
    coefficients: np.ndarray
    """(n_anchors, n_features_y)."""

    def __call__(self, Z: Array) -> Array:
        anchors, coefficients = (_array.from_numpy(a, Z) for a in (self.anchors, self.coefficients))
        return polynomial(Z, anchors, degree=DEGREE) @ coefficients


def kernel_ridge(A: np.ndarray, rest: np.ndarray) -> KernelPart:
    """Fit ``rest`` (n_anchors, n_features_y) on ``A``: ``(K + PENALTY I)^-1 rest``."""
    K = polynomial(A, A, degree=DEGREE)
    return KernelPart(A, solved(K, PENALTY, rest))
