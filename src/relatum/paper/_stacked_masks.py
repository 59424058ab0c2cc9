"""Dropout for a whole stack: drawn once an epoch, from the seed and the epoch alone.

Models of one seed see the same draws whatever they are trained beside, so that the
numbers do not depend on how trainings are stacked or where one was interrupted.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from relatum.paper._stacked_layout import Layout
from relatum.paper.models_graphs import Activation

INTEGER = {torch.bfloat16: torch.int16, torch.float32: torch.int32}
"""Integers of the same size: dropout and ReLU need no arithmetic, only bits."""


def bits(x: Tensor) -> Tensor:
    """Return the numbers of ``x`` as the integers that their bits are."""
    return x.view(INTEGER[x.dtype])


class Masks:
    """Which activations of each layer stay, as bits to be kept.

    After ReLU a kept number has all bits but the sign, so that one ``clamp`` between 0
    and the mask does ReLU and dropout; after tanh it has them all.
    """

    def __init__(
        self, layout: Layout, dropout: float, n_layers: int, kinds: set[Activation]
    ) -> None:
        self.layout = layout
        self.dropout = dropout
        self.n_layers = n_layers
        self.input_weights = layout.inputs.weights.clone()
        self.input_back_weights = layout.inputs_back.weights.clone()
        shape = (n_layers, layout.n_rows, layout.n_columns)
        self.layers = {k: torch.empty(shape, dtype=INTEGER[layout.dtype]) for k in kinds}
        self._full = layout.inputs.weights.float().numpy()
        self._bias = (layout.inputs.rows == layout.inputs.rows.max()).numpy()

    def draw(self, seed: int, epoch: int) -> None:
        """Draw the masks of one epoch."""
        source = np.random.SFC64(np.random.SeedSequence([seed, epoch]))
        kept = _kept(source, len(self._full), self.dropout)
        weights = np.where(kept | self._bias, self._full, 0)
        weights[~self._bias] /= 1 - self.dropout
        self.input_weights.copy_(torch.from_numpy(weights))
        self.input_back_weights.copy_(torch.from_numpy(weights[self.layout.value_of_input]))
        size = self.layout.n_rows * self.layout.n_columns
        for layer in range(self.n_layers):
            kept = _kept(source, size, self.dropout)
            for kind, masks in self.layers.items():
                whole = -1 if kind == "tanh" else torch.iinfo(masks.dtype).max
                mask = masks[layer].numpy().ravel()
                np.multiply(kept, mask.dtype.type(whole), out=mask)


def _kept(source: np.random.SFC64, count: int, dropout: float) -> np.ndarray:
    """Draw booleans that are true with probability ``1 - dropout``, to within 2**-16."""
    draws = source.random_raw(-(-count // 4)).view(np.uint16)[:count]
    return np.asarray(draws >= round(dropout * 65536))
