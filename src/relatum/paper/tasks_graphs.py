"""Latent similarity as a proxy of accuracy: the sweep on Cora, its reference, correlations."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence

import numpy as np
from scipy import stats
from typing_extensions import TypedDict  # pydantic reads no other before Python 3.12

from relatum import relative_projection
from relatum.paper import results
from relatum.paper.cache import content_hash
from relatum.paper.data_graphs import FOLDERS, Graph, Split, draw_anchors, load_graph, split_nodes
from relatum.paper.experiment import Row, load_experiment
from relatum.paper.models_graphs import Activation, Conv, GraphModel, Optimizer
from relatum.paper.runner import Run
from relatum.paper.stacked_graphs import (
    Epoch,
    Products,
    Similarity,
    choose_products,
    train_stack,
)

CHOICES = {"dataset": FOLDERS}

DIGITS = 4  # of what is kept of each epoch


class Reference(TypedDict):
    """The model that all others are compared with."""

    seed: int
    epochs: int
    n_layers: int
    dropout: float
    hidden: Activation
    activation: Activation
    optimizer: Optimizer
    learning_rate: float
    conv: Conv
    products: Products


def train_reference(
    run: Run,
    *,
    dataset: str,
    seed: int,
    split_seed: int,
    n_anchors: int,
    width: int,
    reference: Reference,
) -> list[Row]:
    """Train the reference model; keep its relative representation at its best epoch.

    ``seed`` draws the anchors, ``split_seed`` the nodes to validate on.
    """
    graph = load_graph(run, dataset)
    split = split_nodes(graph, seed=split_seed)
    anchors = draw_anchors(graph, split, n_anchors, seed=seed)
    found = _reference(run, graph, split, anchors, width, reference)
    accuracies = found["accuracies"]
    best = int(accuracies.argmax())
    return [
        {"accuracy": float(accuracies[best]), "best_epoch": best + 1, "epochs": len(accuracies)}
    ]


def sweep_models(
    run: Run,
    *,
    dataset: str,
    seed: int,
    conv: Conv,
    n_layers: int,
    dropout: float,
    hidden: Activation,
    activations: list[Activation],
    optimizers: list[Optimizer],
    learning_rates: list[float],
    epochs: list[int],
    anchor_seed: int,
    split_seed: int,
    n_anchors: int,
    width: int,
    reference: Reference,
    products: Products,
    minimum_accuracy: float,
) -> list[Row]:
    """Train a stack of absolute models; hold each, after each epoch, against the reference.

    A training of 50 epochs passes through those of 10 and 30, so each gives a row for
    every number in ``epochs``: its best validation accuracy, the similarity at that
    epoch, and their correlation along the epochs. The row of the longest also has the
    curves. ``learned``: the best accuracy is above ``minimum_accuracy``.
    """
    graph = load_graph(run, dataset)
    split = split_nodes(graph, seed=split_seed)
    anchors = draw_anchors(graph, split, n_anchors, seed=anchor_seed)
    known = _reference(run, graph, split, anchors, width, reference)["relative"]
    similarity = Similarity(known, anchors, products)
    models = [
        GraphModel(conv, n_layers, dropout, hidden, activation, optimizer, rate, width)
        for activation, optimizer, rate in itertools.product(
            activations, optimizers, learning_rates
        )
    ]
    accuracies = np.zeros((len(models), max(epochs)))
    similarities = np.full((len(models), max(epochs)), np.nan)
    for found in train_models(run, graph, models, seed, split, anchors, max(epochs), products):
        accuracies[found.model, found.epoch] = accuracy_on(found, graph, split.validation)
        like = similarity(found.representations)
        similarities[found.model, found.epoch] = math.nan if like is None else like
    rows = []
    for model, correct, alike in zip(models, accuracies, similarities, strict=True):
        about = {
            "activation": model.activation,
            "optimizer": model.optimizer,
            "learning_rate": model.learning_rate,
            "products_used": choose_products(products),
        }
        rows += [about | row for row in _prefixes(correct, alike, epochs, minimum_accuracy)]
    return rows


def _prefixes(
    accuracies: np.ndarray, similarities: np.ndarray, epochs: Sequence[int], minimum: float
) -> list[Row]:
    """Return what a training of each number of epochs gives; the best epoch is the first."""
    rows = []
    for n in epochs:
        best = int(accuracies[:n].argmax())
        row: Row = {
            "epochs": n,
            "accuracy": rounded(accuracies[best]),
            "similarity": rounded(similarities[best]),
            "best_epoch": best + 1,
            "pearson": _pearson(accuracies[:n], similarities[:n]),
            "learned": bool(accuracies[best] > minimum),
        }
        if n == max(epochs):
            row["accuracies"] = [rounded(a) for a in accuracies]
            row["similarities"] = [rounded(s) for s in similarities]
        rows.append(row)
    return rows


def correlate_models(run: Run, *, sweep: str, minimum_accuracy: float) -> list[Row]:
    """Correlate accuracy and similarity across the models of the stage ``sweep``.

    Once over all whose similarity is defined, once over those that learned, once per
    kind of convolution.
    """
    lines = results.read(results.results_path(run.results_dir, run.preset, run.experiment))
    lines = load_experiment(run.experiment).current(lines, run.preset)
    rows = results.rows_of([line for line in lines if line["stage"] == sweep])
    defined = [row for row in rows if row["similarity"] is not None]
    learned = [row for row in defined if row["accuracy"] > minimum_accuracy]
    groups = {"all": defined, "learned": learned}
    groups |= {conv: [r for r in defined if r["conv"] == conv] for conv in ("gcnii", "gin", "gcn")}
    return [
        {"models": name, **_across(members), "n_trained": len(rows)}
        for name, members in groups.items()
        if len(members) > 2
    ]


def _across(rows: Sequence[Row]) -> Row:
    accuracy = np.array([row["accuracy"] for row in rows])
    similarity = np.array([row["similarity"] for row in rows])
    rank = stats.spearmanr(accuracy, similarity).statistic if np.ptp(similarity) > 0 else None
    return {
        "n_models": len(rows),
        "pearson_across": _pearson(accuracy, similarity),
        "spearman_across": None if rank is None else rounded(rank),
    }


def _reference(
    run: Run,
    graph: Graph,
    split: Split,
    anchors: np.ndarray,
    width: int,
    reference: Reference,
) -> dict[str, np.ndarray]:
    """Return the reference's ``accuracies`` and ``relative`` representation, kept on disk."""
    key: dict[str, str | int | float] = {
        "encoder": "reference of the graph sweep",
        "width": width,
        "data": graph.content_hash(),
        "nodes": content_hash([split.train, split.validation, anchors]),
        **{name: reference[name] for name in sorted(reference)},  # type: ignore[literal-required]
        "products": choose_products(reference["products"]),
    }
    return run.features(key, lambda: _train_reference(run, graph, split, anchors, width, reference))


