"""Labelled texts: of one language, and the same sentences in several.

Files are read as their sources publish them, below the data folder; the paper's own
sets come by their hub names (:mod:`relatum.paper.data_text_hub`).
"""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from relatum import _files, _validation
from relatum.paper.runner import MissingDataError, Run

LANGUAGES = {  # the columns of SIB-200 and NTREX-128
    "en": ("eng_Latn", "eng"),
    "es": ("spa_Latn", "spa"),
    "fr": ("fra_Latn", "fra"),
    "ja": ("jpn_Jpan", "jpn"),
    "hi": ("hin_Deva", "hin"),
}


@dataclass(frozen=True)
class Texts:
    """Texts with their class numbers from 0, and the classes' names."""

    texts: list[str]
    labels: np.ndarray
    classes: list[str]

    def take(self, rows: np.ndarray) -> Texts:
        return Texts([self.texts[i] for i in rows], self.labels[rows], self.classes)

    def __len__(self) -> int:
        return len(self.texts)


@dataclass(frozen=True)
class TextSet:
    """A labelled data set; ``validation`` is cut from the training part where it has none."""

    train: Texts
    validation: Texts
    test: Texts
    ordered: bool = False

    @property
    def n_classes(self) -> int:
        return len(self.train.classes)


Loader = Callable[[Run], TextSet]


def trec(run: Run, level: int) -> TextSet:
    """TREC questions: 6 coarse classes (level 0) or 50 fine ones (level 1)."""
    folder = run.data("trec")
    parts = [
        _trec_lines(_read(folder / name, "latin-1"), level)
        for name in ("train_5500.label", "TREC_10.label")
    ]
    train, test = _encode_labels(*parts)
    return with_validation(train, test)


def _trec_lines(text: str, level: int) -> list[tuple[str, str]]:
    """``COARSE:fine question`` lines as (class, question)."""
    pairs = []
    for line in text.splitlines():
        label, _, question = line.partition(" ")
        if question:
            pairs.append((label.split(":")[0] if level == 0 else label, question.strip()))
    return pairs


def dbpedia14(run: Run) -> TextSet:
    """DBpedia-14: the training file counts classes from 0, the others from 1 in another order."""
    folder = run.data("dbpedia14")
    names = _read(folder / "classes.txt").split()
    of_test = [
        line.split(":")[1].strip()
        for line in _read(folder / "meta.txt").splitlines()
        if line.split(":")[0].strip().isdigit()
    ]
    if sorted(names) != sorted(of_test):
        raise _files.FileFormatError(
            f"{folder}: classes.txt and meta.txt name other classes; expected the same"
        )
    train = [(names[int(label)], text) for label, text in _csv(folder / "train_14000.csv.gz")]
    rest = [
        [(of_test[int(label) - 1], text) for label, text in _csv(folder / name)]
        for name in ("val.csv.gz", "test.csv.gz")
    ]
    return _text_set(train, *rest)


def sst(run: Run, level: str) -> TextSet:
    """Stanford Sentiment Treebank in ordered classes.

    ``fine``: five, from very negative to very positive; ``coarse``: negative and positive,
    without the neutral ones.
    """
    folder = run.data("sent_conv")
    parts = []
    for name in ("train", "dev", "test"):
        lines = _read(folder / f"stsa.fine.{name}.gz").splitlines()
        pairs = [line.partition(" ")[::2] for line in lines if line.strip()]
        if level == "coarse":
            pairs = [("01"[label > "2"], text) for label, text in pairs if label != "2"]
        parts.append([(label, text) for label, text in pairs])
    return _text_set(*parts, ordered=True)


def clinc150(run: Run) -> TextSet:
    """CLINC150 requests in 150 intents, without those out of scope."""
    path = run.data("clinc150") / "data_full.json.gz"
    with _files.reading(path, "JSON with train, val and test"):
        found = json.loads(_read(path))
    parts = [[(label, text) for text, label in found[name]] for name in ("train", "val", "test")]
    return _text_set(*parts)


DATASETS: dict[str, Loader] = {
    "trec-coarse": lambda run: trec(run, 0),
    "trec-fine": lambda run: trec(run, 1),
    "dbpedia14": dbpedia14,
    "sst-coarse": lambda run: sst(run, "coarse"),
    "sst-fine": lambda run: sst(run, "fine"),
    "clinc150": clinc150,
}
"""Sets of one language, by the name that an experiment gives."""


@dataclass(frozen=True)
class ParallelSet:
    """The same labelled sentences in several languages: ``texts[language][i]``."""

    texts: dict[str, list[str]]
    labels: np.ndarray
    classes: list[str]
    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray


def sib200(run: Run, languages: Sequence[str]) -> ParallelSet:
    """SIB-200: 1,004 sentences of FLORES-200 in 7 topics, with the split of its authors."""
    rows = _tsv(_only(run.data("sib200"), "sib200_parallel*.tsv.gz"))
    texts = {language: [r[LANGUAGES[language][0]] for r in rows] for language in languages}
    classes = sorted({row["category"] for row in rows})
    split = np.array([row["split"] for row in rows])
    return ParallelSet(
        texts,
        np.array([classes.index(row["category"]) for row in rows]),
        classes,
        *(np.flatnonzero(split == name) for name in ("train", "dev", "test")),
    )


