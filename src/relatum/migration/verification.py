"""Verifying a migration: a sample that the new encoder embeds, beside what was translated."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from relatum import _validation
from relatum._gemm import unit_rows
from relatum._translated_index import AMONG, overlap_among
from relatum.migration._items import all_ids, paired, sample_ids, some_rows
from relatum.migration._work import (
    INDEX,
    VERIFIED,
    Fitted,
    Migration,
    Report,
    native_ids,
    opened_plan,
    run_before,
    silent,
    write_json,
)
from relatum.migration.filling import BATCH, Held, check
from relatum.quality import Estimate, PredictedQuality
from relatum.stores import Store
from relatum.thresholds import Recalibrated, recalibrate_threshold

__all__ = ["Segment", "Verified", "verify"]

K = 10
LEAST_IN_SEGMENT = 5
N_BOOTSTRAP = 400


@dataclass(frozen=True)
class Segment:
    """What was found for the items of one value of a field."""

    name: str
    n_items: int
    recall_k: float
    overlap_k: float


@dataclass(frozen=True)
class Verified:
    """What a sample of items says of a migrated store, beside what was predicted."""

    held: Held
    n_items: int
    k: int
    recall_1: Estimate
    """Items that their own native vector finds first in the shadow."""
    recall_k: Estimate
    """Among the first k; what the gate is about."""
    overlap_k: Estimate
    """Share of an item's k nearest among :attr:`among` items that both encoders agree on."""
    recall_k_whole: float
    """As ``recall_k``, in the whole shadow; the others are among :attr:`n_index` rows."""
    overlap_staying: float
    """As ``overlap_k``, of the old vectors."""
    ndcg: tuple[float, float] | None
    """Of the queries that were given, by translated and by native vectors of one pool."""
    predicted: PredictedQuality
    n_index: int
    among: int
    segments: tuple[Segment, ...]
    thresholds: tuple[Recalibrated, ...]
    min_retention: float
    map: str

    @property
    def passed(self) -> bool:
        """Whether every row is there, and retention is what the plan asks for."""
        return self.held.whole and self.recall_k.value >= self.min_retention

    def __str__(self) -> str:
        """Return a table."""
        p = self.predicted
        rows = [
            ("R@1", self.recall_1, p.recall_1),
            (f"R@{self.k}", self.recall_k, p.recall_k),
            (f"overlap@{self.k} of {self.among}", self.overlap_k, p.overlap_k),
        ]
        lines = [f"{'':<22}{'verified':<26}predicted"]
        lines += [f"{name:<22}{found!s:<26}{before}" for name, found, before in rows]
        lines.append(f"{'the same, staying':<22}{self.overlap_staying:.3f}")
        if self.ndcg is not None:
            after, native = self.ndcg
            ratio = after / native if native else float("nan")
            lines.append(f"nDCG@{self.k:<17}{after:.3f}, natively {native:.3f} ({ratio:.0%})")
        lines += [
            f"  {s.name[:40]:<20}{s.n_items} items, R@{self.k} {s.recall_k:.3f}, "
            f"overlap {s.overlap_k:.3f}" for s in self.segments
        ]  # fmt: skip
        lines += [f"threshold {t}" for t in self.thresholds]
        lines.append(
            f"{self.n_items} items, among {self.n_index:,} rows; in all rows R@{self.k} "
            f"{self.recall_k_whole:.3f}"
        )
        lines.append(str(self.held))
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON."""
        return asdict(self) | {
            "held": self.held.to_dict(), "predicted": self.predicted.to_dict(),
            "passed": self.passed, "retention": self.recall_k.value,
        }  # fmt: skip


@dataclass(frozen=True)
class Sample:
    """Items that were embedded to verify a migration."""

    ids: list[str]
    X: np.ndarray
    """Old vectors."""
    Y: np.ndarray
    """Vectors of the new encoder itself."""
    P: np.ndarray
    """What the shadow has."""
    texts: list[str] | None
    segments: list[str] | None


def verify(
    path: str | os.PathLike[str],
    *,
    segment: str | None = None,
    thresholds: Sequence[float] = (),
    relevance: Sequence[Mapping[str, Any]] = (),
    report: Report = silent,
) -> tuple[Verified, Sample]:
    """Hold a migrated store against a sample of items that the new encoder embeds.

    Parameters
    ----------
    path : str or path
        Of the plan, which was run.
    segment : str, optional
        Field of the payload whose values are told apart.
    thresholds : sequence of float
        Cosines that meant something between old vectors.
    relevance : sequence of mapping
        Queries with what should be found: ``{"query": text, "relevant": {id: grade}}``.
    report : callable, optional
        See :func:`relatum.migration.steps.run`.

    Returns
    -------
    Verified, Sample

    Raises
    ------
    ValueError
        A plan that was not run, an unknown field, relevance of another form.
    """
    with opened_plan(path) as work:
        fitted = run_before(work, report)
        report("checking", None)
        held = check(work.store, work.shadow)
        sample = _sampled(work, fitted.anchors, segment, report)
        report("searching", None)
        new = work.shadow.open()
        n_index = min(INDEX, new.count())
        ranks = _ranks(new, sample, n_index, work.plan.map.seed)
        among = min(AMONG, len(sample.ids))
        k = min(K, among - 2)
        overlap = overlap_among(sample.P, sample.Y, k, among, 0)
        staying = overlap_among(sample.X, sample.Y, k, among, 0, queries=sample.X)
        found = Verified(
            held, len(sample.ids), K,
            _mean(ranks[0] < 1), _mean(ranks[0] < K), _mean(overlap),
            float(np.mean(ranks[1] < K)), float(np.mean(staying)),
            _ndcg(work, sample, relevance, report), fitted.predicted, n_index, among,
            _segments(sample, ranks[0] < K, overlap),
            _thresholds(work, fitted, thresholds), work.plan.gate.min_retention, fitted.checksum,
        )  # fmt: skip
        write_json(work.folder / VERIFIED, found.to_dict())
        return found, sample


def _sampled(
    work: Migration, anchors: Sequence[str], segment: str | None, report: Report
) -> Sample:
    """Embed items that are translated in the shadow, and that the map has not seen."""
    n = _validation.check_integer(work.plan.gate.n_verified, "gate.n_verified", 20)
    skip = {*native_ids(work.shadow), *anchors}
    ids = sample_ids(all_ids(work.store), n, work.plan.map.seed + 1, skip=skip)
    if len(ids) < 20:
        raise ValueError(
            f"{len(ids)} rows of {work.store.url} are translated, the others native or anchors; "
            "expected at least 20 to verify"
        )
    text = work.plan.store.text
    _, Y = paired(work.store, work.natives, ids, text, report("embedding a sample", len(ids)))
    old, new = work.store.take(ids), work.shadow.open().take(ids, payload=False)
    place_old, place_new = ({i: n for n, i in enumerate(rows.ids)} for rows in (old, new))
    kept = [n for n, i in enumerate(ids) if i in place_old and i in place_new]
    ids = [ids[n] for n in kept]
    at = [place_old[i] for i in ids]

    def values(field: str | None) -> list[str] | None:
        if not field:
            return None
        found = work.store.values(old, field)
        return ["" if found[n] is None else str(found[n]) for n in at]

    X, P = old.X[at], new.X[[place_new[i] for i in ids]]
    return Sample(ids, X, Y[kept], P, values(text), values(segment))


def _ranks(new: Store, sample: Sample, n_index: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return how many rows lie nearer to each item's native vector than its own row.

    Among ``n_index`` rows drawn at random, and among all.
    """
    Q = unit_rows(sample.Y).astype(np.float32)
    own = np.vecdot(Q, unit_rows(sample.P).astype(np.float32))
    place = {i: n for n, i in enumerate(sample.ids)}
    rng = np.random.default_rng(seed)
    total = max(1, new.count())
    drawn, whole = np.zeros((2, len(Q)), dtype=np.int64)
    for rows in new.batches(BATCH, payload=False):
        nearer = own[:, None] < Q @ unit_rows(rows.X).T
        for column, i in enumerate(rows.ids):
            if i in place:
                nearer[place[i], column] = False
        whole += nearer.sum(axis=1)
        chosen = rng.random(len(rows.ids)) < n_index / total
        drawn += nearer[:, chosen].sum(axis=1)
    return drawn, whole


