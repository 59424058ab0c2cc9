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
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from run import append

import relatum
from relatum.paper.data_items import item_spaces
from relatum.paper.runner import Run
from relatum.translation_scores import retrieval_quality

ENCODERS = ["WordLlama", "MiniLM-L3", "USE", "MiniLM-L6"]
PAIRS = [p for p in itertools.permutations(ENCODERS, 2) if set(p) != {"MiniLM-L3", "MiniLM-L6"}]
RIVALS = {"isotrieve": "0.4.0", "latentis": "0.0.8", "rat-embed": "0.3.0"}
N_TEST, K = 2000, 10
KERNEL = {"similarity": ("polynomial", {"degree": 3}), "center": True, "whiten": 0.1}
WORKER = Path(__file__).with_name("rival_translation_worker.py")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", type=Path, required=True, help="with ntrex128")
    parser.add_argument("--envs", type=Path, required=True, help="one environment a rival")
    parser.add_argument("--anchors", type=int, nargs="+", default=[30, 100, 300, 1000])
    parser.add_argument("--draws", type=int, default=2)
    parser.add_argument("--work", type=Path, default=Path("out/paper"), help="encoded items")
    parser.add_argument("--record", action="store_true", help="append to rivals.jsonl")
    options = parser.parse_args()
    work = options.work
    run = Run("study-1", "offline", work, work / "features", work, options.data_dir)
    spaces = item_spaces(run, "headlines", ENCODERS)
    rows = []
    for n in options.anchors:
        found = one_number(spaces, n, options.draws, options.envs)
        print(
            f"\n{n} anchors: R@1, R@10, overlap@{K}; the first two with the inverted softmax; fit"
        )
        for name, values in sorted(found.items(), key=lambda item: -np.mean(item[1], axis=0)[0]):
            means = np.mean(values, axis=0)
            print(f"  {name:28}" + "".join(f"{m:8.3f}" for m in means) + " s", flush=True)
            rows.append([n, name, *(round(float(m), 4) for m in means)])
    if options.record:
        columns = ["n_anchors", "who", "recall_1", "recall_10", "overlap_10",
                   "recall_1_softmax", "recall_10_softmax", "fit_seconds"]  # fmt: skip
        append("rivals.jsonl", {"rivals": RIVALS, "columns": columns, "rows": rows})


def one_number(
    spaces: dict[str, np.ndarray], n: int, draws: int, envs: Path
) -> dict[str, list[list[float]]]:
    """Return the scores of everyone, a list for each pair of encoders and draw."""
    found: dict[str, list[list[float]]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as folder:
        cases = dict(written(spaces, n, draws, Path(folder)))
        for name in RIVALS:
            python = envs / name / "bin" / "python"
            subprocess.run([python, WORKER, name, folder], check=True)
        for path in sorted(Path(folder).glob("*=*=*.npz")):
            rival, setting, case = path.stem.split("=")
            with np.load(path) as result:
                Y = cases[case][3]
                who = f"{rival} {RIVALS[rival]} {setting}"
                found[who].append(scores(result["P"], result["T"], Y, float(result["s"])))
    for A, B, X, Y in cases.values():
        for who, (P, T, seconds) in ours(A, B, X, Y):
            found[who].append(scores(P, T, Y, seconds))
    return found


def written(
    spaces: dict[str, np.ndarray], n: int, draws: int, folder: Path
) -> Iterator[tuple[str, tuple[np.ndarray, ...]]]:
    """Write each case for the workers, and yield it."""
    for draw, (source, target) in itertools.product(range(draws), PAIRS):
        order = np.random.default_rng(draw).permutation(len(spaces[source]))
        test, anchors = order[:N_TEST], order[N_TEST : N_TEST + n]
        X, Y = (unit(spaces[name]) for name in (source, target))
        case = X[anchors], Y[anchors], X[test], Y[test]
        name = f"{source}-{target}-{draw}"
        np.savez(folder / f"case-{name}.npz", **dict(zip("ABXY", case, strict=True)))
        yield name, case


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


def scores(P: np.ndarray, T: np.ndarray, Y: np.ndarray, seconds: float) -> list[float]:
    plain = retrieval_quality(P, T, K, native=Y)
    soft = retrieval_quality(P, T, K, native=Y, penalty=relatum.hubness_penalty(T, P))
    return [plain.recall_1, plain.recall_k, plain.overlap_k, soft.recall_1, soft.recall_k, seconds]


def unit(X: np.ndarray) -> np.ndarray:
    return X / np.linalg.norm(X, axis=1, keepdims=True)


if __name__ == "__main__":
    main()
