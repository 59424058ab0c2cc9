"""Chroma as a store: a collection, and beside it a collection of the same rows as its shadow."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from relatum import _places
from relatum._validation import require
from relatum.stores import Marks, Rows, Shadow, Store
from relatum.stores import _chroma_client as chroma
from relatum.stores import _clients as clients
from relatum.stores._clients import Guarded

ABOUT = "relatum"
"""Key of a collection's metadata: its width, and what made its vectors, as JSON."""
ALIAS = "relatum_alias"
"""Key of the metadata of an empty collection: the name of the one that it stands for."""
DOCUMENT, METADATA, URI = "document", "metadata", "uri"
TAKEN = 2_000
"""Rows that are asked for by id at once, at most."""
SAMPLE = 256
"""Rows whose metadata say what fields there are."""


def open_chroma(place: str, name: str, *, url: str, vector: str | None, id: str | None) -> Store:
    """Open a collection of Chroma."""
    require("chromadb", "stores", f"{url}: Chroma")
    if not name:
        raise ValueError(f"store is {url!r}; expected chroma:PLACE#COLLECTION")
    for option, value in (("vector", vector), ("id", id)):
        if value is not None:
            raise ValueError(
                f"{option} is {value!r}; a row of Chroma has one id and one vector: leave it out"
            )
    if not _places.is_url(place):
        clients.check_folder(place, "Chroma")
        if not (Path(place) / "chroma.sqlite3").exists():
            raise clients.no_collection(place, name, [])
    client = chroma.connect(place)
    names = chroma.names(client)
    if name not in names:
        raise clients.no_collection(place, name, names)
    found = chroma.collection(client, name)
    target = (found.metadata or {}).get(ALIAS)
    if target is not None:
        raise ValueError(
            f"{name!r} is an alias of {target!r} in {place}; name the collection itself"
        )
    return ChromaStore(client, place, found, url)


class ChromaStore:
    """A collection of Chroma.

    All ids are read at once, then the rows by id: while others write, no row comes twice,
    and one that was added meanwhile is not among them. A folder is for one process: another
    that has it open sees some changes late, and two that write wait for each other for minutes;
    run Chroma's server where there are several. Opening a folder of an older Chroma brings its
    tables up to date, which is Chroma's doing.
    """

    def __init__(self, client: Guarded, place: str, collection: Guarded, url: str) -> None:
        self.client, self.place, self.collection, self.url = client, place, collection, url
        self.name = str(collection.name)
        self._known = json.loads((collection.metadata or {}).get(ABOUT, "{}"))
        width = collection.get_model().dimension or self._known.get("n_features")
        if not width:
            raise ValueError(f"{url} has no rows; expected vectors")
        self.n_features = int(width)
        index = collection.configuration_json
        self.index = {
            kind: {key: value for key, value in index[kind].items() if value is not None}
            for kind in ("hnsw", "spann") if index.get(kind)
        }  # fmt: skip
        sample = collection.get(limit=SAMPLE, include=["metadatas"])["metadatas"]
        found = clients.names_in([clients.without_marks(row) for row in sample])
        self.fields = [DOCUMENT, *(name for name in found if name != DOCUMENT)]

    def count(self) -> int:
        return int(self.collection.count())

    def state(self) -> str | None:
        return None  # Chroma tells no version of a collection

    def ids(self) -> Iterator[list[str]]:
        found = self._ids()
        for start in range(0, len(found), 65_536):
            yield found[start : start + 65_536]

    def _ids(self) -> list[str]:
        found: list[str] = self.collection.get(include=[])["ids"]
        return found

    def batches(self, size: int, *, payload: bool = True) -> Iterator[Rows]:
        ids = self._ids()
        for start in range(0, len(ids), size):
            rows = self.take(ids[start : start + size], payload=payload)
            if rows.ids:  # the others have gone meanwhile
                yield rows

    def take(self, ids: Sequence[str], *, payload: bool = True) -> Rows:
        wanted = ["embeddings", *(["documents", "metadatas", "uris"] if payload else [])]
        asked, found = list(dict.fromkeys(ids)), list[str]()
        step = clients.rows_at_once(self.n_features, TAKEN)
        X, payloads = [np.zeros((0, self.n_features), np.float32)], []
        for start in range(0, len(asked), step):
            some = self.collection.get(ids=asked[start : start + step], include=wanted)
            if some["ids"]:
                found += some["ids"]
                X.append(np.asarray(some["embeddings"], np.float32))
            if payload:
                payloads += _payloads(some)
        return Rows(found, np.concatenate(X), payloads if payload else None)

    def values(self, rows: Rows, field: str) -> list[Any]:
        found = [{**(row[METADATA] or {}), DOCUMENT: row[DOCUMENT]} for row in rows.payload]
        return clients.values(found, field, self.url, self.fields)

    def search(self, queries: np.ndarray, k: int) -> list[list[tuple[str, float]]]:
        queries = np.asarray(queries, np.float32)
        cosine = {own.get("space") for own in self.index.values()} == {"cosine"}
        wanted = ["distances" if cosine else "embeddings"]
        found = self.collection.query(query_embeddings=queries, n_results=k, include=wanted)
        if cosine:
            own = [[1 - d for d in row] for row in found["distances"]]
        else:
            vectors = [np.asarray(row, np.float32) for row in found["embeddings"]]
            own = [clients.cosines(q, X).tolist() if len(X) else []
                   for q, X in zip(queries, vectors, strict=True)]  # fmt: skip
        return [list(zip(*row, strict=True)) for row in zip(found["ids"], own, strict=True)]

    def about(self) -> dict[str, Any]:
        return dict(self._known.get("about", {}))

    def shadow(self, name: str) -> Shadow:
        return ChromaShadow(self, name)

    def point(self, alias: str, name: str | None) -> None:
        names = chroma.names(self.client)
        if (name or self.name) not in names:
            raise clients.no_collection(self.place, name or self.name, names)
        note = {ALIAS: name or self.name}
        if alias not in names:
            self.client.create_collection(alias, embedding_function=None, metadata=note)
        elif self.pointed(alias) is None:
            raise ValueError(
                f"alias is {alias!r}, which is a collection of {self.place}; expected a name "
                "that no collection has"
            )
        else:
            chroma.collection(self.client, alias).modify(metadata=note)

    def pointed(self, alias: str) -> str | None:
        if alias not in chroma.names(self.client):
            return None
        found: str | None = (chroma.collection(self.client, alias).metadata or {}).get(ALIAS)
        return found


