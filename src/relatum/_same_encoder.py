"""Whether rows look like those of the encoder that a translation was fitted on."""

from __future__ import annotations

import numpy as np

from relatum import _array
from relatum._array import Array
from relatum._translation_map import TranslationMap

LEAST = 50
"""Fewer rows tell nothing."""
SAMPLE = 1000
RATIO = 2.0
"""Between the anchors' norm and the rows', from which one side was normalised."""


def unlike(X: Array, fitted: TranslationMap, name: str = "X") -> str | None:
    """Say what sets rows (n_samples, n_features_x) apart from the anchors, if anything does.

    Rows of one encoder spread more over some features than over others, and those are
    much the same for any data; those of two encoders have nothing in common. So the
    logarithms of the spreads must correlate by more than chance allows.
    """
    if fitted.spread is None or X.shape[0] < LEAST:
        return None
    rows = np.linspace(0, X.shape[0] - 1, min(SAMPLE, X.shape[0])).astype(int)
    sample = np.stack([_array.to_numpy(X[int(row), :]) for row in rows]).astype(np.float64)
    norm = float(np.sqrt(np.mean(np.sum(sample**2, axis=1))))
    own = float(np.sqrt(np.sum(fitted.mean**2) + np.sum(fitted.spread**2)))
    if not own / RATIO <= norm <= RATIO * own:
        return (
            f"{name} has rows of norm {norm:.3g}, the map was fitted on rows of norm {own:.3g}; "
            "is one of them normalised and the other not?"
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
