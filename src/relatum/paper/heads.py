"""The paper's heads on frozen representations, and their training.

Settings: appendix A.5.5 and A.5.6 of Moschella et al. (ICLR 2023) and its published
code. Between layers the paper's code standardises each feature over the very batch
that it is given; at test time that batch is the whole test set (*transductive*). The
same head with the statistics of its training set (*inductive*) can predict one sample.
Both differ in evaluation only, so one training serves both.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
import torch
from torch import nn

from relatum import _validation
from relatum.nn import HeadNormalizer

Normalisation = Literal["transductive", "inductive", "none"]


def text_head(n_features: int, n_classes: int, hidden: int) -> nn.Sequential:
    """Two hidden layers, and a ReLU on the logits (the text heads; ImageNet's)."""
    return nn.Sequential(
        nn.LayerNorm(n_features),
        nn.Linear(n_features, hidden),
        nn.SiLU(),
        HeadNormalizer(hidden, "transductive"),
        nn.Linear(hidden, hidden),
        nn.SiLU(),
        HeadNormalizer(hidden, "transductive"),
        nn.Linear(hidden, n_classes),
        nn.ReLU(),
    )


def image_head(n_features: int, n_classes: int, hidden: int) -> nn.Sequential:
    """One hidden layer (the heads of CIFAR-100)."""
    return nn.Sequential(
        nn.LayerNorm(n_features),
        nn.Linear(n_features, hidden),
        nn.Tanh(),
        HeadNormalizer(hidden, "transductive"),
        nn.Linear(hidden, n_classes),
    )


def linear_head(n_features: int, n_classes: int, hidden: int) -> nn.Sequential:
    """No hidden layer and no statistics over samples; not in the paper."""
    return nn.Sequential(nn.LayerNorm(n_features), nn.Linear(n_features, n_classes))


HEADS: dict[str, Callable[[int, int, int], nn.Sequential]] = {
    "text": text_head,
    "image": image_head,
    "linear": linear_head,
}


def build_head(kind: str, n_features: int, n_classes: int, *, hidden: int = 768) -> nn.Sequential:
    """Return an untrained head of :data:`HEADS`."""
    _validation.check_choice(kind, "kind", HEADS)
    return HEADS[kind](n_features, n_classes, hidden)


def normalisations(head: nn.Sequential) -> tuple[Normalisation, ...]:
    """How the head can be evaluated: both ways, or one where it takes no statistics."""
    return ("transductive", "inductive") if _normalizers(head) else ("none",)


def train_head(
    R: np.ndarray,
    y: np.ndarray,
    *,
    kind: str,
    n_classes: int,
    epochs: int,
    learning_rate: float,
    batch_size: int = 32,
    hidden: int = 768,
    seed: int = 0,
) -> nn.Sequential:
    """Train a head with Adam and cross-entropy, and give it the training set's statistics.

    Parameters
    ----------
    R : array (n_samples, n_features)
        Relative (or absolute) representations of the training set.
    y : array (n_samples,)
        Class numbers from 0.
    seed : int
        Of the weights and of the order of samples; nothing else is random.

    Returns
    -------
    torch.nn.Sequential
        In evaluation mode, for :func:`predict`.

    Raises
    ------
    ValueError
        An unknown kind, fewer than 2 samples, or a class out of range.
    """
    samples, target = _check_training(R, y, n_classes)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        head = build_head(kind, samples.shape[1], n_classes, hidden=hidden)
    order = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(head.parameters(), lr=learning_rate, fused=True)
    head.train()
    for _ in range(epochs):
        for rows in _batches(len(samples), batch_size, order):
            optimizer.zero_grad(set_to_none=True)
            loss = nn.functional.cross_entropy(head(samples[rows]), target[rows])
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    head.eval()
    _take_statistics(head, samples)
    return head


def predict(head: nn.Sequential, R: np.ndarray, *, normalisation: Normalisation) -> np.ndarray:
    """Return the class number of each row of ``R``.

    Parameters
    ----------
    normalisation : "transductive", "inductive" or "none"
        With the statistics of these very rows, as the paper's code does; with those of
        the training set; or of a head that takes none.

    Raises
    ------
    ValueError
        A normalisation that the head does not have.
    """
    _validation.check_choice(normalisation, "normalisation", normalisations(head))
    for layer in _normalizers(head):
        layer.mode = normalisation
    with torch.no_grad():
        logits = head(torch.from_numpy(np.ascontiguousarray(R, dtype=np.float32)))
    return np.asarray(logits.argmax(dim=1).numpy())


def _check_training(
    R: np.ndarray, y: np.ndarray, n_classes: int
) -> tuple[torch.Tensor, torch.Tensor]:
    if len(R) != len(y):
        raise ValueError(f"R has {len(R)} rows, y has {len(y)}; expected as many")
    if len(R) < 2:
        raise ValueError(f"R has {len(R)} row; expected at least 2 to train on")
    if int(y.min()) < 0 or int(y.max()) >= n_classes:
        raise ValueError(
            f"y has classes from {y.min()} to {y.max()}; expected 0 to {n_classes - 1}"
        )
    samples = torch.from_numpy(np.ascontiguousarray(R, dtype=np.float32))
    return samples, torch.from_numpy(np.asarray(y, dtype=np.int64))


def _batches(n: int, size: int, order: torch.Generator) -> list[torch.Tensor]:
    """Random batches; a last one of a single sample, which has no variance, joins its neighbour."""
    batches = list(torch.split(torch.randperm(n, generator=order), size))
    if len(batches) > 1 and len(batches[-1]) == 1:
        batches[-2:] = [torch.cat(batches[-2:])]
    return batches


def _normalizers(head: nn.Sequential) -> list[HeadNormalizer]:
    return [layer for layer in head if isinstance(layer, HeadNormalizer)]


@torch.no_grad()
def _take_statistics(head: nn.Sequential, samples: torch.Tensor) -> None:
    """Run the training set through the trained head, each normaliser keeping what it sees."""
    hidden = samples
    for layer in head:
        if isinstance(layer, HeadNormalizer):
            layer.reset()
            layer.update(hidden)
        hidden = layer(hidden)
