"""Translation: laws of each method, independent oracles, and what is refused."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.linalg import orthogonal_procrustes
from sklearn.base import clone
from sklearn.cross_decomposition import CCA
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LinearRegression, Ridge, RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import relatum
from relatum import RelatumWarning
from relatum._gemm import unit_rows
from relatum._linear_maps import PENALTIES, canonical, factors, ridge_left_out, ridge_penalty
from relatum.translation import METHODS, Translation, fit_translation, translate

AFFINE = [name for name in METHODS if name != "procrustes_kernel"]


def rotation(d, seed=0):
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(d, d)))[0]


def spaces(n=120, d_x=8, d_y=8, noise=0.0, seed=0):
    """The same items in two spaces: one turned (cut or filled up), moved and noisy."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d_x)) + rng.normal(size=d_x)
    turned = X @ rotation(max(d_x, d_y), seed + 1)[:d_x, :d_y]
    return X, turned + rng.normal(size=d_y) + noise * rng.normal(size=(n, d_y))


def fit(method, X, Y, n=60):
    """Fit on the first n rows; all rows are known beside them where a method takes such."""
    others = method in METHODS and METHODS[method].other_rows
    known = {"X_background": X, "y_background": Y} if others else {}
    return Translation(method).fit(X[:n], Y[:n], **known)


# ---- laws


@pytest.mark.parametrize("method", [m for m in METHODS if m != "mean_shift"])
def test_a_turned_and_moved_space_is_found_again(method):
    X, Y = spaces(n=200)
    found = fit(method, X, Y, 100)
    assert found.score(X[100:], Y[100:]) > 0.95


@pytest.mark.parametrize("method", ["procrustes", "scaled_procrustes", "affine"])
def test_an_isometry_is_exact(method):
    X, Y = spaces()
    found = Translation(method).fit(X[:60], Y[:60])
    np.testing.assert_allclose(found.transform(X), Y, atol=1e-6)
    np.testing.assert_allclose(found.inverse_transform(Y), X, atol=1e-6)


def test_mean_shift_moves_and_turns_nothing():
    X, _ = spaces()
    found = Translation("mean_shift").fit(X[:60], X[:60] + 3)
    np.testing.assert_allclose(found.transform(X), X + 3)


@pytest.mark.parametrize(("d_x", "d_y"), [(5, 9), (9, 5)])
@pytest.mark.parametrize("method", [m for m in METHODS if m != "mean_shift"])
def test_any_two_widths(method, d_x, d_y):
    X, Y = spaces(d_x=d_x, d_y=d_y)
    found = fit(method, X, Y)
    assert found.transform(X[60:]).shape == (60, d_y)
    assert found.inverse_transform(Y[60:]).shape == (60, d_x)


@given(seed=st.integers(0, 1000), scale=st.sampled_from([1e-3, 1.0, 1e3]))
def test_procrustes_commutes_with_rotations_of_either_side(seed, scale):
    X, Y = spaces(noise=0.3, seed=seed)
    P, Q = rotation(8, seed + 5), rotation(8, seed + 6)
    plain = translate(X, fit_translation(X[:60], Y[:60], method="procrustes"))
    turned = fit_translation(scale * X[:60] @ P, Y[:60] @ Q, method="scaled_procrustes")
    np.testing.assert_allclose(
        translate(scale * X @ P, turned)[60:] - (Y[:60] @ Q).mean(axis=0),
        scale * (plain @ Q - (Y[:60] @ Q).mean(axis=0))[60:],
        rtol=1e-6,
        atol=1e-9 * scale,
    )


def test_what_fewer_anchors_than_features_do_not_reach_goes_to_the_mean():
    X, Y = spaces(n=40, d_x=30, d_y=30)
    found = fit_translation(X[:10], Y[:10], method="procrustes")
    mean = X[:10].mean(axis=0)
    away = X[20] - mean
    basis = np.linalg.svd(X[:10] - mean, full_matrices=False)[2][:9]
    away -= basis.T @ (basis @ away)
    np.testing.assert_allclose(
        translate((mean + away)[None], found)[0], Y[:10].mean(axis=0), atol=1e-9
    )


# ---- oracles


