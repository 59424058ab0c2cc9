"""What a head keeps of its quality when it runs on another encoder.

Section 5 of Moschella et al. (ICLR 2023): train on one encoder's relative space,
predict from another's, and hold the score against the native one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from relatum import _validation
from relatum.anchors import parallel_test
from relatum.estimators import HeadNormalizer, RelativeProjection
from relatum.similarity import Spec
from relatum.stitching import bind, stitch

__all__ = ["HEADS", "NORMALIZERS", "Score", "StitchScores", "stitch_scores"]

NORMALIZERS = ("none", "inductive", "transductive")
N_FOLDS = 5


def _ridge(R: np.ndarray) -> Any:
    """Ridge whose penalty is the total variance of its input: scale decides nothing."""
    from sklearn.linear_model import RidgeClassifier

    return RidgeClassifier(alpha=float(max(np.var(R, axis=0).sum(), np.finfo(float).tiny)))


def _logistic(R: np.ndarray) -> Any:
    """Logistic regression whose penalty goes with the variance of its input."""
    from sklearn.linear_model import LogisticRegression

    mean_variance = max(float(np.var(R, axis=0).mean()), float(np.finfo(float).tiny))
    return LogisticRegression(C=1 / mean_variance, max_iter=1000)


HEADS: dict[str, Callable[[np.ndarray], Any]] = {"ridge": _ridge, "logistic": _logistic}


@dataclass(frozen=True)
class Score:
    """Quality of predicted labels, in [0, 1]; higher is better."""

    weighted_f1: float
    accuracy: float


@dataclass(frozen=True)
class StitchScores:
    """One head on its own encoder and on another one."""

    native: Score
    stitched: Score
    absolute: Score | None
    """A head on absolute representations; None where the encoders' widths differ."""
    chance: Score
    """Always the most frequent class of the training set."""
    retention: float
    """Weighted F1 stitched over native."""
    native_on: str
    """What the native score was measured on."""
    n_train: int
    n_test: int
    n_anchors: int
    n_classes: int
    anchors_parallel: bool | None
    """Whether the two anchor sets look parallel; None where they are too few to tell."""

    def __str__(self) -> str:
        """Return a table of the scores, and retention."""
        rows = {"native": self.native, "stitched": self.stitched, "absolute": self.absolute,
                "chance": self.chance}  # fmt: skip
        lines = [f"{'':8}  weighted F1  accuracy"]
        for name, score in rows.items():
            f1, accuracy = ("n/a", "n/a") if score is None else (
                f"{score.weighted_f1:.3f}", f"{score.accuracy:.3f}")  # fmt: skip
            lines.append(f"{name:8}  {f1:>11}  {accuracy:>8}")
        return "\n".join([
            *lines, f"retention {self.retention:.3f} (weighted F1, stitched over native)",
            f"native on {self.native_on}; {self.n_train} training and {self.n_test} test items, "
            f"{self.n_anchors} anchors, {self.n_classes} classes",
        ])  # fmt: skip

    def to_dict(self) -> dict[str, Any]:
        """Return plain dicts and numbers, ready for JSON."""
        return asdict(self)


def stitch_scores(
    train_x: Any,
    train_y: Any,
    test_x: Any,
    test_y: Any,
    anchors_train: Any,
    anchors_test: Any,
    *,
    native_x: Any = None,
    head: str = "ridge",
    normalize: str = "none",
    similarity: Spec | Sequence[Spec] = "cosine",
    center: bool = False,
    whiten: float | None = None,
    random_state: Any = 0,
) -> StitchScores:
    """Train a head on one encoder's relative space and score it on another's.

    Parameters
    ----------
    train_x, train_y : array (n_train, n_features), array (n_train,)
        Absolute representations of the encoder that the head is trained on; labels.
    test_x, test_y : array (n_test, m_features), array (n_test,)
        Of the other encoder, which the head has never seen; only scored on.
    anchors_train, anchors_test : array (n_anchors, n_features), (n_anchors, m_features)
        Parallel anchors: row i is the same item in both encoders.
    native_x : array (n_test, n_features), optional
        The test items in the training encoder. Without it the native score is that
        of a cross-validation on the training set.
    head : "ridge" or "logistic"
        Both are penalised in proportion to the variance of their input.
    normalize : "none", "inductive" or "transductive"
        Standardise ahead of the head; see :class:`relatum.HeadNormalizer`.
    similarity, center, whiten
        As in :func:`relatum.relative_projection`.
    random_state : int or None
        Of the folds of the cross-validation.

    Raises
    ------
    TypeError, ValueError
        Rows, features or labels that do not match, a single class, and all that
        :func:`relatum.relative_projection` refuses. Warns of anchors that do not
        look parallel and of classes that the training set lacks.

    References
    ----------
    Moschella et al., *Relative representations enable zero-shot latent space
    communication*, ICLR 2023, section 5.

    Examples
    --------
    >>> import numpy as np
    >>> from relatum.retention import stitch_scores
    >>> rng = np.random.default_rng(0)
    >>> A = rng.normal(size=(300, 8)); y = (A[:, 0] > 0).astype(int)
    >>> Q, _ = np.linalg.qr(rng.normal(size=(8, 8)))
    >>> B = A @ Q  # the same items in another encoder
    >>> scores = stitch_scores(A[:200], y[:200], B[200:], y[200:], A[:20], B[:20],
    ...                        native_x=A[200:])
    >>> round(scores.retention, 6)
    1.0
    """
    _validation.check_choice(head, "head", HEADS)
    _validation.check_choice(normalize, "normalize", NORMALIZERS)
    train_x, train_y = _with_labels(train_x, train_y, "train")
    test_x, test_y = _with_labels(test_x, test_y, "test")
    parallel = _check_anchors(anchors_train, anchors_test)
    _check_classes(train_y, test_y)
    own, other = (
        RelativeProjection(similarity=similarity, center=center, whiten=whiten).fit(anchors)
        for anchors in (anchors_train, anchors_test)
    )
    R = own.transform(train_x)
    model = bind(_fit(R, train_y, head, normalize), own)
    stitched = _score(test_y, stitch(None, other, model).predict(test_x))
    if native_x is not None:
        native_x = np.asarray(_validation.as_matrix(native_x, "native_x"))
        _validation.check_same_rows(native_x, "native_x", test_x, "test_x")
        native = _score(test_y, stitch(None, own, model).predict(native_x))
    else:
        native = _score(train_y, _cross_validated(R, train_y, head, normalize, random_state))
    return StitchScores(
        native=native,
        stitched=stitched,
        absolute=_absolute(train_x, train_y, test_x, test_y, head, normalize),
        chance=_score(test_y, np.full(len(test_y), _most_frequent(train_y))),
        retention=stitched.weighted_f1 / native.weighted_f1 if native.weighted_f1 else 0.0,
        native_on="the test items in the training encoder" if native_x is not None
        else f"{N_FOLDS}-fold cross-validation on the training set",
        n_train=len(train_x), n_test=len(test_x), n_anchors=len(own.anchors_),
        n_classes=len(np.unique(train_y)), anchors_parallel=parallel,
    )  # fmt: skip


