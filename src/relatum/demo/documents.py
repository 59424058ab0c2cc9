"""A head trained on one encoder's relative space, run on every other encoder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.linear_model import RidgeClassifier
from sklearn.metrics import accuracy_score, f1_score
from sklearn.model_selection import train_test_split

from relatum.anchors import select_anchors
from relatum.projection import relative_projection
from relatum.stitching import standardize


@dataclass(frozen=True)
class Method:
    """Settings of :func:`relatum.relative_projection`, and how the head sees the result."""

    settings: Mapping[str, Any] | None
    """None: no projection."""
    standardized: bool = False
    """The head standardises each column over the batch it is given, as in the paper's code."""


METHODS: dict[str, Method] = {
    "absolute": Method(None),
    "the paper's projection": Method({}),
    "the same, batch-standardised": Method({}, standardized=True),
    "centred": Method({"center": True}),
    "centred + whitened (λ = 0.3)": Method({"center": True, "whiten": 0.3}),
}


@dataclass(frozen=True)
class Split:
    """Row numbers of the documents to train on and to test on."""

    train: np.ndarray
    test: np.ndarray


def split(labels: np.ndarray, seed: int, test_size: float = 0.4) -> Split:
    """Split rows at random, each class in the same proportion on both sides."""
    train, test = train_test_split(
        np.arange(len(labels)), test_size=test_size, stratify=labels, random_state=seed
    )
    return Split(np.sort(train), np.sort(test))


def draw_anchors(
    X: np.ndarray, train: np.ndarray, n_anchors: int, seed: int, draw: int
) -> np.ndarray:
    """Return ``n_anchors`` random rows among those to train on."""
    rng = np.random.default_rng([seed, draw])
    return np.asarray(train[select_anchors(X[train], n_anchors, random_state=rng)])


def train_head(R: np.ndarray, labels: np.ndarray) -> RidgeClassifier:
    """Fit a ridge classifier whose penalty is the total variance of its input.

    So the scale of a representation decides nothing, and one rule serves all methods.
    """
    return RidgeClassifier(alpha=float(R.var(axis=0).sum())).fit(R, labels)


def stitch_all(
    features: Mapping[str, np.ndarray],
    labels: np.ndarray,
    rows: Split,
    *,
    n_anchors: int,
    n_draws: int,
    seed: int,
    advance: Callable[[int], None] = lambda n: None,
) -> dict[str, Any]:
    """Score every head (rows of the tables) on every encoder (columns), for each method.

    Each draw takes other anchors, the same items for all encoders; the tables are
    means over the draws. Where a head's width is not the encoder's, the entry is None.
    """
    scores: dict[str, list[np.ndarray]] = {name: [] for name in METHODS}
    first = next(iter(features.values()))
    for draw in range(n_draws):
        anchors = draw_anchors(first, rows.train, n_anchors, seed, draw)
        for name, method in METHODS.items():
            spaces = [_represent(X, X[anchors], method) for X in features.values()]
            scores[name].append(_score_pairs(spaces, labels, rows, method.standardized))
            advance(1)
    return {
        "encoders": list(features),
        "n_train": len(rows.train),
        "n_test": len(rows.test),
        "n_anchors": n_anchors,
        "n_draws": n_draws,
        "methods": {name: _summary(np.stack(values)) for name, values in scores.items()},
    }


def _represent(X: np.ndarray, anchors: np.ndarray, method: Method) -> np.ndarray:
    if method.settings is None:
        return X
    return np.asarray(relative_projection(X, anchors, **method.settings))


def _score_pairs(
    spaces: list[np.ndarray], labels: np.ndarray, rows: Split, standardized: bool
) -> np.ndarray:
    """Return (2, n, n): accuracy and weighted F1 of head i on encoder j's test documents."""
    prepare = standardize if standardized else np.asarray
    n = len(spaces)
    out = np.full((2, n, n), np.nan)
    for i, own in enumerate(spaces):
        head = train_head(prepare(own[rows.train]), labels[rows.train])
        for j, other in enumerate(spaces):
            if other.shape[1] != own.shape[1]:
                continue
            predicted = head.predict(prepare(other[rows.test]))
            truth = labels[rows.test]
            out[:, i, j] = (
                accuracy_score(truth, predicted),
                f1_score(truth, predicted, average="weighted"),
            )
    return out


def _summary(draws: np.ndarray) -> dict[str, Any]:
    """Tables and their means from ``(n_draws, 2, n, n)``; retention is of the weighted F1."""
    f1 = draws[:, 1]
    native = np.diagonal(f1, axis1=1, axis2=2)
    retention = f1 / native[:, :, None]
    others = ~np.eye(f1.shape[1], dtype=bool)
    stitched = f1.mean(axis=0)[others]
    return {
        "accuracy": _plain(draws[:, 0].mean(axis=0)),
        "weighted_f1": _plain(f1.mean(axis=0)),
        "retention": _plain(retention.mean(axis=0)),
        "weighted_f1_of_draws": _plain(f1),
        "native": _plain(native.mean()),
        "stitched": _plain(_mean(stitched)),
        "worst_stitched": _plain(np.fmin.reduce(stitched)),
        "mean_retention": _plain(_mean(retention.mean(axis=0)[others])),
    }


def _mean(values: np.ndarray) -> float:
    """Mean of what is known; NaN where nothing is."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else np.nan


def _plain(values: Any) -> Any:
    """Return nested lists with None for NaN, ready for JSON."""
    if isinstance(values, np.ndarray):
        return [_plain(v) for v in values]
    return None if np.isnan(values) else float(values)
