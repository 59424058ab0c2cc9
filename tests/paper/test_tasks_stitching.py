"""The stitching task on spaces whose relation is known."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch", reason="heads need torch")

from relatum.paper import tasks_stitching as task
from relatum.paper.stitching_data import Encoded, Material
from relatum.projection import relative_projection

N, WIDTH, CLASSES = 240, 12, 3


def rotated_material(noise=0.0):
    """Three encoders: a space, the same rotated, and the same with four empty dimensions."""
    rng = np.random.default_rng(0)
    y = np.arange(N) % CLASSES
    X = rng.normal(size=(N, WIDTH)) + 2 * rng.normal(size=(CLASSES, WIDTH))[y]
    ood = rng.normal(size=(50, WIDTH))
    Q = np.linalg.qr(rng.normal(size=(WIDTH, WIDTH)))[0]
    wide = np.eye(WIDTH, WIDTH + 4)

    def encoded(M):
        Z, P = (X @ M).astype(np.float32), (ood @ M).astype(np.float32)
        Z = Z + noise * rng.normal(size=Z.shape).astype(np.float32)
        train, test, validation = Z[:120], Z[120:180], Z[180:]
        pools = {"in-domain": train, "ood": P}
        return Encoded(train, y[:120], test, y[120:180], pools, validation, y[180:])

    return Material(
        {"a": encoded(np.eye(WIDTH)), "b": encoded(Q), "wide": encoded(wide)},
        CLASSES,
        ordered=True,
        pool_labels={"in-domain": y[:120]},
    )


@pytest.fixture
def stitch(monkeypatch, make_run):
    """Run the task on that material."""
    monkeypatch.setitem(task.SOURCES, "texts", f"{__name__}:unused")
    monkeypatch.setattr(task, "find", lambda path: lambda run, **settings: rotated_material())

    def run(**changes):
        settings = {
            "source": "texts", "dataset": "any", "seed": 0, "encoders": ["a", "b", "wide"],
            "heads": ["text", "linear"], "projections": list(task.PROJECTIONS),
            "anchors": ["in-domain", "ood"], "n_anchors": 24, "anchor_method": "stratified",
            "whiten": [0.1, 1.0], "epochs": 4, "learning_rate": 1e-2, "batch_size": 16,
            "hidden": 16, "n_train": 0, "n_test": 0,
        }  # fmt: skip
        return task.stitch_heads(make_run("table-5"), **(settings | changes))

    return run


def test_rows_and_scores(stitch):
    rows = stitch()
    key = ("decoder", "encoder", "projection", "anchors", "head", "normalisation")
    assert len({tuple(r[k] for k in key) for r in rows}) == len(rows)
    # 3 relative projections, 2 pools, 9 pairs; absolute: "wide" fits itself alone
    assert len(rows) == (3 * 2 * 9 + 5) * 3
    for row in rows:
        assert row["stitched"] == (row["decoder"] != row["encoder"])
        assert ("whiten" in row) == (row["projection"] == "whitened")
        if row["projection"] != "absolute":  # all three spaces are one up to an isometry
            native = next(
                r for r in rows
                if r["encoder"] == r["decoder"] == row["decoder"]
                and all(r[k] == row[k] for k in key[2:])
            )  # fmt: skip
            assert row["f1"] == pytest.approx(native["f1"], abs=2.0)
            assert row["f1"] > 80
            assert row["mae"] < 0.4
    stitched = [r["f1"] for r in rows if r["projection"] == "absolute" and r["stitched"]]
    assert np.mean(stitched) < 60


def test_same_seed_same_rows(stitch):
    one = {"heads": ["linear"], "projections": ["cosine"], "anchors": ["ood"]}
    assert stitch(**one) == stitch(**one)


def test_anchors_are_the_same_items_evenly_over_classes():
    material = rotated_material()
    items = task.draw_anchors(material, "in-domain", 24, "stratified", seed=3)
    assert np.bincount(material.pool_labels["in-domain"][items]).tolist() == [8, 8, 8]
    assert not np.array_equal(items, task.draw_anchors(material, "in-domain", 24, "stratified", 4))
    assert len(set(task.draw_anchors(material, "ood", 24, "stratified", 0))) == 24
    with pytest.raises(ValueError, match=r"anchors is 'odd' .did you mean 'ood'"):
        task.draw_anchors(material, "odd", 24, "uniform", 0)


def test_whiten_is_chosen_by_validation_alone(monkeypatch):
    material = rotated_material(noise=1.0)
    anchors = {name: e.pools["in-domain"][:20] for name, e in material.encoders.items()}
    assert task.choose_whiten(material.encoders, anchors, [0.7]) == 0.7
    chosen = task.choose_whiten(material.encoders, anchors, [1e-3, 1.0])
    scores = {}
    for value in (1e-3, 1.0):
        spaces = {
            name: task.project(e, anchors[name], {"center": True, "whiten": value})
            for name, e in material.encoders.items()
        }
        scores[value] = np.mean(list(task._ridge_scores(spaces)))
    assert chosen == max(scores, key=scores.get)
    blind = {n: Encoded(e.train, e.y_train, e.test, e.y_test, {}) for n, e in
             material.encoders.items()}  # fmt: skip
    with pytest.raises(ValueError, match="the data no validation set to choose with"):
        task.choose_whiten(blind, anchors, [0.1, 1.0])


def test_project_is_the_librarys():
    encoded = rotated_material().encoders["b"]
    anchors = encoded.pools["ood"][:10]
    found = task.project(encoded, anchors, {"center": True})
    np.testing.assert_array_equal(
        found.test, relative_projection(encoded.test, anchors, center=True)
    )
    assert task.project(encoded, None, {}) is encoded


def test_scores_by_hand():
    truth, predicted = np.array([0, 0, 1, 2]), np.array([0, 1, 1, 0])
    # F1: class 0 1/2, class 1 2/3, class 2 0; weights 2, 1, 1
    expected = 100 * (2 * 0.5 + 2 / 3) / 4
    assert task.scores(truth, predicted, True) == {"f1": pytest.approx(expected, abs=1e-3),
                                                   "mae": 0.75}  # fmt: skip
    assert "mae" not in task.scores(truth, predicted, False)
