"""Print the ratios of some small cases with the relatum that PYTHONPATH names, as JSON."""

from __future__ import annotations

import os

for _name in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):  # before NumPy loads its BLAS
    os.environ.pop(_name, None)

import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from _harness import embeddings, race

import relatum
from relatum.projection import fit_projection, project
from relatum.row_maps import projection_of_rows
from relatum.streaming import transform_file


def main() -> None:
    rounds = int(sys.argv[1])
    X = embeddings(40_000, 384)
    A, half = X[:300].copy(), X[:6_000]
    plain, whitened = fit_projection(A), fit_projection(A, center=True, whiten=0.3)
    fitted = relatum.Translation("ridge", robust=False).fit(A, A[:, ::-1].copy())

    def product() -> object:
        return X @ A.T

    def several() -> None:
        for _ in range(5):  # as much as the file, which has to be read and written too
            product()

    def found() -> object:
        scores = half @ half.T
        return np.argpartition(scores, -10, axis=1)[:, -10:]

    def squares() -> object:
        return half.T @ half, half.T @ half, half.T @ half

    with tempfile.TemporaryDirectory() as folder:
        rows = projection_of_rows(plain)
        np.save(Path(folder) / "x.npy", X)

        def through() -> object:
            return transform_file(Path(folder) / "x.npy", rows, Path(folder) / "r.npy")

        cases: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {
            "project, plain": (lambda: project(X, plain), product),
            "project, whitened": (lambda: project(X, whitened), product),
            "translate": (lambda: fitted.transform(X), product),
            "project a file": (through, several),
            "search": (lambda: relatum.search(half, half, 10), found),
            "CKA": (lambda: relatum.cka(half, half[:, ::-1].copy()), squares),
        }
        ratios = {
            name: race(name, ours, "", theirs, rounds=rounds).ratio
            for name, (ours, theirs) in cases.items()
        }
    print(json.dumps(ratios))


if __name__ == "__main__":
    main()
