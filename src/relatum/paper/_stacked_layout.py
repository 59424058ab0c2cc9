"""How a graph lies in memory while models train on it.

Every sum over neighbours is an ``embedding_bag``: the processor's fastest way to add
rows with weights, in bfloat16 too. Nodes are reordered so that neighbours lie close,
and rows and columns are padded to sizes that the matrix units like.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
import torch
from scipy.sparse.csgraph import reverse_cuthill_mckee
from torch import Tensor

from relatum.paper.data_graphs import Graph
from relatum.paper.models_graphs import ALPHA, Conv, beta


class Bag(NamedTuple):
    """Rows to add up: row ``i`` of the sum is over ``rows[starts[i]:starts[i + 1]]``."""

    rows: Tensor
    starts: Tensor
    weights: Tensor

    def sum(self, table: Tensor, weights: Tensor | None = None) -> Tensor:
        """Return the weighted sums of rows of ``table``."""
        return torch.nn.functional.embedding_bag(
            self.rows,
            table,
            self.starts,
            mode="sum",
            per_sample_weights=self.weights if weights is None else weights,
        )


@dataclass(frozen=True)
class Layout:
    """A graph made ready for models of one convolution, depth, width and dropout.

    Activations of all layers lie in one table of ``n_layers + 2`` blocks of
    ``n_rows``: block 0 is the first layer as it is, block ``l + 1`` the input of
    convolution ``l`` after dropout. One more row holds a 1 in the column of the
    biases.

    Attributes
    ----------
    order : (n_nodes,)
        Node in each row.
    place : (n_nodes,)
        Row of each node.
    """

    order: np.ndarray
    place: Tensor
    n_rows: int
    n_columns: int
    width: int
    dtype: torch.dtype
    inputs: Bag
    inputs_back: Bag
    value_of_input: np.ndarray
    forward: list[Bag]
    training_weights: list[Tensor]
    backward: list[Bag]
    to_first: Bag | None

    @property
    def n_nodes(self) -> int:
        return len(self.order)


def make_layout(
    graph: Graph, conv: Conv, n_layers: int, width: int, dropout: float, dtype: torch.dtype
) -> Layout:
    """Return the layout of ``graph``; ``dtype`` is that of the products."""
    neighbours = _neighbours(graph, conv)
    order = reverse_cuthill_mckee(sp.csr_matrix(neighbours), symmetric_mode=True).astype(np.int64)
    n_rows = _padded(graph.n_nodes)
    near = sp.csr_array(neighbours[order][:, order])
    near.resize((n_rows, n_rows))
    inputs, inputs_back, value_of_input = _input_bags(graph.features[order], n_rows, dtype)
    forward, training, backward = [], [], []
    back = _bag(near.tocoo(), dtype)
    for layer in range(n_layers):
        scale = 1 - beta(layer + 1) if conv == "gcnii" else 1.0
        kept = scale / (1 - dropout)  # what dropout leaves is scaled up here, not in a pass
        forward.append(_bag(_layer_matrix(near, graph, conv, layer, n_layers, scale), dtype))
        full = _layer_matrix(near, graph, conv, layer, n_layers, scale, kept)
        training.append(_bag(full, dtype).weights)
        backward.append(back._replace(weights=(back.weights.float() * kept).to(dtype)))
    return Layout(
        order=order,
        place=torch.from_numpy(np.argsort(order)),
        n_rows=n_rows,
        n_columns=_padded(width + 1),
        width=width,
        dtype=dtype,
        inputs=inputs,
        inputs_back=inputs_back,
        value_of_input=value_of_input,
        forward=forward,
        training_weights=training,
        backward=backward,
        to_first=_to_first(n_rows, n_layers, dtype) if conv == "gcnii" else None,
    )


def _padded(count: int) -> int:
    """Round up to 32, but not to a multiple of 256, whose rows collide in the caches."""
    count = -(-count // 32) * 32
    return count + 32 if count % 256 == 0 else count


def _neighbours(graph: Graph, conv: Conv) -> sp.csr_array:
    """Return the symmetric matrix that each layer multiplies by, ``(n_nodes, n_nodes)``."""
    n = graph.n_nodes
    ones = np.ones(graph.edges.shape[1])
    A = sp.csr_array((ones, (graph.edges[1], graph.edges[0])), shape=(n, n))
    if conv != "gcnii":
        A = A + sp.eye_array(n)
    if conv == "gin":
        return sp.csr_array(A)
    degree = np.asarray(A.sum(axis=1)).ravel()
    inverse = sp.diags_array(np.where(degree > 0, 1 / np.sqrt(np.maximum(degree, 1)), 0))
    share = 1 - ALPHA if conv == "gcnii" else 1.0
    return sp.csr_array(share * (inverse @ A @ inverse))


def _layer_matrix(
    near: sp.csr_array,
    graph: Graph,
    conv: Conv,
    layer: int,
    n_layers: int,
    scale: float,
    kept: float | None = None,
) -> sp.coo_array:
    """Return a layer's sums over the whole table: neighbours, then first layer or bias."""
    n_rows = near.shape[0]
    near = sp.coo_array(near)
    here = np.arange(graph.n_nodes)
    bias_row = (n_layers + 2) * n_rows
    also = here if conv == "gcnii" else np.full_like(here, bias_row)
    weight = ALPHA * scale if conv == "gcnii" else 1.0
    values = np.concatenate([near.data * (kept or scale), np.full(len(here), weight)])
    rows = np.concatenate([near.row, here])
    columns = np.concatenate([near.col + (layer + 1) * n_rows, also])
    return sp.coo_array((values, (rows, columns)), shape=(n_rows, bias_row + 1))


