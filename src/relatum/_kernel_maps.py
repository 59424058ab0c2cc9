"""What is left after a linear map, fitted by kernel ridge regression."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from relatum import _array
from relatum._array import Array
from relatum._gemm import unit_rows

DEGREE = 3
PENALTY = 0.3
"""Added to the kernel's diagonal, which is 1."""


@dataclass(frozen=True)
class KernelPart:
    """``k(z, anchors) @ coefficients``, z being a centred row."""

    anchors: np.ndarray
    """Centred, at unit norm, (n_anchors, n_features_x)."""
    coefficients: np.ndarray
    """(n_anchors, n_features_y)."""

    def __call__(self, Z: Array) -> Array:
        anchors, coefficients = (_array.from_numpy(a, Z) for a in (self.anchors, self.coefficients))
        return kernel(unit_rows(Z), anchors) @ coefficients


def kernel(Z: Array, anchors: Array) -> Array:
    """Return ``((1 + cos) / 2)^3`` of unit rows: a kernel, about local."""
    return ((1 + Z @ anchors.T) / 2) ** DEGREE


def kernel_ridge(A: np.ndarray, rest: np.ndarray) -> KernelPart:
    """Fit ``rest`` (n_anchors, n_features_y) on ``A``: ``(K + PENALTY I)^-1 rest``."""
    a = unit_rows(A)
    K = kernel(a, a)
    return KernelPart(a, np.linalg.solve(K + PENALTY * np.eye(len(K), dtype=K.dtype), rest))
