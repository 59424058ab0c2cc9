"""Matching without a pair: what is found, and what it could not do and says so."""

from __future__ import annotations

import numpy as np
import pytest

from relatum.unpaired import _normal_scores, match_unpaired

N = 500


def grouped(seed=0, d_y=20, noise=0.1):
    """The same items in two spaces, in groups, in another order on the other side."""
    rng = np.random.default_rng(seed)
    groups = 2 * rng.normal(size=(40, 20)) * np.linspace(2, 0.5, 20)
    X = groups[rng.integers(40, size=N)] + 0.5 * rng.normal(size=(N, 20))
    Q = np.linalg.qr(rng.normal(size=(max(20, d_y),) * 2))[0][:20, :d_y]
    order = rng.permutation(N)
    Y = X @ Q + noise * rng.normal(size=(N, d_y)) - 1
    return X + 2, Y[order], order


@pytest.mark.parametrize("d_y", [20, 33])
def test_items_in_groups_are_matched(d_y):
    X, Y, order = grouped(d_y=d_y)
    said = []
    found = match_unpaired(X, Y, progress=said.append)
    assert found.found
    assert found.agreement > 0.9
    assert len(found.pairs) > 0.7 * N
    assert np.mean(order[found.pairs[:, 1]] == found.pairs[:, 0]) > 0.95
    assert (np.diff(found.margins) <= 0).all()
    assert said[0] == "restart 1 of at most 8"
    assert str(found).startswith(f"{len(found.pairs)} pairs found; 2 of")
    assert len(match_unpaired(X, Y, wrong=1).pairs) >= len(found.pairs)


def test_unrelated_items_are_not_matched():
    X, _, _ = grouped(0)
    _, Y, _ = grouped(1)
    found = match_unpaired(X, Y)
    assert not found.found
    assert found.pairs.shape == (0, 2)
    assert found.n_restarts == 8
    assert str(found).startswith("could not match")


def test_every_back_end(backend):
    X, Y, _ = grouped()
    found = match_unpaired(backend.array(X), backend.array(Y))
    np.testing.assert_array_equal(found.pairs, match_unpaired(X, Y).pairs)


def test_normal_scores_keep_the_order_and_forget_the_scale():
    K = np.corrcoef(np.random.default_rng(0).normal(size=(6, 30)))
    np.testing.assert_allclose(_normal_scores(K), _normal_scores(np.exp(3 * K)))
    np.testing.assert_array_equal(_normal_scores(K), _normal_scores(K).T)
    assert abs(_normal_scores(K).sum()) < 1e-9


def test_bad_input_is_named():
    X, Y, _ = grouped()
    with pytest.raises(ValueError, match=r"Y has shape \(60, 20\); expected at least 200"):
        match_unpaired(X, Y[:60])
    with pytest.raises(ValueError, match="wrong is 2; expected"):
        match_unpaired(X, Y, wrong=2)
    with pytest.raises(ValueError, match="X contains NaN"):
        match_unpaired(np.full_like(X, np.nan), Y)
