"""The tasks on graphs: what a row holds, and how its numbers come from the curves."""

import itertools

import numpy as np
import pytest
import scipy.stats

pytest.importorskip("pydantic", reason="relatum.paper needs pydantic")
torch = pytest.importorskip("torch", reason="training on graphs")
pytest.importorskip("torch_geometric", reason="training on graphs")

import relatum  # noqa: E402
from relatum.paper import results, tasks_graph_training, tasks_graphs  # noqa: E402
from relatum.paper.data_graphs import draw_anchors, load_graph, split_nodes  # noqa: E402
from relatum.paper.experiment import load_experiment  # noqa: E402
from relatum.paper.models_graphs import GraphModel  # noqa: E402
from relatum.paper.stacked_graphs import train_stack  # noqa: E402

REFERENCE = {
    "seed": 1, "epochs": 6, "n_layers": 2, "dropout": 0.5, "hidden": "relu", "activation": "relu",
    "optimizer": "adam", "learning_rate": 0.02, "conv": "gcnii", "products": "float32",
}  # fmt: skip
SWEEP = {
    "dataset": "cora", "seed": 0, "conv": "gcnii", "n_layers": 2, "dropout": 0.5, "hidden": "relu",
    "activations": ["relu", "tanh"], "optimizers": ["adam", "sgd"], "learning_rates": [0.02],
    "epochs": [2, 4], "anchor_seed": 0, "split_seed": 0, "n_anchors": 15, "width": 12,
    "reference": REFERENCE, "products": "float32", "minimum_accuracy": 0.5,
}  # fmt: skip


def test_a_sweep_has_a_row_for_each_model_and_number_of_epochs(make_run):
    rows = tasks_graphs.sweep_models(make_run(), **SWEEP)
    found = [(r["activation"], r["optimizer"], r["learning_rate"], r["epochs"]) for r in rows]
    assert found == list(itertools.product(["relu", "tanh"], ["adam", "sgd"], [0.02], [2, 4]))
    assert all(("accuracies" in row) == (row["epochs"] == 4) for row in rows)


def test_rows_are_what_the_curves_say(make_run):
    changes = {"epochs": [2, 12], "optimizers": ["adam"]}
    rows = tasks_graphs.sweep_models(make_run(), **SWEEP | changes)
    compared = 0
    for short, long in zip(rows[::2], rows[1::2], strict=True):
        for row, n in ((short, 2), (long, 12)):
            accuracies, similarities = long["accuracies"][:n], long["similarities"][:n]
            best = int(np.argmax(accuracies))
            assert row["accuracy"] == accuracies[best]
            assert row["similarity"] == similarities[best]
            assert row["best_epoch"] == best + 1
            assert row["learned"] == (accuracies[best] > 0.5)
        if np.ptp(long["similarities"]) > 0.05:  # else rounding is most of what varies
            compared += 1
            r = scipy.stats.pearsonr(long["accuracies"], long["similarities"]).statistic
            assert long["pearson"] == pytest.approx(r, abs=0.01)
    assert compared


def test_curves_are_measured_with_the_library(make_run):
    run = make_run()
    row = tasks_graphs.sweep_models(run, **SWEEP)[1]
    graph = load_graph(run, "cora")
    split = split_nodes(graph, seed=0)
    anchors = draw_anchors(graph, split, 15, seed=0)
    reference = tasks_graphs._reference(run, graph, split, anchors, 12, REFERENCE)["relative"]
    model = GraphModel("gcnii", 2, 0.5, "relu", "relu", "adam", 0.02, 12)
    for e in train_stack(graph, [model], seed=0, train=split.train, anchors=anchors, n_epochs=4):
        x = e.representations.numpy()
        like = relatum.latent_similarity(relatum.relative_projection(x, x[anchors]), reference)
        right = e.logits.numpy().argmax(1)[split.validation] == graph.labels[split.validation]
        assert row["similarities"][e.epoch] == pytest.approx(float(like), abs=2e-4)
        assert row["accuracies"][e.epoch] == pytest.approx(right.mean(), abs=1e-4)


def test_the_reference_is_trained_once_and_taken_at_its_best_epoch(make_run, monkeypatch):
    run = make_run()
    arguments = {"dataset": "cora", "seed": 0, "split_seed": 0, "n_anchors": 15, "width": 12}
    (row,) = tasks_graphs.train_reference(run, **arguments, reference=REFERENCE)
    graph = load_graph(run, "cora")
    split = split_nodes(graph, seed=0)
    anchors = draw_anchors(graph, split, 15, seed=0)
    model = GraphModel("gcnii", 2, 0.5, "relu", "relu", "adam", 0.02, 12)
    every = list(
        train_stack(graph, [model], seed=1, train=split.train, anchors=anchors, n_epochs=6)
    )
    right = [
        np.mean(e.predictions()[split.validation] == graph.labels[split.validation]) for e in every
    ]
    assert row["accuracy"] == max(right)
    assert row["best_epoch"] == int(np.argmax(right)) + 1
    x = every[int(np.argmax(right))].representations.numpy()
    kept = tasks_graphs._reference(run, graph, split, anchors, 12, REFERENCE)["relative"]
    np.testing.assert_allclose(kept, relatum.relative_projection(x, x[anchors]), atol=1e-6)
    monkeypatch.setattr(tasks_graphs, "_train_reference", None)  # not called again
    assert tasks_graphs.train_reference(run, **arguments, reference=REFERENCE) == [row]


