"""Shared coordinates are seen where they are, and not where a space is turned."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch", reason="heads need torch")

from relatum.paper import tasks_coordinates as task
from relatum.paper.stitching_data import Encoded, Material

N, WIDTH = 200, 12


def rows_for(monkeypatch, make_run, **maps):
    """Rows of the task on one space under each linear map."""
    X, y = np.random.default_rng(0).normal(size=(N, WIDTH)), np.zeros(N, dtype=int)
    encoders = {name: Encoded(X @ M, y, X @ M, y, {}, None, None) for name, M in maps.items()}
    material = Material(encoders, 1, ordered=False, pool_labels={})
    monkeypatch.setattr(task, "find", lambda path: lambda run, **settings: material)
    return task.shared_coordinates(
        make_run("table-5"), source="texts", dataset="any", encoders=[], n_train=0, n_test=0
    )


def test_a_turned_space_shares_nothing_and_other_widths_are_left_out(monkeypatch, make_run):
    Q, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(WIDTH, WIDTH)))
    maps = {"own": np.eye(WIDTH), "turned": Q, "wide": np.eye(WIDTH, WIDTH + 4)}
    (row,) = rows_for(monkeypatch, make_run, **maps)
    assert (row["first"], row["second"]) == ("own", "turned")
    assert abs(row["itself"]) < 0.3
    assert abs(row["another"]) < 0.3
    assert row["found"] < 10


def test_scaled_coordinates_are_shared(monkeypatch, make_run):
    (row,) = rows_for(monkeypatch, make_run, own=np.eye(WIDTH), scaled=2 * np.eye(WIDTH))
    assert row["itself"] == pytest.approx(1)
    assert row["found"] == 100
    assert abs(row["another"]) < 0.3
