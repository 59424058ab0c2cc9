"""Word spaces: words with one vector each, read from the formats that they are published in."""

from __future__ import annotations

import gzip
from collections.abc import Container, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from relatum import _files

CHUNK = 2**24
"""Bytes read at a time: a file of 3 million words is never held whole."""


@dataclass(frozen=True)
class WordSpace:
    """Words with their rows, and one vector a word."""

    name: str
    rows: dict[str, int]
    vectors: np.ndarray


def shared_words(
    source: WordSpace, target: WordSpace, *, skip: int = 400, limit: int = 20_000, shortest: int = 4
) -> list[str]:
    """Words of both spaces in the order of ``source``, without the ``skip`` most frequent."""
    ordered = list(source.rows)[skip:]
    return [w for w in ordered if len(w) >= shortest and w.isalpha() and w in target.rows][:limit]


def read_word2vec(
    path: Path, name: str, *, only: Container[str] | None = None, limit: int | None = None
) -> WordSpace:
    """Read the word2vec binary format: ``n d`` in a line, then word, space, d float32.

    Parameters
    ----------
    path : Path
        Packed with gzip where it ends in ``.gz``.
    only : container of str, optional
        Words to keep; the others are passed over.
    limit : int, optional
        Words to read from the beginning of the file, where the frequent ones are.

    Raises
    ------
    FileFormatError
        A header that is not two numbers, or a file that ends early.
    """
    with _opened(path) as file, _files.reading(path, "a word2vec file"):
        n, d = _header(file.readline(), path)
        wanted = n if limit is None else min(n, limit)
        words, vectors = [], []
        for word, vector in _records(file, d, wanted, f"{path} is truncated: it ends in word", n):
            if only is None or word in only:
                words.append(word)
                vectors.append(np.frombuffer(vector, "<f4"))
    return _space(name, words, vectors, d)


def read_word_text(
    path: Path, name: str, *, only: Container[str] | None = None, limit: int | None = None
) -> WordSpace:
    """Read the text formats of fastText (``n d`` in the first line) and GloVe (no such line).

    Each other line is a word and its numbers, apart by single spaces.

    Parameters
    ----------
    path, only, limit
        As in :func:`read_word2vec`.

    Raises
    ------
    FileFormatError
        A line with another number of numbers than the first, or with none.
    """
    words: list[str] = []
    vectors: list[np.ndarray] = []
    d, n_read = 0, 0
    with _opened(path) as file, _files.reading(path, "words and their numbers"):
        for number, line in enumerate(file, start=1):
            word, *numbers = line.decode("utf-8", "replace").rstrip("\r\n ").split(" ")
            if number == 1:
                if len(numbers) == 1 and word.isdigit() and numbers[0].isdigit():
                    d = int(numbers[0])
                    continue
                d = len(numbers)
            if limit is not None and n_read >= limit:
                break
            if len(numbers) != d or d == 0:
                raise _files.FileFormatError(
                    f"{path}, line {number} has {len(numbers)} numbers after its word; "
                    f"expected {d or 'at least 1'}"
                )
            n_read += 1
            if only is None or word in only:
                words.append(word)
                vectors.append(np.array(numbers, dtype=np.float32))
    return _space(name, words, vectors, d)


def _opened(path: Path) -> IO[bytes]:
    return gzip.open(path, "rb") if path.suffix == ".gz" else open(path, "rb")  # type: ignore[return-value]


def _header(line: bytes, path: Path) -> tuple[int, int]:
    numbers = line.split()
    if len(numbers) != 2 or not all(n.isdigit() for n in numbers):
        raise _files.FileFormatError(f"{path} does not begin with two numbers; expected word2vec")
    return int(numbers[0]), int(numbers[1])


def _records(
    file: IO[bytes], d: int, wanted: int, complaint: str, n: int
) -> Iterator[tuple[str, bytes]]:
    """Yield ``wanted`` words with the bytes of their vectors, read in chunks."""
    data, at = b"", 0
    for i in range(wanted):
        while (space := data.find(b" ", at)) < 0 or space + 1 + 4 * d > len(data):
            more = file.read(CHUNK)
            if not more:
                raise _files.FileFormatError(f"{complaint} {i} of {n}")
            data, at = data[at:] + more, 0
        end = space + 1 + 4 * d
        yield data[at:space].decode("utf-8", "replace").lstrip("\n"), data[space + 1 : end]
        at = end


def _space(name: str, words: list[str], vectors: list[np.ndarray], d: int) -> WordSpace:
    """Put words and vectors together; of a repeated word the last row counts."""
    table = np.stack(vectors) if vectors else np.empty((0, d), dtype=np.float32)
    return WordSpace(name, {word: row for row, word in enumerate(words)}, table)
