"""The Cora sweep: our stacked models beside their bare products and beside torch-geometric.

    RELATUM_DATA_DIR=DIR python benchmarks/run.py graphs --record

DIR/planetoid/cora.npz is the graph; without it, one of the same size is made up, and the
curves are not compared. Products, ours and the rival alternate within one run, so that
what else the machine does meets all of them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
import scipy.sparse as sp
import torch
from _harness import Row, race

from relatum.paper._stacked_layout import make_layout
from relatum.paper._stacked_masks import Masks
from relatum.paper._stacked_model import StackedModel, Workspace
from relatum.paper.data_graphs import (
    Graph,
    draw_anchors,
    make_graph,
    read_npz,
    split_nodes,
)
from relatum.paper.models_graphs import GraphModel, make_net, make_optimizer
from relatum.paper.stacked_graphs import DTYPES, Products, Similarity, train_stack

N_LAYERS = 32
SHARE = (10 + 30 + 50) / 50
"""One by one, models of 10, 30 and 50 epochs are trained apart; ours are prefixes of one."""


def cases(scale: float) -> Iterator[Row]:
    products: tuple[Products, ...] = ("float32", "bfloat16")
    for kind in products:
        for activation in ("relu", "tanh"):
            yield from _beside_products(kind, activation, rounds=max(3, round(9 * scale)))
    for conv in ("gcnii", "gin"):
        yield _beside_torch_geometric(conv, rounds=max(1, round(3 * scale)))
    if "RELATUM_DATA_DIR" in os.environ:
        yield from _curves(n_epochs=max(2, round(50 * scale)))


@cache
def graph() -> Graph:
    """Cora, or a graph with as many nodes, edges, words and words a node."""
    if folder := os.environ.get("RELATUM_DATA_DIR"):
        return read_npz(Path(folder) / "planetoid" / "cora.npz", "cora")
    rng = np.random.default_rng(0)
    x = sp.random_array((2708, 1433), density=0.0127, rng=rng, dtype=np.float32)
    return make_graph("made up", x, rng.integers(7, size=2708), rng.integers(2708, size=(2, 5300)))


def a_model(conv: str = "gcnii", activation: str = "relu") -> GraphModel:
    return GraphModel(conv, N_LAYERS, 0.5, "relu", activation, "adam", 0.02)  # type: ignore[arg-type]


def _beside_products(kind: Products, activation: str, rounds: int) -> Iterator[Row]:
    """One epoch of one model of a stack of eight: a step, an evaluation, the similarity."""
    torch.set_num_threads(1)
    model, split = a_model(activation=activation), split_nodes(graph(), seed=0)
    anchors = draw_anchors(graph(), split, 300)
    layout = make_layout(graph(), model.conv, N_LAYERS, 300, model.dropout, DTYPES[kind])
    masks = Masks(layout, model.dropout, N_LAYERS, {"relu", activation})  # type: ignore[arg-type]
    net = make_net(model, graph(), anchors, 0)
    ours = StackedModel(net, graph(), layout, Workspace.make(layout, N_LAYERS), split.train)
    similarity = Similarity(np.ones((graph().n_nodes, 300), dtype=np.float32), anchors, kind)
    count = 0

    def epoch() -> None:
        nonlocal count
        if count % 8 == 0:  # a stack of eight draws dropout once
            masks.draw(0, count)
        count += 1
        ours.train_step(masks)
        f = ours.represent()
        ours.classify(f)
        similarity(f)

    name = f"GCNII, {N_LAYERS} layers, {activation}, {kind}: an epoch"
    dense, sparse = _dense(DTYPES[kind]), _sparse(layout)
    yield race(name, epoch, "its dense products alone", dense, goal=1.5, rounds=rounds)
    yield race(
        name, epoch, "its products alone, dense and sparse",
        lambda: (dense(), sparse()), goal=1.5, rounds=rounds,
    )  # fmt: skip


def _dense(dtype: torch.dtype):  # type: ignore[no-untyped-def]
    """Each layer's product in training and in evaluation, and the two of the way back."""
    n, d = graph().n_nodes, 300
    x, y = torch.randn(n, d).to(dtype), torch.randn(n, d).to(dtype)
    w, out, back = torch.randn(d, d).to(dtype), torch.empty(n, d, dtype=dtype), torch.empty(d, d)
    back = back.to(dtype)

    def products() -> None:
        for _ in range(N_LAYERS + 1):  # and the Linear after the convolutions
            torch.mm(x, w, out=out)
            torch.mm(x, w, out=out)
            torch.mm(x, w.T, out=out)
            torch.mm(x.T, y, out=back)

    return products


def _sparse(layout):  # type: ignore[no-untyped-def]
    """Each layer's sum over neighbours: in training, in evaluation, and back."""
    table = torch.randn((N_LAYERS + 2) * layout.n_rows + 1, layout.n_columns).to(layout.dtype)
    block = table[: layout.n_rows]

    @torch.no_grad()
    def sums() -> None:
        for layer in range(N_LAYERS):
            layout.forward[layer].sum(table)
            layout.forward[layer % 2].sum(table)
            layout.backward[layer].sum(block)

    return sums


