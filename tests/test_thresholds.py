"""Thresholds: what passes before and after, for translated queries and translated indices."""

from __future__ import annotations

import numpy as np
import pytest

from relatum import RelatumWarning
from relatum.thresholds import _equal_rate, recalibrate_threshold
from relatum.translation import Translation

N = 1500


def spaces(seed=0, noise=0.5):
    rng = np.random.default_rng(seed)
    Z = rng.normal(size=(20, 12))[rng.integers(20, size=N)] + 0.7 * rng.normal(size=(N, 12))
    X = Z @ rng.normal(size=(12, 16)) + noise * rng.normal(size=(N, 16))
    return X, Z @ rng.normal(size=(12, 14)) + noise * rng.normal(size=(N, 14))


def unit(X):
    return X / np.linalg.norm(X, axis=1, keepdims=True)


@pytest.mark.parametrize("translated", ["queries", "index"])
def test_as_many_new_pairs_pass_as_before(translated):
    inside = []
    for seed in range(5):
        X, Y = spaces(seed)
        translation = Translation("ridge").fit(X[:150], Y[:150])
        index = (Y if translated == "queries" else X)[150:1000]
        found = recalibrate_threshold(
            translation, X[:150], Y[:150], index, 0.8, translated=translated
        )
        new = slice(1000, N)
        if translated == "queries":
            native, after = unit(Y[new]), unit(translation.transform(X[new]))
            rows = unit(index)
            before, moved = native @ rows.T, after @ rows.T
        else:
            before = unit(X[new]) @ unit(index).T
            moved = unit(Y[new]) @ unit(translation.transform(index)).T
        ratio = np.mean(moved >= found.value) / np.mean(before >= 0.8)
        assert 0.7 < ratio < 1.4
        precision = np.mean((before >= 0.8)[moved >= found.value])
        assert found.precision == pytest.approx(precision, abs=0.12)
        exact = np.quantile(moved, 1 - np.mean(before >= 0.8))
        inside.append(found.low - 0.01 <= exact <= found.high + 0.01)
    assert sum(inside) >= 4


def test_a_perfect_translation_leaves_the_threshold():
    X, _ = spaces()
    Q = np.linalg.qr(np.random.default_rng(1).normal(size=(16, 16)))[0]
    translation = Translation("procrustes").fit(X[:100], X[:100] @ Q)
    found = recalibrate_threshold(translation, X[:100], X[:100] @ Q, X[100:] @ Q, 0.7)
    assert found.value == pytest.approx(0.7, abs=0.005)
    assert found.precision > 0.99
    assert str(found).startswith("0.7 becomes 0.7")
    assert found.to_dict()["rate"] == found.rate


def test_anchors_that_were_left_out_stay_out():
    rng = np.random.default_rng(0)
    Z = rng.normal(size=(N, 20))
    X, Y = (Z @ rng.normal(size=(20, d)) + 0.8 * rng.normal(size=(N, d)) for d in (24, 30))
    spoilt = Y[:200].copy()
    spoilt[:20] = Y[200:220]  # other items
    with pytest.warns(RelatumWarning, match="are left out"):
        translation = Translation("ridge").fit(X[:200], spoilt)
    right = np.delete(np.arange(200), translation.wrong_anchors_)
    assert len(right) < 190
    found = recalibrate_threshold(translation, X[:200], spoilt, Y[300:], 0.6)
    assert found == recalibrate_threshold(translation, X[right], spoilt[right], Y[300:], 0.6)


def test_equal_rate_is_the_quantile():
    rng = np.random.default_rng(0)
    before, after = rng.normal(size=(2, 30, 40))
    found = _equal_rate(before > 1, after, np.ones((1, 30)))[0]
    assert np.sum(after >= found) == np.sum(before > 1)
    counts = rng.multinomial(30, np.full(30, 1 / 30))
    rows = np.repeat(np.arange(30), counts)
    found = _equal_rate(before > 1, after, counts[None])[0]
    assert abs(np.sum(after[rows] >= found) - np.sum(before[rows] > 1)) <= counts.max()


def test_bad_input_is_named():
    X, Y = spaces()
    translation = Translation("ridge").fit(X[:100], Y[:100])
    given = X[:100], Y[:100], Y[100:]
    with pytest.raises(ValueError, match=r"threshold is 1\.2; expected a number in"):
        recalibrate_threshold(translation, *given, 1.2)
    with pytest.raises(ValueError, match=r"threshold is 0.9999: 0 pairs .* 20 are needed"):
        recalibrate_threshold(translation, *given, 0.9999)
    with pytest.raises(ValueError, match="level is 0; expected"):
        recalibrate_threshold(translation, *given, 0.5, level=0)
    with pytest.raises(ValueError, match="translated is 'all'; expected one of queries, index"):
        recalibrate_threshold(translation, *given, 0.5, translated="all")
    with pytest.raises(ValueError, match="index has 16 features, Y_anchors has 14"):
        recalibrate_threshold(translation, X[:100], Y[:100], X, 0.5)
    with pytest.raises(ValueError, match="X_anchors and Y_anchors have 15 and 14 features"):
        recalibrate_threshold(translation, X[:100, :15], Y[:100], Y, 0.5)
