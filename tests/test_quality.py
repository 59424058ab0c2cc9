"""Predicted quality: near what new items show, and honest about how near."""

from __future__ import annotations

import json

import numpy as np
import pytest
from sklearn.linear_model import RidgeClassifier

from relatum import RelatumWarning
from relatum._translated_index import AMONG, overlap_among
from relatum.quality import PredictedQuality, coverage, predict_quality
from relatum.retrieval import search
from relatum.translation import Translation
from relatum.translation_scores import translation_scores

N = 2000


def spaces(seed, noise=0.6):
    rng = np.random.default_rng(seed)
    Z = rng.normal(size=(N, 20))
    X = Z @ rng.normal(size=(20, 24)) + noise * np.sqrt(20) * rng.normal(size=(N, 24))
    Y = Z @ rng.normal(size=(20, 30)) + noise * np.sqrt(20) * rng.normal(size=(N, 30))
    return X, Y


def fit(X, Y, n):
    return Translation("ridge", robust=False).fit(X[:n], Y[:n])


@pytest.mark.parametrize("n", [60, 200])
def test_intervals_hold_what_new_items_show(n):
    inside = {"recall_1": 0, "recall_k": 0, "overlap_k": 0}
    errors = []
    test = slice(N - 1000, N)
    for seed in range(8):
        X, Y = spaces(seed)
        fitted = fit(X, Y, n)
        truth = translation_scores(fitted, X[test], Y[test]).translated
        found = predict_quality(fitted, X[:n], Y[:n], Y[test])
        for name in inside:
            estimate, value = getattr(found, name), getattr(truth, name)
            inside[name] += estimate.low <= value <= estimate.high
        errors.append(abs(found.recall_1.value - truth.recall_1))
    assert min(inside.values()) >= 6
    assert np.mean(errors) < 0.06


def test_a_translated_index_searched_by_native_queries():
    inside = 0
    for seed in range(8):
        X, Y = spaces(seed)
        fitted = fit(X, Y, 100)
        index = fitted.transform(X[1000:])
        truth = np.mean(search(Y[1000:], index, 1)[1][:, 0] == np.arange(1000))
        found = predict_quality(fitted, X[:100], Y[:100], X[1000:], translated="index")
        inside += found.recall_1.low <= truth <= found.recall_1.high
    assert inside >= 6


def test_neighbours_in_a_translated_index_are_compared_among_few_items():
    inside = 0
    for seed in range(8):
        X, Y = spaces(seed)
        fitted = fit(X, Y, 300)
        P = np.asarray(fitted.transform(X[1000:]))
        truth = overlap_among(P, Y[1000:], 10, AMONG, 0).mean()
        found = predict_quality(fitted, X[:300], Y[:300], X[1000:], translated="index")
        assert found.overlap_k is not None
        assert found.among == AMONG
        assert f"overlap@10 of {AMONG}" in str(found)
        inside += found.overlap_k.low <= truth <= found.overlap_k.high
    assert inside >= 6


def test_overlap_among_few_is_what_a_loop_counts():
    X, Y = spaces(0)
    P, B = X[:60, :8], Y[:60, :8]
    found = overlap_among(P, B, 5, 100, 0)
    P, B = (M / np.linalg.norm(M, axis=1, keepdims=True) for M in (P, B))
    for i, share in enumerate(found):
        others = [j for j in range(60) if j != i]
        near = [set(sorted(others, key=lambda j: -B[i] @ M[j])[:5]) for M in (P, B)]
        assert share == pytest.approx(len(near[0] & near[1]) / 5)
    assert overlap_among(B, B, 5, 30, 0).min() == 1
    assert overlap_among(X[:60], Y[:60], 5, 60, 0, queries=X[:60]).mean() == pytest.approx(
        np.mean(neighbor_shares(X[:60], Y[:60], 5))
    )


def neighbor_shares(X, Y, k):
    _, a = search(X, X, k + 1)
    _, b = search(Y, Y, k + 1)
    return [len(set(i[1:]) & set(j[1:])) / k for i, j in zip(a, b, strict=True)]


