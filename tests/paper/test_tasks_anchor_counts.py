"""Figure 6, right: accuracy over the number of anchors."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch", reason="the paper's experiments need the extra paper")
pytest.importorskip("pydantic", reason="the paper's experiments need the extra paper")

from sklearn.metrics.pairwise import cosine_similarity

from relatum.paper import _image_networks, tasks_anchor_counts
from relatum.paper.encoders_images import ENCODERS, ImageEncoder
from relatum.paper.tasks_anchor_counts import anchor_counts

CELL = {
    "dataset": "mnist", "encoder": "toy", "seed": 0, "projection": "cosine", "whiten": 0.3,
    "head": "image", "epochs": 5, "learning_rate": 0.003, "batch_size": 32, "hidden": 32,
    "n_train": 200, "n_test": 100,
}  # fmt: skip


@pytest.fixture(autouse=True)
def toy(monkeypatch):
    network = _image_networks.Network(lambda x: x[:, 0].flatten(1) + 1, size=8)
    encoder = ImageEncoder(64, lambda run: network, lambda run: "1", "to 8 x 8")
    monkeypatch.setitem(ENCODERS, "toy", encoder)


@pytest.mark.parametrize(
    "method", ["uniform", "stratified", "farthest_point", "kmeans", "pivoted_cholesky"]
)
def test_more_anchors_tell_more_apart(make_run, method):
    rows = anchor_counts(make_run("figure-6"), method=method, counts=[2, 40], **CELL)
    assert [(row["n_anchors"], row["normalisation"]) for row in rows] == [
        (n, how) for n in (2, 40) for how in ("transductive", "inductive")
    ]
    assert rows[2]["accuracy"] > 70 > 60 > rows[0]["accuracy"]


def test_the_level_to_hold_against_is_absolute(make_run):
    rows = anchor_counts(make_run("figure-6"), method="none", counts=[2, 40], **CELL)
    assert [row["projection"] for row in rows] == ["absolute"] * 2
    assert rows[0]["accuracy"] > 70


def test_heads_are_trained_on_cosines_to_the_chosen(make_run, monkeypatch):
    given = []

    def train_head(R, y, **settings):
        given.append(R)
        raise StopIteration

    monkeypatch.setattr(tasks_anchor_counts, "train_head", train_head)
    run = make_run("figure-6")
    with pytest.raises(RuntimeError):
        anchor_counts(run, method="stratified", counts=[10], **CELL)
    R = given[0]
    anchors = np.argmax(R, axis=0)  # each anchor is a training image: its own cosine is 1
    np.testing.assert_allclose(R[anchors, np.arange(10)], 1, atol=1e-5)
    np.testing.assert_allclose(cosine_similarity(R.T)[0, 0], 1, atol=1e-5)


def test_a_method_that_does_not_apply_is_refused(make_run):
    with pytest.raises(ValueError, match="'most_frequent' needs frequencies"):
        anchor_counts(make_run("figure-6"), method="most_frequent", counts=[5], **CELL)