def trec_hindi(run: Run, languages: Sequence[str], level: int) -> ParallelSet:
    """3,187 TREC questions with their machine translation into Hindi; a split of our own.

    A fifth of the questions, drawn once, is the test set; a tenth is for validation.
    """
    for language in languages:
        _validation.check_choice(language, "language", ("en", "hi"))
    found: dict[str, dict[str, tuple[str, str]]] = {"en": {}, "hi": {}}
    text = _read(run.data("trec") / "en_hi_translated_5500.label.gz")
    for line in text.splitlines():
        number, _, rest = line.partition(" ")
        item, _, language = number.partition("#")
        for pair in _trec_lines(rest, level):
            found["en" if language == "1" else "hi"][item] = pair
    items = [item for item in found["en"] if item in found["hi"]]
    classes = sorted({found["en"][item][0] for item in items})
    order = np.random.default_rng(0).permutation(len(items))
    tenth = len(items) // 10
    return ParallelSet(
        {language: [found[language][item][1] for item in items] for language in languages},
        np.array([classes.index(found["en"][item][0]) for item in items]),
        classes,
        np.sort(order[3 * tenth :]),
        np.sort(order[2 * tenth : 3 * tenth]),
        np.sort(order[: 2 * tenth]),
    )


PARALLEL: dict[str, Callable[[Run, Sequence[str]], ParallelSet]] = {
    "sib200": sib200,
    "trec-coarse-hi": lambda run, languages: trec_hindi(run, languages, 0),
    "trec-fine-hi": lambda run, languages: trec_hindi(run, languages, 1),
}
"""Sets of several languages, by the name that an experiment gives."""


def ntrex128(run: Run, languages: Sequence[str]) -> dict[str, list[str]]:
    """1,997 parallel news sentences without labels: anchors from outside the data."""
    rows = _tsv(_only(run.data("ntrex128"), "ntrex*parallel.tsv.gz"))
    return {language: [r[LANGUAGES[language][1]].strip() for r in rows] for language in languages}


def load_texts(run: Run, dataset: str) -> TextSet:
    """Return the set of :data:`DATASETS` of that name."""
    _validation.check_choice(dataset, "dataset", DATASETS)
    return DATASETS[dataset](run)


def load_parallel(run: Run, dataset: str, languages: Sequence[str]) -> ParallelSet:
    """Return the set of :data:`PARALLEL` of that name, in those languages."""
    _validation.check_choice(dataset, "dataset", PARALLEL)
    for language in languages:
        _validation.check_choice(language, "language", LANGUAGES)
    return PARALLEL[dataset](run, languages)


def subsample(texts: Texts, n: int, tag: int) -> Texts:
    """Return ``n`` texts drawn once, evenly over the classes; all of them for n = 0."""
    if n == 0 or n >= len(texts):
        return texts
    from relatum.anchors import select_anchors

    rows = select_anchors(
        texts.labels[:, None] + 0.0, n, method="stratified", labels=texts.labels, random_state=tag
    )
    return texts.take(np.sort(rows))


def _text_set(*parts: list[tuple[str, str]], ordered: bool = False) -> TextSet:
    train, validation, test = _encode_labels(*parts)
    return TextSet(train, validation, test, ordered)


def _encode_labels(*parts: list[tuple[str, str]]) -> list[Texts]:
    """Number the classes of the first part; samples of classes it lacks are left out."""
    classes = sorted({label for label, _ in parts[0]})
    number = {label: i for i, label in enumerate(classes)}
    out = []
    for part in parts:
        known = [(label, text) for label, text in part if label in number]
        labels = np.array([number[label] for label, _ in known], dtype=np.int64)
        out.append(Texts([text for _, text in known], labels, classes))
    return out


def with_validation(train: Texts, test: Texts, share: float = 0.1) -> TextSet:
    """Cut a tenth of the training set, drawn once, for validation."""
    order = np.random.default_rng(0).permutation(len(train))
    cut = round(share * len(train))
    return TextSet(train.take(np.sort(order[cut:])), train.take(np.sort(order[:cut])), test)


def _read(path: Path, encoding: str = "utf-8") -> str:
    if not path.exists():
        raise MissingDataError(f"there is no {path.name} in {path.parent}; put it there")
    with _files.reading(path, "text"):
        raw = path.read_bytes()
        return (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode(encoding)


def _csv(path: Path) -> Iterator[tuple[str, str]]:
    """``label,text`` lines without a header."""
    for row in csv.reader(io.StringIO(_read(path))):
        if len(row) >= 2:
            yield row[0].strip(), ",".join(row[1:]).strip()


def _tsv(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(_read(path)), delimiter="\t", quoting=csv.QUOTE_NONE))


def _only(folder: Path, pattern: str) -> Path:
    """The first file by name that fits the pattern."""
    found = sorted(folder.glob(pattern))
    if not found:
        raise MissingDataError(f"there is no {pattern} in {folder}; put it there")
    return found[-1]
