"""The client of Qdrant: connections, what goes wrong, names, ids and vectors."""

from __future__ import annotations

import os
import threading
import uuid
from collections.abc import Iterator
from typing import Any

import numpy as np

from relatum import _places
from relatum._validation import require
from relatum.stores import _clients as clients
from relatum.stores._clients import Guarded

KEY = "QDRANT_API_KEY"
TIMEOUT = 300
"""Seconds without an answer after which a server counts as gone."""
UNIT = 1e-6
"""How far a norm may be from 1 for a vector to count as normalised."""


def connect(place: str) -> Guarded:
    """Return a client of a server, or the one of a folder."""
    if _places.is_url(place):
        clients.check_server(place, KEY)
        options = {"url": place, "timeout": TIMEOUT, "check_compatibility": False}
        return _connect(place, None, options | {"api_key": os.environ.get(KEY)})
    options = {"path": place, "force_disable_check_same_thread": True}
    key = f"qdrant:{os.path.realpath(place)}"
    return clients.shared(key, lambda: _connect(place, threading.RLock(), options))


def _connect(place: str, lock: Any, options: dict[str, Any]) -> Guarded:
    qdrant = require("qdrant_client", "stores", f"{place}: Qdrant")
    http = require("qdrant_client.http.exceptions", "stores", f"{place}: Qdrant")

    def said(error: Exception) -> Exception | None:
        if isinstance(error, http.UnexpectedResponse):
            return _refused(error, place)
        if isinstance(error, http.ResponseHandlingException):
            return OSError(f"{place}: {clients.line(error.source)}")
        if type(error).__name__ == "ResourceExhaustedResponse":
            return OSError(f"{place}: {clients.line(error)}")
        return clients.plain(error, place)

    client = Guarded(None, said).run(qdrant.QdrantClient, **options)
    return clients.closing(Guarded(client, said, lock), client.close)


def _refused(error: Any, place: str) -> Exception:
    """Say what a server answered."""
    try:
        text = str(error.structured()["status"]["error"])
    except (ValueError, KeyError, TypeError):
        text = f"{error.status_code} {error.reason_phrase}"
    if error.status_code in (401, 403):
        return PermissionError(f"{place}: {clients.line(text)} (the key is read from {KEY})")
    kind = ValueError if error.status_code in (400, 404, 409, 422) else OSError
    return kind(f"{place}: {clients.line(text)}")


def names(client: Guarded) -> list[str]:
    return [found.name for found in client.get_collections().collections]


def aliases(client: Guarded) -> dict[str, str]:
    return {a.alias_name: a.collection_name for a in client.get_aliases().aliases}


def pages(client: Guarded, name: str, limit: int, **wanted: Any) -> Iterator[list[Any]]:
    """Yield all points of a collection in the order of their ids."""
    offset = None
    while True:
        page, offset = client.scroll(name, limit=limit, offset=offset, **wanted)
        if page:
            yield page
        if offset is None:
            return


def chosen_vector(params: Any, vector: str | None, url: str) -> tuple[str, Any]:
    """Return name and parameters of the vectors to read; the name is empty where there is none."""
    found = {"": params.vectors} if hasattr(params.vectors, "size") else dict(params.vectors or {})
    named = ", ".join(found)
    if not found:
        sparse = ", ".join(params.sparse_vectors or {}) or "none"
        raise ValueError(f"{url} has no dense vectors; its sparse ones are {sparse}")
    if vector is None and len(found) > 1:
        raise ValueError(f"{url} has the vectors {named}; name one (vector)")
    name = next(iter(found)) if vector is None else vector
    if name not in found:
        if "" in found:
            raise ValueError(f"vector is {vector!r}; {url} has one without a name: leave it out")
        raise ValueError(f"vector is {vector!r}; {url} has the dense vectors {named}")
    if found[name].multivector_config is not None:
        raise ValueError(f"{url} has several vectors for each point (multivectors); expected one")
    return name, found[name]


def is_id(text: str) -> bool:
    """Tell whether a point can have this id, written as ids are read."""
    if text.isascii() and text.isdigit():
        return len(text) <= 20 and str(int(text)) == text and int(text) < 2**64
    try:
        return str(uuid.UUID(text)) == text
    except ValueError:
        return False


def point_id(text: str) -> int | str:
    return int(text) if text.isascii() and text.isdigit() else text


def normalised(X: np.ndarray) -> np.ndarray:
    """Divide rows by their norms, but for those that are 1 already: these stay as they are."""
    norms = np.linalg.norm(X, axis=1, keepdims=True)
    keep = (np.abs(norms - 1) < UNIT) | (norms == 0)
    return np.asarray(X / np.where(keep, 1, norms))
