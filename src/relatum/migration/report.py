"""One HTML file about a verified migration: the sample, before and after."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from relatum import artifact
from relatum.migration._work import ANCHORS, MAP
from relatum.migration.plan import read_plan, state_folder
from relatum.migration.verification import Sample, Verified
from relatum.quality import Estimate
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
        verified=_verified(found), verified_about=_about(found), curve=curve or None,
        curve_measure=CURVE, thresholds=found.thresholds, X_anchors=X_anchors,
    )  # fmt: skip


def _verified(found: Verified) -> list[tuple[str, Estimate, Estimate | None]]:
    p = found.predicted
    return [
        ("Items that their own new vector finds first (R@1)", found.recall_1, p.recall_1),
        (f"Among the first {found.k} (R@{found.k})", found.recall_k, p.recall_k),
        (f"Of the {found.k} nearest among {found.among}, kept", found.overlap_k, p.overlap_k),
    ]


def _about(found: Verified) -> str:
    return (
        f"{found.n_items} items that the new encoder embedded, none of them an anchor, searched "
        f"among {found.n_index:,} rows of the shadow; R@{found.k} in all of it is "
        f"{found.recall_k_whole:.3f}. If old vectors stayed, searched by old queries, "
        f"{found.overlap_staying:.3f} of the nearest would be those of the new encoder."
    )
