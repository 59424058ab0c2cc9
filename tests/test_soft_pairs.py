"""Rows matched softly: what a plan is, that it finds the turn, and where it takes rows."""

from __future__ import annotations

import numpy as np
import pytest

from relatum._gemm import unit_rows
from relatum._soft_pairs import soft_pairs, transport_plan

D = 20


def clouds(n, seed=0, noise=0.1):
    """Two turned views of one kind of data; the first n rows of each are different items."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(25, D))
    Z = centres[rng.integers(25, size=2 * n)] + 0.5 * rng.normal(size=(2 * n, D))
    Z = (Z * 2.0 * np.arange(1, D + 1) ** -0.5).astype(np.float32)
    turn = np.linalg.qr(rng.normal(size=(D, D)))[0].astype(np.float32)
    noisy = Z @ turn + noise * rng.normal(size=Z.shape).astype(np.float32)
    return Z[:n] + 1, noisy[n:], Z[n:] + 1, turn


def test_a_plan_gives_every_column_one_and_every_row_about_one():
    x, y, a, _ = clouds(200)
    scores = unit_rows(x) @ unit_rows(y).T
    P = transport_plan(x, y, a[:5], y[:5], scores)
    assert P.shape == (200, 200)
    assert (P >= 0).all()
    np.testing.assert_allclose(P.sum(axis=0), 1, rtol=1e-4)
    np.testing.assert_allclose(P.sum(axis=1), 1, atol=0.35)


@pytest.mark.parametrize("seed", [0, 1])
def test_clouds_without_a_common_item_are_turned_onto_each_other(seed):
    x, y, same_as_y, turn = clouds(600, seed)
    a, b = same_as_y[:8], y[:8]
    rng = np.random.default_rng(seed)
    u, v = (unit_rows(M - M.mean(axis=0)) for M in (x, y))
    truth = u @ turn @ v.T
    rough = turn + rng.normal(size=turn.shape) / np.sqrt(D)  # half of it is wrong
    scores = (unit_rows(u @ rough) @ v.T).astype(np.float32)
    P = transport_plan(x, y, a, b, scores)
    by_plan, by_scores = (np.mean(truth[range(600), M.argmax(axis=1)]) for M in (P, scores))
    assert truth.max(axis=1).mean() - by_plan < 0.6 * (truth.max(axis=1).mean() - by_scores)
    xs, ys = soft_pairs(P, unit_rows(x - x.mean(axis=0)), unit_rows(y - y.mean(axis=0)), 100)
    assert xs.shape == ys.shape == (200, D)
    cosines = np.sum((xs @ turn) * ys, axis=1)
    assert np.median(cosines) > 0.8


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
