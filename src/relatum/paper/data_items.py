"""Single items to find again in another encoder's space: short texts, each once."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from relatum import _validation
from relatum.demo import corpus
from relatum.paper.data_text import load_texts, ntrex128
from relatum.paper.encoders_text import encode
from relatum.paper.runner import Run

LARGEST = 6000
WORDS = 25
"""Of longer texts, how many are kept."""


def headlines(run: Run) -> Iterable[str]:
    """First lines of BBC News, and English sentences of NTREX-128."""
    yield from corpus.headlines()
    yield from ntrex128(run, ["en"])["en"]


def _training(dataset: str) -> Callable[[Run], Iterable[str]]:
    return lambda run: load_texts(run, dataset).train.texts


ITEMS: dict[str, Callable[[Run], Iterable[str]]] = {
    "headlines": headlines,
    "questions": _training("trec-coarse"),
    "requests": _training("clinc150"),
    "articles": _training("dbpedia14"),
}
"""Texts, by the name that an experiment gives."""


def load_items(run: Run, dataset: str) -> list[str]:
    """Return at most 6,000 different texts of :data:`ITEMS`, of 25 words at most."""
    _validation.check_choice(dataset, "dataset", ITEMS)
    short = (" ".join(text.split()[:WORDS]) for text in ITEMS[dataset](run))
    texts = list(dict.fromkeys(text for text in short if text))
    rows = np.random.default_rng(0).permutation(len(texts))[:LARGEST]
    return [texts[i] for i in np.sort(rows)]


def item_spaces(run: Run, dataset: str, encoders: Iterable[str]) -> dict[str, np.ndarray]:
    """Return the items under each encoder, (n_items, n_features), row i the same item."""
    texts = load_items(run, dataset)
    return {name: encode(run, name, texts) for name in encoders}