def _train_reference(
    run: Run,
    graph: Graph,
    split: Split,
    anchors: np.ndarray,
    width: int,
    reference: Reference,
) -> dict[str, np.ndarray]:
    model = GraphModel(
        reference["conv"],
        reference["n_layers"],
        reference["dropout"],
        reference["hidden"],
        reference["activation"],
        reference["optimizer"],
        reference["learning_rate"],
        width,
    )
    accuracies: list[float] = []
    best = np.empty((0, 0))
    n_epochs, products = reference["epochs"], reference["products"]
    for found in train_models(
        run, graph, [model], reference["seed"], split, anchors, n_epochs, products
    ):
        accuracy = accuracy_on(found, graph, split.validation)
        if accuracy > max(accuracies, default=-1.0):
            best = found.representations.numpy()
        accuracies.append(accuracy)
    relative = relative_projection(best, best[anchors])
    return {"accuracies": np.array(accuracies), "relative": relative.astype(np.float32)}


def train_models(
    run: Run,
    graph: Graph,
    models: Sequence[GraphModel],
    seed: int,
    split: Split,
    anchors: np.ndarray,
    n_epochs: int,
    products: Products,
) -> Iterator[Epoch]:
    return train_stack(
        graph,
        models,
        seed=seed,
        train=split.train,
        anchors=anchors,
        n_epochs=n_epochs,
        products=products,
        on_epoch=lambda epoch: run.advance(epoch, n_epochs),
    )


def accuracy_on(found: Epoch, graph: Graph, nodes: np.ndarray) -> float:
    return float(np.mean(found.predictions()[nodes] == graph.labels[nodes]))


def _pearson(a: np.ndarray, b: np.ndarray) -> float | None:
    """Return Pearson's correlation; None where one of them is constant or undefined.

    Values undefined for some epochs are left out with their epochs, as pandas does in
    the paper's code.
    """
    there = np.isfinite(a) & np.isfinite(b)
    a, b = a[there], b[there]
    if len(a) < 2 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return None
    return rounded(np.corrcoef(a, b)[0, 1])


def rounded(value: float) -> float | None:
    return round(float(value), DIGITS) if math.isfinite(value) else None
