"""Stores that are migrated: every pair, what was predicted, and native rows among others."""

from __future__ import annotations

import numpy as np
import pytest

for module in ("yaml", "pydantic", "pyarrow", "tomlkit"):
    pytest.importorskip(module, reason="needs the extras paper and stores")

from relatum.paper import tasks_migration as task  # noqa: E402

N, D = 400, 20
ENCODERS = ["one", "two", "three"]


@pytest.fixture
def run(monkeypatch, make_run):
    """Three turned and noisy views of the same items; the first two share coordinates."""
    rng = np.random.default_rng(0)
    Z = rng.normal(size=(20, D))[rng.integers(20, size=N)] + rng.normal(size=(N, D))
    turn = np.linalg.qr(rng.normal(size=(D, D)))[0]
    noisy = [np.float32(Z + 0.3 * rng.normal(size=Z.shape)) for _ in range(3)]
    spaces = dict(zip(ENCODERS, [noisy[0], noisy[1], noisy[2] @ turn], strict=True))
    monkeypatch.setattr(task, "item_spaces", lambda run, dataset, encoders: spaces)
    return make_run("study-3")


def test_each_pair_that_shares_no_coordinates_is_migrated(run):
    rows = task.migrate_stores(
        run, dataset="headlines", encoders=ENCODERS, same_coordinates=["one", "two"],
        n_items=300, n_anchors=80, seed=0,
    )  # fmt: skip
    assert len(rows) == 4
    for row in rows:
        assert row["n_rows"] == 300
        assert row["whole"] == 1
        assert row["recall_10"] > 0.8
        for name in ("recall_1", "recall_10", "overlap_10"):
            held = row[f"{name}_low"] <= row[name] <= row[f"{name}_high"]
            assert row[f"{name}_inside"] == held


def test_turned_native_rows_leave_translated_ones_to_be_found(run):
    rows = task.mix_natives(
        run, dataset="headlines", encoders=ENCODERS, same_coordinates=["one", "two"],
        n_anchors=80, native=0.5, k=10, seed=0,
    )  # fmt: skip
    assert len(rows) == 4 * 4
    by = {
        name: np.mean([r["recall_1"] for r in rows if r["index"] == name])
        for name in ("translated", "native as they are", "native turned")
    }
    assert by["native turned"] >= by["native as they are"]
    overlap = [r["overlap"] for r in rows if r["index"] == "native turned"]
    assert np.mean(overlap) > np.mean([r["overlap"] for r in rows if r["index"] == "translated"])
