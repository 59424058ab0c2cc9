"""One space for two encoders: relative representations, and beside them a translation.

A translation errs in other ways than relative representations do, so that items are
found by both where either alone mistakes them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from relatum import _array, _validation
from relatum._array import Array
from relatum._gemm import unit_rows
from relatum.projection import fit_projection, project
from relatum.translation import OTHERS, Translation

__all__ = ["CommonSpace"]

RELATIVE: dict[str, Any] = {
    "similarity": ("polynomial", {"degree": 2}),
    "center": True,
    "whiten": 0.1,
}
"""Settings of :func:`relatum.relative_projection`."""
WEIGHTS = {"transport": 0.4}
"""Of the relative representations, beside a method; 2/3 beside others."""


class CommonSpace(BaseEstimator):
    r"""Bring rows of two encoders into one space, to be searched or compared there.

    A row is :math:`[\sqrt{w}\, r, \sqrt{1 - w}\, t]`: r its relative representation (of a
    polynomial kernel, centred and whitened), t its place in the target's space, into which
    rows of the source are translated; both at unit norm, t less the target's mean. The
    cosine of two rows is the weighted mean of both cosines.

    Parameters
    ----------
    method : str, optional
        Of the translation: one of :data:`relatum.translation.METHODS`, or ``auto``; by
        default ``transport`` where at least 50 other rows of both encoders are given, else
        ``spectral``.
    weight : float, optional
        w, between 0 and 1; by default 0.4 with ``transport``, which is the better part
        where anchors are few, else 2/3.
    random_state : int

    Attributes
    ----------
    translation_ : Translation
    n_features_out_ : int
        Width of the space: ``n_anchors + n_features_y``.

    Examples
    --------
    >>> import numpy as np, relatum
    >>> from relatum.common_space import CommonSpace
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(300, 12))
    >>> Y = X @ np.linalg.qr(rng.normal(size=(12, 12)))[0] + 1
    >>> space = CommonSpace().fit(X[:30], Y[:30], X_background=X, y_background=Y)
    >>> _, found = relatum.search(space.transform(X[30:]), space.transform_target(Y[30:]), 1)
    >>> bool(np.mean(found[:, 0] == np.arange(270)) > 0.95)
    True
    """

    def __init__(
        self, method: str | None = None, *, weight: float | None = None, random_state: int = 0
    ) -> None:
        self.method = method
        self.weight = weight
        self.random_state = random_state

    def fit(
        self,
        X: Array,
        y: Array,
        *,
        X_background: Array | None = None,
        y_background: Array | None = None,
    ) -> Self:
        """Fit on parallel anchors.

        Parameters
        ----------
        X : array (n_anchors, n_features_x)
        y : array (n_anchors, n_features_y)
            Row i is the same item as row i of ``X``.
        X_background, y_background : array (n, n_features), optional
            Other rows of each encoder, as :meth:`relatum.Translation.fit` takes them.

        Raises
        ------
        TypeError, ValueError
            What :meth:`relatum.Translation.fit` refuses, and a weight outside 0 to 1.
        """
        if self.weight is not None and not 0 <= self.weight <= 1:
            raise ValueError(f"weight is {self.weight}; expected a number from 0 to 1")
        X, Y = _validation.check_pair(X, y, "X", "y", min_rows=4)
        others = (
            0 if M is None else _validation.as_matrix(M, name).shape[0] - X.shape[0]
            for M, name in ((X_background, "X_background"), (y_background, "y_background"))
        )  # fmt: skip
        method = self.method or ("transport" if min(others) >= OTHERS else "spectral")
        translation = Translation(method, random_state=self.random_state)
        self.translation_ = translation.fit(
            X, Y, X_background=X_background, y_background=y_background
        )
        A, B = translation._own_anchors(X, Y)
        axes = translation.axes_[1]
        mean = B.mean(axis=0) if axes is None else axes.mean
        return self._take(A, B, np.asarray(mean, dtype=np.float32))

    def _take(self, A: np.ndarray, B: np.ndarray, mean: np.ndarray) -> Self:
        self.anchors_x_, self.anchors_y_, self.mean_y_ = A, B, mean
        self._onto = tuple(fit_projection(anchors, **RELATIVE) for anchors in (A, B))
        self.n_features_in_ = A.shape[1]
        self.n_features_out_ = len(A) + B.shape[1]
        return self

    def transform(self, X: Array) -> np.ndarray:
        """Return rows of the source, (n, n_features_x), in the common space, float32."""
        X = self._checked(X, "X", "anchors_x_")
        translated = _array.to_numpy(self.translation_.transform(X))
        return self._joined(project(X, self._onto[0]), translated)

    def transform_target(self, Y: Array) -> np.ndarray:
        """Return rows of the target, (n, n_features_y), in the common space, float32."""
        Y = self._checked(Y, "Y", "anchors_y_")
        return self._joined(project(Y, self._onto[1]), Y)

    def _checked(self, M: Array, name: str, anchors: str) -> np.ndarray:
        check_is_fitted(self)
        M = _validation.as_matrix(M, name, finite=True)
        _validation.check_same_features(M, name, getattr(self, anchors), f"the anchors of {name}")
        return np.asarray(_array.to_numpy(M), dtype=np.float32)

    def _joined(self, relative: Array, translated: np.ndarray) -> np.ndarray:
        parts = unit_rows(np.asarray(relative)), unit_rows(translated - self.mean_y_)
        w = WEIGHTS.get(self.translation_.method_, 2 / 3) if self.weight is None else self.weight
        weights = np.sqrt([w, 1 - w]).astype(np.float32)
        return np.hstack([r * part for r, part in zip(weights, parts, strict=True)])

    def _to_state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Return tensors and a manifest that :mod:`relatum.artifact` can write."""
        check_is_fitted(self)
        own, state = self.translation_._to_state()
        arrays = {f"translation.{name}": array for name, array in own.items()}
        arrays |= {name: getattr(self, f"{name}_") for name in ("anchors_x", "anchors_y", "mean_y")}
        return arrays, {"parameters": self.get_params(), "translation": state}

    @classmethod
    def _from_state(cls, arrays: Mapping[str, np.ndarray], manifest: Mapping[str, Any]) -> Self:
        """Rebuild a fitted space from what :meth:`_to_state` gave."""
        self = cls(**manifest["parameters"])
        start = "translation."
        own = {k.removeprefix(start): a for k, a in arrays.items() if k.startswith(start)}
        self.translation_ = Translation._from_state(own, manifest["translation"])
        kept = (np.asarray(arrays[name]) for name in ("anchors_x", "anchors_y", "mean_y"))
        return self._take(*kept)
