"""Rows matched softly: what a plan is, that it finds the turn, and where it takes rows."""

from __future__ import annotations

import numpy as np
import pytest

from relatum._gemm import unit_rows
from relatum._transport import Cloud, first_guess, soft_pairs, transport_plan

D = 20


def clouds(n=600, n_anchors=8, seed=0, noise=0.1):
    """Two turned views of one kind of data; no row of the one is an item of the other."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(25, D))
    m = 2 * n + n_anchors
    Z = centres[rng.integers(25, size=m)] + 0.5 * rng.normal(size=(m, D))
    Z = (Z * 2.0 * np.arange(1, D + 1) ** -0.5).astype(np.float32)
    turn = np.linalg.qr(rng.normal(size=(D, D)))[0].astype(np.float32)
    other = Z @ turn + noise * rng.normal(size=Z.shape).astype(np.float32)
    X, Y = Z + 1, other - 1
    return Cloud.of(X[:n], X[2 * n :]), Cloud.of(Y[n : 2 * n], Y[2 * n :]), turn


def test_a_cloud_is_at_unit_norm_about_its_mean():
    rows = np.random.default_rng(0).normal(size=(50, 4)) + 3
    cloud = Cloud.of(rows, rows[:5])
    np.testing.assert_allclose(np.linalg.norm(cloud.rows, axis=1), 1)
    np.testing.assert_allclose(cloud.anchors, cloud.rows[:5])


def test_a_plan_gives_every_column_one_and_every_row_about_one():
    x, y, _ = clouds(200)
    P = transport_plan(x, y)
    assert P.shape == (200, 200)
    assert (P >= 0).all()
    np.testing.assert_allclose(P.sum(axis=0), 1, rtol=1e-4)
    np.testing.assert_allclose(P.sum(axis=1), 1, atol=0.35)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_plan_is_nearer_to_the_truth_than_its_first_guess(seed):
    x, y, turn = clouds(seed=seed)
    truth = x.rows @ turn @ y.rows.T
    best = truth.max(axis=1).mean()
    far = {
        name: best - np.mean(truth[range(len(truth)), M.argmax(axis=1)])
        for name, M in (("plan", transport_plan(x, y)), ("guess", first_guess(x, y)))
    }
    assert far["plan"] < 0.7 * far["guess"]


def test_soft_pairs_are_rows_and_the_means_that_the_plan_takes_them_to():
    rng = np.random.default_rng(0)
    x, y = (unit_rows(rng.normal(size=(n, 4))) for n in (5, 3))
    P = rng.random((5, 3))
    xs, ys = soft_pairs(P, x, y, 2)
    np.testing.assert_array_equal(xs[:2], x[:2])
    np.testing.assert_array_equal(ys[2:], y[:2])
    for i in range(2):
        there = sum(P[i, j] * y[j] for j in range(3))
        np.testing.assert_allclose(ys[i], there / np.linalg.norm(there))
        back = sum(P[j, i] * x[j] for j in range(5))
        np.testing.assert_allclose(xs[2 + i], back / np.linalg.norm(back))


def test_more_pairs_than_rows_are_as_many_as_rows():
    rng = np.random.default_rng(0)
    x, y = (unit_rows(rng.normal(size=(n, 4))) for n in (5, 3))
    xs, ys = soft_pairs(rng.random((5, 3)), x, y, 10)
    assert len(xs) == len(ys) == 8
