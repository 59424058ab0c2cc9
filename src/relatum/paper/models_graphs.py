"""Node classifiers in torch-geometric: GCNII, GCN and GIN, as in the paper's code and text.

They give the initial weights of the stacked models, and are what those are held
against: in their numbers by the tests, in their time by the benchmark.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from relatum import _validation

_validation.require("torch", "paper", "training on graphs")

import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402
from torch import Tensor, nn  # noqa: E402

with warnings.catch_warnings():  # of torch-geometric's own making, when it is first imported
    warnings.filterwarnings("ignore", ".*torch.jit.script.* is deprecated", DeprecationWarning)
    _validation.require("torch_geometric", "paper", "training on graphs")
    from torch_geometric.nn import GCN2Conv, GCNConv, GINConv
    from torch_geometric.nn.conv.gcn_conv import gcn_norm

if TYPE_CHECKING:
    from relatum.paper.data_graphs import Graph

Conv = Literal["gcnii", "gcn", "gin"]
Activation = Literal["relu", "tanh"]
Optimizer = Literal["adam", "sgd"]
Projection = Literal["absolute", "cosine", "centred"]
Drop = Callable[[Tensor, int], Tensor]
"""Dropout of the input of a layer: 0 is the first Linear, 1 the first convolution."""

ALPHA = 0.1  # GCNII: share of the first layer in each
THETA = 0.5


@dataclass(frozen=True)
class GraphModel:
    """What a model is made of; widths and anchors aside, one row of the paper's Table 8."""

    conv: Conv
    n_layers: int
    dropout: float
    hidden: Activation
    activation: Activation
    optimizer: Optimizer
    learning_rate: float
    width: int = 300
    projection: Projection = "absolute"


def beta(layer: int) -> float:
    """Weight of GCNII's matrix in layer ``layer``, counted from 1."""
    return math.log(THETA / layer + 1)


class GraphNet(nn.Module):
    """dropout, Linear, activation, n x [dropout, conv, activation], Linear, head.

    The parts are made in the order of the paper's code, so that one seed of torch
    gives the same weights.
    """

    def __init__(self, model: GraphModel, graph: Graph, anchors: np.ndarray) -> None:
        super().__init__()
        width = model.width
        self.model = model
        self.anchors = torch.as_tensor(anchors)
        self.edges = torch.as_tensor(graph.edges)
        self.weights = gcn_norm(self.edges, num_nodes=graph.n_nodes, add_self_loops=False)[1]
        self.hidden = nn.Linear(graph.n_features, width)
        self.convs = nn.ModuleList(_conv(model, layer + 1) for layer in range(model.n_layers))
        seen = width if model.projection == "absolute" else len(anchors)
        self.classes = nn.Linear(seen, graph.n_classes)
        self.last = nn.Linear(width, width)

    def forward(self, x: Tensor, drop: Drop | None = None) -> tuple[Tensor, Tensor]:
        """Return the logits and the absolute representations of all nodes."""
        drop = drop or self._drop
        x = x0 = _activate(self.hidden(drop(x, 0)), self.model.hidden)
        for layer, conv in enumerate(self.convs):
            x = drop(x, layer + 1)
            if self.model.conv == "gcnii":
                x = conv(x, x0, self.edges, self.weights)
            else:
                x = conv(x, self.edges)
            x = _activate(x, self.model.activation)
        x = self.last(x)
        logits = head(
            x, self.classes.weight, self.classes.bias, self.model.projection, self.anchors
        )
        return logits, x

    def _drop(self, x: Tensor, layer: int) -> Tensor:
        return F.dropout(x, self.model.dropout, training=self.training)


def head(
    x: Tensor, weight: Tensor, bias: Tensor, projection: Projection, anchors: Tensor
) -> Tensor:
    """Classify representations, unless ``absolute`` relative to rows ``anchors`` of them.

    The gradient flows through the anchors too, as in the paper's code for graphs.
    A row of zeros, which a collapsed model gives, stays one: hence ``F.normalize``
    and not :func:`relatum.relative_projection`, which refuses it.
    """
    if projection == "centred":
        x = x - x[anchors].mean(dim=0)
    if projection != "absolute":
        x = F.normalize(x, dim=1)
        x = x @ x[anchors].T
    return F.linear(F.normalize(x, dim=1), weight, bias)


def make_net(model: GraphModel, graph: Graph, anchors: np.ndarray, seed: int) -> GraphNet:
    """Return a net with the weights of that seed; torch's own generator is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return GraphNet(model, graph, anchors)


def make_optimizer(model: GraphModel, parameters: list[Tensor]) -> torch.optim.Optimizer:
    """Return Adam or SGD, neither with weight decay; fused into one pass over the weights."""
    kind = torch.optim.Adam if model.optimizer == "adam" else torch.optim.SGD
    return kind(parameters, lr=model.learning_rate, fused=True)


def _conv(model: GraphModel, layer: int) -> nn.Module:
    width = model.width
    conv: nn.Module
    if model.conv == "gcnii":
        conv = GCN2Conv(
            width, ALPHA, theta=THETA, layer=layer, shared_weights=True, normalize=False
        )
    elif model.conv == "gin":
        conv = GINConv(nn.Linear(width, width))
    else:
        conv = GCNConv(width, width, cached=True)
    return conv


def _activate(x: Tensor, kind: Activation) -> Tensor:
    return torch.relu(x) if kind == "relu" else torch.tanh(x)
