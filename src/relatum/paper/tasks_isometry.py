"""Figures 1 and 5: are the latent spaces of several trainings the same up to an isometry?"""

from __future__ import annotations

import itertools

import numpy as np
import torch
from sklearn.decomposition import PCA

from relatum.alignment import procrustes_distance, rsa_distance
from relatum.paper.autoencoders import TEST_SEED, Recipe, images_of, trained
from relatum.paper.data_images import DATASETS
from relatum.paper.experiment import Row
from relatum.paper.models_images import as_images
from relatum.paper.runner import Run
from relatum.paper.training import LearningRate, Precision

CHOICES = {"dataset": DATASETS}
N_RSA = 1000
"""Points whose pairwise distances are compared: a million pairs."""


def compare_latents(
    run: Run,
    *,
    dataset: str,
    seeds: list[int],
    n_latent: int,
    linear_bottleneck: bool,
    n_train: int | None = None,
    n_test: int | None = None,
    n_drawn: int = 1000,
    n_epochs: int,
    batch_size: int = 128,
    learning_rate: float = 5e-4,
    schedule: LearningRate = "constant",
    clip: float = 10.0,
    precision: Precision = "32-true",
) -> list[Row]:
    """Hold the latent spaces of every two seeds' autoencoders against each other.

    Models that are not there yet are trained. Rows: the seeds ``first`` and
    ``second``; ``residual``, the squared distance left after the best isometry and
    scale, both spaces being of unit size (0 to 2); ``distance_correlation``,
    Spearman's of pairwise distances. ``items``: the same, or those of the second
    ``shuffled``, which is what unrelated spaces of that shape give.

    Kept for the picture: the first ``n_drawn`` test images in each plane (``own``:
    each space's own two principal axes, turned to agree in sign with the first;
    ``shared``: the first space's axes).
    """
    recipe = Recipe(
        dataset=dataset,
        model="ae",
        projection="absolute",
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
    test = images_of(run, dataset).test.subset(n_test, TEST_SEED)
    latents = [encoded(trained(run, recipe, seed), test.pixels) for seed in seeds]
    own, shared = planes(latents)
    run.keep(
        "latents",
        seeds=np.array(seeds),
        labels=test.labels[:n_drawn],
        own=own[:, :n_drawn].astype(np.float16),
        shared=shared[:, :n_drawn].astype(np.float16),
    )
    return [
        {"first": seeds[i], "second": seeds[j], "items": items, **alike(latents[i], other)}
        for i, j in itertools.combinations(range(len(seeds)), 2)
        for items, other in (("same", latents[j]), ("shuffled", shuffled(latents[j])))
    ]


@torch.inference_mode()
def encoded(model: torch.nn.Module, pixels: np.ndarray) -> np.ndarray:
    """Return the absolute representations ``(n, n_latent)`` of images."""
    batches = torch.split(torch.from_numpy(pixels), 500)
    return torch.cat([model.encoder(as_images(x)) for x in batches]).numpy()  # type: ignore[operator]


def alike(X: np.ndarray, Y: np.ndarray) -> dict[str, float]:
    """Say how far two spaces of the same items are from an isometry."""
    return {
        "residual": procrustes_distance(X, Y),
        "distance_correlation": 1 - rsa_distance(X[:N_RSA], Y[:N_RSA]),
    }


def shuffled(X: np.ndarray) -> np.ndarray:
    """Return the rows in another order."""
    return X[np.random.default_rng(0).permutation(len(X))]


def planes(latents: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return each space in its own principal plane, and in that of the first.

    Two arrays (n_spaces, n_items, 2). A space of two numbers is its own plane, and
    is shown as it is in the second array.
    """
    first = PCA(2).fit(latents[0])
    own = np.stack([PCA(2).fit_transform(X) for X in latents])
    # the sign of a principal axis means nothing
    own *= np.sign(np.einsum("snc,nc->sc", own, own[0]))[:, None, :]
    if latents[0].shape[1] == 2:
        return own, np.stack(latents)
    return own, np.stack([first.transform(X) for X in latents])