@pytest.mark.parametrize("n", [60, 6])
def test_procrustes_is_scipys(n):
    X, Y = spaces(noise=0.2)
    A, B = X[:n] - X[:n].mean(axis=0), Y[:n] - Y[:n].mean(axis=0)
    ours = fit_translation(X[:n], Y[:n], method="procrustes").matrix
    theirs, _ = orthogonal_procrustes(A, B)
    np.testing.assert_allclose(A @ ours, A @ theirs, atol=1e-9)


def test_affine_is_least_squares():
    X, Y = spaces(noise=0.2, d_y=5)
    found = fit_translation(X[:60], Y[:60], method="affine")
    np.testing.assert_allclose(
        translate(X, found), LinearRegression().fit(X[:60], Y[:60]).predict(X)
    )


def test_ridge_is_scikit_learns_at_the_penalty_that_it_chose():
    X, Y = spaces(noise=0.5, d_y=5)
    found = fit_translation(X[:60], Y[:60], method="ridge")
    theirs = Ridge(alpha=found.chosen["penalty"]).fit(X[:60], Y[:60])
    np.testing.assert_allclose(translate(X, found), theirs.predict(X))


def test_left_out_errors_are_those_of_fits_without_the_row():
    X, Y = spaces(n=20, noise=0.5, d_y=3)
    A, B = X - X.mean(axis=0), Y - Y.mean(axis=0)
    errors = ridge_left_out(factors(A), B, 2.0)
    for i in (0, 7, 19):
        kept = np.arange(20) != i
        model = Ridge(alpha=2.0).fit(X[kept], Y[kept])
        # the mean moves with the row that is left out; a ridge does not see that exactly
        np.testing.assert_allclose(errors[i], Y[i] - model.predict(X[i : i + 1])[0], rtol=0.05)


def test_the_penalty_is_that_of_ridge_cv():
    X, Y = spaces(n=60, noise=2.0, d_y=3)
    A, B = X - X.mean(axis=0), Y - Y.mean(axis=0)
    F = factors(A)
    theirs = RidgeCV(alphas=PENALTIES * F.mean_square, fit_intercept=True).fit(X, Y).alpha_
    assert ridge_penalty(F, B) == pytest.approx(theirs)


def test_the_penalty_of_many_columns_is_about_that_of_all():
    rng = np.random.default_rng(0)
    A = rng.normal(size=(80, 40))
    B = A @ rng.normal(size=(40, 600)) + 8 * rng.normal(size=(80, 600))
    A, B = A - A.mean(axis=0), B - B.mean(axis=0)
    F = factors(A)
    errors = [np.sum(ridge_left_out(F, B, p * F.mean_square) ** 2) for p in PENALTIES]
    found = np.argmin(np.abs(PENALTIES - ridge_penalty(F, B) / F.mean_square))
    assert abs(found - np.argmin(errors)) <= 1


def test_canonical_correlation_finds_what_scikit_learn_finds():
    rng = np.random.default_rng(0)
    shared = rng.normal(size=(400, 3))
    X = np.hstack([shared, rng.normal(size=(400, 3))]) @ rng.normal(size=(6, 6))
    Y = np.hstack([shared, rng.normal(size=(400, 2))]) @ rng.normal(size=(5, 5))
    theirs = CCA(n_components=3).fit(X, Y)
    A, B = X - X.mean(axis=0), Y - Y.mean(axis=0)
    predicted = A @ canonical(factors(A), factors(B), 1e-9)
    ours, own = theirs.transform(X, predicted + Y.mean(axis=0))[1], theirs.transform(X, Y)[1]
    for i in range(3):
        assert abs(np.corrcoef(ours[:, i], own[:, i])[0, 1]) > 0.999


def test_the_relative_methods_are_the_projection_and_its_inverse():
    X, Y = spaces(n=80, d_x=10, d_y=10)
    X, Y = X[:40], Y[:40]
    found = fit_translation(X, Y, method="relative")
    z = (X - X.mean(axis=0))[:5]
    R = relatum.relative_projection(z, X - X.mean(axis=0))
    B = Y - Y.mean(axis=0)
    unit = B / np.linalg.norm(B, axis=1, keepdims=True)
    expected = R @ np.linalg.pinv(unit.T, rcond=1e-2) * np.linalg.norm(z, axis=1, keepdims=True)
    np.testing.assert_allclose(translate(X[:5], found) - Y.mean(axis=0), expected, atol=1e-9)


