"""Scores of a translation: by brute force on a small case."""

from __future__ import annotations

import numpy as np
import pytest

from relatum.translation import Translation
from relatum.translation_scores import translation_scores

RNG = np.random.default_rng(0)
X = RNG.normal(size=(90, 6))
Y = X @ np.linalg.qr(RNG.normal(size=(6, 6)))[0] + 0.5 * RNG.normal(size=(90, 6))
FITTED = Translation("procrustes").fit(X[:30], Y[:30])


def cosines(A, B):
    return (A / np.linalg.norm(A, axis=1)[:, None]) @ (B / np.linalg.norm(B, axis=1)[:, None]).T


def test_scores_are_those_of_a_loop():
    x, y = X[30:], Y[30:]
    S, T = cosines(FITTED.transform(x), y), cosines(y, y)
    found = translation_scores(FITTED, x, y, k=5).translated
    ranks, shared = [], []
    for i in range(60):
        order = np.argsort(-S[i])
        ranks.append(int(np.flatnonzero(order == i)[0]))
        others = [j for j in np.argsort(-T[i]) if j != i][:5]
        shared.append(len(set(others) & set([j for j in order if j != i][:5])) / 5)
    assert found.recall_1 == pytest.approx(np.mean(np.array(ranks) == 0))
    assert found.recall_k == pytest.approx(np.mean(np.array(ranks) < 5))
    assert found.overlap_k == pytest.approx(np.mean(shared))


def test_unchanged_rows_are_scored_where_the_widths_agree():
    same = translation_scores(FITTED, X[30:], Y[30:])
    assert same.unchanged.recall_1 < same.translated.recall_1
    assert "unchanged" in str(same)
    other = Translation("ridge").fit(X[:30], Y[:30, :4])
    wide = translation_scores(other, X[30:], Y[30:, :4])
    assert wide.unchanged is None
    assert "unchanged" not in str(wide)
    assert wide.to_dict()["method"] == "ridge"


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="k is 59; expected at most 58"):
        translation_scores(FITTED, X[30:], Y[30:], k=59)
    with pytest.raises(ValueError, match="X has 60 rows, Y has 59"):
        translation_scores(FITTED, X[30:], Y[31:])
