"""The client of Chroma: connections, what goes wrong, names."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from relatum import _places
from relatum._validation import require
from relatum.stores import _clients as clients
from relatum.stores._clients import Guarded

TIMEOUT = 600.0
"""Seconds without an answer of a server after which it counts as gone."""


def connect(place: str) -> Guarded:
    """Return a client of a server, or the one of a folder."""
    chroma = require("chromadb", "stores", f"{place}: Chroma")
    if _places.is_url(place):
        clients.check_server(place, "Chroma's own CHROMA_CLIENT_AUTH_CREDENTIALS")
        if urlsplit(place).port is None and place.startswith("http:"):
            place = f"{place.rstrip('/')}:8000"
        return _connect(place, lambda: chroma.HttpClient(host=place))
    key = f"chroma:{os.path.realpath(place)}"
    return clients.shared(key, lambda: _connect(place, lambda: chroma.PersistentClient(place)))


def _connect(place: str, make: Callable[[], Any]) -> Guarded:
    errors = require("chromadb.errors", "stores", f"{place}: Chroma")
    http = require("httpx", "stores", f"{place}: Chroma")

    def said(error: Exception) -> Exception | None:
        text = f"{place}: {clients.line(error)}"
        if isinstance(error, errors.ChromaError):
            return ValueError(text) if error.code() < 500 else OSError(text)
        if isinstance(error, http.HTTPError) or type(error) is Exception:  # what a proxy says
            return OSError(text)
        if isinstance(error, ValueError) and "Could not connect" in str(error):
            return OSError(text)
        return clients.plain(error, place)

    client = Guarded(None, said).run(make)
    owners = [getattr(c, "_server", None) for c in (client, getattr(client, "_admin_client", None))]
    sessions = [s for s in (getattr(owner, "_session", None) for owner in owners) if s is not None]

    def close() -> None:
        client.close()
        for session in sessions:  # which Chroma leaves open
            session.close()

    for session in sessions:  # which else wait for ever
        session.timeout = TIMEOUT
    return clients.closing(Guarded(client, said), close)


def names(client: Guarded) -> list[str]:
    found: list[str] = []
    while page := client.list_collections(limit=1_000, offset=len(found)):
        found += [one.name for one in page]
    return found


def collection(client: Guarded, name: str) -> Guarded:
    """Return a collection; without an embedding function, which might be fetched."""
    return client.of(client.get_collection(name, embedding_function=None))
