"""Items in another encoder's space: what is found where spaces agree, and what rows say."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("yaml", reason="the experiments need the extra paper")
pytest.importorskip("pydantic", reason="the experiments need the extra paper")

from relatum.paper import tasks_translation as task

N, D = 700, 30
ENCODERS = ["one", "two", "three"]


@pytest.fixture
def run(monkeypatch, make_run):
    """Three turned and noisy views of the same items; the first two share coordinates."""
    rng = np.random.default_rng(0)
    strengths = 3.0 * np.arange(1, D + 1) ** -0.5
    Z = (rng.normal(size=(30, D))[rng.integers(30, size=N)] + rng.normal(size=(N, D))) * strengths
    turn = np.linalg.qr(rng.normal(size=(D, D)))[0]
    noisy = [Z + 0.2 * rng.normal(size=Z.shape) for _ in range(3)]
    spaces = dict(zip(ENCODERS, [noisy[0], noisy[1], noisy[2] @ turn], strict=True))
    monkeypatch.setattr(task, "item_spaces", lambda run, dataset, encoders: spaces)
    return make_run("study-1")


def translate(run, **changes):
    settings = {
        "dataset": "headlines", "encoders": ENCODERS, "same_coordinates": ["one", "two"],
        "methods": ["relative space, whitened", "mean_shift", "procrustes", "auto"],
        "n_anchors": 60, "anchor_method": "uniform", "n_test": 300, "predict": True, "seed": 0,
    }  # fmt: skip
    return task.translate_items(run, **settings | changes)


def test_every_pair_and_method_has_a_row(run):
    rows = translate(run)
    assert len(rows) == 6 * 4
    assert {(r["source"], r["target"]) for r in rows if r["shared"]} == {
        ("one", "two"), ("two", "one")
    }  # fmt: skip
    by = {(r["source"], r["target"], r["method"]): r for r in rows}
    turned = by["one", "three", "procrustes"]
    assert turned["recall_1"] > 0.8
    assert turned["recall_10"] >= turned["recall_1"]
    assert turned["overlap_10_softmax"] > 0.3
    assert (
        by["one", "three", "mean_shift"]["recall_1"]
        < 0.1
        < by["one", "two", "mean_shift"]["recall_1"]
    )
    auto = by["one", "three", "auto"]
    assert auto["chosen"] != "mean_shift"
    assert auto["recall_1_low"] <= auto["recall_1_predicted"] <= auto["recall_1_high"]
    assert auto["recall_1_inside"] in (0, 1)
    assert "fit_seconds" not in by["one", "three", "relative space, whitened"]


def test_anchors_and_held_out_items_are_apart_and_depend_on_the_seed():
    pool, test = task._split(500, 200, 0)
    assert len(np.union1d(pool, test)) == 500
    assert not np.intersect1d(pool, test).size
    assert not np.array_equal(test, task._split(500, 200, 1)[1])
    with pytest.raises(ValueError, match="n_test is 498"):
        task._split(500, 498, 0)


def test_anchors_may_be_chosen(run):
    rows = translate(run, methods=["procrustes"], anchor_method="kmeans")
    assert min(r["recall_1"] for r in rows) > 0.7


def test_common_spaces_are_told_apart(run):
    names = ["common space", "common space, background", "common space, transport"]
    rows = translate(run, methods=names, n_anchors=12, encoders=["one", "three"])
    recall = {m: np.mean([r["recall_1"] for r in rows if r["method"] == m]) for m in names}
    assert recall[names[0]] < recall[names[1]]
    assert recall[names[1]] != recall[names[2]]
    assert min(recall.values()) > 0.1


@pytest.mark.parametrize("matched", [1.0, 0.5])
def test_grown_anchors_find_the_items_that_both_sides_have(run, matched):
    rows = task.grow_items(
        run, dataset="headlines", encoders=ENCODERS, same_coordinates=["one", "two"], n_seeds=20,
        n_items=300, matched=matched, seed=0,
    )  # fmt: skip
    assert len(rows) == 6
    found = [r for r in rows if r["found"]]
    assert len(found) >= 4
    assert np.mean([r["right"] for r in found]) > 0.7
    assert np.mean([r["recall_1"] for r in found]) > 0.7
    assert all(r["right"] is None and r["n_pairs"] == 0 for r in rows if not r["found"])


def test_more_items_than_there_are_are_refused(run):
    with pytest.raises(ValueError, match="n_items is 600"):
        task.grow_items(run, dataset="headlines", encoders=ENCODERS, same_coordinates=[],
                        n_seeds=20, n_items=600, matched=0.5, seed=0)  # fmt: skip


def test_heads_run_on_other_encoders(monkeypatch, make_run):
    from relatum.paper.data_text import Texts, TextSet

    rng = np.random.default_rng(0)
    n, labels = 600, np.arange(600) % 4
    Z = 2 * rng.normal(size=(4, D))[labels] + rng.normal(size=(n, D))
    turns = {name: np.linalg.qr(rng.normal(size=(D, D)))[0] for name in ENCODERS}
    texts = [str(i) for i in range(n)]
    part = {"train": slice(0, 400), "test": slice(400, None)}
    train, test = (Texts(texts[part[p]], labels[part[p]], list("abcd")) for p in ("train", "test"))
    monkeypatch.setattr(task, "load_texts", lambda run, dataset: TextSet(train, train, test))
    monkeypatch.setattr(task, "encode", lambda run, name, t: Z[[int(i) for i in t]] @ turns[name])
    rows = task.translate_heads(
        make_run("study-1"), dataset="any", encoders=ENCODERS, same_coordinates=["one", "two"],
        methods=["relative space, whitened", "mean_shift", "procrustes"], n_anchors=60,
        n_train=300, n_test=0, seed=0,
    )  # fmt: skip
    assert len(rows) == 6 * 3
    kept = {m: np.mean([r["retention"] for r in rows if r["method"] == m]) for m in
            ("relative space, whitened", "mean_shift", "procrustes")}  # fmt: skip
    assert kept["procrustes"] > 0.95
    assert kept["relative space, whitened"] > 0.9
    assert kept["mean_shift"] < 0.6
    assert all(r["retention"] == pytest.approx(r["accuracy"] / r["native"], abs=2e-4) for r in rows)
