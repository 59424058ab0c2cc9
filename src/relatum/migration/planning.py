"""Planning a migration: a few items are embedded, and say what to expect of the rest."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from relatum import _validation
from relatum._principal_axes import ENOUGH
from relatum._translated_index import AMONG, overlap_among
from relatum.migration._items import (
    all_ids,
    natives_of,
    opened,
    paired,
    sample_ids,
    some_rows,
)
from relatum.migration._tempering import fit_tempering
from relatum.migration._work import INDEX
from relatum.migration.plan import (
    LEAST,
    EncoderPart,
    GatePart,
    MapPart,
    MigrationPlan,
    RunPart,
    StorePart,
    write_plan,
)
from relatum.quality import PredictedQuality, predict_quality
from relatum.translation import Translation

__all__ = ["make_plan"]

SIZES = (100, 300, 1_000, 3_000)
"""Anchors that the curve is told at."""
PILOT = 300
"""Items that are embedded to make a plan."""


def make_plan(
    path: str | os.PathLike[str],
    store: StorePart,
    encoder: EncoderPart,
    *,
    shadow: str | None = None,
    alias: str | None = None,
    n_anchors: int | None = None,
    min_retention: float = 0.0,
    pilot: int = PILOT,
    price_per_1000: float = 0.0,
    method: str = "auto",
    seed: int = 0,
    progress: Callable[[int], object] | None = None,
) -> MigrationPlan:
    """Embed a few items, say what to expect of a migration, and write its plan.

    Parameters
    ----------
    path : str or path
        Of the plan; vectors that are made are kept beside it.
    store : StorePart
    encoder : EncoderPart
    shadow, alias : str, optional
        Names of the new table and of what is switched; else made of the store's name.
    n_anchors : int, optional
        Items to fit on; else the least number of the curve that is expected to reach
        ``min_retention``, 1,000 where that is 0.
    min_retention : float
        Of items that find themselves among the first 10, in [0, 1].
    pilot : int
        Items that are embedded now.
    price_per_1000 : float
        What embedding 1,000 items costs, in any currency.
    method : str
        See :class:`relatum.Translation`.
    seed : int
    progress : callable, optional
        Called with the number of items that are embedded.

    Raises
    ------
    ValueError
        A store with too few rows, vectors of the new encoder that do not match.
    """
    _validation.check_integer(pilot, "pilot", LEAST)
    if not 0 <= min_retention < 1:
        raise ValueError(f"min_retention is {min_retention}; expected a number in [0, 1)")
    found = opened(store)
    n_rows = found.count()
    if n_rows < 2 * LEAST:
        raise ValueError(f"{found.url} has {n_rows} rows; expected at least {2 * LEAST}")
    natives = natives_of(path, encoder)
    ids = sample_ids(all_ids(found), min(pilot, n_rows // 2), seed)
    X, Y = paired(found, natives, ids, store.text, progress)
    started = time.monotonic()
    index = some_rows(found, min(INDEX, n_rows), seed)
    reading = (time.monotonic() - started) / n_rows
    prediction = _predicted(X, Y, index, n_rows, method, seed)
    curve = prediction["curve"]
    left = min(GatePart.n_verified, n_rows // 3)  # to verify on
    chosen = min(n_anchors or _enough(curve, min_retention), n_rows - left)
    seconds = natives.seconds / natives.n_made if natives.n_made else None
    prediction |= _costs(n_rows, chosen, seconds, price_per_1000, reading)
    name = store.url.rpartition("#")[2].rstrip("/").rpartition("/")[2]
    plan = MigrationPlan(
        store,
        encoder,
        RunPart(
            shadow or f"{name}__{_plain(encoder.name)}",
            alias or f"{name}_current",
            normalize=bool(np.allclose(np.linalg.norm(Y, axis=1), 1, atol=1e-3)),
        ),
        MapPart(chosen, method, seed),
        GatePart(min_retention),
        prediction,
    )
    write_plan(path, plan)
    return plan


def _predicted(
    X: np.ndarray, Y: np.ndarray, index: np.ndarray, n_rows: int, method: str, seed: int
) -> dict[str, Any]:
    """Return the curve over the number of anchors, and what staying would mean."""
    translation = Translation(method, random_state=seed).fit(X, Y, X_background=index[:ENOUGH])
    sizes = [n for n in sorted({*SIZES, len(X)}) if n <= max(n_rows, len(X))]
    curve = []
    for n in sizes:
        n_known = min(n, len(X))
        fitted = translation if n_known == len(X) else Translation(
            method, random_state=seed
        ).fit(X[:n_known], Y[:n_known], X_background=index[:ENOUGH])  # fmt: skip
        found = predict_quality(
            fitted, X[:n_known], Y[:n_known], index, translated="index", n_anchors=max(n, n_known),
            n_items=GatePart.n_verified, random_state=seed,
            anchor_weight=fit_tempering(fitted, X[:n_known], Y[:n_known], seed).weight_anchors,
        )  # fmt: skip
        curve.append({"n_anchors": n, **_figures(found)})
    k = min(10, len(X) - 2)
    staying = float(overlap_among(X, Y, k, AMONG, seed, queries=X).mean())
    return {
        "n_index": len(index),
        "among": min(AMONG, len(X)),
        "curve": curve,
        "overlap_staying": round(staying, 4),
        "method": translation.method_,
    }


def _figures(found: PredictedQuality) -> dict[str, Any]:
    names = {"recall_1": "recall_1", "recall_10": "recall_k", "overlap_10": "overlap_k"}
    values = {}
    for name, own in names.items():
        estimate = getattr(found, own)
        values[name] = [round(v, 4) for v in (estimate.value, estimate.low, estimate.high)]
    return values


def _enough(curve: list[dict[str, Any]], min_retention: float) -> int:
    """Return the least number of anchors whose whole interval is above what is wanted."""
    if not min_retention:
        return 1_000
    enough = [c["n_anchors"] for c in curve if c["recall_10"][1] >= min_retention]
    return int(enough[0] if enough else SIZES[-1])


def _costs(
    n_rows: int, n_anchors: int, seconds: float | None, price: float, reading: float
) -> dict[str, Any]:
    """Return what a migration takes beside embedding everything."""
    found: dict[str, Any] = {"n_rows": n_rows, "n_embedded": n_anchors}
    if seconds is not None:
        found["seconds_per_item"] = round(seconds, 6)
        found["seconds_to_embed_anchors"] = round(seconds * n_anchors, 1)
        found["seconds_to_embed_everything"] = round(seconds * n_rows, 1)
    found["seconds_to_read_everything"] = round(reading * n_rows, 1)
    if price:
        found["price_of_anchors"] = round(price * n_anchors / 1000, 4)
        found["price_of_everything"] = round(price * n_rows / 1000, 4)
    return found


def _plain(name: str) -> str:
    """Return a name that every store takes."""
    return "".join(c if c.isascii() and (c.isalnum() or c == "_") else "_" for c in name).lower()
