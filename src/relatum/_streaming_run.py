"""One pass over the rows of a source: read ahead, worked on, written behind and recorded."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from relatum import _array, _files, _formats, _gemm, _validation
from relatum._half import as_dtype, check_range
from relatum._journal import Unfinished
from relatum._overlap import Behind, ahead, in_order, told
from relatum._sinks import Output, Seal, Sink, make_sink
from relatum._sources import Batch, Source
from relatum.row_maps import RowMap


class Plan(NamedTuple):
    """How the rows are cut: ``block`` are worked on at once, ``part`` are kept at once."""

    block: int
    part: int

    def parts(self, n_rows: int) -> Iterator[tuple[int, slice]]:
        for i, start in enumerate(range(0, n_rows, self.part)):
            yield i, slice(start, min(start + self.part, n_rows))


class Written(NamedTuple):
    """What a run wrote."""

    n_rows: int
    n_outputs: int
    n_parts: int
    n_kept: int
    """Rows that an earlier run had written."""


Part = tuple[int, slice]
"""A part's number and its rows."""
Record = dict[str, Any]


class Task(NamedTuple):
    """All that another process needs to write parts of an output."""

    source: Source
    rows: RowMap
    dtype: np.dtype
    plan: Plan
    folder: Path
    output: Output

    def write(self, parts: list[Part]) -> Iterator[Record]:
        """Write some parts, and yield what the journal says of each when it is on the disk."""
        run = Run(self.source, self.rows, self.dtype, None)
        sink = make_sink(self.folder, self.output, self.source, run.shape, self.dtype)

        def write(tell: Callable[[Record], None]) -> None:
            run.write(sink, lambda i, **about: tell({"part": i, **about}), self.plan, parts)

        return told(write)


_Result = tuple[int, slice, int, Any, np.ndarray, "_Lost"]
"""Part, its rows, the first row, other columns, what came of the rows, rows without direction."""
Engine = Callable[[Task, list[Part]], Iterator[Record]]
"""Writes parts somewhere, in any order, and yields their records as they are whole."""


