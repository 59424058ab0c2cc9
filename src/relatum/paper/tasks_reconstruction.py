"""Table 3: autoencoders trained from several seeds, and the encoder of one with the decoder
of another."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

import relatum
from relatum.paper.cache import content_hash
from relatum.paper.data_images import DATASETS, ImageSplits, load_images
from relatum.paper.experiment import Row
from relatum.paper.models_images import PROJECTIONS, Gaussian, Kind, autoencoder, n_parameters
from relatum.paper.runner import Run
from relatum.paper.training import (
    LearningRate,
    Plan,
    Precision,
    Reconstruction,
    as_images,
    fit,
)

AnchorMethod = Literal["stratified", "kmeans", "farthest_point"]
CHOICES = {
    "dataset": DATASETS,
    "projection": ["absolute", *PROJECTIONS],
}
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


def reconstruct(
    run: Run,
    *,
    dataset: str,
    model: Kind,
    projection: str,
    encoder: int,
    decoder: int | None = None,
    whiten: float | None = None,
    refresh: int = 1,
    n_anchors: int = 500,
    anchor_method: AnchorMethod = "stratified",
    n_latent: int = 500,
    linear_bottleneck: bool = False,
    test_latent: Literal["mean", "sample"] = "mean",
    n_train: int | None = None,
    n_test: int | None = None,
    n_kept: int = 0,
    n_epochs: int,
    batch_size: int = 128,
    learning_rate: float = 5e-4,
    schedule: LearningRate = "constant",
    clip: float = 10.0,
    precision: Precision = "32-true",
) -> list[Row]:
    """Measure the mean squared error of one seed's encoder with another seed's decoder.

    Models that are not there yet are trained. Row: ``mse`` (mean over test pixels in
    [0, 1], times 1000), ``stitched``, the seeds of ``encoder`` and ``decoder``.

    Parameters
    ----------
    projection : str
        What the models were trained with: ``absolute``, or a relative projection
        that they re-encode the anchors for every ``refresh`` steps.
    decoder : int or None
        None: of the encoder's seed, which is not stitched.
    test_latent : "mean" or "sample"
        What a VAE decodes at test; the paper's code samples.
    n_train, n_test : int or None
        Images, evenly over the classes; None: all.
    n_kept : int
        Images that are kept for a picture, of the encoder of seed 0 with its own
        decoder and that of seed 1.
    """
    recipe = Recipe(
        dataset=dataset,
        model=model,
        projection=projection,
        whiten=whiten,
        refresh=refresh,
        n_anchors=0 if projection == "absolute" else n_anchors,
        anchor_method=anchor_method,
        n_latent=n_latent,
        linear_bottleneck=linear_bottleneck,
        n_train=n_train,
        n_epochs=n_epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        schedule=schedule,
        clip=clip,
        precision=precision,
    )
    decoder = encoder if decoder is None else decoder
    # the decoder's first: where cells run at once, the encoder's is being trained by another
    second, first = (trained(run, recipe, seed) for seed in (decoder, encoder))
    stitched = joined(first, second)
    test = torch.from_numpy(images_of(run, dataset).test.subset(n_test, TEST_SEED).pixels)
    with sampling(stitched, test_latent == "sample", encoder):
        pictures = reconstructions(stitched, test, precision)
    if n_kept and encoder == 0 and decoder in (0, 1):
        name = f"{dataset}-{model}-{projection}-{'stitched' if decoder else 'native'}"
        _keep(run, name, test[:n_kept], pictures[:n_kept])
    return [
        {
            "encoder": encoder,
            "decoder": decoder,
            "stitched": encoder != decoder,
            "mse": mean_squared_error(pictures, test),
            "n_parameters": n_parameters(first),
            "n_test": len(test),
        }
    ]


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


def joined(first: torch.nn.Module, second: torch.nn.Module) -> torch.nn.Module:
    """Return the encoder of the first model with the decoder of the second."""
    encoder: Any = first.encoder
    decoder: Any = second.decoder
    if not hasattr(first, "projection"):
        return torch.nn.Sequential(encoder, decoder)
    model: torch.nn.Module = relatum.stitch(encoder, first.projection, decoder)
    return model.eval()


@contextmanager
def sampling(model: torch.nn.Module, sample: bool, seed: int) -> Iterator[None]:
    """Let Gaussians give samples (drawn from ``seed``) or their means in evaluation."""
    for module in model.modules():
        if isinstance(module, Gaussian):
            module.sample_at_test = sample
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


@torch.inference_mode()
def reconstructions(
    model: torch.nn.Module, pixels: torch.Tensor, precision: Precision, batch_size: int = 250
) -> torch.Tensor:
    """Return the model's images of ``pixels``, (n, channels, height, width) in [0, 1]."""
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16-mixed"):
        parts = torch.split(pixels, batch_size)
        return torch.cat([model(as_images(x)).float() for x in parts])


def mean_squared_error(pictures: torch.Tensor, pixels: torch.Tensor) -> float:
    """Mean over pixels in [0, 1], times 1000 (the unit of the paper's table)."""
    return 1000 * float(torch.nn.functional.mse_loss(pictures, as_images(pixels)))


def _keep(run: Run, name: str, test: torch.Tensor, pictures: torch.Tensor) -> None:
    """Keep images and their reconstructions, both as pixels."""
    ours = (255 * pictures).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    run.keep(name, images=test.numpy(), reconstructions=np.ascontiguousarray(ours))
