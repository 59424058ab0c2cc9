"""Classifiers trained with absolute and with relative representations: Table 2, images.

The paper's code has a small network on a frozen encoder; its text says a standard deep
CNN. Both are here. In the relative one the anchors are encoded anew at every step, by
the part that is being trained.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Literal

import numpy as np
import torch
from torch import nn

import relatum.nn
from relatum.paper import training
from relatum.paper.cache import content_hash
from relatum.paper.data_images import DATASETS, Images, evenly, load_images
from relatum.paper.encoders_images import ENCODERS, balanced, encode
from relatum.paper.experiment import Row
from relatum.paper.models_images import as_images, encoder_convolutions
from relatum.paper.runner import Run
from relatum.paper.scores import f1_percent

Representation = Literal["absolute", "relative"]
CHOICES = {"dataset": DATASETS, "encoder": ENCODERS}


def classify_features(
    run: Run,
    *,
    dataset: str,
    encoder: str,
    representation: Representation,
    seed: int,
    n_train: int,
    n_test: int,
    n_anchors: int,
    hidden: int,
    epochs: int,
    learning_rate: float,
    batch_size: int,
) -> list[Row]:
    """Train on the features of a frozen encoder, as the paper's code does.

    Parameters
    ----------
    n_train, n_test : int
        Images, evenly over the classes; 0 takes all.
    n_anchors : int
        Training images, drawn evenly over the classes by ``seed``.

    Returns
    -------
    list of Row
        One row: ``f1`` (weighted), ``f1_macro`` and ``accuracy`` on the test set after
        the last epoch, in percent.
    """
    splits = load_images(run, dataset)
    train, test = balanced(splits.train, n_train), balanced(splits.test, n_test)
    X, X_test = (torch.from_numpy(encode(run, encoder, part)) for part in (train, test))
    with _seeded(seed):
        trunk = feature_trunk(X.shape[1], hidden)
        anchors = X[evenly(train.labels, n_anchors, seed)]
        model = classifier(trunk, hidden, len(splits.classes), representation, anchors)
    plan = training.Plan(epochs, seed, learning_rate, batch_size=batch_size)
    name = content_hash(["features", dataset, encoder, representation, seed, len(X), repr(plan)])
    model = _fitted(run, Classification(model, plan), [X, torch.from_numpy(train.labels)], name)
    return [{"network": "frozen encoder", **scores(test.labels, predicted(model, X_test))}]


def classify_pixels(
    run: Run,
    *,
    dataset: str,
    representation: Representation,
    seed: int,
    n_train: int,
    n_test: int,
    n_anchors: int,
    hidden: int,
    epochs: int,
    learning_rate: float,
    batch_size: int,
) -> list[Row]:
    """Train a convolutional network from scratch, as the paper's text says.

    Parameters and rows are those of :func:`classify_features`.
    """
    splits = load_images(run, dataset)
    train, test = balanced(splits.train, n_train), balanced(splits.test, n_test)
    pixels, pixels_test = (_images(part) for part in (train, test))
    with _seeded(seed):
        trunk = pixel_trunk(splits.image_shape, hidden)
        anchors = pixels[evenly(train.labels, n_anchors, seed)]
        model = classifier(trunk, hidden, len(splits.classes), representation, anchors)
    plan = training.Plan(epochs, seed, learning_rate, batch_size=batch_size)
    name = content_hash(["pixels", dataset, representation, seed, len(pixels), repr(plan)])
    labels = torch.from_numpy(train.labels)
    model = _fitted(run, Classification(model, plan), [pixels, labels], name)
    return [{"network": "end to end", **scores(test.labels, predicted(model, pixels_test))}]


def feature_trunk(n_features: int, hidden: int) -> nn.Sequential:
    """What stands before the representation in the paper's code."""
    return nn.Sequential(
        nn.Linear(n_features, hidden),
        nn.BatchNorm1d(hidden),
        nn.Tanh(),
        nn.Linear(hidden, hidden),
        nn.Tanh(),
    )


def pixel_trunk(image_shape: tuple[int, int, int], hidden: int) -> nn.Sequential:
    """Four strided convolutions, as in the paper's autoencoders, and a linear layer."""
    convolutions, width = encoder_convolutions(image_shape)
    return nn.Sequential(*convolutions, nn.Flatten(), nn.Linear(width, hidden))


def classifier(
    trunk: nn.Module,
    n_latent: int,
    n_classes: int,
    representation: Representation,
    anchors: torch.Tensor,
) -> nn.Module:
    """Put a linear classifier on a trunk's latent, or on its relative representation.

    Parameters
    ----------
    n_latent : int
        Width of what the trunk gives.
    anchors : tensor (n_anchors, ...)
        What the trunk takes; encoded anew at every step, without gradient, and moving
        the statistics of batch norm, as in the paper's code.
    """
    if representation == "absolute":
        return nn.Sequential(trunk, nn.Linear(n_latent, n_classes))
    projection = relatum.nn.RelativeProjection(
        encoder=trunk, anchor_samples=anchors, update_batch_norm=True
    )
    head = nn.Sequential(nn.LayerNorm(len(anchors)), nn.Linear(len(anchors), n_classes))
    return relatum.nn.RelativeModel(trunk, projection, head)


class Classification(training.Trained):
    """Cross-entropy; a batch is what the model takes, and labels."""

    def loss(self, batch: Sequence[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        loss = nn.functional.cross_entropy(self.model(batch[0]), batch[1])
        return loss, loss


def predicted(model: nn.Module, X: torch.Tensor) -> np.ndarray:
    """Return the class number of each row."""
    with torch.inference_mode():
        found = torch.cat([model(rows).argmax(dim=1) for rows in torch.split(X, 500)])
    return np.asarray(found.numpy())


def scores(truth: np.ndarray, found: np.ndarray) -> Row:
    """Weighted and macro F1 and accuracy, in percent."""
    return {
        "f1": f1_percent(truth, found),
        "f1_macro": f1_percent(truth, found, "macro"),
        "accuracy": round(100 * float(np.mean(truth == found)), 3),
    }


def _images(part: Images) -> torch.Tensor:
    """Pixels as the convolutions take them; 4 bytes a pixel, which 50,000 images can afford."""
    return as_images(torch.from_numpy(part.pixels))


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Draw weights by ``seed``, and leave the global generator as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def _fitted(run: Run, module: Classification, tensors: list[torch.Tensor], name: str) -> nn.Module:
    """Train in a folder of its own, which goes once the cell is done."""
    folder = run.work / name
    model = training.fit(
        module, tensors, folder, logger=run.logger, offline=run.offline, advance=run.advance
    )
    if run.logger is None:
        shutil.rmtree(folder)
    return model
