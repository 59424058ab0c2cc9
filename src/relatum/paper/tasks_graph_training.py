"""Node classifiers trained end to end, on absolute and on relative representations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from torch import Tensor
from torch.nn import functional as F

from relatum.anchors import METHODS
from relatum.paper.data_graphs import FOLDERS, draw_anchors, load_graph, split_nodes
from relatum.paper.experiment import Row
from relatum.paper.models_graphs import Activation, Conv, GraphModel, Optimizer, Projection
from relatum.paper.runner import Run
from relatum.paper.stacked_graphs import Products, choose_products
from relatum.paper.tasks_graphs import accuracy_on, rounded, train_models

CHOICES = {"dataset": FOLDERS, "anchor_methods": METHODS}


def train_end_to_end(
    run: Run,
    *,
    dataset: str,
    seed: int,
    conv: Conv,
    n_layers: int,
    dropout: float,
    hidden: Activation,
    activation: Activation,
    optimizer: Optimizer,
    learning_rate: float,
    epochs: list[int],
    n_anchors: int,
    width: int,
    products: Products,
    projections: list[Projection],
    anchor_methods: Sequence[str] = ("uniform",),
) -> list[Row]:
    """Train absolute and relative models on the same graph, split, weights and dropout.

    A relative model for each of ``anchor_methods``, and for each model a row after each
    number of ``epochs``, which are prefixes of one training. ``accuracy`` is fair: half of the
    held-out nodes choose the epoch, the other half are counted, and the other way round.
    ``best_validation`` is the paper's: the best epoch's accuracy on the very nodes that
    chose it. ``alignment``: see :func:`alignment`. ``width`` 0: as many as anchors, as in
    the paper's Figure 6.
    """
    graph = load_graph(run, dataset)
    split = split_nodes(graph, seed=seed)
    drawn = [draw_anchors(graph, split, n_anchors, method=m, seed=seed) for m in anchor_methods]
    made: list[tuple[Projection, str | None, np.ndarray]] = []
    for projection in projections:
        if projection == "absolute":
            made.append((projection, None, drawn[0]))
        else:
            made += [(projection, m, a) for m, a in zip(anchor_methods, drawn, strict=True)]
    model = GraphModel(
        conv, n_layers, dropout, hidden, activation, optimizer, learning_rate, width or n_anchors
    )
    models = [replace(model, projection=projection) for projection, *_ in made]
    anchors = np.stack([a for *_, a in made])
    parts = split.validation[::2], split.validation[1::2], split.validation
    curves = np.zeros((len(models), len(parts), max(epochs)))
    aligned: dict[tuple[int, int], float] = {}
    for found in train_models(run, graph, models, seed, split, anchors, max(epochs), products):
        curves[found.model, :, found.epoch] = [accuracy_on(found, graph, part) for part in parts]
        if found.epoch + 1 in epochs:
            aligned[found.model, found.epoch + 1] = alignment(found.representations)
    return [
        {
            "projection": projection,
            "anchor_method": method,
            "epochs": n,
            **_best(curve[:, :n]),
            "alignment": rounded(aligned[number, n]),
            "products_used": choose_products(products),
        }
        for number, ((projection, method, _), curve) in enumerate(zip(made, curves, strict=True))
        for n in epochs
    ]


def alignment(X: Tensor) -> float:
    """Return the mean cosine between rows, each with itself too: 1 where all point one way."""
    return float(F.normalize(X, dim=1).mean(dim=0).square().sum())


def _best(curves: np.ndarray) -> Row:
    """Return what the accuracies on both halves and on all held-out nodes come to."""
    first, second, whole = curves
    return {
        "accuracy": rounded(_chosen_by_the_other(first, second)),
        "best_validation": rounded(whole.max()),
        "last_validation": rounded(whole[-1]),
        "best_epoch": int(whole.argmax()) + 1,
    }


def _chosen_by_the_other(first: np.ndarray, second: np.ndarray) -> float:
    return float(second[first.argmax()] + first[second.argmax()]) / 2
