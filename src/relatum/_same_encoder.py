"""Whether rows look like those of the encoder that a translation was fitted on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from relatum import _array, _validation
from relatum._array import Array
from relatum._gemm import unit_rows
from relatum._principal_axes import SAME
from relatum._translation_map import TranslationMap

LEAST = 50
"""Fewer rows tell nothing."""
SAMPLE = 1000
RATIO = 2.0
"""Between the anchors' norm and the rows', from which one side was normalised."""
MOVED = 2.5
"""From how far apart rows are said to have moved; those of one class are up to 2.1 from others."""
ALIKE = 0.85
"""How alike rows must be that are said to have moved; other data are by 0.2 to 0.8."""


@dataclass(frozen=True)
class RowShift:
    """How rows lie to anchors of the same encoder."""

    moved: float
    """Distance of the means, in standard deviations along the line between them."""
    alike: float
    """Cosine of the covariances, in [0, 1]."""

    @property
    def as_a_whole(self) -> bool:
        """Whether rows moved and are alike otherwise, as with another prompt prefix."""
        return self.moved >= MOVED and self.alike >= ALIKE

    def __str__(self) -> str:
        return (
            f"means {self.moved:.1f} standard deviations apart, covariances alike by "
            f"{self.alike:.2f}"
        )


def row_shift(X: Array, anchors: Array) -> RowShift:
    r"""Return how far rows lie from the anchors, and whether they spread alike.

    .. math::
        \text{moved} = \frac{|d|^2}{\sqrt{\max(d^T C_X d, \, d^T C_A d)}}, \quad
        \text{alike} = \frac{\mathrm{tr}\,C_X C_A}{\sqrt{\mathrm{tr}\,C_X^2\,\mathrm{tr}\,C_A^2}}

    with rows at unit norm, d the difference of the means and C the covariances.
    :math:`|d|^2` and the traces are estimated without bias, so that new rows of the anchors'
    kind are near (0, 1), however few.

    Other data of the same encoder lie elsewhere and spread otherwise. A prompt prefix
    that is there on one side only moves all rows much the same way, the more the shorter
    the text: where the rows have ``moved`` by 2.5 or more and are ``alike`` by 0.85,
    ``as_a_whole`` is True. Rows in another language can do the same; a prefix that hardly
    moves the rows is not seen.

    Parameters
    ----------
    X : array (n_samples, n_features)
        At least 20; of more than 1,000, so many evenly spaced ones.
    anchors : array (n_anchors, n_features)
        Of the same encoder, likewise.

    Returns
    -------
    RowShift

    Raises
    ------
    TypeError, ValueError
        Features that do not match, NaN, infinity, too few rows.

    References
    ----------
    The trace of a squared covariance: Bai and Saranadasa, *Effect of high dimension: by an
    example of a two sample problem*, Statistica Sinica 1996.

    Examples
    --------
    >>> import numpy as np
    >>> from relatum.drift import row_shift
    >>> rng = np.random.default_rng(0)
    >>> rows = rng.normal(size=(400, 30)) + 1
    >>> print(row_shift(rows[200:], rows[:200]))
    means 0.1 standard deviations apart, covariances alike by 0.99
    >>> row_shift(rows[200:] + 5 * np.eye(30)[0], rows[:200]).as_a_whole
    True
    """
    samples = []
    for M, name in ((X, "X"), (anchors, "anchors")):
        M = _validation.as_matrix(M, name, min_rows=20)
        samples.append(_validation.as_matrix(_sampled(M), name, finite=True))
    _validation.check_same_features(samples[0], "X", samples[1], "anchors")
    return _shift(*samples)


def unlike(X: Array, fitted: TranslationMap, name: str = "X") -> str | None:
    """Say what sets rows (n_samples, n_features_x) apart from the anchors, if anything does.

    Rows of one encoder spread more over some features than over others, and those are
    much the same for any data; those of two encoders have nothing in common. So the
    logarithms of the spreads must correlate by more than chance allows.
    """
    if fitted.spread is None or X.shape[0] < LEAST:
        return None
    sample = _sampled(X)
    norm = float(np.sqrt(np.mean(np.sum(sample**2, axis=1))))
    own = float(np.sqrt(np.sum(fitted.mean**2) + np.sum(fitted.spread**2)))
    if not own / RATIO <= norm <= RATIO * own:
        return (
            f"{name} has rows of norm {norm:.3g}, the map was fitted on rows of norm {own:.3g}; "
            "is one of them normalised and the other not?"
        )
    if fitted.sample is not None and len(fitted.sample) >= LEAST:
        shift = _shift(sample, fitted.sample)
        if shift.as_a_whole:
            return (
                f"{name} lies apart from the rows that the map was fitted on, and is like them "
                f"otherwise ({shift}); is it text with another prompt prefix, or without the one "
                "that it needs, or in another language?"
            )
    known = (fitted.spread > 0) & (sample.std(axis=0) > 0)
    if known.sum() < LEAST:
        return None
    logs = np.log(np.stack([fitted.spread[known], sample.std(axis=0)[known]]))
    if logs.std(axis=1).min() < 1e-6:
        return None
    correlation = float(np.corrcoef(logs)[0, 1])
    if correlation > 2 / np.sqrt(known.sum()):
        return None
    return (
        f"{name} does not look like rows of the encoder that the map was fitted on (what features "
        f"spread by correlates by {correlation:.2f}); they are of another encoder, or of another "
        "kind of data"
    )


def share_of_anchors(X: np.ndarray, fitted: TranslationMap) -> float:
    """Return the share of the anchors that a map knows which are among rows."""
    if fitted.sample is None:
        return 0.0
    rows = unit_rows(np.asarray(X, dtype=fitted.sample.dtype))
    return float(np.mean(np.max(rows @ fitted.sample.T, axis=0) > 1 - SAME))


def _sampled(X: Array) -> np.ndarray:
    """Return at most :data:`SAMPLE` rows, evenly spaced, in double precision."""
    rows = np.linspace(0, X.shape[0] - 1, min(SAMPLE, X.shape[0])).astype(int)
    return np.stack([_array.to_numpy(X[int(row), :]) for row in rows]).astype(np.float64)


def _shift(X: np.ndarray, anchors: np.ndarray) -> RowShift:
    x, a = (unit_rows(M.astype(np.float64)) for M in (X, anchors))
    apart = x.mean(axis=0) - a.mean(axis=0)
    x, a = x - x.mean(axis=0), a - a.mean(axis=0)
    n, m = len(x) - 1, len(a) - 1
    (trace_x, square_x), (trace_a, square_a) = _traces(x), _traces(a)
    along = max(np.sum((x @ apart) ** 2) / n, np.sum((a @ apart) ** 2) / m)
    if min(along, square_x, square_a) <= 0:
        return RowShift(0.0, 0.0)
    distance = max(apart @ apart - trace_x / (n + 1) - trace_a / (m + 1), 0.0)
    alike = np.sum((x @ a.T) ** 2) / (n * m) / np.sqrt(square_x * square_a)
    return RowShift(float(distance / np.sqrt(along)), float(min(alike, 1.0)))


def _traces(x: np.ndarray) -> tuple[float, float]:
    """Return the traces of the covariance of centred rows and of its square, without bias."""
    n = len(x) - 1
    K = x @ x.T / n
    trace = float(np.trace(K))
    return trace, float((np.sum(K * K) - trace**2 / n) * n**2 / ((n - 1) * (n + 2)))