def _with_labels(X: Any, y: Any, name: str) -> tuple[np.ndarray, np.ndarray]:
    X = np.asarray(_validation.as_matrix(X, f"{name}_x"))
    y = np.asarray(y)
    if y.shape != (len(X),):
        raise ValueError(
            f"{name}_y has shape {y.shape}, {name}_x has {len(X)} rows; expected one label for "
            "each row"
        )
    return X, y


def _check_anchors(anchors_train: Any, anchors_test: Any) -> bool | None:
    """Say (and warn) whether row i of both sets looks like the same item."""
    A = _validation.as_matrix(anchors_train, "anchors_train", finite=True)
    B = _validation.as_matrix(anchors_test, "anchors_test", finite=True)
    _validation.check_same_rows(A, "anchors_train", B, "anchors_test")
    return parallel_test(A, B).parallel if len(A) >= 5 else None


def _check_classes(train_y: np.ndarray, test_y: np.ndarray) -> None:
    known, asked = np.unique(train_y), np.unique(test_y)
    if len(known) < 2:
        raise ValueError(f"train_y has one class, {known[0]}; expected at least 2")
    new = asked[~np.isin(asked, known)]
    if len(new) == len(asked):
        raise ValueError(
            f"test_y and train_y have no class in common: {_some(asked)} and {_some(known)}"
        )
    if len(new):
        _validation.warn(f"test_y has classes that train_y lacks, which the head cannot predict: "
                         f"{_some(new)}")  # fmt: skip


def _some(values: np.ndarray) -> str:
    return ", ".join(str(v) for v in values[:5].tolist()) + (", ..." if len(values) > 5 else "")


def _fit(R: np.ndarray, y: np.ndarray, head: str, normalize: str) -> Any:
    from sklearn.pipeline import make_pipeline

    if normalize == "none":
        return HEADS[head](R).fit(R, y)
    normalizer = HeadNormalizer(normalize).fit(R)
    return make_pipeline(normalizer, HEADS[head](normalizer.transform(R))).fit(R, y)


def _cross_validated(
    R: np.ndarray, y: np.ndarray, head: str, normalize: str, random_state: Any
) -> np.ndarray:
    """Predict each row by a head that was trained without it."""
    from sklearn.model_selection import KFold, StratifiedKFold

    smallest = np.unique(y, return_counts=True)[1].min()
    if len(y) < N_FOLDS:
        raise ValueError(f"train_x has {len(y)} rows; expected at least {N_FOLDS} to cross-validate"
                         ", or native_x")  # fmt: skip
    folds = (StratifiedKFold if smallest >= N_FOLDS else KFold)(
        N_FOLDS, shuffle=True, random_state=random_state
    )
    predicted = y.copy()
    for train, held_out in folds.split(R, y):
        model = _fit(R[train], y[train], head, normalize)
        predicted[held_out] = model.predict(R[held_out])
    return predicted


def _absolute(train_x: np.ndarray, train_y: np.ndarray, test_x: np.ndarray, test_y: np.ndarray,
              head: str, normalize: str) -> Score | None:  # fmt: skip
    if train_x.shape[1] != test_x.shape[1]:
        return None
    return _score(test_y, _fit(train_x, train_y, head, normalize).predict(test_x))


def _most_frequent(y: np.ndarray) -> Any:
    values, counts = np.unique(y, return_counts=True)
    return values[counts.argmax()]


def _score(truth: np.ndarray, predicted: np.ndarray) -> Score:
    from sklearn.metrics import accuracy_score, f1_score

    f1 = f1_score(truth, predicted, average="weighted", zero_division=0)
    return Score(float(f1), float(accuracy_score(truth, predicted)))
