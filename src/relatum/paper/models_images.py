"""The paper's image autoencoders: plain and variational, absolute and relative."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import nn

import relatum.nn

Kind = Literal["ae", "vae"]
CHANNELS = (32, 64, 128, 256)
PROJECTIONS: dict[str, dict[str, Any]] = {
    "cosine": {},
    "centred": {"center": True},
    "whitened": {"center": True},
}
"""What each name of a relative projection means; ``whitened`` takes its λ beside it."""


class Gaussian(nn.Module):
    """Mean and log-variance of a latent, and a sample of it (the mean, in evaluation).

    Parameters
    ----------
    n_features, n_latent : int

    Attributes
    ----------
    sample_at_test : bool
        Sample in evaluation as well, as the paper's code does.
    divergence : tensor ()
        Of the last batch: its Kullback-Leibler divergence from the standard normal,
        summed over samples and coordinates.
    """

    divergence: torch.Tensor

    def __init__(self, n_features: int, n_latent: int) -> None:
        super().__init__()
        self.mean = nn.Linear(n_features, n_latent)
        self.log_variance = nn.Linear(n_features, n_latent)
        self.sample_at_test = False
        self.divergence = torch.zeros(())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        # exp and squares leave the range of bfloat16's precision
        mean: torch.Tensor = self.mean(x).float()
        log_variance: torch.Tensor = self.log_variance(x).float()
        terms = 1 + log_variance - mean.square() - log_variance.exp()
        self.divergence = -0.5 * terms.sum()
        if self.training or self.sample_at_test:
            mean = mean + torch.randn_like(mean) * (0.5 * log_variance).exp()
        return mean


def autoencoder(
    image_shape: tuple[int, int, int],
    *,
    kind: Kind,
    projection: str,
    anchors: torch.Tensor | None = None,
    n_latent: int = 500,
    whiten: float | None = None,
    refresh: int = 1,
    linear_bottleneck: bool = False,
) -> nn.Module:
    """Build one of the paper's models; it has the parts ``encoder`` and ``decoder``.

    An absolute model goes through a bottleneck of ``n_latent`` numbers. A relative
    one (:class:`relatum.nn.RelativeModel`) has none: its latent is the encoder's
    last map, which is projected onto ``anchors``; layer normalisation and, in a
    VAE, the Gaussian follow on the decoder's side.

    Parameters
    ----------
    image_shape : (channels, height, width)
        28 or 32 pixels high and wide.
    kind : "ae" or "vae"
    projection : "absolute" or a name in :data:`PROJECTIONS`
    anchors : tensor (n_anchors, channels, height, width)
        Images, for a relative model; encoded anew every ``refresh`` steps, without
        gradient, and moving the statistics of batch norm as in the paper's code.
    n_latent : int
        Width of the bottleneck of an absolute model.
    linear_bottleneck : bool
        Leave the bottleneck without an activation (the paper's code has GELU).
    """
    if projection == "absolute":
        return _absolute(image_shape, kind, n_latent, linear_bottleneck)
    if anchors is None:
        raise ValueError(f"anchors is None; expected anchor images for projection {projection!r}")
    convolutions, width = encoder_convolutions(image_shape)
    del convolutions[-1]  # cosines of what an activation has folded would all be positive
    encoder = nn.Sequential(*convolutions, nn.Flatten())
    onto = relatum.nn.RelativeProjection(
        encoder=encoder,
        anchor_samples=anchors,
        refresh=refresh,
        update_batch_norm=True,
        whiten=whiten,
        **PROJECTIONS[projection],
    )
    n = len(anchors)
    gaussian = [Gaussian(n, n)] if kind == "vae" else []
    decoder = nn.Sequential(nn.LayerNorm(n), *gaussian, *_decoder(image_shape, n, width))
    return relatum.nn.RelativeModel(encoder, onto, decoder)


def _absolute(
    image_shape: tuple[int, int, int],
    kind: Kind,
    n_latent: int,
    linear: bool,
) -> nn.Module:
    convolutions, width = encoder_convolutions(image_shape)
    if kind == "vae":
        bottleneck: list[nn.Module] = [Gaussian(width, n_latent)]
    else:
        bottleneck = [nn.Linear(width, n_latent), *([] if linear else [nn.GELU()])]
    model = nn.Sequential()
    model.add_module("encoder", nn.Sequential(*convolutions, nn.Flatten(), *bottleneck))
    model.add_module("decoder", nn.Sequential(*_decoder(image_shape, n_latent, width)))
    return model


def encoder_convolutions(image_shape: tuple[int, int, int]) -> tuple[list[nn.Module], int]:
    """Return four strided convolutions, each with batch norm and GELU, and how many numbers
    the last map holds."""
    n_in, *size = image_shape
    layers: list[nn.Module] = []
    for n_out in CHANNELS:
        layers += [nn.Conv2d(n_in, n_out, 3, stride=2, padding=1), nn.BatchNorm2d(n_out), nn.GELU()]
        n_in, size = n_out, [(s + 1) // 2 for s in size]
    return layers, n_in * size[0] * size[1]


def _decoder(image_shape: tuple[int, int, int], n_latent: int, width: int) -> list[nn.Module]:
    """From a latent back to pixels in [0, 1]."""
    n_colours, height, _ = image_shape
    side = int((width // CHANNELS[-1]) ** 0.5)
    kernels = {28: (4, 3, 4, 4), 32: (4, 4, 4, 4)}  # 2, 4, 7, 14, 28 and 2, 4, 8, 16, 32 pixels
    if height not in kernels:
        raise ValueError(f"images are {height} pixels high; expected 28 or 32")
    layers = [nn.Linear(n_latent, width), nn.GELU(), nn.Unflatten(1, (CHANNELS[-1], side, side))]
    n_in = CHANNELS[-1]
    for n_out, k in zip((128, 64, 32, 32), kernels[height], strict=True):
        up = nn.ConvTranspose2d(n_in, n_out, k, stride=2, padding=1)
        layers += [up, nn.BatchNorm2d(n_out), nn.GELU()]
        n_in = n_out
    return [*layers, nn.Conv2d(n_in, n_colours, 3, padding=1), nn.Sigmoid()]


def divergence(model: nn.Module) -> torch.Tensor:
    """Return the summed Kullback-Leibler divergence of the last batch; 0 without a Gaussian."""
    found = [m.divergence for m in model.modules() if isinstance(m, Gaussian)]
    return torch.stack(found).sum() if found else torch.zeros(())


def n_parameters(model: nn.Module) -> int:
    """Return how many numbers training changes."""
    return sum(p.numel() for p in model.parameters())


def as_images(pixels: torch.Tensor) -> torch.Tensor:
    """Return pixels (n, height, width, channels) uint8 as (n, channels, height, width) in [0, 1].

    The memory stays in the order that convolutions are fastest in.
    """
    return pixels.permute(0, 3, 1, 2).float() / 255
