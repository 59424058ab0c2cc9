"""What a translation gives for anchors that it has not seen, and how good that is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy.special import logsumexp

from relatum._anchor_pair import AnchorPair
from relatum._gemm import unit_rows
from relatum._translation_map import fit_pair, translate
from relatum.alignment import cosines

N_FOLDS = 5
ENOUGH = 400
"""Anchors that are held out in all, where there are that many: no more folds are fitted."""
TEMPERATURES = np.logspace(-2.5, 0, 11)
Parts = list[np.ndarray]
"""Row numbers that are held out together."""


def folds(n: int, seed: int) -> Parts:
    """Return row numbers in :data:`N_FOLDS` random parts of two or more (fewer if n is small)."""
    order = np.random.default_rng(seed).permutation(n)
    return [np.sort(part) for part in np.array_split(order, max(1, min(N_FOLDS, n // 2)))]


class Folds:
    """Anchors, parts of which are held out in turn; each fold's decompositions serve all methods.

    Attributes
    ----------
    rows : array of int64
        Of the anchors that are held out: all, or about :data:`ENOUGH` of many.
    parts : list of array
        Places in ``rows`` of those that are held out together.
    """

    def __init__(self, pair: AnchorPair, seed: int) -> None:
        chosen = folds(len(pair), seed)
        sizes = np.cumsum([len(part) for part in chosen])
        chosen = chosen[: 1 + int(np.searchsorted(sizes, ENOUGH))]
        self.pair, self.rows = pair, np.concatenate(chosen)
        self.parts = np.split(np.arange(len(self.rows)), sizes[: len(chosen) - 1])
        self._fitted_on = [pair.without(part) for part in chosen]

    @cached_property
    def A(self) -> np.ndarray:
        """Rows of X that are held out."""
        return np.asarray((self.pair.A[self.rows] + self.pair.mean_a).astype(np.float32))

    @cached_property
    def B(self) -> np.ndarray:
        """Rows of Y that are held out."""
        return np.asarray((self.pair.B[self.rows] + self.pair.mean_b).astype(np.float32))

    def mapped(self, method: str) -> HeldOut:
        """Map each part by a method that was fitted without it."""
        deviations, means = np.empty_like(self.B), np.empty_like(self.B)
        for part, known in zip(self.parts, self._fitted_on, strict=True):
            fitted = fit_pair(known, method)
            means[part] = fitted.mean @ fitted.matrix + fitted.bias
            deviations[part] = translate(self.A[part], fitted) - means[part]
        return HeldOut(deviations, means)


@dataclass(frozen=True)
class HeldOut:
    """What maps give for anchors that they have not seen."""

    deviations: np.ndarray
    """From where each map leads the mean that it takes off, (n, n_features_y)."""
    means: np.ndarray
    """That mean, for each row."""

    def rows(self, scale: float) -> np.ndarray:
        """Return the rows in B's space, their deviations multiplied by ``scale``."""
        return np.asarray(scale * self.deviations + self.means)

    def length_ratio(self, B: np.ndarray) -> float:
        """Return by what to multiply deviations to make them as long as what they stand for."""
        given = float(np.mean(np.linalg.norm(self.deviations, axis=1)))
        wanted = float(np.mean(np.linalg.norm(B - self.means, axis=1)))
        return wanted / given if given else 1.0


def retrieval(predicted: np.ndarray, Y: np.ndarray, parts: Parts, labels: Any = None) -> float:
    """Probability of each anchor among those held out with it: the geometric mean.

    A softmax of the cosines, at the temperature that suits them best: it goes on telling
    maps apart where all of them find every anchor first. Anchors that the map has seen
    would not do as rivals: what an interpolating map gives lies nearer to them, or
    farther, than to anything new.
    """
    similarities = [unit_rows(predicted[part]) @ unit_rows(Y[part]).T for part in parts]
    return max(float(np.exp(_mean_log(similarities, t))) for t in TEMPERATURES)


def _mean_log(similarities: list[np.ndarray], temperature: float) -> float:
    own = [np.diag(S) / temperature - logsumexp(S / temperature, axis=1) for S in similarities]
    return float(np.mean(np.concatenate(own)))


def cosine(predicted: np.ndarray, Y: np.ndarray, parts: Parts, labels: Any = None) -> float:
    """Mean cosine of each anchor with what it should be, both less the anchors' mean."""
    mean = Y.mean(axis=0)
    return float(np.mean(cosines(predicted - mean, Y - mean)))


def accuracy(predicted: np.ndarray, Y: np.ndarray, parts: Parts, labels: Any) -> float:
    """Accuracy on the predictions of a ridge head that was trained on ``Y``."""
    from sklearn.linear_model import RidgeClassifier

    penalty = float(max(np.var(Y, axis=0).sum(), np.finfo(float).tiny))
    return float(RidgeClassifier(alpha=penalty).fit(Y, labels).score(predicted, labels))


CRITERIA: dict[str, Callable[[np.ndarray, np.ndarray, Parts, Any], float]] = {
    "retrieval": retrieval,
    "cosine": cosine,
    "accuracy": accuracy,
}
"""What held-out anchors are scored by; higher is better."""