def test_a_prediction_for_more_anchors_follows_the_learning_curve():
    above = 0
    for seed in range(6):
        X, Y = spaces(seed)
        few = fit(X, Y, 100)
        now = predict_quality(few, X[:100], Y[:100], Y[1000:])
        later = predict_quality(few, X[:100], Y[:100], Y[1000:], n_anchors=300)
        assert later.n_anchors == 300
        assert later.recall_1.value >= now.recall_1.value
        truth = fit(X, Y, 300).score(X[1000:], Y[1000:])
        above += later.recall_1.low <= truth <= later.recall_1.high
    assert above >= 4
    with pytest.raises(ValueError, match="n_anchors is 50; expected at least 100"):
        predict_quality(few, X[:100], Y[:100], Y[1000:], n_anchors=50)


def test_few_new_items_widen_the_intervals():
    X, Y = spaces(0)
    fitted = fit(X, Y, 200)

    def width(**given):
        found = predict_quality(fitted, X[:200], Y[:200], Y[1000:], **given).recall_1
        return found.high - found.low

    assert width(n_items=30) > 1.2 * width(n_items=3000)
    assert width(n_items=10**9) == pytest.approx(width(), rel=0.01)


def test_a_prediction_is_read_from_what_it_wrote():
    X, Y = spaces(0)
    found = predict_quality(fit(X, Y, 100), X[:100], Y[:100], Y[1000:])
    assert PredictedQuality.from_dict(json.loads(json.dumps(found.to_dict()))) == found


def test_anchors_that_are_in_the_index_are_not_their_own_rivals():
    X, Y = spaces(0)
    fitted = fit(X, Y, 100)
    without = predict_quality(fitted, X[:100], Y[:100], Y[100:1000])
    within = predict_quality(fitted, X[:100], Y[:100], Y[:1000])
    assert within.recall_1.value == pytest.approx(without.recall_1.value, abs=0.05)


def test_anchors_that_were_left_out_stay_out():
    X, Y = spaces(0, noise=0.2)
    spoilt = Y[:200].copy()
    spoilt[:20] = Y[200:220]  # other items
    with pytest.warns(RelatumWarning, match="are left out"):
        fitted = Translation("ridge").fit(X[:200], spoilt)
    found = predict_quality(fitted, X[:200], spoilt, Y[1000:])
    right = np.delete(np.arange(200), fitted.wrong_anchors_)
    assert found == predict_quality(fitted, X[right], spoilt[right], Y[1000:])
    assert found.n_anchors == len(right) < 190


def test_better_maps_are_predicted_to_be_better():
    values = []
    for noise in (0.2, 0.6, 1.5):
        X, Y = spaces(0, noise)
        found = predict_quality(fit(X, Y, 150), X[:150], Y[:150], Y[1000:])
        values.append(found.recall_1.value)
    assert values == sorted(values, reverse=True)
    assert values[0] > 0.8
    assert values[-1] < 0.3


def test_a_head_is_predicted_to_say_the_same():
    X, Y = spaces(1, noise=0.3)
    labels = np.digitize(Y[:, 0], np.quantile(Y[:, 0], [0.33, 0.66]))
    head = RidgeClassifier().fit(Y[:1000], labels[:1000])
    fitted = fit(X, Y, 150)
    found = predict_quality(fitted, X[:150], Y[:150], Y[1000:], head=head)
    truth = np.mean(head.predict(fitted.transform(X[1000:])) == head.predict(Y[1000:]))
    assert found.head.low <= truth <= found.head.high
    assert "head" in str(found)


def test_a_higher_level_is_wider():
    X, Y = spaces(0)
    narrow, wide = (
        predict_quality(fit(X, Y, 60), X[:60], Y[:60], Y[1000:], level=level).recall_1
        for level in (0.5, 0.95)
    )
    assert narrow.value == wide.value
    assert wide.low < narrow.low < narrow.high < wide.high


def test_it_is_plain_data():
    X, Y = spaces(0)
    found = predict_quality(fit(X, Y, 60), X[:60], Y[:60], Y[1000:], k=5)
    assert found.to_dict()["recall_1"]["value"] == found.recall_1.value
    assert "R@5" in str(found)
    assert "90% intervals, from 60 anchors, for 1000 rows of index, queries" in str(found)