class ChromaShadow:
    """A collection beside another.

    A write of many rows is several requests. One that breaks off between them leaves whole
    rows, each with its marks.
    """

    copies_payload = True

    def __init__(self, store: ChromaStore, name: str) -> None:
        self.store, self.name, self.client = store, name, store.client

    def exists(self) -> bool:
        return self.name in chroma.names(self.client)

    def create(self, n_features: int, about: Mapping[str, Any]) -> None:
        old = self.store.collection.metadata or {}
        kept = {key: value for key, value in old.items() if not key.startswith("hnsw:")}
        known = json.dumps({"n_features": n_features, "about": dict(about)})
        self.client.create_collection(
            self.name,
            embedding_function=None,
            configuration=self.store.index,
            metadata={**kept, ABOUT: known},
        )

    @property
    def _collection(self) -> Guarded:
        return chroma.collection(self.client, self.name)

    def open(self) -> Store:
        url = f"{self.store.url.rpartition('#')[0]}#{self.name}"
        return ChromaStore(self.client, self.store.place, self._collection, url)

    def marks(self) -> Iterator[Marks]:
        collection = self._collection
        ids = collection.get(include=[])["ids"]
        for start in range(0, len(ids), TAKEN):
            some = collection.get(ids=ids[start : start + TAKEN], include=["metadatas"])
            if some["ids"]:
                yield clients.marks_of(some["ids"], some["metadatas"])

    def write(
        self, rows: Rows, Y: np.ndarray, sums: np.ndarray, native: bool, *, replace: bool
    ) -> None:
        collection, Y = self._collection, np.asarray(Y, np.float32)
        metadatas = clients.with_marks([row[METADATA] or {} for row in rows.payload], sums, native)
        most = int(self.client.get_max_batch_size())
        for part in clients.pieces(rows.payload, Y.shape[1], most):
            ids, payload = rows.ids[part], rows.payload[part]
            if replace:
                _forget(collection, ids, payload)
            collection.upsert(
                ids=ids,
                embeddings=Y[part],
                metadatas=metadatas[part],
                documents=[row[DOCUMENT] for row in payload],
                uris=[row[URI] for row in payload],
            )

    def remove(self, ids: Sequence[str]) -> None:
        collection = self._collection
        for start in range(0, len(ids), TAKEN):
            collection.delete(ids=list(ids[start : start + TAKEN]))

    def finish(self) -> None:
        """Chroma builds its index while rows are written."""

    def drop(self) -> None:
        self.client.delete_collection(self.name)


def _payloads(found: Any) -> list[dict[str, Any]]:
    """Return what rows have beside their vectors."""
    columns = zip(found["documents"], found["metadatas"], found["uris"], strict=True)
    return [
        {DOCUMENT: document, METADATA: clients.without_marks(metadata) or None, URI: uri}
        for document, metadata, uri in columns
    ]


def _forget(collection: Guarded, ids: Sequence[str], payload: Sequence[Mapping[str, Any]]) -> None:
    """Remove rows that have what they shall have no more: an upsert would keep it."""
    found = collection.get(ids=list(ids), include=["documents", "metadatas", "uris"])
    new = dict(zip(ids, payload, strict=True))
    gone = [
        i for i, old in zip(found["ids"], _payloads(found), strict=True)
        if (old[METADATA] or {}).keys() - (new[i][METADATA] or {}).keys()
        or any(old[name] is not None and new[i][name] is None for name in (DOCUMENT, URI))
    ]  # fmt: skip
    if gone:
        collection.delete(ids=gone)
