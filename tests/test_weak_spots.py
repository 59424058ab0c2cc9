"""Where a translation is weak: by brute force on a small case."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest

from relatum.common_space import CommonSpace
from relatum.quality import coverage
from relatum.translation import Translation
from relatum.translation_scores import translation_scores
from relatum.weak_spots import weak_spots

RNG = np.random.default_rng(0)
X = RNG.normal(size=(130, 6))
Y = X @ np.linalg.qr(RNG.normal(size=(6, 6)))[0] + 0.5 * RNG.normal(size=(130, 6))
FITTED = Translation("procrustes").fit(X[:30], Y[:30])
x, y = X[30:], Y[30:]
SEGMENTS = np.array(["red", "green", "blue", "green"] * 25)


def cosines(A, B):
    return (A / np.linalg.norm(A, axis=1)[:, None]) @ (B / np.linalg.norm(B, axis=1)[:, None]).T


def others(row, i, k):
    return [j for j in np.argsort(-row) if j != i][:k]


def test_items_are_scored_as_by_a_loop():
    found = weak_spots(FITTED, x, y, k=5)
    S, T = cosines(FITTED.transform(x), y), cosines(y, y)
    for i in range(100):
        assert found.ranks[i] == 1 + sum(S[i, j] > S[i, i] for j in range(100))
        assert found.native[i].tolist() == others(T[i], i, 5)
        assert found.translated[i].tolist() == others(S[i], i, 5)
        assert found.overlap[i] == len(set(others(T[i], i, 5)) & set(others(S[i], i, 5))) / 5
    assert found.k == 5
    assert found.coverage is None
    assert found.segments == ()


def test_items_agree_with_the_scores_of_all():
    found = weak_spots(FITTED, x, y)
    scores = translation_scores(FITTED, x, y).translated
    assert np.mean(found.ranks == 1) == pytest.approx(scores.recall_1)
    assert np.mean(found.ranks <= 10) == pytest.approx(scores.recall_k)
    assert found.overlap.mean() == pytest.approx(scores.overlap_k)


def test_ranks_in_several_blocks_are_the_same(monkeypatch):
    whole = weak_spots(FITTED, x, y).ranks
    monkeypatch.setattr("relatum._array.BLOCK_BYTES", 3 * 8 * 100)
    np.testing.assert_array_equal(weak_spots(FITTED, x, y).ranks, whole)


def test_items_of_the_same_row_are_ordered_by_their_number():
    same = y.copy()
    same[[7, 50, 80]] = same[3]
    ranks = weak_spots(FITTED, x, same).ranks
    S = cosines(FITTED.transform(x), same)
    for place, i in enumerate([3, 7, 50, 80]):
        nearer = [j for j in range(100) if j not in (3, 7, 50, 80) and S[i, j] > S[i, i]]
        assert ranks[i] == 1 + len(nearer) + place


def test_the_weakest_and_the_most_changed_come_first():
    found = weak_spots(FITTED, x, y, k=5)
    order = sorted(range(100), key=lambda i: (-found.ranks[i], found.overlap[i], i))
    assert found.weakest(7).tolist() == order[:7]
    order = sorted(range(100), key=lambda i: (found.overlap[i], -found.ranks[i], i))
    assert found.most_changed(7).tolist() == order[:7]
    assert len(found.weakest(500)) == 100
    assert len(found.most_changed(0)) == 0


def test_segments_with_their_intervals_the_weakest_first():
    found = weak_spots(FITTED, x, y, segments=SEGMENTS, X_anchors=X[:30])
    assert sorted(s.name for s in found.segments) == ["blue", "green", "red"]
    assert [s.recall_1 for s in found.segments] == sorted(s.recall_1 for s in found.segments)
    for s in found.segments:
        own = s.name == SEGMENTS
        first = int(np.sum(found.ranks[own] == 1))
        expected = binomtest(first, int(own.sum())).proportion_ci(method="wilson")
        assert s.n_items == own.sum()
        assert s.recall_1 == pytest.approx(first / own.sum())
        assert (s.low, s.high) == pytest.approx(tuple(expected))
        assert s.overlap_k == pytest.approx(found.overlap[own].mean())
        assert s.coverage == pytest.approx(found.coverage[own].mean())
    np.testing.assert_allclose(found.coverage, coverage(x, X[:30]))


def test_a_segment_that_the_anchors_lack_is_the_weakest():
    far = x.copy()
    far[SEGMENTS == "blue"] += 3 * RNG.normal(size=(25, 6))  # the encoders disagree on these
    assert weak_spots(FITTED, far, y, segments=SEGMENTS).segments[0].name == "blue"


def test_a_common_space_is_searched_where_both_meet():
    space = CommonSpace("procrustes").fit(X[:30], Y[:30])
    found = weak_spots(space, x, y, k=5)
    S = cosines(space.transform(x), space.transform_target(y))
    for i in range(100):
        assert found.ranks[i] == 1 + sum(S[i, j] > S[i, i] for j in range(100))
        assert found.native[i].tolist() == others(cosines(y, y)[i], i, 5)


def test_torch_tensors_give_the_same():
    torch = pytest.importorskip("torch", reason="the extra torch is not installed")
    found = weak_spots(FITTED, torch.asarray(x), torch.asarray(y))
    np.testing.assert_array_equal(found.ranks, weak_spots(FITTED, x, y).ranks)


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="k is 99; expected at most 98"):
        weak_spots(FITTED, x, y, k=99)
    with pytest.raises(ValueError, match="X has 100 rows, Y has 99"):
        weak_spots(FITTED, x, y[1:])
    with pytest.raises(ValueError, match="segments has 2 entries; expected 100: one for each row"):
        weak_spots(FITTED, x, y, segments=["a", "b"])
    with pytest.raises(ValueError, match="X has 6 features, anchors has 5"):
        weak_spots(FITTED, x, y, X_anchors=X[:30, :5])
