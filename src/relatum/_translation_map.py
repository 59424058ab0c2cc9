"""A fitted translation: one matrix and a bias, and a kernel part where there is one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from relatum import _array, _gemm, _validation
from relatum._anchor_pair import AnchorPair, BothAxes
from relatum._array import Array
from relatum._gemm import unit_rows
from relatum._kernel_maps import KernelPart
from relatum._translation_methods import METHODS

_PARTS = ("matrix", "bias", "mean")
_KERNEL_PARTS = ("anchors", "coefficients")
_KEPT = ("spread", "sample")
"""What a map may know of the anchors; earlier releases' maps know less."""
SAMPLE = 128
"""Anchors that a map keeps."""


@dataclass(frozen=True)
class TranslationMap:
    """``x @ matrix + bias``, and what a kernel adds to it.

    Attributes
    ----------
    matrix : array (n_features_x, n_features_y)
    bias : array (n_features_y,)
    kernel : KernelPart or None
        Works on ``x - mean``.
    chosen : dict
        Penalties and ranks that the anchors chose.
    spread : array (n_features_x,) or None
        Standard deviation of the anchors that it was fitted on.
    sample : array (n, n_features_x) or None
        Some of these anchors, at unit norm, to hold other rows against.
    """

    matrix: np.ndarray
    bias: np.ndarray
    mean: np.ndarray
    kernel: KernelPart | None = None
    chosen: Mapping[str, float] = field(default_factory=dict)
    spread: np.ndarray | None = None
    sample: np.ndarray | None = None

    def to_arrays(self, prefix: str) -> dict[str, np.ndarray]:
        """Return the arrays under names that begin with ``prefix``."""
        arrays = {f"{prefix}.{name}": getattr(self, name) for name in _PARTS}
        kept = {f"{prefix}.{name}": getattr(self, name) for name in _KEPT}
        arrays |= {name: array for name, array in kept.items() if array is not None}
        if self.kernel is not None:
            arrays |= {f"{prefix}.{name}": getattr(self.kernel, name) for name in _KERNEL_PARTS}
        return arrays

    @classmethod
    def from_arrays(
        cls, arrays: Mapping[str, np.ndarray], prefix: str, chosen: Mapping[str, float]
    ) -> TranslationMap:
        """Rebuild what :meth:`to_arrays` took apart."""
        matrix, bias, mean = (np.asarray(arrays[f"{prefix}.{name}"]) for name in _PARTS)
        kernel = None
        if f"{prefix}.anchors" in arrays:
            kernel = KernelPart(*(np.asarray(arrays[f"{prefix}.{p}"]) for p in _KERNEL_PARTS))
        spread, sample = (arrays.get(f"{prefix}.{name}") for name in _KEPT)
        return cls(matrix, bias, mean, kernel, dict(chosen), spread, sample)

    @classmethod
    def from_state(
        cls, arrays: Mapping[str, np.ndarray], state: Mapping[str, Any], which: str
    ) -> TranslationMap:
        """Rebuild one map, ``forward`` or ``backward``, of what a translation is kept as."""
        return cls.from_arrays(arrays, which, state["chosen"][which])


def fit_translation(
    X_anchors: Array,
    Y_anchors: Array,
    *,
    method: str = "ridge",
    scale: float = 1.0,
    axes: BothAxes = (None, None),
) -> TranslationMap:
    """Fit one method to parallel anchors: NumPy arrays of one precision.

    Both sides' means are subtracted, the method maps what is left, ``scale`` multiplies
    that, and the target's mean is added. ``axes`` are both encoders' principal axes, where
    more is known of these than the anchors. :class:`relatum.Translation` checks its input
    and chooses method and scale.

    Raises
    ------
    ValueError
        An unknown method.

    Examples
    --------
    >>> import numpy as np
    >>> from relatum.translation import fit_translation, translate
    >>> X = np.random.default_rng(0).normal(size=(50, 8))
    >>> found = fit_translation(X, X[:, ::-1] + 1, method="procrustes")
    >>> bool(np.allclose(translate(X, found), X[:, ::-1] + 1))
    True
    """
    _validation.check_choice(method, "method", METHODS)
    pair = AnchorPair(np.asarray(X_anchors), np.asarray(Y_anchors), known_axes=axes)
    return fit_pair(pair, method, scale)


def fit_pair(pair: AnchorPair, method: str, scale: float = 1.0) -> TranslationMap:
    """Fit one method to anchors that others may have been fitted to before."""
    fitted = METHODS[method].fit(pair)
    matrix = scale * fitted.matrix
    kernel = fitted.kernel
    if kernel is not None:
        kernel = KernelPart(kernel.anchors, scale * kernel.coefficients)
    mean_a, mean_b = fitted.means or (pair.mean_a, pair.mean_b)
    bias = mean_b - mean_a @ matrix
    spread = pair.A.std(axis=0)
    return TranslationMap(matrix, bias, mean_a, kernel, fitted.chosen, spread, _sample(pair))


def _sample(pair: AnchorPair) -> np.ndarray:
    """Return some anchors of X, evenly spaced, at unit norm."""
    rows = np.linspace(0, len(pair) - 1, min(SAMPLE, len(pair))).astype(int)
    return np.asarray(unit_rows(pair.A[rows] + pair.mean_a), dtype=np.float32)


def translate(X: Array, fitted: TranslationMap, *, out: Any = None) -> Array:
    """Return ``X`` (n_samples, n_features_x) in the other space, (n_samples, n_features_y).

    In blocks with one output; differentiable in torch. NumPy arrays may be written to
    ``out``, of any float dtype, where the map has no kernel part.
    """
    matrix, bias = (_array.from_numpy(a, X) for a in (fitted.matrix, fitted.bias))
    out = _gemm.project(X, matrix, unit=False, bias=bias, out=out)
    if fitted.kernel is None:
        return out
    mean, part = _array.from_numpy(fitted.mean, X), fitted.kernel
    if _array.tracks_gradient(X):
        return out + part(X - mean)
    for rows in _array.blocks(X.shape[0], 8 * (X.shape[1] + sum(part.coefficients.shape))):
        out[rows, :] = out[rows, :] + part(X[rows, :] - mean)
    return out
