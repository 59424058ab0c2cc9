"""How far anchors reach: do an item's relative representations from two encoders agree?"""

from __future__ import annotations

import itertools

import numpy as np

from relatum.anchors import METHODS
from relatum.neighbors import nearest
from relatum.paper.experiment import Row, find
from relatum.paper.runner import Run
from relatum.paper.stitching_data import Material
from relatum.paper.tasks_stitching import PROJECTIONS, SOURCES, draw_anchors, project

CHOICES = {"source": SOURCES, "projections": PROJECTIONS, "anchor_method": METHODS}


def relative_agreement(
    run: Run,
    *,
    source: str,
    dataset: str,
    seed: int,
    encoders: list[str],
    projections: list[str],
    anchors: list[str],
    n_anchors: int,
    anchor_method: str,
    n_train: int,
    n_test: int,
) -> list[Row]:
    """Look test items up among themselves, from one encoder's relative space in another's.

    Rows: ``first`` and ``second`` encoder, pool (``anchors``), ``projection``;
    ``reach``, the mean cosine of a test item to the anchor nearest to it, in its own
    encoder, over both encoders; ``found``, how many test items in a hundred are nearest
    to themselves.
    """
    material: Material = find(SOURCES[source])(
        run, dataset=dataset, encoders=encoders, n_train=n_train, n_test=n_test, seed=seed
    )
    rows: list[Row] = []
    for pool in anchors:
        items = draw_anchors(material, pool, n_anchors, anchor_method, seed)
        own = {name: e.pools[pool][items] for name, e in material.encoders.items()}
        reach = {
            name: float(nearest(e.test, own[name], 1)[0].mean())
            for name, e in material.encoders.items()
        }
        for projection in projections:
            settings = PROJECTIONS[projection]
            spaces = {
                name: project(e, None if settings is None else own[name], settings or {}).test
                for name, e in material.encoders.items()
            }
            for first, second in itertools.combinations(spaces, 2):
                _, found = nearest(spaces[first], spaces[second], 1)
                rows.append(
                    {
                        "first": first,
                        "second": second,
                        "anchors": pool,
                        "projection": projection,
                        "reach": (reach[first] + reach[second]) / 2,
                        "found": 100 * float(np.mean(found[:, 0] == np.arange(len(found)))),
                    }
                )
    return rows
