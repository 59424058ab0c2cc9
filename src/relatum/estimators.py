"""scikit-learn estimators around the functions; no mathematics of their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from relatum import _array, _validation
from relatum._array import Array
from relatum.anchors import select_anchors
from relatum.projection import Space, fit_projection, inverse_project, project
from relatum.similarity import Spec, as_specs, spec_name
from relatum.stitching import apply_statistics, column_statistics, standardize

__all__ = ["HeadNormalizer", "RelativeProjection"]


class RelativeProjection(TransformerMixin, BaseEstimator):
    """Relative projection as a scikit-learn transformer.

    ``fit`` picks anchors from the rows of X, ``transform`` gives each row's
    similarities to them. The formula is that of
    :func:`relatum.relative_projection`.

    Parameters
    ----------
    n_anchors : int or None
        How many rows of X become anchors; None takes every row of X, in order
        (so ``fit(anchors)`` uses anchors of your own, from outside the data too).
    similarity, center, whiten, precision
        As in :func:`relatum.relative_projection`.
    method : str
        How anchors are chosen; see :func:`relatum.select_anchors`.
        ``stratified`` takes its classes from ``y``.
    random_state : None, int, numpy Generator or RandomState

    Attributes
    ----------
    anchors_ : array (n_anchors, n_features)
    anchor_indices_ : array of int64 (n_anchors,)
        Their rows in the X of ``fit``: take the same rows of another encoder's
        array to get parallel anchors.
    anchor_ids_ : array (n_anchors,)
        Their ids; row numbers where ``fit`` was given none.
    projection_ : relatum.projection.Projection
    space_ : relatum.projection.Space
        What a head must have been trained in to run on this projection's output.

    Examples
    --------
    >>> import numpy as np, relatum
    >>> X = np.random.default_rng(0).normal(size=(100, 8))
    >>> projection = relatum.RelativeProjection(20, center=True, random_state=0)
    >>> projection.fit_transform(X).shape
    (100, 20)
    """

    def __init__(
        self,
        n_anchors: int | None = None,
        *,
        similarity: Spec | Sequence[Spec] = "cosine",
        center: bool = False,
        whiten: float | None = None,
        method: str = "uniform",
        precision: str | None = None,
        random_state: Any = None,
    ) -> None:
        self.n_anchors = n_anchors
        self.similarity = similarity
        self.center = center
        self.whiten = whiten
        self.method = method
        self.precision = precision
        self.random_state = random_state

    def fit(self, X: Array, y: Any = None, *, ids: Any = None) -> Self:
        """Pick the anchors from ``X``.

        Parameters
        ----------
        X : array (n_samples, n_features)
        y : array (n_samples,), optional
            Classes, for ``method="stratified"``.
        ids : sequence (n_samples,), optional
            An id for each row. Two projections whose anchors have the same ids in
            the same order are known to be parallel; others are refused by
            :func:`relatum.stitch`.
        """
        X = self._validated(X, reset=True)
        n = X.shape[0]
        if ids is not None and len(ids) != n:
            raise ValueError(f"ids has {len(ids)} entries, X has {n} rows; expected one each")
        if self.n_anchors is None:
            indices = np.arange(n)
        else:
            indices = _array.to_numpy(
                select_anchors(
                    X,
                    self.n_anchors,
                    method=self.method,
                    random_state=self.random_state,
                    labels=y if self.method == "stratified" else None,
                )
            )
        anchors = X if self.n_anchors is None else X[_array.from_numpy(indices, X, keep_dtype=True)]
        self.anchor_indices_ = indices.astype(np.int64)
        self.anchor_ids_ = indices if ids is None else np.asarray(ids)[indices]
        return self._set_anchors(anchors, None if ids is None else self.anchor_ids_)

    def _set_anchors(self, anchors: Array, known_ids: np.ndarray | None) -> Self:
        self.projection_ = fit_projection(
            anchors,
            similarity=self.similarity,
            center=self.center,
            whiten=self.whiten,
            anchor_ids=known_ids,
        )
        self.anchors_ = anchors
        return self

    def transform(self, X: Array) -> Array:
        """Return the relative representation of ``X``, ``(n_samples, n_outputs)``."""
        check_is_fitted(self)
        return project(self._validated(X, reset=False), self.projection_, precision=self.precision)

    def inverse_transform(self, R: Array) -> Array:
        """Return absolute representations; see :func:`relatum.inverse_relative_projection`."""
        check_is_fitted(self)
        return inverse_project(R, self.projection_)

    @property
    def space_(self) -> Space:
        check_is_fitted(self)
        return self.projection_.space

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Return the anchors' ids; with several similarities, ``similarity:id``."""
        check_is_fitted(self)
        ids = [str(i) for i in self.anchor_ids_]
        specs = as_specs(self.similarity)
        if len(specs) == 1:
            return np.asarray(ids, dtype=object)
        return np.asarray([f"{spec_name(s)}:{i}" for s in specs for i in ids], dtype=object)

    def _validated(self, X: Any, *, reset: bool) -> Array:
        """Check as scikit-learn does; arrays of other libraries as relatum does."""
        if not _array.is_array(X) or _array.is_numpy(X):
            return validate_data(
                self,
                X,
                reset=reset,
                dtype=[np.float64, np.float32],
                ensure_min_samples=2 if reset else 1,
            )
        X = _validation.as_matrix(X, "X", min_rows=2 if reset else 1)
        if reset:
            self.n_features_in_ = X.shape[1]
        return X

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    def _to_state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Return tensors and a manifest that :mod:`relatum.artifact` can write."""
        check_is_fitted(self)
        specs = [_spec_to_json(s) for s in as_specs(self.similarity)]
        seed = self.random_state if isinstance(self.random_state, (int, np.integer)) else None
        arrays = {
            "anchors": np.ascontiguousarray(_array.to_numpy(self.anchors_)),
            "anchor_indices": self.anchor_indices_,
        }
        return arrays, {
            "similarity": specs if isinstance(self.similarity, list) else specs[0],
            "center": bool(self.center),
            "whiten": self.whiten,
            "precision": self.precision,
            "n_anchors": self.n_anchors,
            "method": self.method,
            "random_state": None if seed is None else int(seed),
            "anchor_ids": self.anchor_ids_.tolist(),
            "ids_known": self.space_.anchor_ids is not None,
            "n_features": int(self.n_features_in_),
            "n_outputs": self.space_.n_outputs,
        }

    @classmethod
    def _from_state(cls, arrays: Mapping[str, np.ndarray], manifest: Mapping[str, Any]) -> Self:
        """Rebuild a fitted projection from what :meth:`_to_state` gave."""
        spec = manifest["similarity"]
        several = isinstance(spec, list) and not (len(spec) == 2 and isinstance(spec[1], dict))
        self = cls(
            manifest["n_anchors"],
            similarity=[_spec_from_json(s) for s in spec] if several else _spec_from_json(spec),
            center=manifest["center"],
            whiten=manifest["whiten"],
            method=manifest["method"],
            precision=manifest["precision"],
            random_state=manifest["random_state"],
        )
        self.n_features_in_ = manifest["n_features"]
        self.anchor_indices_ = np.asarray(arrays["anchor_indices"])
        self.anchor_ids_ = np.asarray(manifest["anchor_ids"])
        return self._set_anchors(
            np.asarray(arrays["anchors"]), self.anchor_ids_ if manifest["ids_known"] else None
        )


def _spec_to_json(spec: Spec) -> Any:
    if isinstance(spec, tuple):
        return [spec[0], dict(spec[1])]
    if not isinstance(spec, str):
        raise TypeError(
            f"similarity {spec_name(spec)!r} is a Python function, which cannot be "
            "saved; use a named similarity"
        )
    return spec


def _spec_from_json(spec: Any) -> Spec:
    return spec if isinstance(spec, str) else (spec[0], spec[1])


class HeadNormalizer(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    """Standardise each column of a relative representation ahead of a head.

    ``(r - mean) / sqrt(variance + eps)``, see :func:`relatum.stitching.standardize`.

    Parameters
    ----------
    mode : "inductive" or "transductive"
        ``inductive`` takes mean and variance from the data of ``fit`` (the
        training set, or the anchors' own relative representation).
        ``transductive`` takes them from the very batch that it is given, as the
        paper's code does: it adapts to a new encoder, but one row alone has no
        statistics and is refused.
    eps : float
        Added to the variance.

    Examples
    --------
    >>> import numpy as np
    >>> from relatum.estimators import HeadNormalizer
    >>> R = np.random.default_rng(0).normal(2.0, 3.0, size=(100, 5))
    >>> bool(abs(HeadNormalizer("transductive").fit_transform(R).mean()) < 1e-12)
    True
    """

    def __init__(self, mode: str = "inductive", *, eps: float = 1e-5) -> None:
        self.mode = mode
        self.eps = eps

    def fit(self, X: Array, y: Any = None) -> Self:
        """Keep the statistics of ``X`` (n_samples, n_outputs)."""
        _validation.check_choice(self.mode, "mode", ["inductive", "transductive"])
        _validation.check_nonnegative(self.eps, "eps")
        X = validate_data(self, X, dtype=[np.float64, np.float32])
        self.mean_, self.var_ = column_statistics(X)
        return self

    def transform(self, X: Array) -> Array:
        """Return ``X`` with each column standardised."""
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, dtype=[np.float64, np.float32])
        if self.mode == "transductive":
            return standardize(X, eps=self.eps)
        return apply_statistics(X, self.mean_, self.var_, self.eps)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags
