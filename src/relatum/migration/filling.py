"""Filling a shadow: every row of a store, with its vector translated or made anew.

What is done is read from the shadow itself, so that a run that was killed at any moment
goes on from the rows that are there. A row knows the checksum of the old vector that it was
made from: rows whose old vector changed are made again, and those whose item is gone are
removed.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np

from relatum import _validation
from relatum._overlap import Behind, ahead
from relatum.stores import Rows, Shadow, Store

__all__ = ["Filled", "Held", "check", "fill", "row_sums", "write_native"]

BATCH = 8_192
"""Rows that are read, translated and written at once."""
PASSES = 10
"""Over a store that does not stop changing."""
NAMED = 5
"""Ids that a message names."""


@dataclass(frozen=True)
class Filled:
    """What filling a shadow did."""

    n_rows: int
    """Of the store."""
    n_written: int
    n_replaced: int
    """Of these, rows that were made anew because the old vector had changed."""
    n_removed: int
    """Rows whose item is no longer in the store."""
    n_passes: int
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """Return plain numbers, ready for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Held:
    """A shadow held against its store, row by row."""

    n_store: int
    n_shadow: int
    n_native: int
    """Rows of the shadow that the new encoder itself made."""
    missing: tuple[str, ...]
    """Some ids of the store that the shadow lacks."""
    surplus: tuple[str, ...]
    """Some ids of the shadow that are not in the store, or are there twice."""
    stale: tuple[str, ...]
    """Some ids whose old vector is no longer the one that was translated."""
    checksum: int
    """Of all old vectors and their ids, in any order."""

    @property
    def whole(self) -> bool:
        """Whether every row of the store is in the shadow, once, and nothing else."""
        return not (self.missing or self.surplus or self.stale)

    def __str__(self) -> str:
        """Say it in a line."""
        if self.whole:
            return f"{self.n_shadow:,} rows, each once; {self.n_native:,} of them native"
        said = [f"{name}: {', '.join(ids)} ..." for name, ids in
                (("missing", self.missing), ("surplus", self.surplus), ("stale", self.stale))
                if ids]  # fmt: skip
        return f"{self.n_store:,} rows in the store, {self.n_shadow:,} beside it; {'; '.join(said)}"

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON."""
        return asdict(self) | {"whole": self.whole}


class _Known(NamedTuple):
    """What a shadow holds, as sorted hashes of ids and the sums of their old vectors."""

    hashes: np.ndarray
    sums: np.ndarray
    native: np.ndarray

    @classmethod
    def of(cls, shadow: Shadow) -> _Known:
        parts = [(_hashes(m.ids), m.sums, m.native) for m in shadow.marks()]
        empty = [(np.zeros(0, np.int64), np.zeros(0, np.uint32), np.zeros(0, bool))]
        hashes, sums, native = (np.concatenate(c) for c in zip(*(parts or empty), strict=True))
        order = np.argsort(hashes)
        return cls(hashes[order], sums[order], native[order])

    def look(self, hashes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return whether each is there, and the sum that it was made from."""
        if not len(self.hashes):
            return np.zeros(len(hashes), bool), np.zeros(len(hashes), np.uint32)
        at = np.minimum(np.searchsorted(self.hashes, hashes), len(self.hashes) - 1)
        return self.hashes[at] == hashes, self.sums[at]


def fill(
    store: Store,
    shadow: Shadow,
    translate: Callable[[np.ndarray], np.ndarray],
    *,
    batch: int = BATCH,
    rows_per_second: float | None = None,
    progress: Callable[[int], object] | None = None,
) -> Filled:
    """Write every row of a store to its shadow that is not there yet.

    Rows that come, change or go meanwhile are found by a further pass. Rows that are there
    already, translated or native, stay as they are while their old vector does.

    Parameters
    ----------
    store : Store
    shadow : Shadow
        Created.
    translate : callable
        From vectors (n, n_features) of the store to those of the shadow.
    batch : int
        Rows at once; each batch is written whole or not at all.
    rows_per_second : float, optional
        Not faster than this.
    progress : callable, optional
        Called with the number of rows of the store that were looked at.

    Raises
    ------
    ValueError
        An id that two rows have, a vector that is not finite.

    Notes
    -----
    Ids are told apart by 64-bit hashes, which takes 13 bytes of memory a row.
    """
    _validation.check_integer(batch, "batch")
    started = time.monotonic()
    total = _Counts()
    for n_passes in range(1, PASSES + 1):
        before = store.state()
        known = _Known.of(shadow)
        counts, seen = _pass(
            store, shadow, known, translate, batch, rows_per_second,
            progress if n_passes == 1 else None,
        )  # fmt: skip
        if not _in(known.hashes, seen).all():
            counts.removed = _remove(shadow, seen)
        total.add(counts)
        if not counts.changed or (before is not None and store.state() == before):
            break
    seconds = round(time.monotonic() - started, 3)
    return Filled(len(seen), total.written, total.replaced, total.removed, n_passes, seconds)


@dataclass
class _Counts:
    written: int = 0
    replaced: int = 0
    removed: int = 0

    @property
    def changed(self) -> bool:
        return bool(self.written or self.removed)

    def add(self, other: _Counts) -> None:
        self.written += other.written
        self.replaced += other.replaced
        self.removed += other.removed


def _pass(
    store: Store, shadow: Shadow, known: _Known, translate: Callable[[np.ndarray], np.ndarray],
    batch: int, rows_per_second: float | None, progress: Callable[[int], object] | None,
) -> tuple[_Counts, np.ndarray]:  # fmt: skip
    """Go through the store once; return what was written, and the hashes of all ids."""
    counts, seen = _Counts(), [np.zeros(0, np.int64)]
    pace = _Pace(rows_per_second)
    done = 0
    rows_read = store.batches(batch, payload=shadow.copies_payload)
    with closing(ahead(rows_read)) as read, Behind() as behind:
        for rows in read:
            hashes, sums = _hashes(rows.ids), _finite_sums(rows, store.url)
            seen.append(hashes)
            there, made_from = known.look(hashes)
            changed = there & (made_from != sums)
            for todo, replace in ((~there, False), (changed, True)):
                if todo.any():
                    some = chosen(rows, todo)
                    pace.wait(len(some.ids))
                    Y = np.asarray(translate(some.X), np.float32)
                    behind(_writing(shadow, some, Y, sums[todo], replace))
            counts.written += int((~there | changed).sum())
            counts.replaced += int(changed.sum())
            done += len(rows.ids)
            if progress is not None:
                progress(done)
    return counts, _unique(np.concatenate(seen), store)


def _writing(
    shadow: Shadow, rows: Rows, Y: np.ndarray, sums: np.ndarray, replace: bool
) -> Callable[[], object]:
    return lambda: shadow.write(rows, Y, sums, False, replace=replace)


def write_native(
    store: Store, shadow: Shadow, ids: Sequence[str], Y: np.ndarray, *, batch: int = BATCH
) -> int:
    """Write vectors that the new encoder itself made, in place of translated ones.

    Parameters
    ----------
    store : Store
    shadow : Shadow
        Created.
    ids : sequence of str (n,)
    Y : array (n, n_features)
        Row i is the vector of ``ids[i]``.
    batch : int

    Returns
    -------
    int
        Rows that were written; ids that are no longer in the store are left out.

    Raises
    ------
    ValueError
        Rows that do not match, NaN, infinity.
    """
    Y = np.asarray(_validation.as_matrix(Y, "Y", finite=True), np.float32)
    if len(ids) != len(Y):
        raise ValueError(f"ids has {len(ids)} entries, Y has {len(Y)} rows; expected as many")
    written = 0
    for start in range(0, len(ids), batch):
        place = {i: row for row, i in enumerate(ids[start : start + batch], start)}
        rows = store.take(list(place), payload=shadow.copies_payload)
        if rows.ids:
            values = Y[[place[i] for i in rows.ids]]
            shadow.write(rows, values, row_sums(rows.X), True, replace=True)
        written += len(rows.ids)
    return written


def check(store: Store, shadow: Shadow) -> Held:
    """Hold a shadow against its store: every row once, made from the vector that is there.

    Reads all vectors of the store, and all marks of the shadow.

    Parameters
    ----------
    store : Store
    shadow : Shadow
    """
    known = _Known.of(shadow)
    missing: list[str] = []
    stale: list[str] = []
    seen, checksum = [np.zeros(0, np.int64)], 0
    for rows in store.batches(BATCH, payload=False):
        hashes, sums = _hashes(rows.ids), row_sums(rows.X)
        seen.append(hashes)
        there, made_from = known.look(hashes)
        missing += _some(rows.ids, ~there)
        stale += _some(rows.ids, there & (made_from != sums))
        checksum ^= _checksum(rows.ids, sums)
    hashes = np.sort(np.concatenate(seen))
    surplus: list[str] = []
    twice = known.hashes[1:][known.hashes[1:] == known.hashes[:-1]]
    for marks in shadow.marks():
        found = _hashes(marks.ids)
        surplus += _some(marks.ids, ~_in(found, hashes) | _in(found, twice))
    return Held(
        len(hashes), len(known.hashes), int(known.native.sum()), tuple(missing[:NAMED]),
        tuple(surplus[:NAMED]), tuple(stale[:NAMED]), checksum,
    )  # fmt: skip


def row_sums(X: np.ndarray) -> np.ndarray:
    """Return the CRC-32 of each row of ``X``, as float32 (n,)."""
    X = np.ascontiguousarray(X, np.float32)
    width = X.shape[1] * 4
    data = X.reshape(-1).view(np.uint8).data
    found = (zlib.crc32(data[i : i + width]) for i in range(0, len(data), width))
    return np.fromiter(found, np.uint32, len(X))


def chosen(rows: Rows, which: np.ndarray) -> Rows:
    """Return some of the rows, by truth values; all of them as they are."""
    if which.all():
        return rows
    at = np.flatnonzero(which)
    payload = rows.payload
    if payload is not None:
        payload = payload.take(at) if hasattr(payload, "take") else [payload[i] for i in at]
    return Rows([rows.ids[i] for i in at], rows.X[at], payload)


def _remove(shadow: Shadow, seen: np.ndarray) -> int:
    """Remove the rows whose item is gone."""
    gone = [
        i for marks in shadow.marks()
        for i, there in zip(marks.ids, _in(_hashes(marks.ids), seen), strict=True) if not there
    ]  # fmt: skip
    if gone:
        shadow.remove(gone)
    return len(gone)


def _finite_sums(rows: Rows, name: str) -> np.ndarray:
    bad = np.flatnonzero(~np.isfinite(rows.X).all(axis=1))
    if bad.size:
        ids = ", ".join(repr(rows.ids[i]) for i in bad[:NAMED])
        raise ValueError(f"{name} has NaN or infinity in the vectors of {ids}; expected numbers")
    return row_sums(rows.X)


def _unique(hashes: np.ndarray, store: Store) -> np.ndarray:
    hashes.sort()
    twice = hashes[1:][hashes[1:] == hashes[:-1]]
    if twice.size:
        found = (i for ids in store.ids() for i in _some(ids, _in(_hashes(ids), twice)))
        raise ValueError(
            f"{store.url}: the id {next(found, '?')!r} occurs more than once; expected one row for "
            "each id"
        )
    return hashes


def _hashes(ids: Sequence[str]) -> np.ndarray:
    return np.fromiter(map(hash, ids), np.int64, len(ids))


def _in(values: np.ndarray, ordered: np.ndarray) -> np.ndarray:
    """Tell which values are among others, which are in ascending order."""
    if not len(ordered):
        return np.zeros(len(values), bool)
    at = np.minimum(np.searchsorted(ordered, values), len(ordered) - 1)
    return np.asarray(ordered[at] == values)


def _some(ids: Sequence[str], which: np.ndarray) -> list[str]:
    return [ids[i] for i in np.flatnonzero(which)[:NAMED]]


def _checksum(ids: Sequence[str], sums: np.ndarray) -> int:
    """Return a checksum of ids and vectors that does not depend on their order."""
    found = 0
    for i, value in zip(ids, sums.tolist(), strict=True):
        found ^= zlib.crc32(i.encode(), value)
    return found


class _Pace:
    """Waits such that rows do not go by faster than they may."""

    def __init__(self, rows_per_second: float | None) -> None:
        if rows_per_second is not None and not rows_per_second > 0:
            raise ValueError(f"rows_per_second is {rows_per_second}; expected a number above 0")
        self.rate, self.begun, self.rows = rows_per_second, time.monotonic(), 0

    def wait(self, n_rows: int) -> None:
        if self.rate is None:
            return
        time.sleep(max(0.0, self.begun + self.rows / self.rate - time.monotonic()))
        self.rows += n_rows
