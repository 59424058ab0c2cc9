"""A PostgreSQL database: its URL, connections to it, and what its errors say."""

from __future__ import annotations

import logging
import queue
import re
import select
import time
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from relatum._validation import require
from relatum.stores import _pg_copy
from relatum.stores._pg_sql import sql

if TYPE_CHECKING:
    from psycopg import Connection
    from psycopg.sql import Composable

FORM = "postgresql://USER@HOST:PORT/DATABASE#TABLE"
SECRETS = {"password", "sslpassword", "oauth_client_secret", "scram_client_key",
           "scram_server_key"}  # fmt: skip
"""Settings of a connection that no message shows."""
KEPT = 60.0
"""Seconds for which a connection waits to be used again."""
DEFAULTS = {"connect_timeout": "10", "application_name": "relatum"}


class Server:
    """A database. Each use has a connection to itself, and so any thread may use it."""

    def __init__(self, place: str) -> None:
        self._psycopg = require("psycopg", "stores", "postgresql: PostgreSQL")
        self._settings = self._read(place)
        self.url = _shown(place, self._settings)
        """Its URL, without a password."""
        self._idle: queue.SimpleQueue[tuple[Connection[Any], float]] = queue.SimpleQueue()
        weakref.finalize(self, _close, self._idle)
        # what psycopg logs where a connection breaks is said by the error too
        logging.getLogger("psycopg").addHandler(logging.NullHandler())

    def _read(self, place: str) -> dict[str, Any]:
        wrong = ValueError(
            f"store is a URL of PostgreSQL that cannot be read; expected {FORM}, with %40 for @ "
            "and %2F for / in a password"
        )
        if not place.startswith("//"):
            raise wrong
        try:
            found = self._psycopg.conninfo.conninfo_to_dict(f"postgresql:{place}")
        except self._psycopg.Error:
            raise wrong from None  # its message may have the password
        settings: dict[str, Any] = {k: v for k, v in found.items() if v is not None}
        ports = str(settings.get("port", "1")).split(",")
        names = (str(settings.get(k, "")) for k in ("host", "dbname"))
        if any("@" in name for name in names) or not all(re.fullmatch(r"\d*", p) for p in ports):
            raise wrong  # a part of a password
        return settings

    @contextmanager
    def connection(self, *, reading: bool = False) -> Iterator[Connection[Any]]:
        """Yield a connection in a transaction that ends, or is undone, with the block.

        ``reading``: it sees the rows as they are at one moment, and can change nothing.
        """
        with self._said():
            connection = self._kept() or self._new()
            try:
                connection.read_only = reading
                levels = self._psycopg.IsolationLevel
                connection.isolation_level = levels.REPEATABLE_READ if reading else None
                yield connection
                connection.commit()
            except BaseException:
                connection.close()
                raise
            self._idle.put((connection, time.monotonic()))

    def _kept(self) -> Connection[Any] | None:
        """Return a connection that was used before and is still good."""
        while True:
            try:
                connection, since = self._idle.get_nowait()
            except queue.Empty:
                return None
            # there is nothing to read from a server that has not closed it
            said = select.select([connection.fileno()], [], [], 0)[0]
            if not said and time.monotonic() - since < KEPT:
                return connection
            connection.close()

    def _new(self) -> Connection[Any]:
        # poolers between us and the server know nothing of prepared statements
        settings = DEFAULTS | self._settings | {"client_encoding": "utf8"}
        found: Connection[Any] = self._psycopg.connect(**settings, prepare_threshold=None)
        return found

    def copied(self, query: Composable, size: int) -> Iterator[list[_pg_copy.Buffer]]:
        """Yield the rows of a query as the server sends them, as they are at one moment."""
        whole = sql("COPY ({}) TO STDOUT (FORMAT BINARY)", query)
        with (
            self.connection(reading=True) as connection,
            connection.cursor().copy(whole) as copy,
        ):
            try:
                yield from _pg_copy.groups(_pg_copy.rows(copy), size)
            except BaseException:
                connection.close()  # the server need not send the rest
                raise

    @contextmanager
    def _said(self) -> Iterator[None]:
        """Turn psycopg's errors into one line with the host."""
        try:
            yield
        except self._psycopg.Error as error:
            lost = (self._psycopg.OperationalError, self._psycopg.InterfaceError)
            kind = OSError if isinstance(error, lost) else ValueError
            raise kind(f"{self.url}: {_one_line(error)}") from error


def _close(connections: queue.SimpleQueue[tuple[Connection[Any], float]]) -> None:
    while not connections.empty():
        connections.get_nowait()[0].close()


def _one_line(error: Any) -> str:
    said = ": ".join(filter(None, (error.diag.message_primary, error.diag.message_detail)))
    return " ".join((said or str(error) or type(error).__name__).split())


def _shown(place: str, settings: Mapping[str, Any]) -> str:
    """Return a URL without its secrets."""
    if not SECRETS & settings.keys():
        return f"postgresql:{place}"
    shown = {k: str(v) for k, v in settings.items() if k not in SECRETS}
    user, database = (quote(shown.pop(k, ""), safe="") for k in ("user", "dbname"))
    at = ""
    if re.fullmatch(r"[\w.-]+", shown.get("host", "")):
        at = ":".join(filter(None, (shown.pop("host"), shown.pop("port", ""))))
    more = f"?{urlencode(shown, safe='/')}" if shown else ""
    return f"postgresql://{user}@{at}/{database}{more}"
