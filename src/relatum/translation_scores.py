"""How good a translation is on items that it was not fitted on."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from relatum import _array, _validation
from relatum._array import Array
from relatum.alignment import cosines, row_values
from relatum.common_space import CommonSpace
from relatum.neighborhoods import overlaps
from relatum.neighbors import nearest
from relatum.retrieval import hubness_penalty, search
from relatum.translation import Translation

__all__ = ["RetrievalQuality", "TranslationScores", "retrieval_quality", "translation_scores"]


@dataclass(frozen=True)
class RetrievalQuality:
    """How well rows find their own item in the target's space, each in [0, 1]."""

    recall_1: float
    """Share of items that find themselves first."""
    recall_k: float
    """Share that find themselves among the first k."""
    overlap_k: float
    """Share of the k nearest others that are those of the item's own target row."""
    cosine: float
    """Mean cosine of a row with its item's target row, both less the target's mean."""


@dataclass(frozen=True)
class TranslationScores:
    """A translation held against the target's own rows."""

    translated: RetrievalQuality
    corrected: RetrievalQuality
    """With the correction for hubs."""
    unchanged: RetrievalQuality | None
    """Rows as they came; None where the widths differ."""
    method: str
    correction: str
    k: int
    n_items: int

    def __str__(self) -> str:
        """Return a table."""
        rows = {"translated": self.translated, f"the same, {self.correction}": self.corrected}
        if self.unchanged is not None:
            rows["unchanged"] = self.unchanged
        width = max(map(len, rows))
        names = ("R@1", f"R@{self.k}", f"overlap@{self.k}", "cosine")
        lines = ["  ".join([" " * width, *(f"{name:>10}" for name in names)])]
        for name, q in rows.items():
            values = (q.recall_1, q.recall_k, q.overlap_k, q.cosine)
            lines.append("  ".join([name.ljust(width), *(f"{v:>10.3f}" for v in values)]))
        return "\n".join([*lines, f"method {self.method}; {self.n_items} items, each searched "
                                  "among all of them"])  # fmt: skip

    def to_dict(self) -> dict[str, Any]:
        """Return plain dicts and numbers, ready for JSON."""
        return asdict(self)


def retrieval_quality(
    rows: Array,
    target: Array,
    k: int = 10,
    *,
    penalty: np.ndarray | None = None,
    native: Array | None = None,
) -> RetrievalQuality:
    """Score rows in a common space by what they find there.

    Parameters
    ----------
    rows : array (n_items, n_features)
        Translated rows, or relative representations: each searches ``target``.
    target : array (n_index, n_features)
        Row i is the same item as row i of ``rows``; more rows may follow.
    k : int
        Less than ``n_index - 1``.
    penalty : array (n_index,), optional
        See :func:`relatum.hubness_penalty`.
    native : array (n_index, any width), optional
        Rows whose own neighbours ``overlap_k`` is held against: the target encoder's, where
        ``target`` is a relative space. By default ``target``.

    Raises
    ------
    TypeError, ValueError
        Rows or features that do not match, NaN, infinity, a ``k`` that is too large.

    Examples
    --------
    >>> import numpy as np
    >>> from relatum.translation_scores import retrieval_quality
    >>> X = np.random.default_rng(0).normal(size=(50, 8))
    >>> retrieval_quality(X, X, 5).overlap_k
    1.0
    """
    rows, target = (
        _array.to_numpy(_validation.as_matrix(M, name, min_rows=least, finite=True))
        for M, name, least in ((rows, "rows", 1), (target, "target", 3))
    )
    _validation.check_same_features(rows, "rows", target, "target")
    if len(rows) > len(target):
        raise ValueError(f"rows has {len(rows)} rows, target has {len(target)}; expected no more")
    k = _validation.check_integer(
        k, "k", maximum=len(target) - 2, maximum_is="one less than others"
    )
    own = target if native is None else _validation.as_matrix(native, "native", finite=True)
    if own.shape[0] != len(target):
        raise ValueError(f"native has {own.shape[0]} rows, target has {len(target)}")
    found = nearest(own, own, k, exclude_self=True)[1][: len(rows)]
    return _quality(rows, target, found, k, penalty)


def translation_scores(
    translation: Translation | CommonSpace, X: Array, Y: Array, *, k: int = 10,
    correction: str = "softmax",
) -> TranslationScores:  # fmt: skip
    """Score a translation on held-out items that both encoders have embedded.

    Parameters
    ----------
    translation : Translation or CommonSpace
        Fitted. Of a common space both sides are brought there; the neighbours are those of
        the target itself.
    X : array (n_items, n_features_x)
    Y : array (n_items, n_features_y)
        Row i is the same item as row i of ``X``; also the index that is searched.
    k : int
        Less than ``n_items``.
    correction : "softmax" or "csls"
        See :func:`relatum.hubness_penalty`.

    Raises
    ------
    TypeError, ValueError
        Rows or features that do not match, NaN, infinity, a ``k`` that is too large.

    Examples
    --------
    >>> import numpy as np, relatum
    >>> from relatum.translation_scores import translation_scores
    >>> X = np.random.default_rng(0).normal(size=(80, 8))
    >>> translation = relatum.Translation("procrustes").fit(X[:30], X[:30, ::-1])
    >>> translation_scores(translation, X[30:], X[30:, ::-1]).translated.recall_1
    1.0
    """
    X, Y = _validation.check_pair(X, Y, min_rows=3)
    k = _validation.check_integer(k, "k", maximum=X.shape[0] - 2, maximum_is="one less than others")
    native = _array.to_numpy(Y)
    translated = _array.to_numpy(translation.transform(X))
    target = translation.transform_target(Y) if isinstance(translation, CommonSpace) else native
    penalty = hubness_penalty(target, translated, correction=correction)
    same_width = X.shape[1] == Y.shape[1]
    own = nearest(native, native, k, exclude_self=True)[1]
    return TranslationScores(
        _quality(translated, target, own, k, None),
        _quality(translated, target, own, k, penalty),
        _quality(_array.to_numpy(X), native, own, k, None) if same_width else None,
        "common-space" if isinstance(translation, CommonSpace) else translation.method_,
        correction,
        k,
        len(target),
    )


def _quality(
    rows: np.ndarray, target: np.ndarray, own: np.ndarray, k: int, penalty: np.ndarray | None
) -> RetrievalQuality:
    found = search(rows, target, k + 1, penalty=penalty)[1]
    itself = found == np.arange(len(found))[:, None]
    others = _without(found, itself)
    mean = target.mean(axis=0)
    return RetrievalQuality(
        float(itself[:, 0].mean()),
        float(itself[:, :k].any(axis=1).mean()),
        float(np.mean(overlaps(others, own)) / k),
        float(row_values(cosines, rows - mean, target[: len(rows)] - mean).mean()),
    )


def _without(found: np.ndarray, itself: np.ndarray) -> np.ndarray:
    """Drop each row's own item; where it was not found, the last one."""
    drop = itself.copy()
    drop[~itself.any(axis=1), -1] = True
    return np.asarray(found[~drop]).reshape(len(found), found.shape[1] - 1)
