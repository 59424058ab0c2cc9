"""Stores that are migrated from one encoder to another, and what was predicted of them."""

from __future__ import annotations

import tempfile
import time
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from relatum import RelatumWarning, _columns
from relatum._gemm import unit_rows
from relatum._translated_index import shared_nearest
from relatum.migration import EncoderPart, StorePart, make_plan, verify
from relatum.migration import run as run_plan
from relatum.migration._tempering import fit_tempering
from relatum.paper.data_items import ITEMS, item_spaces
from relatum.paper.experiment import Row
from relatum.paper.runner import Run
from relatum.paper.tasks_translation import ordered_pairs, rounded
from relatum.quality import Estimate
from relatum.translation import Translation

CHOICES = {"dataset": ITEMS}
MEASURES = {"recall_1": "recall_1", "recall_10": "recall_k", "overlap_10": "overlap_k"}
"""Names of rows, and of attributes."""


def migrate_stores(
    run: Run,
    *,
    dataset: str,
    encoders: list[str],
    same_coordinates: list[str],
    n_items: int,
    n_anchors: int,
    seed: int,
) -> list[Row]:
    """Plan, run and verify the migration of a folder of Parquet, for every pair of encoders.

    Rows, each of ``recall_1``, ``recall_10`` and ``overlap_10``: what ``verify`` found, what
    the run had predicted (``_predicted``, ``_low``, ``_high``) and whether that interval holds
    it (``_inside``); the same of the plan, which has seen a pilot only (``_planned_inside``).
    """
    spaces = item_spaces(run, dataset, encoders)
    n_found = len(next(iter(spaces.values())))
    rng = np.random.default_rng([seed, zlib.crc32(b"migration")])
    chosen = np.sort(rng.permutation(n_found)[: n_items or n_found])
    rows: list[Row] = []
    for source, target, about in ordered_pairs(run, encoders, same_coordinates):
        if not about["shared"]:
            X, Y = spaces[source][chosen], spaces[target][chosen]
            with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
                warnings.simplefilter("ignore", RelatumWarning)  # of pairs that look wrong
                rows.append(about | _migrated(Path(folder), X, Y, n_anchors, seed))
    return rows


def _migrated(folder: Path, X: np.ndarray, Y: np.ndarray, n_anchors: int, seed: int) -> Row:
    ids = [str(i) for i in range(len(X))]
    _write(folder / "old" / "items.parquet", ids, X)
    _write(folder / "new.parquet", ids, Y)
    path = folder / "plan.toml"
    started = time.perf_counter()
    plan = make_plan(
        path, StorePart(f"parquet:{folder / 'old'}", text=""),
        EncoderPart("new", str(folder / "new.parquet")), n_anchors=n_anchors, seed=seed,
    )  # fmt: skip
    ran = run_plan(path)
    found, _ = verify(path)
    row: Row = {"n_rows": len(X), "method": ran.method, "whole": int(ran.held.whole),
                "seconds": round(time.perf_counter() - started, 1)}  # fmt: skip
    row["overlap_10_staying"] = rounded(found.overlap_staying)
    curve = [c for c in plan.predicted["curve"] if c["n_anchors"] == n_anchors]
    for name, attribute in MEASURES.items():
        estimate: Estimate = getattr(found, attribute)
        predicted: Estimate = getattr(found.predicted, attribute)
        row |= {
            name: rounded(estimate.value),
            f"{name}_predicted": rounded(predicted.value),
            f"{name}_low": rounded(predicted.low),
            f"{name}_high": rounded(predicted.high),
            f"{name}_inside": int(predicted.low <= estimate.value <= predicted.high),
        }
        for point in curve:
            _, low, high = point[name]
            row[f"{name}_planned_inside"] = int(low <= estimate.value <= high)
    return row


def _write(path: Path, ids: list[str], X: np.ndarray) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    path.parent.mkdir(exist_ok=True)
    pq.write_table(_columns.with_matrix(pa.table({"id": ids}), "embedding", X), path)


def mix_natives(
    run: Run,
    *,
    dataset: str,
    encoders: list[str],
    same_coordinates: list[str],
    n_anchors: int,
    native: float,
    k: int,
    seed: int,
) -> list[Row]:
    """Put native rows among translated ones, as they are and turned.

    A share ``native`` of the index is native, the anchors among them. Rows for each
    ``index``: ``translated`` (none is native), the same with ``anchors turned``, ``native as
    they are`` and ``native turned``; ``recall_1``, how many of the translated rows their own
    native vector finds first, ``recall_1_all``, how many of all rows, and ``overlap``, the
    share of the ``k`` nearest of every item that are so natively.
    """
    spaces = item_spaces(run, dataset, encoders)
    n = len(next(iter(spaces.values())))
    order = np.random.default_rng([seed, zlib.crc32(b"mix")]).permutation(n)
    anchors = order[:n_anchors]
    own = np.zeros(n, bool)
    own[order[: max(n_anchors, round(native * n))]] = True
    rows: list[Row] = []
    for source, target, about in ordered_pairs(run, encoders, same_coordinates):
        if not about["shared"]:
            X, Y = spaces[source], unit_rows(spaces[target])
            for name, index in _indexes(X, Y, anchors, own):
                rows.append(about | {"index": name, **_found(Y, unit_rows(index), own, k)})
    return rows


def _indexes(
    X: np.ndarray, Y: np.ndarray, anchors: np.ndarray, own: np.ndarray
) -> Iterator[tuple[str, np.ndarray]]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RelatumWarning)  # of pairs that look wrong
        translation = Translation().fit(X[anchors], Y[anchors], X_background=X)
    tempering = fit_tempering(translation, X[anchors], Y[anchors])
    P = unit_rows(np.asarray(translation.transform(X)))
    known = np.isin(np.arange(len(X)), anchors)
    yield "translated", P
    yield "anchors turned", tempering.translated(P, known)
    yield "native as they are", np.where(own[:, None], Y, P)
    yield "native turned", np.where(own[:, None], tempering.native(Y), tempering.translated(P))


def _found(Y: np.ndarray, index: np.ndarray, own: np.ndarray, k: int) -> Row:
    """Search an index by every item's native vector."""
    S, T = Y @ index.T, Y @ Y.T
    first = S.argmax(axis=1) == np.arange(len(Y))
    np.fill_diagonal(S, -2)
    np.fill_diagonal(T, -2)
    return {
        "recall_1": rounded(first[~own].mean()),
        "recall_1_all": rounded(first.mean()),
        "overlap": rounded(shared_nearest(S, T, k).mean()),
    }
