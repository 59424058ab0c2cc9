"""One model of a stack: its weights, and its training step written out by hand.

What autograd would do in some twenty passes over the activations of a layer is done
here in five, beside the products; only the head is left to autograd.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from relatum.paper._stacked_layout import Layout
from relatum.paper._stacked_masks import Masks, bits
from relatum.paper.data_graphs import Graph
from relatum.paper.models_graphs import (
    Activation,
    Conv,
    GraphModel,
    GraphNet,
    beta,
    head,
    make_optimizer,
)

_threshold_backward = torch.ops.aten.threshold_backward.grad_input
_tanh_backward = torch.ops.aten.tanh_backward.grad_input
_ROWS = 512  # rows of which float32 copies stay in the processor's cache


def _matrix(linear: torch.nn.Linear) -> Tensor:
    """Return a Linear as one matrix, ``(inputs and bias, outputs)``."""
    return torch.cat([linear.weight.T, linear.bias[None]]).contiguous()


def _conv_matrix(kind: Conv, conv: Any) -> Tensor:
    """Return the matrix of a torch-geometric convolution, its bias as the last row."""
    if kind == "gcnii":
        return torch.as_tensor(conv.weight1)  # has no bias
    return _matrix(conv.nn) if kind == "gin" else torch.cat([conv.lin.weight.T, conv.bias[None]])


@dataclass
class Workspace:
    """Memory for the activations of one model, used by all models of a stack in turn."""

    table: Tensor
    blocks: Tensor
    summed: list[Tensor]
    gradient: Tensor
    single: Tensor

    @classmethod
    def make(cls, layout: Layout, n_layers: int) -> Workspace:
        n_rows, n_columns = layout.n_rows, layout.n_columns
        size = (n_layers + 2) * n_rows
        table = torch.zeros(size + 1, n_columns, dtype=layout.dtype)
        table[size, layout.width] = 1  # the row of ones for the biases
        return cls(
            table=table,
            blocks=table[:size].view(n_layers + 2, n_rows, n_columns),
            summed=[torch.empty(0)] * n_layers,
            gradient=torch.zeros(n_rows, n_columns, dtype=layout.dtype),
            single=torch.empty(_ROWS, n_columns),
        )


class StackedModel:
    """Weights in float32, their padded copies in the type of the products, an optimiser."""

    def __init__(
        self, net: GraphNet, graph: Graph, layout: Layout, space: Workspace, train: np.ndarray
    ) -> None:
        self.model: GraphModel = net.model
        self.layout = layout
        self.space = space
        self.anchors = net.anchors
        self.train = torch.from_numpy(train)
        self.target = torch.from_numpy(graph.labels[train])
        self._take_weights(net)
        self._make_copies()

    # -- weights

    def _take_weights(self, net: GraphNet) -> None:
        with torch.no_grad():
            convs = torch.stack([_conv_matrix(self.model.conv, conv) for conv in net.convs])
            weights = [_matrix(net.hidden), convs, _matrix(net.last)]
            weights += [net.classes.weight.clone(), net.classes.bias.clone()]
        self.weights = [w.detach().requires_grad_() for w in weights]
        for weight in self.weights:
            weight.grad = torch.zeros_like(weight)
        self.hidden, self.convs, self.last, self.class_weight, self.class_bias = self.weights
        self.optimizer = make_optimizer(self.model, self.weights)

    def _make_copies(self) -> None:
        dtype, columns = self.layout.dtype, self.layout.n_columns
        self.hidden_copy = torch.zeros(len(self.hidden), columns, dtype=dtype)
        self.conv_copies = torch.zeros(self.model.n_layers, columns, columns, dtype=dtype)
        self.last_copy = torch.zeros(columns, columns, dtype=dtype)
        self._refresh()

    @torch.no_grad()
    def _refresh(self) -> None:
        """Copy the weights. GCNII's share of the identity goes into its matrix:

        (1 - b) h + b h W = (1 - b) h (I + c W), c = b / (1 - b); the sums carry the
        factor 1 - b. Beside 1 the diagonal of c W rounds away in bfloat16, all else
        keeps its precision.
        """
        width = self.layout.width
        self.hidden_copy[:, :width].copy_(self.hidden)
        self.last_copy[: width + 1, :width].copy_(self.last)
        if self.model.conv != "gcnii":
            self.conv_copies[:, : width + 1, :width].copy_(self.convs)
            return
        for layer, (copy, weight) in enumerate(zip(self.conv_copies, self.convs, strict=True)):
            scaled = weight * self._factor(layer)
            scaled.diagonal().add_(1)
            copy[:width, :width].copy_(scaled)

    def _factor(self, layer: int) -> float:
        if self.model.conv != "gcnii":
            return 1.0
        return beta(layer + 1) / (1 - beta(layer + 1))

    # -- forward

    def _first(self, masks: Masks | None) -> None:
        layout, blocks = self.layout, self.space.blocks
        weights = None if masks is None else masks.input_weights
        first = layout.inputs.sum(self.hidden_copy, weights)
        blocks[0].copy_(first)
        self._activate(blocks[0], self.model.hidden, None)
        if masks is None:
            blocks[1].copy_(blocks[0])
        else:
            mask = masks.layers[self.model.hidden][0]
            torch.bitwise_and(bits(blocks[0]), mask, out=bits(blocks[1]))

    def _forward(self, masks: Masks) -> Tensor:
        space, kind = self.space, self.model.activation
        self._first(masks)
        for layer, weight in enumerate(self.conv_copies):
            h = self.layout.forward[layer].sum(space.table, self.layout.training_weights[layer])
            space.summed[layer] = h
            z = torch.mm(h, weight, out=space.blocks[layer + 2])
            last = layer + 1 == self.model.n_layers
            self._activate(z, kind, None if last else masks.layers[kind][layer + 1])
        return self._last(space.blocks[-1])

    def _last(self, x: Tensor) -> Tensor:
        x[:, self.layout.width] = 1
        f = torch.mm(x, self.last_copy)
        return f[: self.layout.n_nodes, : self.layout.width].float()[self.layout.place]

    def _activate(self, z: Tensor, kind: Activation, mask: Tensor | None) -> None:
        """Activation, and dropout where there is a mask, in place."""
        if kind == "tanh":
            self._tanh(z)
            if mask is not None:
                bits(z).bitwise_and_(mask)
        elif self.model.conv == "gin":  # its values may overflow, and that must be seen
            z.relu_()
            if mask is not None:
                bits(z).bitwise_and_(mask)
        elif mask is None:
            bits(z).clamp_min_(0)
        else:
            torch.clamp(bits(z), torch.zeros((1, 1), dtype=mask.dtype), mask, out=bits(z))

    def _tanh(self, z: Tensor) -> None:
        """In float32: bfloat16's own tanh takes six times as long."""
        if z.dtype == torch.float32:
            z.tanh_()
            return
        for start in range(0, len(z), _ROWS):
            part = z[start : start + _ROWS]
            single = self.space.single[: len(part)]
            single.copy_(part)
            part.copy_(single.tanh_())

    # -- training

    @torch.no_grad()
    def train_step(self, masks: Masks) -> float:
        """Take one step on the whole graph; return the loss before it."""
        loss, gradient = self._head(self._forward(masks))
        self._backward(gradient, masks)
        self.optimizer.step()
        self._refresh()
        return loss

    def _head(self, f: Tensor) -> tuple[float, Tensor]:
        """Return the loss and its gradient for the representations, in the table's order."""
        f.requires_grad_()
        with torch.enable_grad():
            logits = self._classes(f)
            loss = F.cross_entropy(logits[self.train], self.target)
            found = torch.autograd.grad(loss, [f, self.class_weight, self.class_bias])
        self.class_weight.grad, self.class_bias.grad = found[1:]
        gradient = self.space.gradient
        width, order = self.layout.width, self.layout.order
        gradient[: self.layout.n_nodes, :width].copy_(found[0][order])
        return float(loss.detach()), gradient

    def _backward(self, gradient: Tensor, masks: Masks) -> None:
        layout, space = self.layout, self.space
        x = space.blocks[-1]
        self._keep(self.last, x.T @ gradient)
        dy = gradient @ self.last_copy.T
        for layer in reversed(range(self.model.n_layers)):
            y = space.blocks[layer + 2]
            last = layer + 1 == self.model.n_layers
            mask = None if last else masks.layers[self.model.activation][layer + 1]
            dz = self._activation_back(dy, y, self.model.activation, mask)
            product = torch.mm(space.summed[layer].T, dz)
            self._keep(self.convs, product, self._factor(layer), layer)
            torch.mm(dz, self.conv_copies[layer].T, out=y)  # y has been used for the last time
            dy = layout.backward[layer].sum(y)
        self._first_back(dy, masks)

    def _first_back(self, dy: Tensor, masks: Masks) -> None:
        space, kind = self.space, self.model.hidden
        x0, dropped = space.blocks[0], space.blocks[1]
        mask = masks.layers[kind][0]
        if kind == "relu":
            dy = self._activation_back(dy, dropped, kind, mask)
        else:
            bits(dy).bitwise_and_(mask)
        if self.layout.to_first is not None:
            dy += self.layout.to_first.sum(space.table)
        dz = self._activation_back(dy, x0, kind, None)
        found = self.layout.inputs_back.sum(dz, masks.input_back_weights)
        self._keep(self.hidden, found)

    def _activation_back(
        self, dy: Tensor, y: Tensor, kind: Activation, mask: Tensor | None
    ) -> Tensor:
        """Gradient before activation and dropout, over ``dy``; ``y`` is what they gave."""
        if kind == "tanh":
            if mask is not None:
                bits(dy).bitwise_and_(mask)
            _tanh_backward(dy, y, grad_input=dy)
        elif self.model.conv == "gin":
            _threshold_backward(dy, y, 0, grad_input=dy)
        else:
            _threshold_backward(bits(dy), bits(y), 0, grad_input=bits(dy))
        return dy

    def _keep(
        self, weight: Tensor, found: Tensor, factor: float = 1.0, layer: int | None = None
    ) -> None:
        """Take a padded product as the gradient of a weight, or of one layer's part of it."""
        gradient = weight.grad
        assert gradient is not None
        part = gradient if layer is None else gradient[layer]
        part.copy_(found[: part.shape[0], : part.shape[1]])
        if factor != 1:
            part.mul_(factor)

    # -- evaluation

    @torch.no_grad()
    def represent(self) -> Tensor:
        """Return the absolute representations of all nodes without dropout, float32."""
        forward, blocks = self.layout.forward, self.space.blocks
        self._first(None)
        for layer, weight in enumerate(self.conv_copies):
            # between blocks 1 and 2 and back, which thus stay in the cache
            h = forward[layer % 2].sum(self.space.table, forward[layer].weights)
            z = torch.mm(h, weight, out=blocks[2 - layer % 2])
            self._activate(z, self.model.activation, None)
        return self._last(z)

    @torch.no_grad()
    def classify(self, f: Tensor) -> Tensor:
        """Return the logits of representations, ``(n_nodes, n_classes)``."""
        return self._classes(f)

    def _classes(self, f: Tensor) -> Tensor:
        return head(f, self.class_weight, self.class_bias, self.model.projection, self.anchors)
