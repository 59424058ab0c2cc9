"""Translation against other packages: the same anchors and held-out items, in one run.

Each rival runs in an environment of its own below ``--envs``: ENVS/isotrieve,
ENVS/latentis, ENVS/rat-embed, made with ``python -m venv ENVS/NAME`` and
``ENVS/NAME/bin/pip install -c constraints.txt isotrieve==0.4.0 torch`` (likewise
latentis==0.0.8 torch transformers, and rat-embed==0.3.0).

python benchmarks/rival_translations.py --data-dir DIR --envs ENVS --record
"""

from __future__ import annotations

import os

for _name in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):  # before NumPy loads its BLAS
    os.environ.pop(_name, None)

import argparse
import itertools
import subprocess
import tempfile
import time
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from run import append

import relatum
from relatum.common_space import CommonSpace
from relatum.paper.data_items import item_spaces
from relatum.paper.data_text import load_texts
from relatum.paper.encoders_text import encode
from relatum.paper.runner import Run
from relatum.paper.tasks_translation import fitted_head
from relatum.translation_scores import retrieval_quality

ENCODERS = ["WordLlama", "MiniLM-L3", "USE", "MiniLM-L6"]
PAIRS = [p for p in itertools.permutations(ENCODERS, 2) if set(p) != {"MiniLM-L3", "MiniLM-L6"}]
RIVALS = {"isotrieve": "0.4.0", "latentis": "0.0.8", "rat-embed": "0.3.0"}
N_TEST, K = 2000, 10
HEAD_ANCHORS = (300, 768)
"""Numbers of anchors that heads are tried at."""
N_TRAIN = 5000
KERNEL = {"similarity": ("polynomial", {"degree": 3}), "center": True, "whiten": 0.1}
COLUMNS = ["n_anchors", "who", "recall_1", "recall_10", "overlap_10", "recall_1_softmax",
           "recall_10_softmax", "fit_seconds", "retention"]  # fmt: skip
Case = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
"""Anchors of source and target, items of source and of target."""
Labels = tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]
"""Of the head's training texts and of the test texts, and these under each encoder."""
WORKER = Path(__file__).with_name("rival_translation_worker.py")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", type=Path, required=True, help="with ntrex128, clinc150")
    parser.add_argument("--envs", type=Path, required=True, help="one environment a rival")
    parser.add_argument("--anchors", type=int, nargs="+", default=[30, 100, 300, 1000])
    parser.add_argument("--draws", type=int, default=2)
    parser.add_argument("--work", type=Path, default=Path("out/paper"), help="encoded items")
    parser.add_argument("--record", action="store_true", help="append to rivals.jsonl")
    options = parser.parse_args()
    work = options.work
    run = Run("study-1", "offline", work, work / "features", work, options.data_dir)
    spaces = item_spaces(run, "headlines", ENCODERS)
    rows: list[list[object]] = []
    for n in options.anchors:
        found = one_number(written(spaces, n, options.draws), options.envs, scores)
        print(f"\n{n} anchors: {', '.join(COLUMNS[2:])}")
        told(rows, n, found)
    texts = load_texts(run, "clinc150")
    for n in HEAD_ANCHORS:
        cases, labels = heads(run, texts, n)
        print(f"\n{n} anchors: accuracy of heads for 150 intents, over that of their own encoder")
        found = one_number(cases, options.envs, Retention(labels))
        told(rows, n, {who: [[None] * 6 + v for v in values] for who, values in found.items()})
    if options.record:
        append("rivals.jsonl", {"rivals": RIVALS, "columns": COLUMNS, "rows": rows})


def told(rows: list[list[object]], n: int, found: dict[str, list[list[Any]]]) -> None:
    """Print the means of everyone, best first, and append them to ``rows``."""
    means = {
        who: [
            None if v[0] is None else round(float(np.mean(v)), 4) for v in zip(*values, strict=True)
        ]
        for who, values in found.items()
    }
    for who, values in sorted(means.items(), key=lambda item: -(item[1][0] or item[1][-1])):
        shown = [v for v in values if v is not None]
        print(f"  {who:28}" + "".join(f"{v:8.3f}" for v in shown), flush=True)
        values += [None] * (len(COLUMNS) - 2 - len(values))
        rows.append([n, who, *values])


