"""Accuracy against the number of anchors, a frozen image encoder: Figure 6, right."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

import relatum
from relatum.anchors import METHODS
from relatum.paper.data_images import DATASETS
from relatum.paper.encoders_images import ENCODERS, image_material
from relatum.paper.experiment import Row
from relatum.paper.heads import HEADS, normalisations, predict, train_head
from relatum.paper.runner import Run
from relatum.paper.stitching_data import Encoded
from relatum.paper.tasks_classification import scores
from relatum.paper.tasks_stitching import PROJECTIONS

CHOICES = {
    "dataset": DATASETS,
    "encoder": ENCODERS,
    "method": [*METHODS, "none"],
    "projection": PROJECTIONS,
    "head": HEADS,
}


def anchor_counts(
    run: Run,
    *,
    dataset: str,
    encoder: str,
    method: str,
    seed: int,
    counts: list[int],
    projection: str,
    whiten: float,
    head: str,
    epochs: int,
    learning_rate: float,
    batch_size: int,
    hidden: int,
    n_train: int,
    n_test: int,
) -> list[Row]:
    """Train a head on relative representations of one encoder, for each number of anchors.

    Parameters
    ----------
    method : str
        How anchors are chosen from the training images, of
        :data:`relatum.anchors.METHODS`; ``none`` trains on absolute representations,
        once, as the level to hold the others against.
    counts : list of int
        Numbers of anchors, of at least 2.
    whiten : float
        λ of the projection ``whitened``.

    Returns
    -------
    list of Row
        For each count and normalisation ``accuracy``, ``f1`` (weighted) and ``f1_macro`` on
        the test set, in percent.
    """
    material = image_material(
        run, dataset=dataset, encoders=[encoder], n_train=n_train, n_test=n_test, seed=seed
    )
    encoded = material.encoders[encoder]
    training = {
        "kind": head, "n_classes": material.n_classes, "epochs": epochs, "hidden": hidden,
        "learning_rate": learning_rate, "batch_size": batch_size, "seed": seed,
    }  # fmt: skip
    if method == "none":
        return [
            {"n_anchors": 0, "projection": "absolute"} | row
            for row in _trained(encoded, encoded.train, encoded.test, training)
        ]
    settings = dict(PROJECTIONS[projection] or {})
    if projection == "whitened":
        settings["whiten"] = whiten
    rows: list[Row] = []
    for done, n in enumerate(counts):
        anchors = encoded.train[_chosen(encoded, n, method, seed)]
        R, R_test = (
            relatum.relative_projection(X, anchors, **settings)
            for X in (encoded.train, encoded.test)
        )
        rows += [{"n_anchors": n} | row for row in _trained(encoded, R, R_test, training)]
        run.advance(done + 1, len(counts))
    return rows


def _chosen(encoded: Encoded, n: int, method: str, seed: int) -> np.ndarray:
    """Row numbers of the anchors; those of a smaller ``n`` are the first where a method allows."""
    labels = encoded.y_train if method == "stratified" else None
    rows = relatum.select_anchors(encoded.train, n, method=method, labels=labels, random_state=seed)
    return np.asarray(rows)


def _trained(
    encoded: Encoded, R: np.ndarray, R_test: np.ndarray, training: dict[str, Any]
) -> Iterator[Row]:
    head = train_head(R, encoded.y_train, **training)
    for normalisation in normalisations(head):
        found = predict(head, R_test, normalisation=normalisation)
        yield {"normalisation": normalisation} | scores(encoded.y_test, found)
