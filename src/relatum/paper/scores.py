"""How predicted classes are scored."""

from __future__ import annotations

import numpy as np


def f1_percent(truth: np.ndarray, predicted: np.ndarray, average: str = "weighted") -> float:
    """Return the F1 in percent, averaged over the classes as scikit-learn's ``average`` says."""
    from sklearn.metrics import f1_score

    return round(100 * float(f1_score(truth, predicted, average=average)), 3)
