"""What embeddings that are read a batch at a time have in common, wherever they lie.

Files are read into memory of our own rather than mapped: what is mapped counts as memory
of the process, and ends it where the file gets shorter meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from relatum import _columns
from relatum._columns import COLUMN

MEMORY = 2**30
"""Bytes for the rows of a file, unless it is told otherwise."""
TAKEN = 8 * 2**20
"""Bytes of rows that are looked through at once for some of them."""


class Batch(NamedTuple):
    """Some rows in their order."""

    start: int
    X: np.ndarray
    """(n, n_features)"""
    table: Any = None
    """These rows with all columns (``pyarrow.Table``); None where ``X`` is all there is."""

    def to_arrow(self, name: str = COLUMN) -> Any:
        """Return a table of all columns; the embeddings are a view of ``X``."""
        return _columns.with_matrix(self.table, name, self.X)


class Source(Protocol):
    """Embeddings that can be read from any row on."""

    name: str
    column: str
    n_rows: int
    n_features: int
    dtype: np.dtype
    id_column: str | None
    other_columns: Sequence[str]

    @property
    def other_bytes(self) -> int:
        """About what the other columns take of a row."""

    def batches(self, start: int, size: int) -> Iterator[Batch]:
        """Yield batches of ``size`` rows from ``start`` on; the last may be shorter."""

    def take(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Return rows by their numbers, in the order asked for, and their ids."""

    def ids(self) -> np.ndarray | None:
        """Return the ids of all rows."""

    def ids_of(self, rows: np.ndarray) -> np.ndarray | None:
        """Return the ids of some rows, an array of any shape."""

    def bare(self, *, ids: bool = True) -> Source:
        """Return the same without the other columns; without ``ids`` these are not known."""

    def fingerprint(self) -> dict[str, Any]:
        """Return what changes when the content does."""


def block_rows(memory: int, width: int, copies: int, largest: int, what: str) -> int:
    """Return how many rows to work on at once, ``copies`` of which fit into ``memory``.

    A row takes ``width`` bytes; a block takes at most ``largest``.
    """
    if copies * width > memory:
        raise ValueError(
            f"memory is {memory} bytes; expected at least {copies * width}: {copies} rows of {what}"
        )
    return max(1, min(memory // copies, largest) // width)


def look_through(source: Source, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """Read a source from the first to the last of ``rows``; what ``Source.take`` returns."""
    out = np.empty((len(rows), source.n_features), source.dtype)
    found: list[Any] = []
    order = np.argsort(rows)
    wanted = rows[order]
    for batch in source.batches(int(wanted[0]), max(1, TAKEN // out[:1].nbytes)):
        low, high = np.searchsorted(wanted, [batch.start, batch.start + len(batch.X)])
        places = wanted[low:high] - batch.start
        out[order[low:high]] = batch.X[places]
        if source.id_column is not None and batch.table is not None:
            found += batch.table.column(source.id_column).take(places).to_pylist()
        if high == len(wanted):
            break
    return out, np.asarray(found)[np.argsort(order)] if found else None
