"""The principal axes of a set of rows at unit norm, the strongest first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from relatum._gemm import unit_rows

_PARTS = ("mean", "axes", "strengths")
SAMPLE = 1000
"""Rows that are kept beside the axes, at even distances."""
SAME = 1e-5
"""Rows whose cosine is so near to 1 are one."""
ENOUGH = 20_000
"""Rows that axes are taken from; of more, so many at random."""


@dataclass(frozen=True)
class PrincipalAxes:
    """Where the rows of one encoder lie, and along which directions they spread.

    Attributes
    ----------
    mean : array (n_features,)
    axes : array (n_features, n_axes)
        Orthonormal columns.
    strengths : array (n_axes,)
        Root mean square of the coordinates, falling.
    sample : array (n, n_features) or None
        Some of the rows, at unit norm about the mean.
    """

    mean: np.ndarray
    axes: np.ndarray
    strengths: np.ndarray
    sample: np.ndarray | None = None

    @classmethod
    def of(cls, rows: np.ndarray, largest: int | None = None) -> PrincipalAxes:
        """Take the axes of rows that are centred and scaled to unit norm, at most ``largest``."""
        mean = rows.mean(axis=0)
        z = unit_rows(rows - mean)
        w, V = np.linalg.eigh(z.T.astype(np.float64) @ z / len(z))
        n = min(z.shape[1], len(z) - 1, largest or z.shape[1])
        order = np.argsort(-w)[:n]
        order = order[w[order] > w[order[0]] * np.finfo(np.float32).eps]
        kept = np.linspace(0, len(z) - 1, min(SAMPLE, len(z))).astype(int)
        return cls(mean, V[:, order].astype(rows.dtype), np.sqrt(w[order]), z[kept])

    def without(self, rows: np.ndarray) -> PrincipalAxes:
        """Return the same axes with a sample that has none of some rows in it."""
        if self.sample is None:
            return self
        z = unit_rows(rows - self.mean).astype(self.sample.dtype)
        kept = np.max(self.sample @ z.T, axis=1) < 1 - SAME
        return replace(self, sample=self.sample[kept])

    def to_arrays(self, prefix: str, *, sample: bool = False) -> dict[str, np.ndarray]:
        """Return the arrays under names that begin with ``prefix``; the sample if asked for."""
        arrays = {f"{prefix}.{name}": np.asarray(getattr(self, name)) for name in _PARTS}
        if sample and self.sample is not None:
            arrays[f"{prefix}.sample"] = self.sample
        return arrays

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray], prefix: str) -> PrincipalAxes | None:
        """Rebuild what :meth:`to_arrays` took apart; None where there is nothing."""
        if f"{prefix}.mean" not in arrays:
            return None
        mean, axes, strengths = (np.asarray(arrays[f"{prefix}.{name}"]) for name in _PARTS)
        return cls(mean, axes, strengths, arrays.get(f"{prefix}.sample"))

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        """Return the coordinates of rows, centred and at unit norm."""
        return np.asarray(unit_rows(rows - self.mean) @ self.axes)