def _bag(matrix: sp.coo_array, dtype: torch.dtype) -> Bag:
    found = sp.csr_array(matrix)
    found.sort_indices()
    return Bag(
        torch.from_numpy(found.indices.astype(np.int32)),
        torch.from_numpy(found.indptr[:-1].astype(np.int32)),
        torch.from_numpy(found.data).to(dtype),
    )


def _input_bags(
    features: sp.csr_array, n_rows: int, dtype: torch.dtype
) -> tuple[Bag, Bag, np.ndarray]:
    """Return the first Linear's sums, forward and back, and where each value goes back.

    The bias is the weights' last row, which every node has with weight 1.
    """
    n, n_features = features.shape
    ones = sp.csr_array(np.ones((n, 1)))
    X = sp.csr_array(sp.hstack([features, ones]))
    X.resize((n_rows, n_features + 1))
    X.sort_indices()
    numbered = sp.csr_array((np.arange(1.0, X.nnz + 1), X.indices, X.indptr), shape=X.shape)
    transposed = sp.csr_array(numbered.T)
    transposed.sort_indices()
    value_of = transposed.data.astype(np.int64) - 1
    back = Bag(
        torch.from_numpy(transposed.indices.astype(np.int32)),
        torch.from_numpy(transposed.indptr[:-1].astype(np.int32)),
        torch.from_numpy(X.data[value_of]).to(dtype),
    )
    return _bag(X.tocoo(), dtype), back, value_of


def _to_first(n_rows: int, n_layers: int, dtype: torch.dtype) -> Bag:
    """Return the sums that take every layer's gradient back to the first layer's output."""
    blocks = (np.arange(n_layers) + 2) * n_rows
    rows = np.arange(n_rows)[:, None] + blocks
    weights = [ALPHA * (1 - beta(layer + 1)) for layer in range(n_layers)]
    return Bag(
        torch.from_numpy(rows.astype(np.int32).ravel()),
        torch.from_numpy(np.arange(n_rows, dtype=np.int32) * n_layers),
        torch.tensor(weights).repeat(n_rows).to(dtype),
    )
