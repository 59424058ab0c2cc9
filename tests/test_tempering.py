"""Native rows beside translated ones, turned such that their cosines can be compared."""

from __future__ import annotations

import numpy as np
import pytest

from relatum import Translation
from relatum._gemm import unit_rows
from relatum._translated_index import overlap_among
from relatum.migration._tempering import fit_tempering


def two_encoders(n: int, noise: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    Z = rng.normal(size=(n, 24)) * np.linspace(2, 0.3, 24)
    X = Z @ np.linalg.qr(rng.normal(size=(32, 24)))[0].T + noise * rng.normal(size=(n, 32))
    Y = Z @ np.linalg.qr(rng.normal(size=(40, 24)))[0].T + 0.02 * rng.normal(size=(n, 40))
    return X, Y


def test_a_perfect_translation_leaves_native_rows_as_they_are() -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 12))
    Y = X @ np.linalg.qr(rng.normal(size=(12, 12)))[0]
    found = fit_tempering(Translation("procrustes").fit(X, Y), X, Y)
    assert found.weight_native > 0.999
    np.testing.assert_allclose(found.native(Y), Y, atol=0.1)


def test_native_rows_keep_their_norms_and_their_order() -> None:
    X, Y = two_encoders(400, 0.5)
    found = fit_tempering(Translation("procrustes").fit(X, Y), X, Y)
    assert 0.5 < found.weight_native < 0.99
    turned = found.native(Y)
    np.testing.assert_allclose(np.linalg.norm(turned, axis=1), np.linalg.norm(Y, axis=1), rtol=1e-5)
    Q, B = unit_rows(Y[:50]), unit_rows(Y[50:])
    np.testing.assert_allclose(
        Q @ unit_rows(turned[50:]).T, found.weight_native * (Q @ B.T), atol=0.02
    )


@pytest.mark.parametrize("seed", range(3))
def test_turned_anchors_leave_the_others_to_be_found(seed: int) -> None:
    X, Y = two_encoders(900, 1.0, seed)
    translation = Translation("procrustes").fit(X[:60], Y[:60])
    P = np.asarray(translation.transform(X), np.float32)
    found = fit_tempering(translation, X[:60], Y[:60])
    assert 0.5 < found.weight_anchors < 0.99
    turned = found.translated(P, np.arange(len(P)) < 60)
    np.testing.assert_array_equal(turned[60:], P[60:])
    np.testing.assert_allclose(np.linalg.norm(turned, axis=1), np.linalg.norm(P, axis=1), rtol=1e-5)

    def first(index: np.ndarray) -> np.ndarray:
        S = unit_rows(Y) @ unit_rows(index).T
        return np.asarray(S.argmax(axis=1) == np.arange(len(S)))

    before, after = first(P), first(turned)
    assert after[60:].mean() > before[60:].mean()
    assert after.mean() > before.mean()
    assert after[:60].mean() > 0.8


@pytest.mark.parametrize("seed", range(3))
def test_a_mixed_index_ranks_more_as_the_native_one_does(seed: int) -> None:
    X, Y = two_encoders(1500, 0.6, seed)
    translation = Translation("procrustes").fit(X[:300], Y[:300])
    P = np.asarray(translation.transform(X), np.float32)
    found = fit_tempering(translation, X[:300], Y[:300])
    assert found.weight_native < 1
    native = np.zeros(len(X), bool)
    native[:300] = True
    native[900:] = True
    rest = slice(300, None)

    def overlap(index: np.ndarray) -> float:
        return float(overlap_among(index[rest], Y[rest], 10, 1200, 0).mean())

    raw = np.where(native[:, None], Y, P)
    fair = np.where(native[:, None], found.native(Y), found.translated(P))
    assert overlap(fair) > overlap(raw)
    assert overlap(fair) > overlap(P) + 0.1


def test_native_rows_that_are_not_nearer_stay_as_they_are() -> None:
    X, Y = two_encoders(1500, 0.6)
    translation = Translation("ridge").fit(X[:300], Y[:300])
    found = fit_tempering(translation, X[:300], Y[:300])
    assert found.weight_native == 1
    np.testing.assert_array_equal(found.native(Y), np.float32(Y))
