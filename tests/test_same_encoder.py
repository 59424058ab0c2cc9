"""Rows of another encoder, or at another norm, are seen; other data of the same one are not."""

from __future__ import annotations

import numpy as np
import pytest

from relatum._same_encoder import unlike
from relatum._translation_map import fit_translation

D = 200


@pytest.fixture
def fitted_and_rows():
    rng = np.random.default_rng(0)
    spread = np.exp(0.3 * rng.normal(size=D))
    anchors = rng.normal(size=(100, D)) * spread
    other_data = rng.normal(size=(300, D)) * spread * np.exp(0.3 * rng.normal(size=D)) + 0.3
    return fit_translation(anchors, anchors[:, ::-1]), other_data, rng


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
