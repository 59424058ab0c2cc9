"""Many node classifiers trained beside one another, each as it would be alone.

A stack is models of one seed, convolution, depth, width and dropout: they share the
graph's layout, the memory for activations and the draws of dropout.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from relatum.paper._stacked_layout import make_layout
from relatum.paper._stacked_masks import Masks
from relatum.paper._stacked_model import StackedModel, Workspace
from relatum.paper.data_graphs import Graph
from relatum.paper.models_graphs import GraphModel, make_net

Products = Literal["float32", "bfloat16", "auto"]
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


@dataclass(frozen=True)
class Epoch:
    """What a model is after an epoch.

    Attributes
    ----------
    representations : (n_nodes, width) float32
    logits : (n_nodes, n_classes) float32
    """

    model: int
    epoch: int
    loss: float
    representations: Tensor
    logits: Tensor

    def predictions(self) -> np.ndarray:
        """Return the class of each node; the first class where a model has diverged."""
        return np.asarray(self.logits.argmax(dim=1).numpy())


def train_stack(
    graph: Graph,
    models: Sequence[GraphModel],
    *,
    seed: int,
    train: np.ndarray,
    anchors: np.ndarray,
    n_epochs: int,
    products: Products = "float32",
    on_epoch: Callable[[int], None] = lambda epoch: None,
) -> Iterator[Epoch]:
    """Train models for ``n_epochs`` full-batch steps, and yield each after each step.

    Parameters
    ----------
    models : sequence of GraphModel
        Of one convolution, depth, width and dropout.
    seed : int
        Gives the initial weights, and with the epoch the dropout.
    train : (n_train,) int
        Nodes of the loss.
    anchors : (n_anchors,) or (n_models, n_anchors) int
        Nodes that relative models project onto: the same for all, or each its own.
    products : {"float32", "bfloat16", "auto"}
        Type of activations and products; weights, optimisers, losses and the head stay
        float32. ``auto``: bfloat16 where this processor is faster with it.

    Yields
    ------
    Epoch
        For epoch after epoch the models in turn; of a model that has diverged, NaN.
    """
    shared = {(m.conv, m.n_layers, m.width, m.dropout) for m in models}
    if len(shared) != 1:
        raise ValueError(
            f"models has {len(shared)} kinds; a stack is of one conv, n_layers, width and dropout"
        )
    first = models[0]
    dtype = DTYPES[choose_products(products)]
    layout = make_layout(graph, first.conv, first.n_layers, first.width, first.dropout, dtype)
    space = Workspace.make(layout, first.n_layers)
    masks = Masks(
        layout,
        first.dropout,
        first.n_layers,
        {kind for m in models for kind in (m.hidden, m.activation)},
    )
    own = np.broadcast_to(anchors, (len(models), np.shape(anchors)[-1])).copy()
    nets = (make_net(m, graph, a, seed) for m, a in zip(models, own, strict=True))
    stack = [StackedModel(net, graph, layout, space, train) for net in nets]
    diverged: dict[int, Epoch] = {}
    with _one_thread_without_denormals():
        for epoch in range(n_epochs):
            on_epoch(epoch)
            masks.draw(seed, epoch)
            for number, model in enumerate(stack):
                if number not in diverged:
                    found = _one_epoch(model, masks, number, epoch)
                    if not math.isfinite(found.loss):
                        diverged[number] = found  # NaN weights stay NaN
                if number in diverged:
                    old = diverged[number]
                    found = Epoch(number, epoch, old.loss, old.representations, old.logits)
                yield found


def _one_epoch(model: StackedModel, masks: Masks, number: int, epoch: int) -> Epoch:
    loss = model.train_step(masks)
    f = model.represent()
    return Epoch(number, epoch, loss, f, model.classify(f))


@contextmanager
def _one_thread_without_denormals() -> Iterator[None]:
    """Two trainings at once beat two threads on one, whose products are short.

    Numbers below 1e-38 become 0: they slow the processor down a hundredfold.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)
        torch.set_num_threads(before)


class Similarity:
    """Mean over nodes of the cosine between relative representations and a reference's.

    Parameters
    ----------
    reference : (n_nodes, n_anchors)
        Relative representations of the reference.
    anchors : (n_anchors,)
        The nodes that they are relative to.
    """

    def __init__(
        self, reference: np.ndarray, anchors: np.ndarray, products: Products = "float32"
    ) -> None:
        self.reference = torch.from_numpy(np.asarray(reference, dtype=np.float32))
        self.anchors = torch.from_numpy(anchors)
        self.dtype = DTYPES[choose_products(products)]

    @torch.no_grad()
    def __call__(self, representations: Tensor) -> float | None:
        """Return the similarity; None where representations are not finite."""
        x = F.normalize(representations, dim=1).to(self.dtype)
        R = (x @ x[self.anchors].T).float()
        found = float(F.cosine_similarity(R, self.reference).mean())
        return found if math.isfinite(found) else None


@cache
def choose_products(products: Products) -> Literal["float32", "bfloat16"]:
    """Return the type that ``auto`` stands for here: the faster of the two, by a trial."""
    if products != "auto":
        return products
    with _one_thread_without_denormals():
        seconds = {name: _product_seconds(dtype) for name, dtype in DTYPES.items()}
    return "bfloat16" if seconds["bfloat16"] < seconds["float32"] else "float32"


def _product_seconds(dtype: torch.dtype) -> float:
    x, w = torch.ones(2720, 320, dtype=dtype), torch.ones(320, 320, dtype=dtype)
    took = []
    for _ in range(4):
        began = time.perf_counter()
        torch.mm(x, w)
        took.append(time.perf_counter() - began)
    return min(took)
