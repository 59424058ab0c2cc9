"""Rows of another encoder, at another norm, or moved as a whole are seen; other data are not."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from relatum._same_encoder import RowShift, row_shift, unlike
from relatum._translation_map import SAMPLE, TranslationMap, fit_translation

D = 200


@pytest.fixture
def fitted_and_rows():
    rng = np.random.default_rng(0)
    spread = np.exp(0.3 * rng.normal(size=D))
    anchors = rng.normal(size=(100, D)) * spread
    other_data = rng.normal(size=(300, D)) * spread * np.exp(0.3 * rng.normal(size=D)) + 0.3
    return fit_translation(anchors, anchors[:, ::-1]), other_data, rng


def rows_of_an_encoder(rng, n, kind=0):
    """Rows on ten strong directions, which another kind of data has in part, and elsewhere."""
    loadings = np.random.default_rng(7).normal(size=(2, 10, D))
    loadings[1, :5] = loadings[0, :5]
    centre = np.random.default_rng(8 + kind).normal(size=D)
    return 4 * centre + rng.normal(size=(n, 10)) @ loadings[kind] + 0.3 * rng.normal(size=(n, D))


def test_other_data_of_the_same_encoder_pass(fitted_and_rows, backend):
    fitted, X, _ = fitted_and_rows
    assert unlike(backend.array(X), fitted) is None


def test_a_turned_space_is_seen(fitted_and_rows):
    fitted, X, rng = fitted_and_rows
    Q = np.linalg.qr(rng.normal(size=(D, D)))[0]
    assert "queries.npy does not look like rows of the encoder" in unlike(
        X @ Q, fitted, "queries.npy"
    )


@pytest.mark.parametrize("scale", [0.05, 20.0])
def test_another_norm_is_seen(fitted_and_rows, scale):
    fitted, X, _ = fitted_and_rows
    assert "normalised and the other not" in unlike(scale * X, fitted)


def test_few_rows_and_few_features_say_nothing(fitted_and_rows):
    fitted, X, _ = fitted_and_rows
    assert unlike(X[:20, ::-1], fitted) is None
    narrow = fit_translation(X[:, :10], X[:, :10])
    assert unlike(X[:, 10:20], narrow) is None


# ---- rows that moved as a whole


def test_rows_that_moved_as_a_whole_are_seen(rng, backend):
    X = rows_of_an_encoder(rng, 500)
    fitted = fit_translation(X[:200], X[:200, ::-1])
    prefix = 5 * np.random.default_rng(1).normal(size=D)
    assert unlike(backend.array(X[200:]), fitted) is None
    said = unlike(backend.array(X[200:] + prefix), fitted, "queries.npy")
    assert "queries.npy lies apart from the rows that the map was fitted on" in said
    assert "covariances alike by" in said
    assert "text with another prompt prefix" in said
    assert "another prompt" not in (unlike(rows_of_an_encoder(rng, 300, kind=1), fitted) or "")


def test_a_map_of_an_earlier_release_says_nothing_of_it(rng):
    X = rows_of_an_encoder(rng, 500)
    arrays = fit_translation(X[:200], X[:200, ::-1]).to_arrays("forward")
    assert arrays["forward.sample"].shape == (SAMPLE, D)
    del arrays["forward.sample"]
    old = TranslationMap.from_arrays(arrays, "forward", {})
    moved = X[200:] + 5 * np.random.default_rng(1).normal(size=D)
    assert old.sample is None
    assert unlike(moved, old) is None
    del arrays["forward.spread"]
    assert unlike(moved, TranslationMap.from_arrays(arrays, "forward", {})) is None


def test_few_anchors_say_nothing_of_it(rng):
    X = rows_of_an_encoder(rng, 500)
    fitted = fit_translation(X[:20], X[:20, ::-1])
    assert unlike(X[200:] + 5 * np.random.default_rng(1).normal(size=D), fitted) is None


def test_new_rows_of_the_same_kind_have_not_moved():
    found = [
        row_shift(X[60:], X[:60])
        for X in (rows_of_an_encoder(np.random.default_rng(seed), 120) for seed in range(40))
    ]
    alike = [f.alike for f in found]
    assert max(f.moved for f in found) < 0.7
    assert not any(f.as_a_whole for f in found)
    assert np.mean(alike) == pytest.approx(0.97, abs=0.03)  # 1 but for what is cut off above it
    assert min(alike) > 0.7


def test_it_is_what_many_rows_show(rng):
    d = 12
    spread, offset = np.linspace(2, 1, d), 1.5 * np.eye(d)[3]
    many = [rng.normal(size=(40_000, d)) * s + m for s, m in ((spread, 4), (spread[::-1], 4))]
    many = [M / np.linalg.norm(M, axis=1, keepdims=True) for M in (many[0], many[1] + offset)]
    C, E = (np.cov(M.T) for M in many)
    apart = many[1].mean(axis=0) - many[0].mean(axis=0)
    along = apart / np.linalg.norm(apart)
    moved = np.linalg.norm(apart) / np.sqrt(max(along @ C @ along, along @ E @ along))
    alike = np.sum(C * E) / np.linalg.norm(C) / np.linalg.norm(E)
    parts = [row_shift(many[1][i : i + 200], many[0][i : i + 200]) for i in range(0, 40_000, 200)]
    assert np.mean([p.moved for p in parts]) == pytest.approx(moved, rel=0.1)
    assert np.mean([p.alike for p in parts]) == pytest.approx(alike, rel=0.02)
    whole = row_shift(many[1][:1000], many[0][:1000])
    assert whole.moved == pytest.approx(moved, rel=0.1)
    assert whole.alike == pytest.approx(alike, rel=0.05)


def test_neither_turning_nor_scale_changes_it(rng):
    X = rows_of_an_encoder(rng, 300)
    Q = np.linalg.qr(rng.normal(size=(D, D)))[0]
    one, other = row_shift(X[100:] + 3, X[:100]), row_shift(7 * (X[100:] + 3) @ Q, X[:100] @ Q)
    assert one.moved == pytest.approx(other.moved)
    assert one.alike == pytest.approx(other.alike)
    back = row_shift(X[:100], X[100:] + 3)
    assert (back.moved, back.alike) == pytest.approx((one.moved, one.alike))


def test_every_back_end(rng, backend):
    X = rows_of_an_encoder(rng, 100)
    found = row_shift(backend.array(X[50:]), backend.array(X[:50]))
    assert dataclasses.astuple(found) == pytest.approx(
        dataclasses.astuple(row_shift(X[50:], X[:50]))
    )


def test_rows_that_are_all_the_same_say_nothing():
    assert row_shift(np.ones((30, 4)), np.ones((30, 4))) == RowShift(0.0, 0.0)


def test_bad_input_is_named(rng):
    X = rng.normal(size=(50, 4))
    with pytest.raises(ValueError, match="X has 3 features, anchors has 4"):
        row_shift(X[:, :3], X)
    with pytest.raises(ValueError, match=r"X .*at least 20 row"):
        row_shift(X[:19], X)
    with pytest.raises(ValueError, match=r"anchors .*at least 20 row"):
        row_shift(X, X[:19])
    with pytest.raises(ValueError, match="anchors contains NaN"):
        row_shift(X, np.full((20, 4), np.nan))
