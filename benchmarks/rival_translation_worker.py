"""Runs inside one rival's own environment: its translations of the cases in a folder.

``python rival_translation_worker.py RIVAL FOLDER``: FOLDER/case-*.npz hold anchors A and B
and items X and Y; for each and each setting FOLDER/RIVAL-SETTING-*.npz gets the rows P
of the items in a common space, there also those of the target (T), and the seconds.
"""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

Translated = tuple[np.ndarray, np.ndarray, float]
"""Rows of X and of Y in the common space, and the seconds that fitting took."""


def isotrieve() -> Iterator[tuple[str, Callable[..., Translated]]]:
    from isotrieve import RidgeMapping
    from isotrieve.mapping.linear import LowRankAffineMapping

    def mapped(make: Callable[[], object], centred: bool) -> Callable[..., Translated]:
        def run(A: np.ndarray, B: np.ndarray, X: np.ndarray, Y: np.ndarray) -> Translated:
            a, b = (A.mean(axis=0), B.mean(axis=0)) if centred else (0, 0)
            start = time.perf_counter()
            mapping = make().fit(A - a, B - b)
            seconds = time.perf_counter() - start
            return mapping.transform(X - a) + b, Y, seconds

        return run

    yield "default", mapped(RidgeMapping, False)
    # its bias is penalised and its rows are cut to unit norm: both cost quality
    yield "centred by us", mapped(lambda: RidgeMapping(bias=False, normalize_output=False), True)
    yield "low rank", mapped(LowRankAffineMapping, False)
    try:
        from isotrieve.mapping.mlp import ResidualMLPMapping
    except ImportError:
        return
    yield "residual MLP", mapped(ResidualMLPMapping, False)


def latentis() -> Iterator[tuple[str, Callable[..., Translated]]]:
    import torch
    from latentis.transform.translate.aligner import Procrustes

    def run(A: np.ndarray, B: np.ndarray, X: np.ndarray, Y: np.ndarray) -> Translated:
        a, b, x = (torch.from_numpy(M) for M in (A, B, X))
        start = time.perf_counter()
        translator = Procrustes().fit(a, b)
        seconds = time.perf_counter() - start
        return translator.transform(x)[0].numpy(), Y, seconds

    yield "Procrustes", run


def rat_embed() -> Iterator[tuple[str, Callable[..., Translated]]]:
    from rat import RATranslator

    def unit(M: np.ndarray) -> np.ndarray:
        return M / np.linalg.norm(M, axis=1, keepdims=True)

    def translated(centred: bool) -> Callable[..., Translated]:
        def run(A: np.ndarray, B: np.ndarray, X: np.ndarray, Y: np.ndarray) -> Translated:
            a, b = (A.mean(axis=0), B.mean(axis=0)) if centred else (0, 0)
            start = time.perf_counter()
            translator = RATranslator().fit_embeddings(unit(A - a), unit(B - b))
            seconds = time.perf_counter() - start
            return (
                translator.transform(unit(X - a), "a"),
                translator.transform(unit(Y - b), "b"),
                seconds,
            )

        return run

    yield "default", translated(False)
    yield "centred by us", translated(True)


RIVALS = {"isotrieve": isotrieve, "latentis": latentis, "rat-embed": rat_embed}


def main() -> None:
    rival, folder = sys.argv[1], Path(sys.argv[2])
    warnings.simplefilter("ignore")
    for setting, run in RIVALS[rival]():
        for path in sorted(folder.glob("case-*.npz")):
            with np.load(path) as case:
                P, T, seconds = run(case["A"], case["B"], case["X"], case["Y"])
            name = f"{rival}={setting}={path.stem.removeprefix('case-')}.npz"
            np.savez(folder / name, P=P.astype(np.float32), T=T.astype(np.float32), s=seconds)


if __name__ == "__main__":
    main()