# ---- auto


def test_auto_is_about_as_good_as_the_best_method():
    X, Y = spaces(n=400, d_x=12, d_y=12, noise=0.8)  # less, and every method finds all
    scores = {m: fit(m, X, Y, 80).score(X[80:], Y[80:]) for m in METHODS}
    auto = Translation().fit(X[:80], Y[:80], X_background=X, y_background=Y)
    assert set(auto.scores_) >= set(METHODS)
    assert "transport" not in Translation().fit(X[:80], Y[:80], X_background=X).scores_
    assert auto.score(X[80:], Y[80:]) >= max(scores.values()) - 0.03


def test_auto_leaves_things_as_they_are_where_that_is_best():
    X, _ = spaces(n=60, d_x=40, d_y=40)
    with pytest.warns(RelatumWarning, match="no translation does better on held-out anchors"):
        found = Translation().fit(X[:12], X[:12])
    assert found.method_ == "unchanged"
    np.testing.assert_array_equal(found.transform(X), X)


def test_auto_by_accuracy_takes_labels():
    X, Y = spaces(n=200, noise=0.2)
    labels = (Y[:, 0] > Y[:, 0].mean()).astype(int)
    with pytest.raises(ValueError, match="criterion='accuracy' takes labels in fit"):
        Translation(criterion="accuracy").fit(X[:60], Y[:60])
    found = Translation(criterion="accuracy").fit(X[:60], Y[:60], labels=labels[:60])
    assert found.scores_[found.method_] > 0.8


def test_lengths_are_restored():
    X, Y = spaces(n=300, d_x=40, d_y=40, noise=1.0)
    mean = Y[:50].mean(axis=0)

    def length(rescale):
        found = Translation("ridge", rescale=rescale).fit(X[:50], Y[:50])
        return np.linalg.norm(found.transform(X[50:]) - mean, axis=1).mean()

    truth = np.linalg.norm(Y[50:] - mean, axis=1).mean()
    assert length(False) < 0.9 * truth
    assert length(True) == pytest.approx(truth, rel=0.25)


# ---- shells


@pytest.mark.parametrize("method", AFFINE)
def test_as_affine_is_transform(method):
    X, Y = spaces(noise=0.3)
    found = fit(method, X, Y)
    matrix, bias = found.as_affine()
    np.testing.assert_allclose(X @ matrix + bias, found.transform(X))


def test_a_kernel_is_no_affine_map():
    X, Y = spaces(noise=0.3)
    with pytest.raises(ValueError, match="'procrustes_kernel' is no affine map"):
        Translation("procrustes_kernel").fit(X, Y).as_affine()


@pytest.mark.parametrize("method", ["ridge", "procrustes_kernel"])
def test_every_back_end_gives_the_same(backend, method):
    X, Y = spaces(noise=0.3)
    expected = Translation(method).fit(X[:60], Y[:60]).transform(X)
    found = Translation(method).fit(backend.array(X[:60]), backend.array(Y[:60]))
    out = found.transform(backend.array(X))
    assert type(out) is type(backend.array(X))
    np.testing.assert_allclose(backend.numpy(out), expected, atol=1e-6)  # of the scale


@pytest.mark.parametrize("method", ["ridge", "procrustes_kernel"])
def test_torch_keeps_gradients(method):
    torch = pytest.importorskip("torch")
    X, Y = spaces(noise=0.3)
    found = Translation(method).fit(X[:60], Y[:60])
    x = torch.tensor(X[:5], requires_grad=True)
    found.transform(x).sum().backward()
    assert torch.isfinite(x.grad).all()
    assert x.grad.abs().sum() > 0


def test_single_precision_stays():
    X, Y = spaces(noise=0.3)
    found = Translation("ridge").fit(X[:60].astype(np.float32), Y[:60].astype(np.float32))
    assert found.transform(X.astype(np.float32)).dtype == np.float32


def test_scikit_learn_clones_and_pipes_it():
    X, Y = spaces(noise=0.1)
    model = make_pipeline(StandardScaler(), Translation("ridge"))
    assert model.fit(X[:60], Y[:60]).transform(X).shape == Y.shape
    assert clone(Translation("cca", rescale=False)).get_params()["rescale"] is False


