"""Scores of a translation: by brute force on a small case."""

from __future__ import annotations

import numpy as np
import pytest

from relatum.translation import Translation
from relatum.translation_scores import retrieval_quality, translation_scores

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


def test_quality_of_any_common_space_against_the_native_neighbours():
    x, y = X[30:], Y[30:]
    translated = FITTED.transform(x)
    assert retrieval_quality(translated, y, 5) == translation_scores(FITTED, x, y, k=5).translated
    turned = np.linalg.qr(RNG.normal(size=(6, 6)))[0]  # the same space in other coordinates
    found = retrieval_quality(translated @ turned, y @ turned, 5, native=y)
    assert found.overlap_k == pytest.approx(retrieval_quality(translated, y, 5).overlap_k)
    other = retrieval_quality(translated, y, 5, native=RNG.normal(size=(60, 3)))
    assert other.overlap_k < found.overlap_k
    assert other.recall_1 == retrieval_quality(translated, y, 5).recall_1
    with pytest.raises(ValueError, match="native has 5 rows, target has 60"):
        retrieval_quality(translated, y, 5, native=y[:5])
    with pytest.raises(ValueError, match="rows has 6 features, target has 3"):
        retrieval_quality(translated, y[:, :3], 5)
    with pytest.raises(ValueError, match="rows has 60 rows, target has 40; expected no more"):
        retrieval_quality(translated, y[:40], 5)


def test_items_that_are_only_in_the_index_are_rivals():
    translated = FITTED.transform(X)
    whole, part = retrieval_quality(translated, Y, 5), retrieval_quality(translated[:40], Y, 5)
    S = cosines(translated, Y)
    first = S.argmax(axis=1) == np.arange(90)
    assert whole.recall_1 == pytest.approx(first.mean())
    assert part.recall_1 == pytest.approx(first[:40].mean())
