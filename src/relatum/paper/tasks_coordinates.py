"""Do encoders of one width share coordinates? Then absolute heads run on each other unaided."""

from __future__ import annotations

import itertools

import numpy as np

from relatum.alignment import cosines
from relatum.neighbors import nearest
from relatum.paper.experiment import Row, find
from relatum.paper.runner import Run
from relatum.paper.stitching_data import Material
from relatum.paper.tasks_stitching import SOURCES

CHOICES = {"source": SOURCES}


def shared_coordinates(
    run: Run, *, source: str, dataset: str, encoders: list[str], n_train: int, n_test: int
) -> list[Row]:
    """Hold the absolute representations of every two encoders of one width beside each other.

    Rows: ``first`` and ``second`` encoder; the mean cosine of a training sample with
    itself in the other encoder (``itself``) and with another sample (``another``), both
    spaces centred; ``found``, how many samples in a hundred are nearest to themselves.
    About 0, 0 and 100 over the number of samples where coordinates are not shared.
    """
    material: Material = find(SOURCES[source])(
        run, dataset=dataset, encoders=encoders, n_train=n_train, n_test=n_test, seed=0
    )
    spaces = {name: e.train - e.train.mean(axis=0) for name, e in material.encoders.items()}
    rows: list[Row] = []
    for (first, X), (second, Y) in itertools.combinations(spaces.items(), 2):
        if X.shape[1] != Y.shape[1]:
            continue
        _, found = nearest(X, Y, 1)
        rows.append(
            {
                "first": first,
                "second": second,
                "itself": float(np.mean(cosines(X, Y))),
                "another": float(np.mean(cosines(X, np.roll(Y, 1, axis=0)))),
                "found": 100 * float(np.mean(found[:, 0] == np.arange(len(X)))),
            }
        )
    return rows
