"""What stores behind a client have in common: one client a folder, errors, request sizes."""

from __future__ import annotations

import functools
import json
import sqlite3
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from relatum import _files, _places
from relatum.stores import Marks

SUM, NATIVE = "relatum_sum", "relatum_native"
"""Keys in what a row of a shadow carries: see :class:`relatum.stores.Marks`."""
REQUEST = 8 * 2**20
"""Bytes of one request at most, but for one row that is larger; servers refuse 32 or 40 MB."""
READ = 2**20
"""Numbers of vectors that one request reads."""
NUMBER = 24
"""Bytes of a number of a vector in JSON, at most."""

_open: weakref.WeakValueDictionary[str, Guarded] = weakref.WeakValueDictionary()
_opening = threading.Lock()


class Guarded:
    """An object of a client whose calls raise errors that name the place.

    With a ``lock`` they come one at a time.
    """

    def __init__(
        self,
        thing: Any,
        said: Callable[[Exception], Exception | None],
        lock: AbstractContextManager[Any] | None = None,
    ) -> None:
        self.thing, self._said, self._lock = thing, said, lock or nullcontext()
        self._of: Guarded | None = None

    def of(self, thing: Any) -> Guarded:
        """Guard another object of the same client, which stays open as long."""
        found = Guarded(thing, self._said, self._lock)
        found._of = self
        return found

    def __getattr__(self, name: str) -> Any:
        value = getattr(self.thing, name)
        if not callable(value):
            return value

        return functools.partial(self.run, value)

    def run(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call a function of the client."""
        with self._lock:
            try:
                return function(*args, **kwargs)
            except Exception as error:
                said = self._said(error)
                if said is None:
                    raise
                raise said from error


def shared(key: str, connect: Callable[[], Guarded]) -> Guarded:
    """Return the client of a folder that this process has open, or open one.

    It is closed when nothing holds it any more.
    """
    with _opening:
        found = _open.get(key)
        if found is None:
            found = _open[key] = connect()
        return found


def closing(client: Guarded, close: Callable[[], object]) -> Guarded:
    """Close a client when nothing holds it any more, at the latest when Python ends."""
    weakref.finalize(client, close)
    return client


def plain(error: Exception, place: str) -> Exception | None:
    """Return an error that names the place, for those that any client may raise."""
    if isinstance(error, ValueError):
        return ValueError(f"{place}: {line(error)}")
    if isinstance(error, (RuntimeError, sqlite3.Error)):
        return OSError(f"{place}: {line(error)}")
    return None


def line(error: object) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def check_folder(place: str, what: str) -> None:
    """Refuse a folder that is not there, which a client would make."""
    if not _places.is_folder(place):
        raise FileNotFoundError(f"{place}: no such folder; expected a {what} database")


def check_server(place: str, key: str) -> None:
    """Refuse a server's URL with a password in it: it would stand in files and messages."""
    parts = urlsplit(place)
    if parts.username or parts.password or parts.query:
        raise ValueError(
            f"store names {parts.hostname} with a user, a password or a query; expected "
            f"http://HOST:PORT, and the key in the environment ({key})"
        )


def no_collection(place: str, name: str, names: Sequence[str]) -> ValueError:
    has = ", ".join(sorted(names)) or "none"
    return ValueError(f"{place} has no collection {name!r}; it has {has}")


def pieces(rows: Sequence[Any], n_features: int, most: int) -> Iterator[slice]:
    """Yield slices of rows: at most ``most`` rows, and no more than a request may hold."""
    start, size = 0, 0
    for i, row in enumerate(rows):
        own = n_features * NUMBER + len(json.dumps(row, default=str))
        if i > start and (size + own > REQUEST or i - start == most):
            yield slice(start, i)
            start, size = i, 0
        size += own
    if start < len(rows):
        yield slice(start, len(rows))


def rows_at_once(n_features: int, most: int) -> int:
    """Return how many rows with their vectors one request reads."""
    return max(1, min(most, READ // n_features))


def names_in(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the names that rows have, in the order in which they are met."""
    return list(dict.fromkeys(name for row in rows for name in row))


def values(
    rows: Sequence[Mapping[str, Any]], field: str, store: str, fields: list[str]
) -> list[Any]:
    """Return one field of each row; None where a row has it not."""
    if field not in fields and not any(field in row for row in rows):
        _files.check_name(field, fields, store)
    return [row.get(field) for row in rows]


def without_marks(row: Mapping[str, Any] | None) -> dict[str, Any]:
    return {name: value for name, value in (row or {}).items() if name not in (SUM, NATIVE)}


def with_marks(rows: Sequence[Mapping[str, Any]], sums: np.ndarray, native: bool) -> list[Any]:
    marked = zip(rows, sums.tolist(), strict=True)
    return [{**row, SUM: int(value), NATIVE: bool(native)} for row, value in marked]


def marks_of(ids: list[str], rows: Sequence[Mapping[str, Any] | None]) -> Marks:
    """Return the marks of rows; 0 where something else has written them."""
    sums = [(row or {}).get(SUM, 0) for row in rows]
    native = [bool((row or {}).get(NATIVE)) for row in rows]
    return Marks(ids, np.asarray(sums, np.uint32), np.asarray(native, bool))


def cosines(query: np.ndarray, X: np.ndarray) -> np.ndarray:
    """Return the cosine of one vector with each row of ``X``; 0 where a norm is."""
    norms = np.linalg.norm(X, axis=1) * np.linalg.norm(query)
    return np.asarray(X @ query / np.where(norms > 0, norms, 1))