@pytest.mark.parametrize("method", ["auto", *METHODS])
def test_a_file_keeps_it(method, tmp_path):
    X, Y = spaces(noise=0.3)
    found = fit(method, X, Y)
    path = tmp_path / "map.safetensors"
    relatum.save(found, path, encoder="old", target_encoder="new", target_revision="2")
    again = relatum.load(path)
    np.testing.assert_array_equal(again.transform(X), found.transform(X))
    np.testing.assert_array_equal(again.inverse_transform(Y), found.inverse_transform(Y))
    assert again.scores_ == found.scores_
    assert again.get_params() == found.get_params()
    manifest = relatum.read_manifest(path)
    assert (manifest["kind"], manifest["encoder"]) == ("translation", "old")
    assert (manifest["target_encoder"], manifest["target_revision"]) == ("new", "2")
    assert manifest["state"]["method"] == found.method_


# ---- other rows


def clustered(n=700, seed=0):
    """Items in groups, some directions much stronger than others, in two turned views."""
    rng = np.random.default_rng(seed)
    strengths = 3.0 * np.arange(1, 25) ** -0.5
    centres = rng.normal(size=(30, 24))
    Z = (centres[rng.integers(30, size=n)] + rng.normal(size=(n, 24))) * strengths
    return Z + 1, Z @ rotation(24, seed + 1) + 0.15 * rng.normal(size=(n, 24))


def test_other_rows_that_are_not_in_both_make_up_for_anchors():
    X, Y = clustered()
    known = {"X_background": X[12:250], "y_background": Y[250:500]}
    alone = Translation("whitened").fit(X[:12], Y[:12]).score(X[500:], Y[500:])
    axes = Translation("spectral").fit(X[:12], Y[:12], **known).score(X[500:], Y[500:])
    both = Translation("transport").fit(X[:12], Y[:12], **known).score(X[500:], Y[500:])
    assert both > max(alone, axes) + 0.1
    assert "transport" in Translation().fit(X[:12], Y[:12], **known).scores_


def test_anchors_are_not_among_the_other_rows():
    X, Y = clustered(120)
    found = Translation("transport").fit(X[:40], Y[:40], X_background=X, y_background=Y)
    assert [len(axes.sample) for axes in found.axes_] == [80, 80]
    others = Translation("transport").fit(X[:40], Y[:40], X_background=X, y_background=Y[40:])
    assert [len(axes.sample) for axes in others.axes_] == [80, 80]


def test_a_file_of_transport_goes_on_predicting(tmp_path):
    X, Y = clustered(seed=1)
    found = Translation("transport").fit(
        X[:40], Y[:40], X_background=X[40:250], y_background=Y[250:500]
    )
    relatum.save(found, tmp_path / "m.safetensors")
    again = relatum.load(tmp_path / "m.safetensors")
    first, second = (f._map_without(X[:40], Y[:40], np.arange(8)) for f in (found, again))
    np.testing.assert_allclose(first(X[:8]), second(X[:8]), atol=1e-6)


# ---- what is refused


def test_bad_input_is_named():
    X, Y = spaces()
    for known in ({}, {"X_background": X}, {"X_background": X[:60], "y_background": Y[:60]}):
        with pytest.raises(ValueError, match="takes other rows of both encoders, not the anchors"):
            Translation("transport").fit(X[:60], Y[:60], **known)
    with pytest.raises(ValueError, match="X has 60 rows, y has 59"):
        Translation().fit(X[:60], Y[:59])
    with pytest.raises(ValueError, match=r"method is 'rigde' \(did you mean 'ridge'\?\)"):
        Translation("rigde").fit(X, Y)
    with pytest.raises(ValueError, match="criterion is 'r'; expected one of retrieval"):
        Translation(criterion="r").fit(X, Y)
    with pytest.raises(ValueError, match="X has 8 features, y has 5"):
        Translation("mean_shift").fit(X, Y[:, :5])
    with pytest.raises(ValueError, match="at least 4 row"):
        Translation().fit(X[:3], Y[:3])
    with pytest.raises(NotFittedError):
        Translation().transform(X)
    with pytest.raises(ValueError, match="y has 60 rows that are all the same"):
        Translation().fit(X[:60], np.ones((60, 3)))
    with pytest.raises(ValueError, match="y contains NaN"):
        Translation().fit(X[:60], np.full((60, 3), np.nan))
    with pytest.raises(ValueError, match=r"labels has shape \(9,\), X has 60 rows"):
        Translation(criterion="accuracy").fit(X[:60], Y[:60], labels=np.zeros(9))
    with pytest.raises(ValueError, match="method is 'none'; expected one of mean_shift"):
        fit_translation(X, Y, method="none")
    found = Translation("ridge").fit(X[:60], Y[:60])
    with pytest.raises(ValueError, match="X has 5 features; this translation was fitted on 8"):
        found.transform(X[:, :5])
    with pytest.raises(ValueError, match="Y has 5 features; this translation was fitted on 8"):
        found.inverse_transform(X[:, :5])


