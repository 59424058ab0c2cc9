"""Growing anchors: what is found, what is refused, and what it cannot do and says so."""

from __future__ import annotations

import numpy as np
import pytest

from relatum.growing import grow_anchors
from relatum.translation import Translation

N, SEEDS = 500, 12


def spaces(seed=0, noise=0.15, d_y=24):
    """The same items in two spaces, some directions much stronger than others."""
    rng = np.random.default_rng(seed)
    strengths = 3.0 * np.arange(1, 25) ** -0.5
    centres = rng.normal(size=(30, 24))
    Z = (centres[rng.integers(30, size=N + SEEDS)] + rng.normal(size=(N + SEEDS, 24))) * strengths
    Q = np.linalg.qr(rng.normal(size=(max(24, d_y), max(24, d_y))))[0][:24, :d_y]
    return Z + 1, Z @ Q + noise * rng.normal(size=(N + SEEDS, d_y)), rng.permutation(N)


def grow(X, Y, order, **settings):
    return grow_anchors(X[SEEDS:], Y[SEEDS:][order], X[:SEEDS], Y[:SEEDS], **settings)


def right(grown, order):
    return np.mean(order[grown.pairs[:, 1]] == grown.pairs[:, 0])


@pytest.mark.parametrize("d_y", [24, 40])
def test_a_dozen_seeds_find_nearly_everything(d_y):
    X, Y, order = spaces(d_y=d_y)
    grown = grow(X, Y, order)
    assert grown.found
    assert grown.agreement > 0.8
    assert len(grown.pairs) > 0.8 * N
    assert right(grown, order) > 0.95
    assert grown.rounds[-1].stayed > 0.9
    assert str(grown).startswith(f"{len(grown.pairs)} pairs found")


def test_the_surest_pairs_come_first():
    X, Y, order = spaces(noise=0.9)
    grown = grow(X, Y, order, wrong=1)
    assert (np.diff(grown.margins) <= 0).all()
    half = len(grown.pairs) // 2
    correct = order[grown.pairs[:, 1]] == grown.pairs[:, 0]
    assert correct[:half].mean() > correct[half:].mean()
    fewer = grow(X, Y, order, wrong=0.02)
    assert len(fewer.pairs) < len(grown.pairs)
    assert right(fewer, order) > correct.mean()


def test_a_map_on_grown_anchors_is_better_than_on_the_seeds():
    X, Y, order = spaces(noise=0.4)
    grown = grow(X, Y, order)
    A = np.concatenate([X[:SEEDS], X[SEEDS:][grown.pairs[:, 0]]])
    B = np.concatenate([Y[:SEEDS], Y[SEEDS:][order][grown.pairs[:, 1]]])
    few = Translation("ridge").fit(X[:SEEDS], Y[:SEEDS]).score(X[SEEDS:], Y[SEEDS:])
    many = Translation("ridge").fit(A, B).score(X[SEEDS:], Y[SEEDS:])
    assert many > 0.9 > few + 0.1


def test_items_without_a_counterpart_do_not_hinder():
    X, Y, _ = spaces()
    x, y = X[SEEDS:], Y[SEEDS:]
    grown = grow_anchors(x[:350], y[150:], X[:SEEDS], Y[:SEEDS])
    assert grown.found
    assert np.mean(grown.pairs[:, 0] == grown.pairs[:, 1] + 150) > 0.85
    assert np.sum(grown.pairs[:, 0] == grown.pairs[:, 1] + 150) > 150  # of 200


def test_unrelated_spaces_are_not_matched():
    X, _, order = spaces(0)
    _, Y, _ = spaces(1)
    grown = grow(X, Y, order)
    assert not grown.found
    assert grown.pairs.shape == (0, 2)
    assert "could not grow" in str(grown)


def test_the_same_seed_gives_the_same_pairs_and_progress_is_said():
    X, Y, order = spaces()
    said = []
    one, other = grow(X, Y, order, progress=said.append), grow(X, Y, order)
    np.testing.assert_array_equal(one.pairs, other.pairs)
    assert said[:2] == ["run 1 of 2, climb 1", "run 1 of 2, climb 2"]
    assert said[-1] == f"run 2 of 2, climb {np.argmax([r.seeds for r in one.rounds]) + 1}"


def test_every_back_end(backend):
    X, Y, order = spaces()
    arrays = (X[SEEDS:], Y[SEEDS:][order], X[:SEEDS], Y[:SEEDS])
    grown = grow_anchors(*(backend.array(a) for a in arrays))
    np.testing.assert_array_equal(grown.pairs, grow(X, Y, order).pairs)


def test_bad_input_is_named():
    X, Y, order = spaces()
    with pytest.raises(ValueError, match="at least 5 row"):
        grow_anchors(X, Y, X[:4], Y[:4])
    with pytest.raises(ValueError, match="X_seeds has 12 rows, Y_seeds has 11"):
        grow_anchors(X, Y, X[:12], Y[:11])
    with pytest.raises(ValueError, match="Y has 24 features, Y_seeds has 5"):
        grow_anchors(X, Y, X[:12], Y[:12, :5])
    with pytest.raises(ValueError, match="at least 50 row"):
        grow_anchors(X[:20], Y, X[:12], Y[:12])
    with pytest.raises(ValueError, match="wrong is 0; expected"):
        grow(X, Y, order, wrong=0)