def _beside_torch_geometric(conv: str, rounds: int) -> Row:
    """All the sweep's epochs on one thread: a stack, against one model after another.

    Two of either fit on two processors; a single model with two threads is no faster.
    """
    n_epochs, n_models = 2, 4
    activation = "tanh" if conv == "gin" else "relu"  # GIN with ReLU overflows and ends early
    models = [a_model(conv, activation)] * n_models
    train_alone = _one_by_one(a_model(conv, activation))
    torch.set_num_threads(1)

    def theirs() -> None:
        for _ in range(n_epochs):
            train_alone()

    found = race(
        f"the sweep, {conv}: 640 trainings of 50 epochs",
        lambda: train_some(models, 0, n_epochs),
        "torch-geometric, 1,920 models one by one",
        theirs,
        goal=0.25,
        rounds=rounds,
    )
    # theirs trains one model where ours trains a stack, and one by one has more epochs
    for_one = 1 / n_models / SHARE
    found.ratio, found.low, found.high = (
        value * for_one for value in (found.ratio, found.low, found.high)
    )
    found.ours /= n_models * n_epochs
    found.theirs *= SHARE / n_epochs
    found.unit = "s for an epoch of 50 of a model"
    return found


def train_some(models: list[GraphModel], seed: int, n_epochs: int) -> None:
    """Train a stack in bfloat16 where that is faster here, evaluated after each epoch."""
    split = split_nodes(graph(), seed=0)
    anchors = draw_anchors(graph(), split, 300)
    similarity = Similarity(np.ones((graph().n_nodes, 300), dtype=np.float32), anchors, "auto")
    for epoch in train_stack(
        graph(), models, seed=seed, train=split.train, anchors=anchors, n_epochs=n_epochs,
        products="auto",
    ):  # fmt: skip
        similarity(epoch.representations)
        epoch.predictions()


def _one_by_one(model: GraphModel):  # type: ignore[no-untyped-def]
    """One epoch of a torch-geometric model, as the paper's code trains and evaluates it."""
    split = split_nodes(graph(), seed=0)
    anchors = draw_anchors(graph(), split, 300)
    net = make_net(model, graph(), anchors, 0)
    optimizer = make_optimizer(model, list(net.parameters()))
    X = torch.from_numpy(graph().features.toarray())
    labels = torch.from_numpy(graph().labels)
    similarity = Similarity(np.ones((graph().n_nodes, 300), dtype=np.float32), anchors)

    def epoch() -> None:
        net.train()
        optimizer.zero_grad()
        logits, _ = net(X)
        torch.nn.functional.cross_entropy(logits[split.train], labels[split.train]).backward()
        optimizer.step()
        net.eval()
        with torch.no_grad():
            _, f = net(X)
            similarity(f)

    return epoch


def _curves(n_epochs: int) -> Iterator[Row]:
    """How far bfloat16 moves the curves, over how far another seed does."""
    split = split_nodes(graph(), seed=0)
    anchors = draw_anchors(graph(), split, 300)
    reference = np.random.default_rng(0).normal(size=(graph().n_nodes, 300)).astype(np.float32)
    models = [a_model("gcnii", activation) for activation in ("relu", "tanh")]
    runs: dict[tuple[Products, int], np.ndarray] = {}
    kinds: tuple[tuple[Products, int], ...] = (("float32", 0), ("bfloat16", 0), ("bfloat16", 1))
    for kind, seed in kinds:
        if not runs:  # the reference of this comparison: the last epoch in float32, seed 2
            reference = _representation(anchors, split.train, n_epochs)
        similarity = Similarity(reference, anchors, kind)
        found = np.zeros((2, len(models), n_epochs))
        for e in train_stack(
            graph(), models, seed=seed, train=split.train, anchors=anchors, n_epochs=n_epochs,
            products=kind,
        ):  # fmt: skip
            right = e.predictions()[split.validation] == graph().labels[split.validation]
            found[:, e.model, e.epoch] = right.mean(), similarity(e.representations) or 0.0
        runs[kind, seed] = found
    for number, name in enumerate(("validation accuracy", "similarity to a reference")):
        type_apart, seed_apart = (
            float(np.abs(runs["bfloat16", 0][number] - runs[other][number]).mean())
            for other in (("float32", 0), ("bfloat16", 1))
        )
        yield Row(
            f"{name}: mean distance of the curves, bfloat16 from float32",
            "of two seeds",
            *[type_apart / seed_apart] * 3,
            1.0,
            type_apart,
            seed_apart,
            "",
        )


def _representation(anchors: np.ndarray, train: np.ndarray, n_epochs: int) -> np.ndarray:
    from relatum import relative_projection

    *_, last = train_stack(
        graph(), [a_model()], seed=2, train=train, anchors=anchors, n_epochs=n_epochs
    )
    x = last.representations.numpy()
    return np.asarray(relative_projection(x, x[anchors]))
