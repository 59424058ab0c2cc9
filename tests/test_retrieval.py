"""Search in a common space: both corrections against their definitions, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import logsumexp

import relatum
from relatum import neighbors
from relatum.retrieval import CORRECTIONS, HubnessPenalty, hubness_penalty, search

RNG = np.random.default_rng(0)
QUERIES, INDEX = RNG.normal(size=(40, 6)), RNG.normal(size=(50, 6))


def cosines(A, B):
    return (A / np.linalg.norm(A, axis=1)[:, None]) @ (B / np.linalg.norm(B, axis=1)[:, None]).T


@pytest.fixture(params=["with faiss", "without"], autouse=True)
def _faiss(request, monkeypatch):
    if request.param == "without":
        monkeypatch.setattr(neighbors, "find_faiss", lambda: None)
    else:
        pytest.importorskip("faiss")


def test_without_a_penalty_it_is_the_cosine():
    scores, found = search(QUERIES, INDEX, 7)
    expected = np.argsort(-cosines(QUERIES, INDEX), axis=1)[:, :7]
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_allclose(
        scores, np.take_along_axis(cosines(QUERIES, INDEX), expected, axis=1), atol=1e-6
    )


def test_csls_ranks_as_its_definition():
    C = cosines(QUERIES, INDEX)
    r_q = np.sort(C, axis=1)[:, -7:].mean(axis=1)
    r_t = np.sort(C, axis=0)[-7:].mean(axis=0)
    penalty = hubness_penalty(INDEX, QUERIES, correction="csls", k=7)
    _, found = search(QUERIES, INDEX, 9, penalty=penalty)
    expected = np.argsort(-(2 * C - r_q[:, None] - r_t[None, :]), axis=1)[:, :9]
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("temperature", [0.01, 0.1, 1.0])
def test_softmax_ranks_as_its_definition(temperature):
    C = cosines(QUERIES, INDEX)
    penalty = hubness_penalty(INDEX, QUERIES, temperature=temperature)
    np.testing.assert_allclose(
        penalty,
        temperature * (logsumexp(C / temperature, axis=0) - np.log(len(QUERIES))),
        atol=1e-6,
    )
    score = C - temperature * (logsumexp(C / temperature, axis=0) - np.log(len(QUERIES)))
    scores, found = search(QUERIES, INDEX, 9, penalty=penalty)
    np.testing.assert_allclose(scores, -np.sort(-score, axis=1)[:, :9], atol=1e-6)
    np.testing.assert_allclose(np.take_along_axis(score, found, axis=1), scores, atol=1e-6)


@pytest.mark.parametrize("correction", CORRECTIONS)
def test_a_hub_is_found_less_often(correction):
    rng = np.random.default_rng(1)
    index = rng.normal(size=(60, 20))
    queries = index + 0.8 * rng.normal(size=index.shape) + 2.0  # all lean to one side
    index[0] = 2.0  # where they lean to
    plain = search(queries, index, 1)[1]
    penalty = hubness_penalty(index, queries, correction=correction)
    corrected = search(queries, index, 1, penalty=penalty)[1]
    assert np.sum(corrected == 0) < np.sum(plain == 0)
    own = np.arange(60)
    assert np.mean(corrected[:, 0] == own) > np.mean(plain[:, 0] == own)


@pytest.mark.parametrize("correction", CORRECTIONS)
def test_one_query_scores_as_it_does_among_others(correction):
    penalty = hubness_penalty(INDEX, QUERIES, correction=correction)
    scores, found = search(QUERIES, INDEX, 5, penalty=penalty)
    one_score, one = search(QUERIES[3:4], INDEX, 5, penalty=penalty)
    np.testing.assert_array_equal(one[0], found[3])
    np.testing.assert_allclose(one_score[0], scores[3], atol=1e-6)


def test_a_small_background_will_do():
    assert np.isfinite(hubness_penalty(INDEX, QUERIES[:2], correction="csls", k=10)).all()


def test_every_back_end(backend):
    penalty = hubness_penalty(backend.array(INDEX), backend.array(QUERIES))
    np.testing.assert_allclose(penalty, hubness_penalty(INDEX, QUERIES), atol=1e-6)
    found = search(backend.array(QUERIES), backend.array(INDEX), 3, penalty=penalty)[1]
    np.testing.assert_array_equal(found, search(QUERIES, INDEX, 3, penalty=penalty)[1])


def test_a_translated_side_finds_its_items():
    Q = np.linalg.qr(RNG.normal(size=(6, 6)))[0]
    translation = relatum.Translation("procrustes").fit(INDEX[:20], INDEX[:20] @ Q)
    _, found = search(translation.transform(INDEX), INDEX @ Q, 1)
    np.testing.assert_array_equal(found[:, 0], np.arange(50))


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="queries has 6 features, index has 5"):
        search(QUERIES, INDEX[:, :5], 3)
    with pytest.raises(ValueError, match=r"k is 51; expected at most 50 \(index has 50 rows\)"):
        search(QUERIES, INDEX, 51)
    with pytest.raises(ValueError, match=r"penalty has shape \(40,\), index has 50 rows"):
        search(QUERIES, INDEX, 3, penalty=np.zeros(40))
    with pytest.raises(ValueError, match="index has 6 features, background has 5"):
        hubness_penalty(INDEX, QUERIES[:, :5])
    with pytest.raises(ValueError, match="correction is 'cls' "):
        hubness_penalty(INDEX, QUERIES, correction="cls")
    with pytest.raises(ValueError, match="temperature is 0"):
        hubness_penalty(INDEX, QUERIES, temperature=0)
    with pytest.raises(ValueError, match="queries contains NaN"):
        search(np.full((2, 6), np.nan), INDEX, 1)


def test_the_default_temperature_follows_the_spread_of_the_cosines():
    rng = np.random.default_rng(0)
    for spread in (0.1, 1.0):
        index, background = (1 + spread * rng.normal(size=(60, 8)) for _ in range(2))
        unit = [M / np.linalg.norm(M, axis=1, keepdims=True) for M in (index, background)]
        temperature = 0.3 * np.std(unit[0] @ unit[1].T)
        expected = hubness_penalty(index, background, temperature=temperature)
        np.testing.assert_allclose(hubness_penalty(index, background), expected)


def test_a_kept_penalty_is_for_its_index_alone(tmp_path):
    import relatum

    rng = np.random.default_rng(0)
    index, queries = rng.normal(size=(50, 8)), rng.normal(size=(20, 8))
    penalty = HubnessPenalty.of(index, queries, correction="csls", k=5)
    np.testing.assert_array_equal(
        penalty.values, hubness_penalty(index, queries, correction="csls", k=5)
    )
    relatum.save(penalty, tmp_path / "p.safetensors")
    again = relatum.load(tmp_path / "p.safetensors")
    for kept in (penalty, again):
        found = search(queries, index, 3, penalty=kept)
        np.testing.assert_array_equal(found[1], search(queries, index, 3, penalty=kept.values)[1])
    for other in (index[:40], index + 1e-6, index.astype(np.float32)):
        with pytest.raises(ValueError, match=r"penalty was computed for another index \(50 rows\)"):
            search(queries, other, 3, penalty=penalty)