class Run:
    """One pass over the rows of a source."""

    def __init__(
        self, source: Source, rows: RowMap, dtype: np.dtype,
        progress: Callable[[int], object] | None, *, waiting: int = 1,
    ) -> None:  # fmt: skip
        self.source, self.rows, self.dtype, self.waiting = source, rows, dtype, waiting
        self.progress = progress or (lambda done: None)
        self.lost = _Lost()
        working: Any = _array.float_dtype(np.empty(0, source.dtype))
        narrower = dtype.itemsize < np.dtype(working).itemsize
        self.converted = narrower and rows.into is not None

    @property
    def shape(self) -> tuple[int, int]:
        return self.source.n_rows, self.rows.n_outputs

    def to_standard_output(self, plan: Plan) -> Written:
        out = np.empty(self.shape, self.dtype)
        with closing(ahead(self.source.batches(0, plan.block))) as batches:
            for batch in batches:
                stop = batch.start + len(batch.X)
                out[batch.start : stop] = self._apply(batch, self.lost)
                self.progress(stop)
        self.lost.warn(self.source.name, self.rows.centred)
        _formats.save_npy(_formats.STANDARD, out)
        return Written(*self.shape, 1, 0)

    def to_file(self, work: Unfinished, output: Output, engine: Engine | None = None) -> Written:
        plan, parts = Plan(**work.plan), []
        sink = make_sink(work.folder, output, self.source, self.shape, self.dtype)
        for part, rows in plan.parts(self.source.n_rows):
            record = work.done.get(part)
            n_rows = rows.stop - rows.start
            if record and sink.checksum(part, rows.start, n_rows) != record["checksum"]:
                work.done.pop(part)
            parts.append((part, rows))
        missing = [p for p in parts if p[0] not in work.done]
        kept = self.source.n_rows - sum(r.stop - r.start for _, r in missing)
        if engine is None:
            self.write(sink, work.record, plan, missing, kept)
        elif missing:
            task = Task(self.source, self.rows, self.dtype, plan, work.folder, output)
            self._record(engine(task, missing), work, dict(missing), kept)
        for record in work.done.values():
            self.lost.add(record["lost"], record["first_lost"])
        if self.source.fingerprint() != work.job["input"]:
            raise _files.FileFormatError(f"{self.source.name} changed while it was read")
        self.lost.warn(self.source.name, self.rows.centred)
        if (whole := sink.finish(len(parts))) is not None:
            _give_name(whole, work.target)
        work.remove()
        return Written(*self.shape, len(parts), kept)

    def _record(
        self, found: Iterator[Record], work: Unfinished, missing: dict[int, slice], done: int
    ) -> None:
        for record in found:
            work.record(**record)
            rows = missing[record["part"]]
            done += rows.stop - rows.start
            self.progress(done)

    def write(
        self, sink: Sink, record: Callable[..., object], plan: Plan, parts: list[Part],
        done: int = 0,
    ) -> None:  # fmt: skip
        """Write some parts, and record each when it is on the disk."""
        try:
            with (
                Behind(0) as sealed,
                Behind(self.waiting) as later,
                closing(self._results(self._batches(plan, parts))) as results,
            ):
                writer = _PartWriter(sink, record, sealed, self.dtype, self.converted)
                for part, rows, start, table, Y, lost in results:
                    later(functools.partial(writer, part, rows, start, Y, table, lost))
                    done += len(Y)
                    self.progress(done)
                    del Y, table
        finally:
            sink.close()

    def _batches(self, plan: Plan, parts: list[Part]) -> Iterator[tuple[int, slice, Batch]]:
        """Read the parts; those that follow each other in one go."""
        waiting = list(parts)
        while waiting:
            for batch in self.source.batches(waiting[0][1].start, plan.block):
                part, rows = waiting[0]
                yield part, rows, batch
                if batch.start + len(batch.X) < rows.stop:
                    continue
                waiting.pop(0)
                if not waiting or waiting[0][1].start != rows.stop:
                    break

    def _results(self, batches: Iterator[tuple[int, slice, Batch]]) -> Generator[_Result]:
        """Compute the batches in their order: in several threads, or one and a reader."""
        n = 1 if self.rows.into is None else _array.n_threads()
        if n == 1:
            with closing(ahead(batches)) as read:
                yield from map(self._compute, read)
            return
        with _gemm.one_core_each(), closing(in_order(self._compute, batches, n)) as results:
            yield from results

    def _compute(self, given: tuple[int, slice, Batch]) -> _Result:
        part, rows, batch = given
        lost = _Lost()
        with _array.one_thread() if self.rows.into is not None else nullcontext():
            return part, rows, batch.start, batch.table, self._apply(batch, lost), lost

    def _apply(self, batch: Batch, lost: _Lost) -> np.ndarray:
        with _validation.rows_without_direction_told() as found:
            try:
                Y = self._result(batch.X)
            except ValueError:
                X = _validation.as_matrix(batch.X)
                _validation.check_finite(X, self.source.name, batch.start)
                raise
        lost.add(len(found), [row + batch.start for row in sorted(found)[: _Lost.SHOWN]])
        return Y

    def _result(self, X: np.ndarray) -> np.ndarray:
        if self.rows.into is None:
            return np.asarray(self.rows.function(X))
        out = np.empty((len(X), self.rows.n_outputs), self.dtype)
        self.rows.into(X, out)
        return out


class _Lost:
    """Rows without a direction: how many, and the first of them."""

    SHOWN = 6

    def __init__(self) -> None:
        self.count = 0
        self.first: list[int] = []

    def add(self, count: int, first: list[int]) -> None:
        self.count += count
        self.first = sorted([*self.first, *first])[: self.SHOWN]

    def warn(self, name: str, centred: bool) -> None:
        if self.count:
            _validation.warn_zero_rows(np.asarray(self.first), name, centred, self.count)


class _PartWriter:
    """What follows a block: convert it, write it, and have its part sealed once that is whole.

    A part is put on the disk, and recorded, while the next is written.
    """

    def __init__(
        self, sink: Sink, record: Callable[..., object], sealed: Behind, dtype: np.dtype,
        converted: bool,
    ) -> None:  # fmt: skip
        self.sink, self.record, self.sealed = sink, record, sealed
        self.dtype, self.converted = dtype, converted
        self.lost = _Lost()

    def __call__(
        self, part: int, rows: slice, start: int, Y: np.ndarray, table: Any, lost: _Lost
    ) -> None:
        if start == rows.start:
            self.sink.begin(part, rows.start)
            self.lost = _Lost()
        self.lost.add(lost.count, lost.first)
        if self.converted:
            check_range(Y, start)
        self.sink.write(as_dtype(Y, self.dtype, start), table)
        if start + len(Y) == rows.stop:
            self.sealed(functools.partial(self._seal, part, self.sink.end(), self.lost))

    def _seal(self, part: int, seal: Seal, lost: _Lost) -> None:
        self.record(part, checksum=seal(), lost=lost.count, first_lost=lost.first)


def _give_name(path: Path, target: Path) -> None:
    if path.is_dir():
        if target.exists():
            target.rmdir()  # an empty folder
    else:
        path.chmod(_files.mode_of(target))
        _files.sync(path)
    os.replace(path, target)
    _files.sync(target.parent)
