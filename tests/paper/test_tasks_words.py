"""Table 1 and Figure 7: CSLS, retrieval between word spaces, quantisation."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("yaml", reason="the paper's experiments need the extra paper")
pytest.importorskip("pydantic", reason="needs the extra paper")

from relatum.paper import tasks_words

RNG = np.random.default_rng(0)

RETRIEVAL = {
    "other": "glove-100",
    "word2vec": "word2vec",
    "projections": ["absolute", "cosine", "centred", "whitened"],
    "searched": "held-out words",
    "n_anchors": 60,
    "n_held_out": 200,
    "n_words": 600,
    "max_words": 1000,
    "skip": 4,
    "shortest": 4,
    "k": 10,
    "neighborhood": 10,
    "whiten": 0.3,
    "seed": 0,
}
QUANTISATION = {
    "other": "glove-100",
    "word2vec": "word2vec",
    "subset": "pivots",
    "pivots": ["school", "sedan", "water", "martial"],
    "n_neighbors": 20,
    "n_random": 100,
    "thresholds": [1e-6, 1.0],
    "pictured": [1.0],
    "n_anchors": 30,
    "max_words": 1000,
    "shortest": 4,
    "k": 5,
    "seed": 0,
}


def cosines(A: np.ndarray, B: np.ndarray) -> np.ndarray:
    return (A / np.linalg.norm(A, axis=1)[:, None]) @ (B / np.linalg.norm(B, axis=1)[:, None]).T


def pick(rows: list[dict], **where) -> list[dict]:
    return [r for r in rows if all(r.get(k) == v for k, v in where.items())]


def test_retrieval_has_a_row_for_each_projection_and_direction(make_run) -> None:
    rows = tasks_words.retrieve(make_run(), **RETRIEVAL)
    assert len(rows) == 4 * (2 + 2 * 2)  # itself, and each other with and without CSLS
    for row in pick(rows, source="glove-100", target="glove-100"):
        assert (row["jaccard"], row["mrr"]) == (1, 1)
        assert row["direction"] == "the other to itself"
    for direction in ("the other to Word2Vec", "Word2Vec to the other"):
        (absolute,) = pick(rows, direction=direction, projection="absolute", csls=False)
        (cosine,) = pick(rows, direction=direction, projection="cosine", csls=False)
        assert absolute["mrr"] < 0.1 < 0.9 < cosine["mrr"]
        assert absolute["jaccard"] < 0.1 < cosine["jaccard"]
    assert {r["whiten"] for r in pick(rows, projection="whitened")} == {0.3}
    assert {r["whiten"] for r in pick(rows, projection="centred")} == {None}
    assert {r["n_words"] for r in rows} == {200}


def test_retrieval_is_the_cross_query_of_the_library(make_run) -> None:
    settings = RETRIEVAL | {"projections": ["whitened"], "searched": "all words"}
    run = make_run()
    rows = tasks_words.retrieve(run, **settings)
    words = tasks_words.shared_vocabulary(
        run, "glove-100", "word2vec", skip=4, shortest=4, limit=600, max_words=1000
    )
    anchors = np.random.default_rng([0, 1]).permutation(600)[:60]
    import relatum

    A, B = (
        relatum.relative_projection(X, X[anchors], center=True, whiten=0.3)
        for X in (words.first, words.second)
    )
    (there,) = pick(rows, direction="the other to Word2Vec", csls=False)
    assert there["jaccard"] == pytest.approx(relatum.retrieval_jaccard(A, B))
    assert there["mrr"] == pytest.approx(relatum.mean_reciprocal_rank(A, B))
    (back,) = pick(rows, direction="Word2Vec to the other", csls=False)
    assert back["jaccard"] == pytest.approx(relatum.retrieval_jaccard(B, A))
    assert back["n_words"] == 600


def test_seeds_draw_other_anchors_and_repeat(make_run) -> None:
    settings = RETRIEVAL | {"projections": ["cosine"]}
    once, again, other = (
        tasks_words.retrieve(make_run(), **settings | {"seed": s}) for s in (0, 0, 1)
    )
    assert once == again
    assert once != other


def test_padding_keeps_every_cosine() -> None:
    spaces = [RNG.normal(size=(20, 5)), RNG.normal(size=(20, 8))]
    narrow, wide = tasks_words.represent(spaces, np.arange(12), np.arange(3), "absolute", 0)
    assert narrow.shape == wide.shape == (12, 8)
    np.testing.assert_allclose(cosines(narrow, narrow), cosines(spaces[0][:12], spaces[0][:12]))
    np.testing.assert_array_equal(wide, spaces[1][:12])


def test_csls_scores_are_of_the_definition(make_run) -> None:
    run = make_run()
    rows = tasks_words.retrieve(run, **RETRIEVAL | {"projections": ["cosine"], "k": 5})
    words = tasks_words.shared_vocabulary(
        run, "glove-100", "word2vec", skip=4, shortest=4, limit=600, max_words=1000
    )
    order = np.random.default_rng([0, 1]).permutation(600)
    held_out = order[60:260]
    S, T = (cosines(X[held_out], X[order[:60]]) for X in (words.first, words.second))
    C = cosines(S, T)
    r_s, r_t = (np.sort(c, axis=1)[:, -10:].mean(axis=1) for c in (C, C.T))
    found = np.argsort(-(2 * C - r_s[:, None] - r_t[None, :]), axis=1)[:, :5]
    own = np.argsort(-cosines(T, T), axis=1)[:, :5]
    shared = np.array([len(set(a) & set(b)) for a, b in zip(found, own, strict=True)])
    ranks = [1 / (1 + f.tolist().index(i)) if i in f else 0 for i, f in enumerate(found)]
    (row,) = pick(rows, direction="the other to Word2Vec", csls=True)
    assert row["mrr"] == pytest.approx(np.mean(ranks), abs=1e-3)
    assert row["jaccard"] == pytest.approx((shared / (10 - shared)).mean(), abs=1e-3)


def test_more_anchors_than_words_are_refused(make_run) -> None:
    with pytest.raises(ValueError, match="n_anchors is 600; expected fewer than the 600 shared"):
        tasks_words.retrieve(make_run(), **RETRIEVAL | {"n_anchors": 600})


def test_quantisation_merges_words_and_brings_spaces_together(make_run) -> None:
    run = make_run("figure-7")
    rows = tasks_words.quantise(run, **QUANTISATION)
    (absolute,), (relative,) = pick(rows, projection="absolute"), pick(rows, projection="cosine")
    assert relative["score"] < absolute["score"]
    for unit_means in (False, True):
        (untouched,) = pick(rows, threshold=1e-6, unit_means=unit_means)
        assert untouched["score"] == pytest.approx(relative["score"], abs=1e-5)
        assert untouched["clusters"] == relative["clusters"] == relative["n_words"]
    (merged,) = pick(rows, threshold=1.0, unit_means=False)
    assert merged["clusters"] < relative["clusters"] / 2
    assert merged["score"] < relative["score"]
    assert merged["mrr"] < relative["mrr"]


def test_quantised_planes_are_kept_in_one_frame(make_run) -> None:
    run = make_run("figure-7")
    tasks_words.quantise(run, **QUANTISATION)
    n = {}
    for kind in ("absolute", "cosine", "quantised-1"):
        other, word2vec = run.kept(f"{kind}-other"), run.kept(f"{kind}-word2vec")
        np.testing.assert_array_equal(other["labels"], word2vec["labels"])
        n[kind] = np.linalg.norm(other["points"] - word2vec["points"], axis=1).mean() / np.std(
            other["points"]
        )
        assert set(other["labels"]) == {0, 1, 2, 3}
    assert n["cosine"] < 0.3 < n["absolute"]


def test_words_near_two_pivots_are_drawn_once(make_run) -> None:
    words = tasks_words.shared_vocabulary(
        make_run(), "glove-100", "word2vec", skip=0, shortest=4, limit=1000, max_words=1000
    )
    rows, labels = tasks_words.subset_rows(words, "pivots", ["school", "water"], 500, 0, 0)
    assert len(set(rows.tolist())) == len(rows) < 2 * 501
    assert words.words[rows[0]] == "school"
    assert sorted(set(labels)) == [0, 1]
    near = np.argsort(-cosines(words.first[rows[:1]], words.first)[0])[:501]
    assert set(rows[labels == 0]) == set(near)


def test_random_words_and_unknown_pivots(make_run) -> None:
    settings = QUANTISATION | {"subset": "random words", "thresholds": [], "n_random": 150}
    rows = tasks_words.quantise(make_run("figure-7"), **settings)
    assert [r["projection"] for r in rows] == ["absolute", "cosine", "centred"]
    assert {r["n_words"] for r in rows} == {150}
    with pytest.raises(ValueError, match="pivots has words that the two spaces do not share: zzz"):
        tasks_words.quantise(make_run("figure-7"), **QUANTISATION | {"pivots": ["school", "zzz"]})
