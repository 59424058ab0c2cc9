"""The paper's own texts by their hub names, and its two sets of parallel anchors."""

from __future__ import annotations

import gzip
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from relatum import _files
from relatum.paper.data_text import Texts, TextSet, with_validation
from relatum.paper.hub import load_split
from relatum.paper.runner import MissingDataError, Run

MARGIN = 1.06  # paper, A.5.5: sentences of WikiMatrix with at least this margin score
ENDS = (".", "!", "?", "…", "。", "！", "？")


def hub_trec(run: Run, level: str) -> TextSet:
    """``trec``: the fields ``text`` and ``coarse_label`` or ``fine_label``."""
    field = f"{level}_label"
    parts = [load_split(run, "trec", split) for split in ("train", "test")]
    # the hub's older copy calls the field label-coarse
    name = field if field in parts[0].column_names else f"label-{level}"
    return _text_set([(list(p["text"]), np.array(p[name])) for p in parts])


def hub_dbpedia14(run: Run) -> TextSet:
    """``dbpedia_14``: title and content, 14 classes."""
    parts = [load_split(run, "dbpedia_14", split) for split in ("train", "test")]
    return _text_set(
        [([join_title(*x) for x in zip(p["title"], p["content"], strict=True)],
          np.array(p["label"])) for p in parts]
    )  # fmt: skip


def hub_amazon(run: Run, language: str, level: str) -> TextSet:
    """``amazon_reviews_multi``: stars 1 to 5, or bad and good without the three-star ones."""
    parts = []
    for split in ("train", "validation", "test"):
        rows = load_split(run, "amazon_reviews_multi", split, config=language)
        texts = [
            join_title(title, body)
            for title, body in zip(rows["review_title"], rows["review_body"], strict=True)
        ]
        stars = np.array(rows["stars"])
        if level == "coarse":
            kept = np.flatnonzero(stars != 3)
            texts, stars = [texts[i] for i in kept], (stars[kept] > 3).astype(int)
        parts.append((texts, stars))
    return _text_set(parts, ordered=True)


def join_title(title: str | None, body: str) -> str:
    """Put the title before the body, with a full stop between where it has none.

    "We add the title as prefix for the body and add a full stop as separator when needed
    (avoiding duplicates)" (A.5.5): a title that ends a sentence gets no other stop, and a
    title that the body begins with is not said twice.
    """
    title, body = (title or "").strip(), body.strip()
    if not title or body.startswith(title):
        return body
    return f"{title} {body}" if title.endswith(ENDS) else f"{title}. {body}"


def translated_anchors(run: Run, languages: Sequence[str]) -> dict[str, list[str]]:
    """1,000 English reviews in translation: a TSV with a column for each language.

    ``amazon_translated/translations.tsv``, its first line the languages (en, es, ...).
    """
    path = run.data("amazon_translated") / "translations.tsv"
    if not path.exists():
        raise MissingDataError(f"there is no {path.name} in {path.parent}; put it there")
    head, *lines = path.read_text(encoding="utf-8").splitlines()
    columns = head.split("\t")
    for language in languages:
        if language not in columns:
            raise _files.FileFormatError(
                f"{path} has the columns {columns}; expected one for {language!r}"
            )
    rows = [line.split("\t") for line in lines if line.strip()]
    return {language: [r[columns.index(language)] for r in rows] for language in languages}


def wikimatrix_anchors(run: Run, languages: Sequence[str]) -> dict[str, list[str]]:
    """Sentences that WikiMatrix has in all the languages, found through English.

    ``wikimatrix/WikiMatrix.en-es.tsv.gz`` and so on, as published: lines of margin score,
    first language, second language, best first.
    """
    folder = run.data("wikimatrix")
    others = [language for language in languages if language != "en"]
    found = {language: _by_english(folder, language) for language in others}
    shared = sorted(set.intersection(*(set(pairs) for pairs in found.values())))
    out = {language: [found[language][text] for text in shared] for language in others}
    return {language: shared if language == "en" else out[language] for language in languages}


def _by_english(folder: Path, language: str) -> dict[str, str]:
    """English sentence to its translation; the best-scored where there are several."""
    first, second = sorted(("en", language))
    path = folder / f"WikiMatrix.{first}-{second}.tsv.gz"
    if not path.exists():
        raise MissingDataError(f"there is no {path.name} in {folder}; put it there")
    pairs: dict[str, str] = {}
    for a, b in _aligned(path):
        english, other = (a, b) if first == "en" else (b, a)
        if english != other:
            pairs.setdefault(english, other)
    return pairs


def _aligned(path: Path) -> Iterator[tuple[str, str]]:
    with gzip.open(path, "rt", encoding="utf-8") as file, _files.reading(path, "WikiMatrix TSV"):
        for line in file:
            score, first, second = line.rstrip("\n").split("\t")[:3]
            if float(score) < MARGIN:
                return
            yield first.strip(), second.strip()


def _text_set(parts: list[tuple[list[str], Any]], ordered: bool = False) -> TextSet:
    """Number the classes from 0; cut a tenth for validation where there are two parts."""
    values = sorted({int(v) for v in parts[0][1]})
    texts = [
        Texts(t, np.searchsorted(values, np.asarray(y)), [str(v) for v in values]) for t, y in parts
    ]
    if len(texts) == 2:
        return with_validation(texts[0], texts[1])
    return TextSet(texts[0], texts[1], texts[2], ordered)


HUB = {
    "hub-trec-coarse": lambda run: hub_trec(run, "coarse"),
    "hub-trec-fine": lambda run: hub_trec(run, "fine"),
    "hub-dbpedia14": hub_dbpedia14,
    "hub-amazon-coarse": lambda run: hub_amazon(run, "en", "coarse"),
    "hub-amazon-fine": lambda run: hub_amazon(run, "en", "fine"),
}
"""The paper's sets of one language, by the name that an experiment gives."""