def one_number(
    cases: dict[str, Case], envs: Path, score: Callable[..., list[float]]
) -> dict[str, list[list[float]]]:
    """Return the scores of everyone, a list for each case."""
    found: dict[str, list[list[float]]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as folder:
        for name, case in cases.items():
            np.savez(Path(folder) / f"case-{name}.npz", **dict(zip("ABXY", case, strict=True)))
        for name in RIVALS:
            python = envs / name / "bin" / "python"
            subprocess.run([python, WORKER, name, folder], check=True)
        for path in sorted(Path(folder).glob("*=*=*.npz")):
            rival, setting, case = path.stem.split("=")
            with np.load(path) as result:
                who = f"{rival} {RIVALS[rival]} {setting}"
                found[who].append(
                    score(case, result["P"], result["T"], cases[case], float(result["s"]))
                )
    for name, case in cases.items():
        for who, (P, T, seconds) in ours(*case):
            found[who].append(score(name, np.asarray(P), np.asarray(T), case, seconds))
    return found


def written(spaces: dict[str, np.ndarray], n: int, draws: int) -> dict[str, Case]:
    """Return anchors and held-out items of each pair of encoders and draw."""
    cases: dict[str, Case] = {}
    for draw, (source, target) in itertools.product(range(draws), PAIRS):
        order = np.random.default_rng(draw).permutation(len(spaces[source]))
        test, anchors = order[:N_TEST], order[N_TEST : N_TEST + n]
        X, Y = (unit(spaces[name]) for name in (source, target))
        cases[f"{source}_{target}_{draw}"] = X[anchors], Y[anchors], X[test], Y[test]
    return cases


def heads(run: Run, texts: Any, n: int) -> tuple[dict[str, Case], Labels]:
    """Return cases whose items are test texts and, of the target, what its head is trained on."""
    order = np.random.default_rng(0).permutation(len(texts.train.texts))
    anchors, train = order[:n], order[n : n + N_TRAIN]
    spaces = {
        name: [unit(encode(run, name, part.texts)) for part in (texts.train, texts.test)]
        for name in ENCODERS
    }
    cases: dict[str, Case] = {}
    for source, target in PAIRS:
        (X, X_test), (Y, _) = spaces[source], spaces[target]
        cases[f"{source}_{target}"] = X[anchors], Y[anchors], X_test, Y[train]
    native = {name: test for name, (_, test) in spaces.items()}
    return cases, (np.asarray(texts.train.labels)[train], np.asarray(texts.test.labels), native)


class Retention:
    """Scores a case by the target's head: on translated rows, over its own encoder's."""

    def __init__(self, labels: Labels) -> None:
        self.y, self.y_test, self.native = labels
        self.own: dict[str, tuple[Any, float]] = {}

    def __call__(
        self, name: str, P: np.ndarray, T: np.ndarray, case: Case, seconds: float
    ) -> list[float]:
        target = name.split("_")[1]
        if target not in self.own:
            head = fitted_head(case[3], self.y)
            self.own[target] = head, head.score(self.native[target], self.y_test)
        head, native = self.own[target]
        if T is not case[3] and not np.array_equal(T, case[3]):  # a space of its own
            head = fitted_head(T, self.y)
        return [float(head.score(P, self.y_test) / native)]


def ours(
    A: np.ndarray, B: np.ndarray, X: np.ndarray, Y: np.ndarray
) -> Iterator[tuple[str, tuple[np.ndarray, np.ndarray, float]]]:
    """Yield rows in the common space: translated, and both sides projected."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", relatum.RelatumWarning)
        start = time.perf_counter()
        fitted = relatum.Translation().fit(A, B)
        yield "relatum auto", (fitted.transform(X), Y, time.perf_counter() - start)
        start = time.perf_counter()
        sides = [relatum.RelativeProjection(**KERNEL).fit(M) for M in (A, B)]
        seconds = time.perf_counter() - start
        yield "relatum kernel space", (sides[0].transform(X), sides[1].transform(Y), seconds)
        start = time.perf_counter()
        both = CommonSpace().fit(A, B)
        seconds = time.perf_counter() - start
        yield "relatum common space", (both.transform(X), both.transform_target(Y), seconds)


def scores(name: str, P: np.ndarray, T: np.ndarray, case: Case, seconds: float) -> list[float]:
    Y = case[3]
    plain = retrieval_quality(P, T, K, native=Y)
    soft = retrieval_quality(P, T, K, native=Y, penalty=relatum.hubness_penalty(T, P))
    return [plain.recall_1, plain.recall_k, plain.overlap_k, soft.recall_1, soft.recall_k, seconds]


def unit(X: np.ndarray) -> np.ndarray:
    return X / np.linalg.norm(X, axis=1, keepdims=True)


if __name__ == "__main__":
    main()
