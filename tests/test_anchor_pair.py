"""What methods share: decompositions against NumPy's, the other way, parts of anchors."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relatum._anchor_pair import AnchorPair
from relatum._held_out import ENOUGH, Folds
from relatum._linear_maps import factors, unit_ridge
from relatum._principal_axes import PrincipalAxes
from relatum._translation_map import fit_pair
from relatum._translation_methods import METHODS


def sides(n=60, d_x=8, d_y=6, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d_x)) * np.linspace(2, 0.2, d_x) + 1
    return X, X @ rng.normal(size=(d_x, d_y)) + 0.3 * rng.normal(size=(n, d_y)) - 2


@given(n=st.integers(2, 30), d=st.integers(1, 30), scale=st.sampled_from([1e-3, 1.0, 1e4]))
def test_single_precision_factors_are_those_of_double(n, d, scale):
    A = scale * np.random.default_rng(n * d).normal(size=(n, d))
    F = factors(A.astype(np.float32))
    assert F.U.dtype == F.s.dtype == F.Vt.dtype == np.float32
    np.testing.assert_allclose(F.s, np.linalg.svd(A, compute_uv=False)[: len(F.s)], rtol=1e-4)
    np.testing.assert_allclose(F.U * F.s @ F.Vt, A, atol=1e-4 * scale)


def test_single_precision_factors_drop_what_has_no_rank():
    A = np.random.default_rng(0).normal(size=(40, 3)) @ np.random.default_rng(1).normal(size=(3, 9))
    F = factors(A.astype(np.float32))
    assert len(F.s) == 3
    np.testing.assert_allclose(F.U.T @ F.U, np.eye(3), atol=1e-5)
    np.testing.assert_allclose(F.Vt @ F.Vt.T, np.eye(3), atol=1e-5)


@pytest.mark.parametrize("used_before", [False, True])
@pytest.mark.parametrize("method", METHODS)
def test_the_other_way_is_a_fit_of_the_other_way(method, used_before):
    X, Y = sides()
    if METHODS[method].same_width:
        Y = X[:, ::-1]
    axes = PrincipalAxes.of(X), PrincipalAxes.of(Y)
    known = (axes, axes[::-1]) if METHODS[method].other_rows else ((None, None), (None, None))
    pair, other = AnchorPair(X, Y, known_axes=known[0]), AnchorPair(Y, X, known_axes=known[1])
    if used_before:
        fit_pair(pair, method)
    ours, theirs = fit_pair(pair.swapped(), method), fit_pair(other, method)
    np.testing.assert_allclose(ours.matrix, theirs.matrix, atol=1e-8)
    np.testing.assert_allclose(ours.bias, theirs.bias, atol=1e-8)


def test_all_anchors_choose_penalty_and_rank_for_a_part():
    X, Y = sides()
    pair = AnchorPair(X, Y)
    part = pair.part(np.arange(40))
    assert part.penalty_share == pair.penalty_share
    assert part.rank == pair.rank
    assert part.penalty == pytest.approx(pair.penalty_share * np.mean(part.factors_a.s**2))
    np.testing.assert_allclose(part.A, X[:40] - X[:40].mean(axis=0), atol=1e-5)


@pytest.mark.parametrize(("n", "held"), [(7, 7), (60, 60), (400, 400), (1000, 400), (3000, 600)])
def test_folds_hold_out_enough_and_never_what_they_fit(n, held):
    X, Y = sides(n)
    folds = Folds(AnchorPair(X, Y), seed=0)
    assert len(folds.rows) == len(np.unique(folds.rows)) == held >= min(n, ENOUGH)
    np.testing.assert_allclose(folds.A, X[folds.rows], atol=1e-5)
    together = np.concatenate(folds.parts)
    np.testing.assert_array_equal(together, np.arange(held))
    # a fold's map is that of the other anchors
    part = folds.parts[0]
    rows = folds.rows[part]
    others = np.setdiff1d(np.arange(n), rows)
    expected = fit_pair(AnchorPair(X[others], Y[others]), "affine")
    found = folds.mapped("affine").rows(1.0)[part]
    np.testing.assert_allclose(found, X[rows] @ expected.matrix + expected.bias, atol=1e-4)


@pytest.mark.parametrize("n", [5, 60])
def test_unit_ridge_is_scikit_learns(n):
    from sklearn.linear_model import Ridge

    A, B = sides(n)
    a, b = (M / np.linalg.norm(M, axis=1, keepdims=True) for M in (A, B))
    theirs = Ridge(alpha=0.7, fit_intercept=False).fit(a, b).coef_.T
    np.testing.assert_allclose(unit_ridge(A, B, 0.7), theirs, atol=1e-9)


def test_the_axes_of_anchors_are_those_of_their_rows():
    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(40, 6)) + 1, rng.normal(size=(40, 5))
    pair = AnchorPair(X, Y)
    for found, rows in ((pair.axes_a, X), (pair.axes_b, Y)):
        own = PrincipalAxes.of(rows)
        np.testing.assert_allclose(found.strengths, own.strengths)
        np.testing.assert_allclose(np.abs(found(rows)), np.abs(own(rows)), atol=1e-9)
    known = PrincipalAxes.of(X)
    other = AnchorPair(X, Y, known_axes=(known, None))
    assert other.without(np.arange(9)).axes_a is known
    assert other.swapped().axes_b is known
