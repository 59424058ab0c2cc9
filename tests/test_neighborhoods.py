"""neighborhoods.py against loops over sets, written from the definitions."""

from __future__ import annotations

import numpy as np
import pytest

from relatum import neighborhoods
from relatum.neighborhoods import (
    mean_reciprocal_rank,
    mutual_knn,
    neighborhood_jaccard,
    retrieval_jaccard,
    retrieval_scores,
)


def unit(X):
    return X / np.linalg.norm(X, axis=1, keepdims=True)


def ranked(query, index):
    return np.argsort(-(unit(index) @ query), kind="stable").tolist()


def loop_retrieval(S, T, k):
    """Trap 1: both the source's and the target's vector are asked in the target index."""
    jaccard, mrr = [], []
    for i in range(len(S)):
        a, b = ranked(T[i], T)[:k], ranked(S[i], T)[:k]
        jaccard.append(len(set(a) & set(b)) / len(set(a) | set(b)))
        mrr.append(1 / (1 + b.index(i)) if i in b else 0)
    return np.mean(jaccard), np.mean(mrr)


def loop_neighborhood(X, Y, k):
    jaccard, mutual = [], []
    for i in range(len(X)):
        a = set([j for j in ranked(X[i], X) if j != i][:k])
        b = set([j for j in ranked(Y[i], Y) if j != i][:k])
        jaccard.append(len(a & b) / len(a | b))
        mutual.append(len(a & b) / k)
    return np.mean(jaccard), np.mean(mutual)


@pytest.fixture
def spaces(rng):
    X = rng.normal(size=(60, 7))
    return X, X + rng.normal(size=X.shape)


@pytest.mark.parametrize("k", [1, 5, 10, 60])
def test_cross_query_measures_are_the_loops(spaces, k):
    S, T = spaces
    jaccard, mrr = loop_retrieval(S, T, k)
    assert 0 < mrr < 1
    assert retrieval_jaccard(S, T, k=k) == pytest.approx(jaccard)
    assert mean_reciprocal_rank(S, T, k=k) == pytest.approx(mrr)
    assert retrieval_scores(S, T, k=k) == pytest.approx((jaccard, mrr))


def test_cross_query_measures_depend_on_the_direction(spaces):
    S, T = spaces
    assert retrieval_jaccard(S, T, k=5) != retrieval_jaccard(T, S, k=5)


@pytest.mark.parametrize("k", [1, 5, 59])
def test_neighborhood_measures_are_the_loops(rng, k):
    X = rng.normal(size=(60, 7))
    Y = np.hstack([X + rng.normal(size=X.shape), rng.normal(size=(60, 2))])  # another width
    jaccard, mutual = loop_neighborhood(X, Y, k)
    assert neighborhood_jaccard(X, Y, k=k) == pytest.approx(jaccard)
    assert mutual_knn(X, Y, k=k) == pytest.approx(mutual)


def test_absolute_spaces_do_not_answer_each_other(rng):
    """Table 1's 0.00: cross-query is near 0 for a rotated space, the own-space measure 1."""
    X = rng.normal(size=(1000, 20))
    Q, _ = np.linalg.qr(rng.normal(size=(20, 20)))
    assert mean_reciprocal_rank(X, X @ Q) < 0.02
    assert neighborhood_jaccard(X, X @ Q) == 1.0


def test_unrelated_spaces_score_what_the_docstring_says(rng):
    X, Y = rng.normal(size=(2, 1000, 20))
    assert mutual_knn(X, Y) == pytest.approx(10 / 1000, abs=0.004)
    assert neighborhood_jaccard(X, Y) == pytest.approx(10 / 2000, abs=0.002)


def test_metric_is_used(rng):
    X = rng.normal(size=(60, 3))
    scaled = X * rng.uniform(0.1, 10, size=(60, 1))
    assert neighborhood_jaccard(X, scaled, k=5) == 1.0
    assert neighborhood_jaccard(X, scaled, k=5, metric="euclidean") < 0.9


def test_every_back_end(backend, spaces):
    S, T = (backend.array(A) for A in spaces)
    assert retrieval_scores(S, T, k=5) == pytest.approx(loop_retrieval(*spaces, 5))
    assert mutual_knn(S, T, k=5) == pytest.approx(loop_neighborhood(*spaces, 5)[1])


def test_per_row_helpers_by_hand():
    A, B = np.array([[1, 2, 3], [4, 5, 6]]), np.array([[3, 2, 9], [7, 8, 9]])
    assert neighborhoods.overlaps(A, B).tolist() == [2, 0]
    assert neighborhoods.jaccards(A, B).tolist() == [0.5, 0.0]
    assert neighborhoods.reciprocal_ranks(np.array([[5, 0], [1, 9], [7, 8]])).tolist() == [
        0.5,
        1,
        0,
    ]


@pytest.mark.parametrize("measure", [retrieval_jaccard, mean_reciprocal_rank, retrieval_scores])
def test_cross_query_refuses(measure, rng):
    S = rng.normal(size=(20, 4))
    with pytest.raises(ValueError, match="S has 20 rows, T has 19"):
        measure(S, S[1:])
    with pytest.raises(ValueError, match="S has 4 features, T has 3"):
        measure(S, S[:, :3])
    with pytest.raises(ValueError, match=r"k is 21; expected at most 20 \(S has 20 rows"):
        measure(S, S, k=21)
    with pytest.raises(ValueError, match="T contains NaN"):
        measure(S, np.full_like(S, np.nan))


@pytest.mark.parametrize("measure", [neighborhood_jaccard, mutual_knn])
def test_neighborhood_refuses(measure, rng):
    X = rng.normal(size=(20, 4))
    with pytest.raises(ValueError, match="X has 20 rows, Y has 19"):
        measure(X, X[1:])
    with pytest.raises(ValueError, match=r"k is 20; expected at most 19 .*itself left out"):
        measure(X, X, k=20)
    with pytest.raises(ValueError, match="did you mean 'euclidean'"):
        measure(X, X, metric="euclid")