@pytest.mark.parametrize("method", METHODS)
def test_four_anchors_are_enough(method):
    X, Y = spaces()
    known = {"X_background": X, "y_background": Y} if METHODS[method].other_rows else {}
    found = Translation(method).fit(X[:4], Y[:4], **known)
    assert np.isfinite(found.transform(X)).all()


def test_rows_that_are_nearly_all_the_same_are_fitted():
    X, Y = spaces()
    Y = np.repeat(Y[:1], 60, axis=0)
    Y[0] += 1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        assert np.isfinite(Translation().fit(X[:60], Y).transform(X)).all()


def test_a_gain_within_chance_changes_nothing():
    rng = np.random.default_rng(0)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = Translation().fit(rng.normal(size=(200, 30)), rng.normal(size=(200, 30)))
    said = [str(w.message) for w in caught]
    assert found.method_ == "unchanged"
    assert any("do not look parallel" in text for text in said)
    assert any("rows are left as they are" in text for text in said)


def test_the_order_of_other_rows_means_nothing():
    """Rows of both encoders in one order are no hint at which are the same items."""
    X, Y = spaces()
    order = np.random.default_rng(0).permutation(len(X))
    one = Translation("ridge").fit(X[:60], Y[:60], X_background=X, y_background=Y)
    samples = [axes.sample for axes in one.axes_]
    places = [
        np.argmax(sample @ unit_rows(M - axes.mean).T, axis=1)
        for sample, axes, M in zip(samples, one.axes_, (X, Y), strict=True)
    ]
    n = min(map(len, places))
    assert np.mean(places[0][:n] == places[1][:n]) < 0.2
    other = Translation("ridge").fit(X[:60], Y[:60], X_background=X, y_background=Y[order])
    assert len(other.axes_[1].sample) == len(samples[1])


def test_outputs_have_names():
    X, Y = spaces()
    found = Translation("ridge").fit(X[:60], Y[:60, :3])
    names = ["translation0", "translation1", "translation2"]
    assert found.get_feature_names_out().tolist() == names


def test_shuffled_anchors_are_warned_of():
    X, Y = spaces(n=60)
    with pytest.warns(RelatumWarning, match="do not look parallel"):
        Translation("ridge").fit(X, Y[::-1])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Translation("ridge").fit(X, Y)


@pytest.mark.parametrize("n_wrong", [0, 4, 40])
def test_wrong_pairs_are_named_and_left_out(n_wrong):
    X, Y = spaces(n=500, d_x=30, d_y=30, noise=0.5)
    rng = np.random.default_rng(0)
    wrong = np.sort(rng.permutation(200)[:n_wrong])
    spoilt = Y[:200].copy()
    spoilt[wrong] = Y[400 : 400 + n_wrong]  # other items
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = Translation("ridge").fit(X[:200], spoilt)
    assert len(np.setdiff1d(found.wrong_anchors_, wrong)) <= 2
    assert len(np.intersect1d(found.wrong_anchors_, wrong)) >= 0.75 * n_wrong
    assert any("are left out" in str(w.message) for w in caught) == bool(n_wrong)
    kept = Translation("ridge", robust=False).fit(X[:200], spoilt)
    assert len(kept.wrong_anchors_) == 0
    error = [np.mean((t.transform(X[200:400]) - Y[200:400]) ** 2) for t in (found, kept)]
    assert error[0] <= error[1] * (0.95 if n_wrong > 10 else 1.03)
