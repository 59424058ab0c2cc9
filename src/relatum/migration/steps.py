"""Carrying out a plan: fit, gate, fill the shadow, switch to it, and back."""

from __future__ import annotations

import heapq
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from relatum import _validation, artifact
from relatum.migration._items import paired
from relatum.migration._work import (
    ANCHORS,
    MAP,
    STATUS,
    VERIFIED,
    Fitted,
    Migration,
    Report,
    native_ids,
    opened_plan,
    read_json,
    run_before,
    silent,
    write_natives,
)
from relatum.migration.filling import BATCH, Filled, Held, check, fill
from relatum.quality import PredictedQuality, coverage

__all__ = ["GateError", "Ran", "backfill", "rollback", "run", "status", "switch"]


class GateError(Exception):
    """Retention is below what the plan asks for; nothing was switched or written."""


@dataclass(frozen=True)
class Ran:
    """What a run did."""

    predicted: PredictedQuality
    filled: Filled
    held: Held
    n_anchors: int
    method: str

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON."""
        return {"n_anchors": self.n_anchors, "method": self.method,
                "predicted": self.predicted.to_dict(), "filled": self.filled.to_dict(),
                "held": self.held.to_dict()}  # fmt: skip


def run(path: str | os.PathLike[str], *, restart: bool = False, report: Report = silent) -> Ran:
    """Embed the anchors, fit, and write every row to the shadow; goes on where it stopped.

    Parameters
    ----------
    path : str or path
        Of the plan.
    restart : bool
        Remove the shadow and the map first; vectors of the new encoder are kept.
    report : callable, optional
        Called with what is done and of how many; returns what is called with how many are.

    Raises
    ------
    GateError
        Predicted retention is below the plan's; nothing is written to the store.
    ValueError, OSError
        A plan, store or encoder that do not fit together; a shadow that another map filled.
    """
    with opened_plan(path) as work:
        if restart:
            _restart(work)
        fitted = work.fitted(report)
        least, expected = work.plan.gate.min_retention, fitted.predicted.recall_k.value
        if expected < least:
            raise GateError(
                f"predicted R@{fitted.predicted.k} is {expected:.3f}; the plan asks for {least:g}"
            )
        if work.shadow.exists():
            work.check_shadow(fitted)
        else:
            work.shadow.create(fitted.translation.n_features_out_, work.about(fitted))
        write_natives(work, fitted, work.status.get("backfilled", []))
        filled = fill(
            work.store, work.shadow, work.translate(fitted), batch=work.plan.run.batch,
            rows_per_second=work.plan.run.rows_per_second or None,
            progress=report("translating", work.store.count()),
        )  # fmt: skip
        report("building the index", None)
        work.shadow.finish()
        report("checking", None)
        held = check(work.store, work.shadow)
        work.note(filled=filled.to_dict(), held=held.to_dict())
        return Ran(fitted.predicted, filled, held, len(fitted.anchors),
                   fitted.translation.method_)  # fmt: skip


def _restart(work: Migration) -> None:
    if work.store.pointed(work.plan.run.alias) == work.shadow.name:
        raise ValueError(
            f"{work.plan.run.alias} stands for {work.shadow.name}; roll back before it is removed"
        )
    if work.shadow.exists():
        work.shadow.drop()
    for name in (MAP, ANCHORS, STATUS, VERIFIED):
        (work.folder / name).unlink(missing_ok=True)


def backfill(
    path: str | os.PathLike[str], n: int, *, queried: Mapping[str, float] | None = None,
    report: Report = silent,
) -> int:  # fmt: skip
    """Replace translated vectors by native ones, first where it helps most.

    The anchors come first, for they are embedded already; then items in the order of
    (1 - coverage) · (1 + times queried): those that the anchors cover least and that are
    asked for most. Vectors are turned a little (``native_weight`` of what the
    shadow says of them) in a direction in which no query lies, such that cosines of
    native and translated ones can be compared; the order within a kind stays.

    Parameters
    ----------
    path : str or path
        Of the plan, which was run.
    n : int
        Items to embed beside the anchors.
    queried : mapping, optional
        How often each id was found or opened.
    report : callable, optional

    Returns
    -------
    int
        Rows that are native now.

    Raises
    ------
    ValueError
        A plan that was not run.
    """
    _validation.check_integer(n, "n", 0)
    with opened_plan(path) as work:
        fitted = run_before(work, report)
        there = dict.fromkeys([*work.status.get("backfilled", []), *fitted.anchors])
        ids = _worst(work, fitted, n, queried or {}, set(there)) if n else []
        if ids:
            text = work.plan.store.text
            paired(work.store, work.natives, ids, text, report("embedding", len(ids)))
        work.note(backfilled=[*there, *ids])
        write_natives(work, fitted, [*there, *ids])
        return len(native_ids(work.shadow))


def _worst(
    work: Migration, fitted: Fitted, n: int, queried: Mapping[str, float], native: set[str]
) -> list[str]:
    best: list[tuple[float, str]] = []
    for rows in work.store.batches(BATCH, payload=False):
        covered = coverage(rows.X, fitted.X)
        scored = [
            ((1 - c) * (1 + queried.get(i, 0)), i)
            for i, c in zip(rows.ids, covered.tolist(), strict=True) if i not in native
        ]  # fmt: skip
        best = heapq.nlargest(n, [*best, *scored])
    return [i for _, i in best]


def switch(path: str | os.PathLike[str], *, force: bool = False) -> str:
    """Let the alias stand for the shadow, after it was verified.

    Parameters
    ----------
    path : str or path
        Of the plan.
    force : bool
        Switch without verification, or after it failed.

    Returns
    -------
    str
        What the alias stands for now.

    Raises
    ------
    GateError
        It was not verified, or is below the plan's retention.
    ValueError
        There is no shadow, or it lacks rows that came since.
    """
    with opened_plan(path) as work:
        if not work.shadow.exists():
            raise ValueError(f"{work.path} was not run; expected relatum migrate run before")
        verified = read_json(work.folder / VERIFIED)
        if not force:
            if not verified:
                raise GateError("not verified; expected relatum migrate verify before")
            if verified.get("map") != artifact.read_manifest(work.folder / MAP)["checksum"]:
                raise GateError("another map was verified; expected relatum migrate verify again")
            if not verified.get("passed"):
                raise GateError("verification failed; see relatum migrate status, or --force")
            if work.shadow.open().count() != work.store.count():
                raise GateError("the store has changed since; run and verify again, or --force")
        work.store.point(work.plan.run.alias, work.shadow.name)
        work.note(alias=work.shadow.name)
        return work.shadow.name


def rollback(path: str | os.PathLike[str]) -> str | None:
    """Let the alias stand for the old vectors again; the shadow stays.

    Parameters
    ----------
    path : str or path
        Of the plan.

    Returns
    -------
    str or None
        What the alias stands for now.
    """
    with opened_plan(path) as work:
        work.store.point(work.plan.run.alias, None)
        found = work.store.pointed(work.plan.run.alias)
        work.note(alias=found)
        return found


def status(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return how far a migration is.

    Parameters
    ----------
    path : str or path
        Of the plan.
    """
    work = Migration(path)
    there = work.shadow.exists()
    verified = read_json(work.folder / VERIFIED)
    return {
        "store": work.store.url, "rows": work.store.count(), "shadow": work.shadow.name,
        "shadow_rows": work.shadow.open().count() if there else 0,
        "embedded": len(work.natives.ids), "fitted": (work.folder / MAP).exists(),
        "verified": verified.get("passed"), "retention": verified.get("retention"),
        "alias": work.plan.run.alias, "stands_for": work.store.pointed(work.plan.run.alias),
        "vectors": work.shadow.open().about() if there else None,
    }  # fmt: skip