def test_bad_input_is_named():
    X, Y = spaces(0)
    fitted, index = fit(X, Y, 60), Y[1000:]
    with pytest.raises(ValueError, match="level is 1"):
        predict_quality(fitted, X[:60], Y[:60], index, level=1)
    with pytest.raises(ValueError, match="at least 20 row"):
        predict_quality(fitted, X[:9], Y[:9], index)
    with pytest.raises(ValueError, match="the translation was fitted on 24 and 30"):
        predict_quality(fitted, Y[:60], X[:60], index)
    with pytest.raises(ValueError, match="index has 24 features, Y_anchors has 30"):
        predict_quality(fitted, X[:60], Y[:60], X)
    with pytest.raises(ValueError, match=r"k is 10; expected at most 4 \(index has 5 rows\)"):
        predict_quality(fitted, X[:60], Y[:60], Y[:5])
    with pytest.raises(ValueError, match="translated is 'both'; expected one of queries, index"):
        predict_quality(fitted, X[:60], Y[:60], index, translated="both")


# ---- coverage


def test_coverage_is_what_a_gaussian_process_knows():
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import PairwiseKernel

    rng = np.random.default_rng(0)
    anchors, X = rng.normal(size=(40, 6)), rng.normal(size=(10, 6))
    mean = anchors.mean(axis=0)

    def kernel(x, y, **_):
        x, y = x - mean, y - mean
        return ((1 + x @ y / np.linalg.norm(x) / np.linalg.norm(y)) / 2) ** 3

    model = GaussianProcessRegressor(PairwiseKernel(metric=kernel), alpha=0.1, optimizer=None)
    _, std = model.fit(anchors, np.zeros(40)).predict(X, return_std=True)
    np.testing.assert_allclose(coverage(X, anchors), 1 - std**2, atol=1e-8)


def test_coverage_tells_where_a_translation_fails(backend):
    rng = np.random.default_rng(0)
    Z = rng.normal(size=(600, 30)) * np.repeat([2.0, 0.1], 15)
    Z[400:] = Z[400:, ::-1]  # other items: strong where the anchors are weak
    X = Z + 0.05 * rng.normal(size=Z.shape)
    Y = Z @ rng.normal(size=(30, 30))
    translated = Translation("whitened").fit(X[:200], Y[:200]).transform(X)
    error = np.linalg.norm(translated - Y, axis=1) / np.linalg.norm(Y, axis=1)
    covered = coverage(backend.array(X), backend.array(X[:200]))
    assert isinstance(covered, np.ndarray)
    assert ((covered >= 0) & (covered <= 1)).all()
    assert covered[:200].min() > covered[400:].max()
    assert np.corrcoef(covered[200:], error[200:])[0, 1] < -0.5


def test_coverage_names_bad_input():
    X = np.random.default_rng(0).normal(size=(9, 4))
    with pytest.raises(ValueError, match="X has 3 features, anchors has 4"):
        coverage(X[:, :3], X)
    with pytest.raises(ValueError, match="X contains NaN"):
        coverage(np.full((2, 4), np.nan), X)


def test_anchors_in_a_translated_index_weigh_as_they_are_told() -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(600, 20)).astype(np.float32)
    Y = X @ rng.normal(size=(20, 16)) + 2.0 * rng.normal(size=(600, 16))
    fitted = Translation("ridge").fit(X[:150], Y[:150])

    def found(weight: float, index: np.ndarray) -> float:
        said = predict_quality(
            fitted, X[:150], Y[:150], index, translated="index", anchor_weight=weight
        )
        return said.recall_1.value

    assert found(0.5, X) > found(1.0, X)
    assert found(0.5, X[150:]) == found(1.0, X[150:])
    assert abs(found(1e-6, X) - found(1.0, X[150:])) < 0.05
    with pytest.raises(ValueError, match=r"anchor_weight is 0; expected a number in \(0, 1\]"):
        predict_quality(fitted, X[:150], Y[:150], X, translated="index", anchor_weight=0)
