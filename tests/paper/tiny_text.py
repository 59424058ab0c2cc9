"""Small labelled texts in the files of TREC, DBpedia-14, SST-5, CLINC150, SIB-200 and NTREX-128.

Each class has words of its own, so that every encoder can tell the classes apart; a
language writes each word in its own way.
"""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np

WORDS = {  # real words, so that encoders with a vocabulary know them
    topic: words.split()
    for topic, words in {
        "animal": "dog cat horse bird fish lion tiger sheep",
        "place": "city river mountain country island street lake bridge",
        "number": "hundred thousand distance height weight price year million",
        "person": "president author king singer actor doctor captain queen",
        "music": "song guitar piano band album concert melody violin",
        "health": "hospital disease medicine virus patient surgery vaccine fever",
        "sport": "football tennis race player team goal league coach",
    }.items()
}
ALL_WORDS = [word for words in WORDS.values() for word in words]
COMMON = ["the", "of", "is", "what", "and", "in", "with", "some", "from", "where", "new", "many"]
TREC = {
    "LOC:city": "place", "LOC:mount": "place", "NUM:dist": "number", "NUM:date": "number",
    "HUM:ind": "person", "ENTY:animal": "animal",
}  # fmt: skip
SIB_COLUMNS = ["eng_Latn", "spa_Latn", "fra_Latn", "jpn_Jpan", "hin_Deva"]
NTREX_COLUMNS = ["eng", "spa", "fra", "jpn", "hin"]
ENDINGS = {"eng": "", "spa": "o", "fra": "eau", "jpn": "", "hin": "ka"}
KANA = "かきくけこさしすせそたちつてとなにぬねのまみむめもらりるれ"


def write_text(folder: Path) -> None:
    """Write all six below ``folder``."""
    rng = np.random.default_rng(0)
    _trec(folder / "trec", rng)
    _dbpedia(folder / "dbpedia14", rng)
    _sst5(folder / "sent_conv", rng)
    _clinc(folder / "clinc150", rng)
    _sib200(folder / "sib200", rng)
    _ntrex(folder / "ntrex128", rng)


def sentence(rng: np.random.Generator, topic: str | None, n: int = 9) -> list[str]:
    """``n`` words, half of them of the topic (of any topic for None)."""
    own = WORDS[topic] if topic else ALL_WORDS
    return [str(rng.choice(own if rng.random() < 0.6 else COMMON)) for _ in range(n)]


def translate(words: list[str], language: str) -> str:
    """The same words as another language writes them: one word for one word."""
    if language == "jpn":
        return "".join("".join(KANA[(7 * ord(c)) % len(KANA)] for c in w[:3]) for w in words)
    if language == "eng":
        return " ".join(words)
    return " ".join(w[::-1] + ENDINGS[language] for w in words)


def _gzip(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "wb") as raw, gzip.GzipFile(fileobj=raw, mode="wb", mtime=0) as file:
        file.write(text.encode())


def _trec(folder: Path, rng: np.random.Generator) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    labels = list(TREC)
    for name, n in (("train_5500.label", 240), ("TREC_10.label", 60)):
        lines = [
            f"{label} What caf\xe9 {' '.join(sentence(rng, TREC[label]))} ?"
            for label in (labels[i % len(labels)] for i in range(n))
        ]
        (folder / name).write_bytes("\n".join(lines).encode("latin-1") + b"\n")
    lines = []
    for i in range(150):
        label = labels[i % len(labels)]
        words = sentence(rng, TREC[label])
        lines += [f"{i}#1 {label} {' '.join(words)}", f"{i}#2 {label} {translate(words, 'hin')}"]
    _gzip(folder / "en_hi_translated_5500.label.gz", "\n".join(lines) + "\n")


def _dbpedia(folder: Path, rng: np.random.Generator) -> None:
    names = {"Company": "number", "Artist": "person", "Animal": "animal", "Album": "music"}
    train_order, test_order = list(names), sorted(names)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "classes.txt").write_text("\n".join(train_order) + "\n")
    meta = "".join(f"{i + 1}: {name}\n" for i, name in enumerate(test_order))
    (folder / "meta.txt").write_text(meta + "#train: 4 #cat: 4\n")
    lines = [f"{i % 4},{' '.join(sentence(rng, names[train_order[i % 4]]))} ." for i in range(160)]
    _gzip(folder / "train_14000.csv.gz", "\n".join(lines) + "\n")
    for part in ("val", "test"):
        lines = [
            f'"{i % 4 + 1}","{" ".join(sentence(rng, names[test_order[i % 4]]))}, and more."'
            for i in range(60)
        ]
        _gzip(folder / f"{part}.csv.gz", "\n".join(lines) + "\n")


def _sst5(folder: Path, rng: np.random.Generator) -> None:
    topics = list(WORDS)[:5]
    for part, n in (("train", 160), ("dev", 50), ("test", 60)):
        lines = [f"{i % 5} {' '.join(sentence(rng, topics[i % 5]))} ." for i in range(n)]
        _gzip(folder / f"stsa.fine.{part}.gz", "\n".join(lines) + "\n")


def _clinc(folder: Path, rng: np.random.Generator) -> None:
    intents = list(WORDS)[:5]
    parts = {
        part: [[" ".join(sentence(rng, intents[i % 5])), intents[i % 5]] for i in range(n)]
        for part, n in (("train", 120), ("val", 40), ("test", 40))
    }
    parts["oos_test"] = [["what is the meaning of life", "oos"]]
    _gzip(folder / "data_full.json.gz", json.dumps(parts))


def _sib200(folder: Path, rng: np.random.Generator) -> None:
    topics = list(WORDS)
    lines = ["\t".join(["split", "index_id", "category", *SIB_COLUMNS])]
    splits = ["train"] * 140 + ["dev"] * 28 + ["test"] * 42
    for i, split in enumerate(splits):
        topic = topics[i % len(topics)]
        words = sentence(rng, topic)
        texts = [translate(words, column[:3]) for column in SIB_COLUMNS]
        lines.append("\t".join([split, str(i), topic, *texts]))
    _gzip(folder / "sib200_parallel_5langs.tsv.gz", "\n".join(lines) + "\n")


def _ntrex(folder: Path, rng: np.random.Generator) -> None:
    lines = ["\t".join(["row", "doc", *NTREX_COLUMNS])]
    for i in range(160):
        words = sentence(rng, None, 12)
        texts = [translate(words, column) + " " for column in NTREX_COLUMNS]
        lines.append("\t".join([str(i), f"doc.{i // 10}", *texts]))
    _gzip(folder / "ntrex_5langs_parallel.tsv.gz", "\n".join(lines) + "\n")
