"""Autoencoders by recipe and seed: what a model depends on, its loss, and its training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

import relatum
from relatum.paper.cache import content_hash
from relatum.paper.data_images import ImageSplits, load_images
from relatum.paper.models_images import Kind, as_images, autoencoder, divergence
from relatum.paper.runner import Run
from relatum.paper.training import LearningRate, Plan, Precision, Trained, fit

ANCHOR_SEED = 0
TEST_SEED = 0


@dataclass(frozen=True)
class Recipe:
    """Everything that a trained model depends on but its seed."""

    dataset: str
    model: Kind
    projection: str
    n_train: int | None
    n_epochs: int
    batch_size: int
    learning_rate: float
    schedule: LearningRate
    clip: float
    precision: Precision
    n_latent: int = 500
    linear_bottleneck: bool = False
    n_anchors: int = 0
    anchor_method: str = "stratified"
    whiten: float | None = None
    refresh: int = 1

    def plan(self, seed: int) -> Plan:
        """How a model of this seed is trained."""
        return Plan(
            n_epochs=self.n_epochs,
            seed=seed,
            learning_rate=self.learning_rate,
            schedule=self.schedule,
            batch_size=self.batch_size,
            clip=self.clip,
            precision=self.precision,
        )


class Reconstruction(Trained):
    """An autoencoder; a batch is pixels (n, height, width, channels) uint8."""

    def loss(self, batch: Sequence[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        images = as_images(batch[0])
        squared = torch.nn.functional.mse_loss(self.model(images).float(), images)
        return calibrated_likelihood(squared, images.numel()) + divergence(self.model), squared


def calibrated_likelihood(squared: torch.Tensor, n: int) -> torch.Tensor:
    r"""Return the negative log-likelihood of ``n`` pixels under the best Gaussian width.

    .. math:: \sum \tfrac12 (e / \sigma)^2 + \log \sigma = \tfrac n2 (1 + \log \sigma^2),
        \quad \sigma^2 = \overline{e^2}

    with gradient through σ, as in the paper's code (Rybkin et al., *Simple and
    effective VAE training with calibrated decoders*, ICML 2021).
    """
    return 0.5 * n * (1 + squared.log())


def trained(run: Run, recipe: Recipe, seed: int) -> torch.nn.Module:
    """Return the model of a recipe and seed, trained now or before."""
    splits = images_of(run, recipe.dataset)
    name = f"{recipe.dataset}-{recipe.model}-{recipe.projection}-{seed}"
    folder = run.work / f"{name}-{content_hash(asdict(recipe))}"
    # the same images for every seed: seeds differ in weights, order and noise
    pixels = torch.from_numpy(splits.train.subset(recipe.n_train, seed=0).pixels)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = untrained(recipe, splits)
    run.step(f"training {name}")
    return fit(
        Reconstruction(model, recipe.plan(seed)),
        [pixels],
        folder,
        logger=run.logger,
        offline=run.offline,
        advance=run.advance,
    )


def untrained(recipe: Recipe, splits: ImageSplits) -> torch.nn.Module:
    """Build the model of a recipe; its weights come from torch's generator."""
    anchors = None
    if recipe.projection != "absolute":
        anchors = anchor_images(splits, recipe.n_anchors, recipe.anchor_method)
    return autoencoder(
        splits.image_shape,
        kind=recipe.model,
        projection=recipe.projection,
        anchors=anchors,
        n_latent=recipe.n_latent,
        whiten=recipe.whiten,
        refresh=recipe.refresh,
        linear_bottleneck=recipe.linear_bottleneck,
    )


_SPLITS: dict[tuple[Path | None, str], ImageSplits] = {}


def images_of(run: Run, dataset: str) -> ImageSplits:
    """Return a data set, read once in a process."""
    key = run.data_dir, dataset
    if key not in _SPLITS:
        _SPLITS[key] = load_images(run, dataset)
    return _SPLITS[key]


def anchor_images(splits: ImageSplits, n_anchors: int, method: str = "stratified") -> torch.Tensor:
    """Return training images, the same for every seed: evenly over the classes, or chosen by
    their pixels."""
    train = splits.train
    if method == "stratified":
        chosen = train.subset(n_anchors, ANCHOR_SEED)
    else:
        pool = train.subset(min(len(train), 10 * n_anchors), ANCHOR_SEED)
        flat = pool.pixels.reshape(len(pool), -1).astype(np.float32)
        rows = relatum.select_anchors(flat, n_anchors, method=method, random_state=ANCHOR_SEED)
        chosen = pool.take(np.asarray(rows))
    return as_images(torch.from_numpy(chosen.pixels))
