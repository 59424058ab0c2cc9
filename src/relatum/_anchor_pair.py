"""Parallel anchors on two sides, and what every method decomposes of them, once."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from relatum import _linear_maps as linear
from relatum._gemm import unit_rows
from relatum._linear_maps import Factors
from relatum._principal_axes import PrincipalAxes

BothAxes = tuple[PrincipalAxes | None, PrincipalAxes | None]


class AnchorPair:
    """Parallel anchors, centred; decompositions are made when first asked for, and kept.

    Attributes
    ----------
    A, B : array (n_anchors, n_features_x), (n_anchors, n_features_y)
        Less their means ``mean_a`` and ``mean_b``.
    whole : AnchorPair or None
        Where these are a part of more anchors: those, which then choose penalty and rank.
    known_axes : pair of PrincipalAxes or None
        Of all that is known of each encoder; None: of its anchors.
    """

    def __init__(
        self,
        X: np.ndarray,
        Y: np.ndarray,
        whole: AnchorPair | None = None,
        known_axes: BothAxes = (None, None),
    ) -> None:
        self.mean_a, self.mean_b = X.mean(axis=0), Y.mean(axis=0)
        self.A, self.B = X - self.mean_a, Y - self.mean_b
        self.whole, self.known_axes = whole, known_axes
        self._without: dict[bytes, AnchorPair] = {}

    def __len__(self) -> int:
        return len(self.A)

    def part(self, rows: np.ndarray) -> AnchorPair:
        """Return some of the anchors, in single precision."""
        X, Y = (M[rows] + mean for M, mean in ((self.A, self.mean_a), (self.B, self.mean_b)))
        return AnchorPair(X.astype(np.float32), Y.astype(np.float32), self, self.known_axes)

    def without(self, rows: np.ndarray) -> AnchorPair:
        """Return all but some of the anchors, in single precision; the same one each time."""
        key = rows.tobytes()
        if key not in self._without:
            self._without[key] = self.part(np.setdiff1d(np.arange(len(self)), rows))
        return self._without[key]

    def swapped(self, whole: AnchorPair | None = None) -> AnchorPair:
        """Return the same anchors the other way; what is decomposed already serves it too."""
        other = AnchorPair.__new__(AnchorPair)
        other.A, other.B, other.mean_a, other.mean_b = self.B, self.A, self.mean_b, self.mean_a
        other.whole, other.known_axes = whole, (self.known_axes[1], self.known_axes[0])
        other._without = {rows: part.swapped(other) for rows, part in self._without.items()}
        twins = {"factors_a": "factors_b", "units_a": "units_b", "axes_a": "axes_b"}
        for name, twin in (twins | {b: a for a, b in twins.items()}).items():
            if name in self.__dict__:
                other.__dict__[twin] = self.__dict__[name]
        if "isometry" in self.__dict__:
            other.__dict__["isometry"] = self.isometry.T
        return other

    @cached_property
    def factors_a(self) -> Factors:
        """Of the anchors of X."""
        return linear.factors(self.A)

    @cached_property
    def factors_b(self) -> Factors:
        """Of the anchors of Y."""
        return linear.factors(self.B)

    @cached_property
    def units_a(self) -> Factors:
        """Of the anchors of X at unit norm."""
        return linear.factors(unit_rows(self.A))

    @cached_property
    def units_b(self) -> Factors:
        """Of the anchors of Y at unit norm."""
        return linear.factors(unit_rows(self.B))

    @cached_property
    def axes_a(self) -> PrincipalAxes:
        """Of X's encoder."""
        return self.known_axes[0] or _axes(self.mean_a, self.units_a, len(self))

    @cached_property
    def axes_b(self) -> PrincipalAxes:
        """Of Y's encoder."""
        return self.known_axes[1] or _axes(self.mean_b, self.units_b, len(self))

    @cached_property
    def isometry(self) -> np.ndarray:
        """The nearest isometry of A onto B."""
        return linear.orthogonal(self.A, self.B)

    @cached_property
    def penalty_share(self) -> float:
        """Ridge penalty over the mean squared singular value, by leave-one-out."""
        if self.whole is not None:
            return self.whole.penalty_share
        F = linear.factors(self.A.astype(np.float32))
        return linear.ridge_penalty(F, self.B) / F.mean_square

    @property
    def penalty(self) -> float:
        """Ridge penalty of these anchors."""
        return self.penalty_share * self.factors_a.mean_square

    @cached_property
    def rank(self) -> int:
        """The rank at which one half of the anchors predicts the other best."""
        if self.whole is not None:
            return self.whole.rank
        gains = [self._gains(part) for part in (slice(0, None, 2), slice(1, None, 2))]
        least = min(map(len, gains))
        return 1 + int(np.argmax(gains[0][:least] + gains[1][:least]))

    def _gains(self, rows: slice) -> np.ndarray:
        """Return what the first directions together take off the squared error of other rows."""
        half = self.part(np.arange(len(self))[rows])
        held = np.ones(len(self), dtype=bool)
        held[rows] = False
        F, penalty = half.factors_a, half.penalty
        Q = linear.predicted_directions(F, half.B, penalty)
        predicted = self.A[held].astype(np.float32) @ (linear.ridge(F, half.B, penalty) @ Q)
        truth = self.B[held].astype(np.float32) @ Q
        return np.cumsum(np.sum(truth**2 - (truth - predicted) ** 2, axis=0))


def _axes(mean: np.ndarray, units: Factors, n: int) -> PrincipalAxes:
    """Return the principal axes of anchors whose unit rows are decomposed already."""
    return PrincipalAxes(mean, units.Vt.T, units.s / np.sqrt(n))