def _mean(values: np.ndarray) -> Estimate:
    """Return a mean over items with the interval of a bootstrap."""
    values = np.asarray(values, float)
    rows = np.random.default_rng(0).integers(len(values), size=(N_BOOTSTRAP, len(values)))
    low, high = np.quantile(values[rows].mean(axis=1), [0.05, 0.95])
    return Estimate(float(values.mean()), float(low), float(high))


def _segments(sample: Sample, found: np.ndarray, overlap: np.ndarray) -> tuple[Segment, ...]:
    if sample.segments is None:
        return ()
    names = np.asarray(sample.segments)
    all_found = [
        Segment(str(name), int(own.sum()), float(found[own].mean()), float(overlap[own].mean()))
        for name in np.unique(names)
        if (own := names == name).sum() >= LEAST_IN_SEGMENT
    ]
    return tuple(sorted(all_found, key=lambda s: s.overlap_k))


def _thresholds(
    work: Migration, fitted: Fitted, thresholds: Sequence[float]
) -> tuple[Recalibrated, ...]:
    if not thresholds:
        return ()
    index = some_rows(work.store, INDEX // 4, work.plan.map.seed)
    return tuple(
        recalibrate_threshold(fitted.translation, fitted.X, fitted.Y, index, t, translated="index")
        for t in thresholds
    )


def _ndcg(
    work: Migration, sample: Sample, relevance: Sequence[Mapping[str, Any]], report: Report
) -> tuple[float, float] | None:
    """Return nDCG of queries in a pool that both encoders have: translated, and native."""
    if not relevance:
        return None
    from sklearn.metrics import ndcg_score

    queries, grades = _checked(relevance)
    wanted = sorted({i for grade in grades for i in grade})
    text = work.plan.store.text
    rows = work.shadow.open().take(wanted, payload=False)
    if not rows.ids:
        raise ValueError("relevance names no item that is in the store")
    _, Y = paired(work.store, work.natives, rows.ids, text, report("embedding", len(rows.ids)))
    extra = [n for n, i in enumerate(sample.ids) if i not in set(rows.ids)]
    ids = [*rows.ids, *(sample.ids[n] for n in extra)]
    native = unit_rows(np.concatenate([Y, sample.Y[extra]]))
    translated = unit_rows(np.concatenate([rows.X, sample.P[extra]]))
    Q = unit_rows(work.natives.of({f"query:{q}": q for q in queries}))
    truth = np.array([[float(grade.get(i, 0)) for i in ids] for grade in grades])
    answered = truth.any(axis=1)
    after, before = (
        float(ndcg_score(truth[answered], Q[answered] @ M.T, k=K)) for M in (translated, native)
    )
    return after, before


def _checked(relevance: Sequence[Mapping[str, Any]]) -> tuple[list[str], list[Mapping[str, float]]]:
    queries: list[str] = []
    grades: list[Mapping[str, float]] = []
    for number, line in enumerate(relevance, 1):
        query, relevant = line.get("query"), line.get("relevant")
        if not isinstance(query, str) or not isinstance(relevant, Mapping) or not relevant:
            raise ValueError(
                f'relevance, entry {number}: expected {{"query": text, "relevant": {{id: grade}}}}'
            )
        queries.append(query)
        grades.append({str(i): float(g) for i, g in relevant.items()})
    return queries, grades
