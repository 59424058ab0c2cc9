"""Anchors that lie near the items make their relative representations agree; far ones do not."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch", reason="heads need torch")

from relatum.paper import tasks_agreement as task
from relatum.paper.stitching_data import Encoded, Material

N, WIDTH, NOISE = 150, 20, 0.3


@pytest.fixture
def rows(monkeypatch, make_run):
    """Two noisy, differently turned views; the near pool is like the test items, the far one
    lies in directions of its own."""
    rng = np.random.default_rng(0)
    near = np.zeros((3 * N, 2 * WIDTH))
    near[:, :WIDTH] = rng.normal(size=(3 * N, WIDTH))
    far = np.zeros((N, 2 * WIDTH))
    far[:, WIDTH:] = rng.normal(size=(N, WIDTH))
    y = np.zeros(N, dtype=int)
    encoders = {}
    for name in ("one", "two"):
        Q, _ = np.linalg.qr(rng.normal(size=(2 * WIDTH, 2 * WIDTH)))
        X, F = (Z @ Q + NOISE * rng.normal(size=Z.shape) for Z in (near, far))
        encoders[name] = Encoded(X[:N], y, X[N : 2 * N], y, {"near": X[2 * N :], "far": F})
    material = Material(encoders, 1)
    monkeypatch.setattr(task, "find", lambda path: lambda run, **settings: material)
    found = task.relative_agreement(
        make_run("table-14"),
        source="lsa", dataset="any", seed=0, encoders=[], projections=["absolute", "cosine"],
        anchors=["near", "far"], n_anchors=100, anchor_method="uniform", n_train=0, n_test=0,
    )  # fmt: skip
    return {(row["anchors"], row["projection"]): row for row in found}


def test_near_anchors_reach_and_agree(rows):
    assert rows["near", "cosine"]["reach"] > rows["far", "cosine"]["reach"] + 0.1
    assert rows["near", "cosine"]["found"] > 90
    assert rows["far", "cosine"]["found"] < rows["near", "cosine"]["found"] - 30


def test_absolute_spaces_that_are_turned_do_not_agree(rows):
    assert rows["near", "absolute"]["found"] < 10
    assert {row["first"] for row in rows.values()} == {"one"}
