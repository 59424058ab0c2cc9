"""Principal axes, and the map between those of two encoders."""

from __future__ import annotations

import numpy as np
import pytest

import relatum
from relatum import Translation
from relatum._anchor_pair import AnchorPair
from relatum._held_out import Folds
from relatum._linear_maps import NOISE, RANK_STEP, RANKS, between_axes
from relatum._principal_axes import PrincipalAxes
from relatum.translation import fit_translation, translate

RNG = np.random.default_rng(0)


def encoders(n=1200, d_x=40, d_y=30, seed=0):
    """Items whose factors fall in strength, seen by two encoders with noise of their own."""
    rng = np.random.default_rng(seed)
    Z = rng.normal(size=(n, 24)) * np.arange(1, 25) ** -0.7
    turns = (np.linalg.qr(rng.normal(size=(d, d)))[0][:24] for d in (d_x, d_y))
    return tuple(Z @ t + 0.03 * rng.normal(size=(n, t.shape[1])) + 0.5 for t in turns)


def test_axes_are_the_principal_components_of_unit_rows():
    from sklearn.decomposition import TruncatedSVD

    X = RNG.normal(size=(200, 6)) * [5, 4, 3, 2, 1, 0.5] + 1
    found = PrincipalAxes.of(X)
    unit = X - X.mean(axis=0)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    theirs = TruncatedSVD(5, algorithm="arpack").fit(unit)
    assert np.allclose(np.abs(np.sum(found.axes[:, :5] * theirs.components_.T, axis=0)), 1)
    np.testing.assert_allclose(found.strengths[:5], theirs.singular_values_ / 200**0.5)
    np.testing.assert_allclose(np.sqrt(np.mean(found(X) ** 2, axis=0)), found.strengths)


def test_axes_without_strength_are_left_out():
    X = np.hstack([RNG.normal(size=(50, 3)), np.ones((50, 4))])
    assert PrincipalAxes.of(X).axes.shape == (7, 3)
    assert PrincipalAxes.of(X, largest=2).axes.shape == (7, 2)


@pytest.mark.parametrize("n", [5, 60])  # in the anchors' space, and in that of the features
def test_the_map_is_the_mean_of_the_gaussian_posterior(n):
    a, b = RNG.normal(size=(n, 12)), RNG.normal(size=(n, 9))
    strengths = np.linspace(2, 0.3, 12)
    rank_a, rank_b = np.log(np.arange(12) + 2), np.log(np.arange(9) + 2)
    found = between_axes(a, b, strengths)
    groups = np.round(rank_b / RANK_STEP)
    for j in range(9):
        apart = rank_a - rank_b[groups == groups[j]].mean()
        w = strengths**2 * np.exp(-(apart**2) / (2 * RANKS**2))
        prior = w / w.sum() / strengths**2  # variance of each entry of column j
        # precision of the posterior, and its mean
        precision = a.T @ a / NOISE + np.diag(1 / prior)
        np.testing.assert_allclose(
            found[:, j], np.linalg.solve(precision, a.T @ b[:, j] / NOISE), rtol=1e-7, atol=1e-12
        )


@pytest.mark.parametrize("seed", range(4))
def test_rows_beside_the_anchors_help_where_these_are_few(seed):
    X, Y = encoders(seed=seed)
    known = {"X_background": X[200:700], "y_background": Y[700:]}  # no item in both
    alone = Translation("spectral").fit(X[:12], Y[:12])
    helped = Translation("spectral").fit(X[:12], Y[:12], **known)
    rows = slice(100, 200)
    assert helped.score(X[rows], Y[rows]) > alone.score(X[rows], Y[rows]) + 0.1
    chosen = Translation().fit(X[:12], Y[:12], **known)  # tries it with the same rows
    assert chosen.scores_["spectral"] == helped.scores_["spectral"] != alone.scores_["spectral"]


def test_a_turned_space_is_translated_alike():
    X, Y = encoders(n=300)
    turn = np.linalg.qr(RNG.normal(size=(40, 40)))[0]
    before = Translation("spectral").fit(X[:30], Y[:30], X_background=X, y_background=Y)
    after = Translation("spectral").fit(
        X[:30] @ turn, Y[:30], X_background=X @ turn, y_background=Y
    )
    np.testing.assert_allclose(before.transform(X), after.transform(X @ turn), atol=1e-4)


def test_the_way_back_takes_the_same_axes():
    X, Y = encoders(n=300)
    known = {"X_background": X, "y_background": Y}
    there = Translation("spectral", robust=False).fit(X[:60], Y[:60], **known)
    back = Translation("spectral", robust=False).fit(Y[:60], X[:60], X_background=Y, y_background=X)
    np.testing.assert_allclose(there.inverse_transform(Y), back.transform(Y), rtol=1e-3, atol=1e-3)


def test_axes_are_kept_with_a_translation(tmp_path):
    from relatum.quality import predict_quality

    X, Y = encoders(n=400)
    fitted = Translation("spectral").fit(X[:40], Y[:40], X_background=X, y_background=Y)
    relatum.save(fitted, tmp_path / "m.safetensors")
    loaded = relatum.load(tmp_path / "m.safetensors")
    np.testing.assert_array_equal(fitted.transform(X), loaded.transform(X))
    one, other = (predict_quality(t, X[:40], Y[:40], Y) for t in (fitted, loaded))
    assert one.recall_1 == other.recall_1
    alone = relatum.Translation("spectral").fit(X[:40], Y[:40])
    relatum.save(alone, tmp_path / "a.safetensors")
    assert relatum.load(tmp_path / "a.safetensors").axes_ == (None, None)


def test_a_single_map_takes_axes_too():
    X, Y = encoders(n=300)
    axes = PrincipalAxes.of(X), PrincipalAxes.of(Y)
    found = fit_translation(X[:30], Y[:30], method="spectral", axes=axes)
    fitted = Translation("spectral", rescale=False, robust=False)
    fitted.fit(X[:30], Y[:30], X_background=X, y_background=Y)
    np.testing.assert_allclose(translate(X, found), fitted.transform(X), atol=1e-3)


def test_held_out_anchors_are_scaled_as_the_map_is():
    X, Y = encoders(n=300)
    axes = (
        PrincipalAxes.of(X[50:] + 1),
        PrincipalAxes.of(Y[50:] - 1),
    )  # other means than the anchors'
    held = Folds(AnchorPair(X[:50], Y[:50], known_axes=axes), 0)
    found = held.mapped("spectral").rows(3.0)
    part = held.parts[0]
    kept = np.setdiff1d(np.arange(50), held.rows[part])
    fitted = fit_translation(X[kept], Y[kept], method="spectral", scale=3.0, axes=axes)
    np.testing.assert_allclose(found[part], translate(held.A[part], fitted), atol=1e-3)


@pytest.mark.parametrize(
    ("background", "message"),
    [
        ({"X_background": np.ones((9, 40))}, "X_background has 9 rows that are all the same"),
        ({"y_background": RNG.normal(size=(9, 40))}, "y_background has 40 features, y has 30"),
        ({"X_background": np.full((9, 40), np.nan)}, "X_background"),
        ({"X_background": RNG.normal(size=(2, 40))}, r"X_background has shape \(2, 40\)"),
    ],
)
def test_other_rows_are_checked(background, message):
    X, Y = encoders(n=30)
    with pytest.raises(ValueError, match=message):
        Translation("spectral").fit(X, Y, **background)
