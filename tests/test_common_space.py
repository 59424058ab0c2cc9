"""A space of two encoders: what its cosines are, that it finds more, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.exceptions import NotFittedError

import relatum
from relatum import Translation
from relatum.common_space import RELATIVE, CommonSpace

N = 40


def encoders(n=1000, seed=0):
    rng = np.random.default_rng(seed)
    Z = rng.normal(size=(n, 30)) * np.arange(1, 31) ** -0.5
    turns = (np.linalg.qr(rng.normal(size=(d, d)))[0][:30] for d in (48, 36))
    return tuple(Z @ t + 0.16 * rng.normal(size=(n, t.shape[1])) + 0.5 for t in turns)


X, Y = encoders()
KNOWN = {"X_background": X[500:750], "y_background": Y[750:]}
REST = slice(N, 500)


def found(P, T):
    _, rows = relatum.search(P, T, 1)
    return np.mean(rows[:, 0] == np.arange(len(P)))


def unit(M):
    return M / np.linalg.norm(M, axis=1, keepdims=True)


@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0])
def test_its_cosines_are_the_weighted_mean_of_both(weight):
    space = CommonSpace("spectral", weight=weight).fit(X[:N], Y[:N], **KNOWN)
    P, T = space.transform(X[REST]), space.transform_target(Y[REST])
    assert P.shape == T.shape == (460, space.n_features_out_)
    assert P.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(P, axis=1), 1, rtol=1e-5)
    R, S = (unit(relatum.relative_projection(M[REST], M[:N], **RELATIVE)) for M in (X, Y))
    mean = Y[750:].mean(axis=0)
    translated = Translation("spectral").fit(X[:N], Y[:N], **KNOWN).transform(X[REST])
    A, B = unit(translated - mean), unit(Y[REST] - mean)
    np.testing.assert_allclose(P @ T.T, weight * R @ S.T + (1 - weight) * A @ B.T, atol=1e-4)


def test_it_finds_more_than_either():
    space = CommonSpace("spectral").fit(X[:N], Y[:N], **KNOWN)
    R, S = (relatum.relative_projection(M[REST], M[:N], **RELATIVE) for M in (X, Y))
    both = found(space.transform(X[REST]), space.transform_target(Y[REST]))
    assert both > found(R, S)
    assert both > space.translation_.score(X[REST], Y[REST])


def test_other_rows_of_both_encoders_are_matched_softly():
    few = 12
    helped, plain = (CommonSpace(m).fit(X[:few], Y[:few], **KNOWN) for m in (None, "spectral"))
    assert helped.translation_.method_ == "transport"
    assert helped.n_features_out_ == few + 36
    by_helped, by_plain = (
        found(s.transform(X[REST]), s.transform_target(Y[REST])) for s in (helped, plain)
    )
    assert by_helped > by_plain + 0.01
    P, T = helped.transform(X[REST]), helped.transform_target(Y[REST])
    for M, by in ((P, 0.4), (T, 0.4)):  # the share of the relative representations
        np.testing.assert_allclose(np.sum(M[:, :few] ** 2, axis=1), by, rtol=1e-4)


def test_without_other_rows_of_both_encoders_nothing_is_matched():
    anchors = {"X_background": X[:N], "y_background": Y[:N]}
    for known in ({}, {"X_background": KNOWN["X_background"]}, anchors):
        space = CommonSpace().fit(X[:N], Y[:N], **known)
        assert space.translation_.method_ == "spectral"
        R = space.transform(X[REST])[:, :N]
        np.testing.assert_allclose(np.sum(R**2, axis=1), 2 / 3, rtol=1e-4)


def test_wrong_anchors_are_in_neither():
    A = np.random.default_rng(0).normal(size=(200, 30))
    B = A @ np.linalg.qr(np.random.default_rng(1).normal(size=(30, 30)))[0]
    rows = np.arange(0, 100, 10)
    B[rows] = B[np.roll(rows, 1)]
    with pytest.warns(relatum.RelatumWarning, match="of 200 anchors .* left out"):
        space = CommonSpace("procrustes").fit(A, B)
    wrong = space.translation_.wrong_anchors_
    assert set(wrong) <= set(rows)
    assert len(wrong) > 5
    np.testing.assert_allclose(space.anchors_x_, np.delete(A, wrong, axis=0).astype(np.float32))
    assert space.n_features_out_ == 200 - len(wrong) + 30


def test_it_is_kept_in_a_file(tmp_path):
    space = CommonSpace().fit(X[:N], Y[:N], **KNOWN)
    relatum.save(space, tmp_path / "s.safetensors")
    loaded = relatum.load(tmp_path / "s.safetensors")
    np.testing.assert_array_equal(space.transform(X), loaded.transform(X))
    np.testing.assert_array_equal(space.transform_target(Y), loaded.transform_target(Y))


def test_what_is_refused():
    with pytest.raises(NotFittedError):
        CommonSpace().transform(X)
    with pytest.raises(ValueError, match=r"weight is 1\.5; expected a number from 0 to 1"):
        CommonSpace(weight=1.5).fit(X[:N], Y[:N])
    with pytest.raises(ValueError, match="method is 'best'"):
        CommonSpace("best").fit(X[:N], Y[:N])
    space = CommonSpace().fit(X[:N], Y[:N])
    with pytest.raises(ValueError, match="X has 36 features, the anchors of X has 48"):
        space.transform(Y)
    with pytest.raises(ValueError, match="Y has 48 features"):
        space.transform_target(X)
