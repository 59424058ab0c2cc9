"""Translation: one encoder's space into another's, from parallel anchors.

Every method fits in closed form. All but the kernel one end in one matrix and a
bias, so that translating costs one product.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from relatum import _array, _validation
from relatum._anchor_pair import AnchorPair
from relatum._array import Array
from relatum._held_out import CRITERIA, Folds, HeldOut
from relatum._principal_axes import ENOUGH, PrincipalAxes
from relatum._translation_map import TranslationMap, fit_pair, fit_translation, translate
from relatum._translation_methods import METHODS
from relatum._wrong_pairs import wrong_pairs
from relatum.anchors import parallel_test

__all__ = ["METHODS", "Translation", "TranslationMap", "fit_translation", "translate"]

NONE = np.zeros(0, dtype=np.int64)
N_PERMUTATIONS = 50
"""Of the test for anchors that are not parallel."""
AXES = ("axes_x", "axes_y")
LEAST_GAIN = 0.01
"""Of what is left to gain, by which a map must do better than none."""
OTHERS = 50
"""Other rows of each encoder from which ``auto`` tries to match them."""
UNCHANGED = "unchanged"
"""What ``method="auto"`` chooses where no map does better than none."""


class Translation(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Translate embeddings of one encoder into the space of another.

    Parameters
    ----------
    method : str
        One of :data:`METHODS`, or ``auto``: the one that does best on held-out anchors
        by ``criterion``.
    criterion : "retrieval", "cosine" or "accuracy"
        What held-out anchors are scored by: the probability of each among others,
        the mean cosine to what it should be, or the accuracy of a head trained on the
        target's anchors (``fit`` then takes ``labels``).
    rescale : bool
        Regression gives rows that are too short, which puts them too near the mean.
        True restores their mean length, as held-out anchors show it.
    robust : bool
        Leave out anchors that look like other items on the two sides, and name them.
    random_state : int
        Of the parts that anchors are held out in.

    Attributes
    ----------
    method_ : str
    wrong_anchors_ : array of int64
        Rows that were left out by :attr:`robust`.
    scores_ : dict
        The criterion on held-out anchors, for each method that was tried.
    scale_ : float
        What :attr:`rescale` multiplies by.
    forward_, backward_ : TranslationMap
    axes_ : pair of PrincipalAxes or None
        Of what ``fit`` was given beside the anchors.

    Examples
    --------
    >>> import numpy as np, relatum
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(200, 8))
    >>> Y = X @ np.linalg.qr(rng.normal(size=(8, 8)))[0] + 1  # the same space, turned
    >>> translation = relatum.Translation("procrustes").fit(X[:40], Y[:40])
    >>> bool(np.allclose(translation.transform(X), Y))
    True
    """

    def __init__(
        self,
        method: str = "auto",
        *,
        criterion: str = "retrieval",
        rescale: bool = True,
        robust: bool = True,
        random_state: int = 0,
    ) -> None:
        self.method = method
        self.criterion = criterion
        self.rescale = rescale
        self.robust = robust
        self.random_state = random_state

    def fit(
        self,
        X: Array,
        y: Array,
        *,
        labels: Any = None,
        X_background: Array | None = None,
        y_background: Array | None = None,
    ) -> Self:
        """Fit on parallel anchors.

        Parameters
        ----------
        X : array (n_anchors, n_features_x)
        y : array (n_anchors, n_features_y)
            Row i is the same item as row i of ``X``.
        labels : array (n_anchors,), optional
            Classes, for ``criterion="accuracy"``.
        X_background : array (n, n_features_x), optional
        y_background : array (m, n_features_y), optional
            Other rows of each encoder, such as the whole corpus or index; which items are
            in both need not be known. The method ``spectral`` takes principal axes from
            them, without them those of the anchors; ``transport`` matches a thousand of
            each side softly, and goes only with both. They make most of the difference
            below some 500 anchors.

        Raises
        ------
        TypeError, ValueError
            Rows that do not match, fewer than 4, NaN, infinity, anchors that are all the
            same, an unknown method or criterion, ``mean_shift`` between widths that
            differ, ``transport`` without other rows of both encoders. Warns of anchors
            that do not look parallel, of single ones that are other items on the two
            sides, and, with ``auto``, where no map does better than none.
        """
        _validation.check_choice(self.method, "method", ["auto", *METHODS])
        _validation.check_choice(self.criterion, "criterion", CRITERIA)
        X, Y = _validation.check_pair(X, y, "X", "y", min_rows=4)
        if self.criterion == "accuracy" and labels is None:
            raise ValueError("criterion='accuracy' takes labels in fit, one for each anchor")
        if labels is not None and np.shape(labels) != (X.shape[0],):
            raise ValueError(
                f"labels has shape {np.shape(labels)}, X has {X.shape[0]} rows; expected one label "
                "for each row"
            )
        A, B = (_array.to_numpy(M).astype(np.float64) for M in (X, Y))
        for M, name in ((A, "X"), (B, "y")):
            _validation.check_distinct(M, name)
        if len(A) >= 5:
            parallel_test(A, B, n_permutations=N_PERMUTATIONS)
        self.axes_ = (
            self._axes_of(X_background, "X_background", A),
            self._axes_of(y_background, "y_background", B),
        )
        pair, labels = self._without_wrong(AnchorPair(A, B, known_axes=self.axes_), labels)
        self.n_features_in_, self.n_features_out_ = A.shape[1], B.shape[1]
        self.n_anchors_ = len(pair)
        self.method_, self.scores_, self.scale_ = self._choose(pair, labels)
        self.forward_ = self._fit(pair, self.scale_)
        pair = pair.swapped()
        self.backward_ = self._fit(pair, self._scale(Folds(pair, self.random_state)))
        return self

    def _axes_of(self, M: Array | None, name: str, anchors: np.ndarray) -> PrincipalAxes | None:
        if M is None:
            return None
        M = _validation.as_matrix(M, name, min_rows=3)
        side = "X" if name.startswith("X") else "y"
        _validation.check_same_features(M, name, anchors, side)
        # each side in an order of its own: places must not say which rows are the same items
        rng = np.random.default_rng([self.random_state, "Xy".index(side)])
        rows = rng.permutation(M.shape[0])[:ENOUGH]
        part = _validation.as_matrix(_array.to_numpy(M[rows]), name, finite=True)
        if not np.any(part != part[0]):
            raise ValueError(f"{name} has {len(part)} rows that are all the same; expected others")
        # what is predicted from anchors that are held out must not have seen them there
        return PrincipalAxes.of(np.asarray(part, dtype=np.float32)).without(anchors)

    def _without_wrong(self, pair: AnchorPair, labels: Any) -> tuple[AnchorPair, Any]:
        """Leave wrong pairs out, and say which."""
        self.wrong_anchors_ = wrong_pairs(pair, self.random_state) if self.robust else NONE
        if not len(self.wrong_anchors_):
            return pair, labels
        which = _validation.describe_rows(self.wrong_anchors_)
        _validation.warn(
            f"{len(self.wrong_anchors_)} of {len(pair)} anchors do not look like the same item in "
            f"X and y, and are left out ({which} of the anchors); robust=False keeps them"
        )
        right = np.setdiff1d(np.arange(len(pair)), self.wrong_anchors_)
        X, Y = pair.A[right] + pair.mean_a, pair.B[right] + pair.mean_b
        kept = AnchorPair(X, Y, known_axes=pair.known_axes)
        return kept, None if labels is None else np.asarray(labels)[right]

    def _choose(self, pair: AnchorPair, labels: Any) -> tuple[str, dict[str, float], float]:
        """Return the method, every method's score on held-out anchors, and the scale."""
        same_width = self.n_features_in_ == self.n_features_out_
        others = min(0 if a is None or a.sample is None else len(a.sample) for a in self.axes_)
        names = [self.method] if self.method != "auto" else [
            name for name, m in METHODS.items()
            if (same_width or not m.same_width) and (others >= OTHERS or not m.other_rows)
            and len(pair) <= (m.largest or len(pair))
        ]  # fmt: skip
        if METHODS[names[0]].same_width and not same_width:
            raise ValueError(
                f"method={names[0]!r} takes spaces of one width; X has {self.n_features_in_} "
                f"features, y has {self.n_features_out_}"
            )
        held = Folds(pair, self.random_state)
        B, parts = held.B.astype(np.float64), held.parts
        known = None if labels is None else np.asarray(labels)[held.rows]
        scores, scales = {}, {}
        for name in names:
            found = held.mapped(name)
            scales[name] = self._scale_of(name, found, held.B)
            scores[name] = CRITERIA[self.criterion](found.rows(scales[name]), B, parts, known)
        best = max(scores, key=scores.__getitem__)
        if same_width:
            unchanged = held.A.astype(np.float64)
            scores[UNCHANGED] = CRITERIA[self.criterion](unchanged, B, parts, known)
            if self.method == "auto" and scores[best] - scores[UNCHANGED] <= LEAST_GAIN * (
                1 - scores[UNCHANGED]
            ):
                _validation.warn(
                    f"no translation does better on held-out anchors than none ({self.criterion} "
                    f"{scores[best]:.3f}, unchanged {scores[UNCHANGED]:.3f}); rows are left as "
                    "they are"
                )
                return UNCHANGED, scores, 1.0
        return best, scores, scales[best]

    def _scale(self, held: Folds) -> float:
        """Return by what to multiply what the chosen method gives."""
        if self.method_ == UNCHANGED or not self._restores(self.method_):
            return 1.0
        return self._scale_of(self.method_, held.mapped(self.method_), held.B)

    def _restores(self, name: str) -> bool:
        return self.rescale and METHODS[name].shrinks

    def _scale_of(self, name: str, found: HeldOut, B: np.ndarray) -> float:
        return found.length_ratio(B) if self._restores(name) else 1.0

    def _fit(self, pair: AnchorPair, scale: float) -> TranslationMap:
        if self.method_ == UNCHANGED:
            width = pair.A.shape[1]
            return TranslationMap(np.eye(width), np.zeros(width), np.zeros(width))
        return fit_pair(pair, self.method_, scale)

    @property
    def _n_features_out(self) -> int:
        """Return how many names ``get_feature_names_out`` makes."""
        return int(self.n_features_out_)

    def transform(self, X: Array) -> Array:
        """Return ``X`` (n_samples, n_features_x) in the target's space."""
        return self._apply(X, "X", "n_features_in_", "forward_")

    def inverse_transform(self, Y: Array) -> Array:
        """Return ``Y`` (n_samples, n_features_y) in the source's space.

        By a map of the same method that was fitted the other way: the exact inverse of
        an isometry, and the best guess where a map loses something.
        """
        return self._apply(Y, "Y", "n_features_out_", "backward_")

    def _apply(self, X: Array, name: str, of: str, which: str) -> Array:
        check_is_fitted(self)
        width = getattr(self, of)
        X = _validation.as_matrix(X, name)
        if X.shape[1] != width:
            raise ValueError(
                f"{name} has {X.shape[1]} features; this translation was fitted on {width}"
            )
        return translate(X, getattr(self, which))

    def _own_anchors(self, X_anchors: Array, Y_anchors: Array) -> tuple[np.ndarray, np.ndarray]:
        """Return the anchors that this was fitted on, in single precision, less the wrong ones.

        Refuses those of other encoders by their widths.
        """
        check_is_fitted(self)
        widths = (X_anchors.shape[1], Y_anchors.shape[1])
        if (self.n_features_in_, self.n_features_out_) != widths:
            raise ValueError(
                f"X_anchors and Y_anchors have {widths[0]} and {widths[1]} features; the "
                f"translation was fitted on {self.n_features_in_} and {self.n_features_out_}"
            )
        A, B = (_array.to_numpy(M).astype(np.float32) for M in (X_anchors, Y_anchors))
        if len(A) == self.n_anchors_ + len(self.wrong_anchors_):
            A, B = (np.delete(M, self.wrong_anchors_, axis=0) for M in (A, B))
        return A, B

    def _map_without(
        self, A: np.ndarray, B: np.ndarray, part: np.ndarray
    ) -> Callable[[np.ndarray], np.ndarray]:
        """Return a map of the same method and scale that has not seen a part of the anchors."""
        if self.method_ == UNCHANGED:
            return lambda X: X
        kept = np.setdiff1d(np.arange(len(A)), part)
        fitted = fit_translation(
            A[kept], B[kept], method=self.method_, scale=self.scale_, axes=self.axes_
        )
        return lambda X: np.asarray(translate(X, fitted))

    def score(self, X: Array, y: Array) -> float:
        """Return the share of rows of ``X`` whose nearest row of ``y`` is their own, in [0, 1].

        Recall at 1 by cosine, each row searched among all rows of ``y``.
        """
        from relatum.neighbors import nearest

        X, Y = _validation.check_pair(X, y, "X", "y")
        _, found = nearest(self.transform(X), Y, 1)
        return float(np.mean(found[:, 0] == np.arange(len(found))))

    def _to_state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Return tensors and a manifest that :mod:`relatum.artifact` can write."""
        check_is_fitted(self)
        forward, backward = self.forward_, self.backward_
        arrays = forward.to_arrays("forward") | backward.to_arrays("backward")
        for axes, name in zip(self.axes_, AXES, strict=True):
            kept = METHODS[self.method_].other_rows if self.method_ in METHODS else False
            arrays |= {} if axes is None else axes.to_arrays(name, sample=kept)
        return arrays, {
            "parameters": self.get_params(),
            "method": self.method_,
            "scores": self.scores_,
            "scale": self.scale_,
            "chosen": {"forward": dict(forward.chosen), "backward": dict(backward.chosen)},
            "n_anchors": self.n_anchors_,
            "wrong_anchors": self.wrong_anchors_.tolist(),
            "n_features_in": self.n_features_in_,
            "n_features_out": self.n_features_out_,
        }

    @classmethod
    def _from_state(cls, arrays: Mapping[str, np.ndarray], manifest: Mapping[str, Any]) -> Self:
        """Rebuild a fitted translation from what :meth:`_to_state` gave."""
        self = cls(**manifest["parameters"])
        self.method_, self.scale_ = manifest["method"], manifest["scale"]
        self.scores_, self.n_anchors_ = dict(manifest["scores"]), manifest["n_anchors"]
        self.n_features_in_ = manifest["n_features_in"]
        self.n_features_out_ = manifest["n_features_out"]
        self.wrong_anchors_ = np.asarray(manifest["wrong_anchors"], dtype=np.int64)
        self.forward_ = TranslationMap.from_state(arrays, manifest, "forward")
        self.backward_ = TranslationMap.from_state(arrays, manifest, "backward")
        self.axes_ = (
            PrincipalAxes.from_arrays(arrays, AXES[0]), PrincipalAxes.from_arrays(arrays, AXES[1])
        )  # fmt: skip
        return self

    def as_affine(self) -> tuple[np.ndarray, np.ndarray]:
        """Return ``(matrix, bias)`` such that ``transform(X)`` is ``X @ matrix + bias``.

        Raises
        ------
        ValueError
            The method is not affine (``procrustes_kernel``).
        """
        check_is_fitted(self)
        if self.forward_.kernel is not None:
            raise ValueError(
                f"method {self.method_!r} is no affine map; fit another one, such as 'ridge'"
            )
        return self.forward_.matrix, self.forward_.bias
