"""Table 3: autoencoders trained from several seeds, and the encoder of one with the decoder
of another."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import numpy as np
import torch

import relatum
from relatum.paper.autoencoders import TEST_SEED, Recipe, images_of, trained
from relatum.paper.data_images import DATASETS
from relatum.paper.experiment import Row
from relatum.paper.models_images import PROJECTIONS, Gaussian, Kind, as_images, n_parameters
from relatum.paper.runner import Run
from relatum.paper.training import LearningRate, Precision

AnchorMethod = Literal["stratified", "kmeans", "farthest_point"]
CHOICES = {
    "dataset": DATASETS,
    "projection": ["absolute", *PROJECTIONS],
}


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
