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
from relatum._soft_pairs import LARGEST, soft_pairs, transport_plan
from relatum.projection import Projection, fit_projection, prepare, project
from relatum.translation import Translation

__all__ = ["CommonSpace"]

RELATIVE: dict[str, Any] = {
    "similarity": ("polynomial", {"degree": 2}),
    "center": True,
    "whiten": 0.1,
}
"""Settings of :func:`relatum.relative_projection`."""
SOFT: dict[str, Any] = {"similarity": ("polynomial", {"degree": 2}), "whiten": 1.0}
"""The same, onto anchors and soft pairs, which are centred already."""
SIDES = ("x", "y")


class CommonSpace(BaseEstimator):
    r"""Bring rows of two encoders into one space, to be searched or compared there.

    A row is :math:`[\sqrt{w}\, r, \sqrt{1 - w}\, t]`: r its relative representation (of a
    polynomial kernel, centred and whitened), t its place in the target's space, into which
    rows of the source are translated; both at unit norm, t less the target's mean. The
    cosine of two rows is the weighted mean of both cosines.

    Where other rows of both encoders are given, a third part is as long as these two
    together: a relative representation onto the anchors and ``soft pairs``. These are rows
    of one side, each beside the mean of the rows of the other that a transport plan takes it
    to; no item needs to be in both.

    Parameters
    ----------
    method : str
        Of the translation: one of :data:`relatum.translation.METHODS`, or ``auto``.
    weight : float
        w, between 0 and 1.
    n_soft : int
        Soft pairs from each side, at most; 0 for none. The space is wider by twice that.
    random_state : int

    Attributes
    ----------
    translation_ : Translation
    n_features_out_ : int
        Width of the space: ``n_anchors + n_features_y``, and with soft pairs
        ``n_anchors + n_soft_pairs`` more.

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
        self,
        method: str = "spectral",
        *,
        weight: float = 2 / 3,
        n_soft: int = 400,
        random_state: int = 0,
    ) -> None:
        self.method = method
        self.weight = weight
        self.n_soft = n_soft
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
            Other rows of each encoder, as :meth:`relatum.Translation.fit` takes them. Of
            each, 2,000 are matched softly.

        Raises
        ------
        TypeError, ValueError
            What :meth:`relatum.Translation.fit` refuses, a weight outside 0 to 1, and a
            negative ``n_soft``.
        """
        if not 0 <= self.weight <= 1:
            raise ValueError(f"weight is {self.weight}; expected a number from 0 to 1")
        _validation.check_integer(self.n_soft, "n_soft", minimum=0)
        translation = Translation(self.method, random_state=self.random_state)
        X, Y = _validation.check_pair(X, y, "X", "y", min_rows=3)
        self.translation_ = translation.fit(
            X, Y, X_background=X_background, y_background=y_background
        )
        A, B = translation._own_anchors(X, Y)
        axes = translation.axes_[1]
        mean = B.mean(axis=0) if axes is None else axes.mean
        self._take(A, B, np.asarray(mean, dtype=np.float32), None)
        if self.n_soft and X_background is not None and y_background is not None:
            soft = self._matched(self._some(X_background), self._some(y_background))
            self._take(A, B, self.mean_y_, soft)
        return self

    def _some(self, rows: Array) -> np.ndarray:
        chosen = np.random.default_rng(self.random_state).permutation(len(rows))[:LARGEST]
        return np.asarray(_array.to_numpy(rows[chosen]), dtype=np.float32)

    def _matched(self, X: np.ndarray, Y: np.ndarray) -> tuple[_Side, _Side]:
        """Return anchors and soft pairs of either side, centred by other rows."""
        scores = self.transform(X) @ self.transform_target(Y).T
        plan = transport_plan(X, Y, self.anchors_x_, self.anchors_y_, scores)
        means = X.mean(axis=0), Y.mean(axis=0)
        x, y = (unit_rows(M - m) for M, m in zip((X, Y), means, strict=True))
        x_soft, y_soft = soft_pairs(plan, x, y, self.n_soft)
        return (
            _Side(np.concatenate([unit_rows(self.anchors_x_ - means[0]), x_soft]), means[0]),
            _Side(np.concatenate([unit_rows(self.anchors_y_ - means[1]), y_soft]), means[1]),
        )

    def _take(
        self, A: np.ndarray, B: np.ndarray, mean: np.ndarray, soft: tuple[_Side, _Side] | None
    ) -> Self:
        self.anchors_x_, self.anchors_y_, self.mean_y_, self._soft = A, B, mean, soft
        self._onto = tuple(fit_projection(anchors, **RELATIVE) for anchors in (A, B))
        self.n_features_in_ = A.shape[1]
        self.n_features_out_ = len(A) + B.shape[1] + (len(soft[0].points) if soft else 0)
        return self

    def transform(self, X: Array) -> np.ndarray:
        """Return rows of the source, (n, n_features_x), in the common space, float32."""
        X = self._checked(X, "X", "anchors_x_")
        translated = _array.to_numpy(self.translation_.transform(X))
        return self._joined(X, translated, 0)

    def transform_target(self, Y: Array) -> np.ndarray:
        """Return rows of the target, (n, n_features_y), in the common space, float32."""
        Y = self._checked(Y, "Y", "anchors_y_")
        return self._joined(Y, Y, 1)

    def _checked(self, M: Array, name: str, anchors: str) -> np.ndarray:
        check_is_fitted(self)
        M = _validation.as_matrix(M, name, finite=True)
        _validation.check_same_features(M, name, getattr(self, anchors), f"the anchors of {name}")
        return np.asarray(_array.to_numpy(M), dtype=np.float32)

    def _joined(self, rows: np.ndarray, translated: np.ndarray, side: int) -> np.ndarray:
        parts = [np.asarray(project(rows, self._onto[side])), translated - self.mean_y_]
        weights = [self.weight, 1 - self.weight]
        if self._soft is not None:
            parts.append(self._soft[side](rows))
            weights = [w / 2 for w in weights] + [0.5]
        return np.hstack(
            [np.float32(np.sqrt(w)) * unit_rows(M) for w, M in zip(weights, parts, strict=True)]
        )

    def _to_state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Return tensors and a manifest that :mod:`relatum.artifact` can write."""
        check_is_fitted(self)
        own, state = self.translation_._to_state()
        arrays = {f"translation.{name}": array for name, array in own.items()}
        arrays |= {name: getattr(self, f"{name}_") for name in ("anchors_x", "anchors_y", "mean_y")}
        for side, name in zip(self._soft or (), SIDES, strict=False):
            arrays |= {f"soft.{name}": side.points, f"soft.mean_{name}": side.mean}
        return arrays, {"parameters": self.get_params(), "translation": state}

    @classmethod
    def _from_state(cls, arrays: Mapping[str, np.ndarray], manifest: Mapping[str, Any]) -> Self:
        """Rebuild a fitted space from what :meth:`_to_state` gave."""
        self = cls(**manifest["parameters"])
        start = "translation."
        own = {k.removeprefix(start): a for k, a in arrays.items() if k.startswith(start)}
        self.translation_ = Translation._from_state(own, manifest["translation"])
        A, B, mean = (np.asarray(arrays[name]) for name in ("anchors_x", "anchors_y", "mean_y"))
        if f"soft.{SIDES[0]}" not in arrays:
            return self._take(A, B, mean, None)
        x, y = (
            _Side(np.asarray(arrays[f"soft.{n}"]), np.asarray(arrays[f"soft.mean_{n}"]))
            for n in SIDES
        )
        return self._take(A, B, mean, (x, y))


class _Side:
    """Anchors and soft pairs of one side, at unit norm about a mean, and the way onto them."""

    def __init__(self, points: np.ndarray, mean: np.ndarray) -> None:
        self.points, self.mean = points, mean
        self._onto: Projection = prepare(points, **SOFT)  # rows may repeat

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        return np.asarray(project(unit_rows(rows - self.mean), self._onto))