def test_correlation_leaves_out_what_is_undefined():
    nan = np.nan
    assert tasks_graphs._pearson(np.array([1.0, 2, 3]), np.array([2.0, 4, 6])) == 1
    assert tasks_graphs._pearson(np.array([1.0, 2, 9, 3]), np.array([2.0, 4, nan, 6])) == 1
    assert tasks_graphs._pearson(np.array([1.0, 1, 1]), np.array([2.0, 4, 6])) is None
    assert tasks_graphs._pearson(np.array([1.0, 2]), np.array([nan, nan])) is None


def test_the_best_epoch_is_the_first(make_run):
    accuracies, similarities = np.array([0.4, 0.6, 0.6, 0.7]), np.array([0.1, 0.2, 0.3, np.nan])
    short, long = tasks_graphs._prefixes(accuracies, similarities, [3, 4], 0.6)
    assert (short["accuracy"], short["best_epoch"], short["similarity"]) == (0.6, 2, 0.2)
    assert (short["learned"], long["learned"]) == (False, True)
    assert (long["accuracy"], long["similarity"]) == (0.7, None)
    assert long["similarities"] == [0.1, 0.2, 0.3, None]


def test_correlation_across_models_reads_the_sweep(make_run):
    run = make_run("figure-3")
    rng = np.random.default_rng(0)
    accuracy = rng.random(24)
    similarity = accuracy + 0.3 * rng.random(24)
    stage = next(s for s in load_experiment("figure-3").stages if s.name == "sweep")
    path = results.results_path(run.results_dir, run.preset, run.experiment)
    cells = stage.cells("small")
    for cell, pairs in zip(cells, np.split(np.c_[accuracy, similarity], len(cells)), strict=True):
        rows = [{"accuracy": float(a), "similarity": float(s)} for a, s in pairs]
        line = {
            "experiment": "figure-3", "preset": "small", "stage": "sweep", "key": stage.key(cell),
            "cell": cell, "rows": [*rows, {"accuracy": 0.1, "similarity": None}], "seconds": 1.0,
        }  # fmt: skip
        results.append(path, results.make_line(**line))
    stale = {**line, "key": "an older one", "rows": [{"accuracy": 5.0, "similarity": -5.0}]}
    results.append(path, results.make_line(**stale))
    found = tasks_graphs.correlate_models(run, sweep="sweep", minimum_accuracy=0.5)
    by_name = {row["models"]: row for row in found}
    whole = by_name["all"]
    assert (whole["n_models"], whole["n_trained"]) == (24, 24 + len(cells))
    expected = scipy.stats.pearsonr(accuracy, similarity).statistic
    assert whole["pearson_across"] == pytest.approx(expected, abs=1e-4)
    expected = scipy.stats.spearmanr(accuracy, similarity).statistic
    assert whole["spearman_across"] == pytest.approx(expected, abs=1e-4)
    assert by_name["learned"]["n_models"] == int(np.sum(accuracy > 0.5))


def end_to_end(run, **changes):
    settings = {
        "dataset": "cora", "seed": 0, "conv": "gcnii", "n_layers": 2, "dropout": 0.5,
        "hidden": "relu", "activation": "relu", "optimizer": "adam", "learning_rate": 0.02,
        "epochs": [60], "n_anchors": 16, "width": 16, "products": "float32",
        "projections": ["absolute", "cosine"],
    }  # fmt: skip
    return tasks_graph_training.train_end_to_end(run, **settings | changes)


def test_absolute_and_relative_models_learn_end_to_end(make_run):
    projections = ["absolute", "cosine", "centred"]
    rows = end_to_end(make_run(), projections=projections)
    assert [row["projection"] for row in rows] == projections
    for row in rows:
        assert row["best_validation"] > 0.8
        assert row["accuracy"] <= row["best_validation"] + 1e-9
        assert 1 <= row["best_epoch"] <= 60


def test_alignment_is_the_mean_cosine_between_rows():
    X = np.random.default_rng(0).normal(size=(20, 5))
    unit = X / np.linalg.norm(X, axis=1, keepdims=True)
    found = tasks_graph_training.alignment(torch.from_numpy(X))
    assert found == pytest.approx(np.mean(unit @ unit.T))
    assert tasks_graph_training.alignment(torch.ones(4, 3)) == pytest.approx(1)


def test_fewer_epochs_are_a_prefix_of_the_same_training(make_run):
    both = end_to_end(make_run(), epochs=[3, 6], projections=["cosine"])
    short = end_to_end(make_run(), epochs=[3], projections=["cosine"])
    assert [row["epochs"] for row in both] == [3, 6]
    assert both[0] == short[0]


def test_halves_of_the_held_out_nodes_choose_for_one_another():
    first, second = np.array([0.1, 0.9, 0.5]), np.array([0.2, 0.4, 0.8])
    assert tasks_graph_training._chosen_by_the_other(first, second) == pytest.approx(
        (0.4 + 0.5) / 2
    )


def test_width_zero_is_the_number_of_anchors(make_run):
    narrow = end_to_end(make_run(), n_anchors=4, width=0, epochs=[2], projections=["cosine"])
    same = end_to_end(make_run(), n_anchors=4, width=4, epochs=[2], projections=["cosine"])
    assert narrow == same


def test_each_anchor_method_gives_a_relative_model(make_run):
    settings = {"n_anchors": 6, "width": 8, "epochs": [8]}
    methods = ["uniform", "kmeans", "most_frequent"]
    rows = end_to_end(make_run(), anchor_methods=methods, **settings)
    assert [row["projection"] for row in rows] == ["absolute", "cosine", "cosine", "cosine"]
    assert [row["anchor_method"] for row in rows] == [None, *methods]
    alone = end_to_end(make_run(), anchor_methods=["kmeans"], **settings)
    assert alone == [rows[0], rows[2]]
