"""One HTML file about a verified migration: the sample, before and after."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from relatum import artifact
from relatum.migration._work import ANCHORS, MAP
from relatum.migration.plan import read_plan, state_folder
from relatum.migration.verification import Sample, Verified
from relatum.translation import Translation
from relatum.translation_report import translation_report

__all__ = ["migration_report"]

CURVE = "R@10: items that their own vector of the new encoder finds among the first 10 rows"


def migration_report(
    path: str | os.PathLike[str], plan: str | os.PathLike[str], found: Verified, sample: Sample
) -> Path:
    """Write what :func:`relatum.migration.verification.verify` found, with pictures and texts.

    Parameters
    ----------
    path : str or path
        Of the report (``.html``).
    plan : str or path
    found, sample : Verified, Sample
        What ``verify`` gave.

    Returns
    -------
    Path

    Raises
    ------
    MissingExtraError
        Jinja2 is not installed (extra ``plot``).
    """
    read, folder = read_plan(plan), state_folder(plan)
    translation = artifact.load(folder / MAP)
    assert isinstance(translation, Translation)
    with np.load(folder / ANCHORS, allow_pickle=False) as anchors:
        X_anchors = anchors["X"]
    curve = [(point["n_anchors"], *point["recall_10"]) for point in read.predicted.get("curve", [])]
    old, new = read.encoder.old_name or "old vectors", read.encoder.name
    return translation_report(
        path, translation, sample.X, sample.Y, ids=sample.ids, texts=sample.texts,
        segments=sample.segments, names=(old, new), title=f"{read.store.url}: {old} to {new}",
        predicted=found.predicted, curve=curve or None, curve_measure=CURVE,
        thresholds=found.thresholds, X_anchors=X_anchors,
    )  # fmt: skip
