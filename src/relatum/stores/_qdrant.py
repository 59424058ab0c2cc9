"""Qdrant as a store: a collection, and beside it a collection of the same points as its shadow."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from relatum import _places
from relatum._validation import require
from relatum.neighbors import nearest
from relatum.stores import Marks, Rows, Shadow, Store
from relatum.stores import _clients as clients
from relatum.stores import _qdrant_client as qdrant
from relatum.stores._clients import NATIVE, SUM, Guarded

ABOUT = "relatum"
"""Key of a collection's metadata under which it is said what made the vectors."""
IDS = 10_000
"""Ids that one request reads or removes."""
TAKEN = 1_000
"""Points that are asked for by id at once."""
QUERIES = 64
SAMPLE = 256
"""Points whose payloads say what fields there are."""
GREEN = 600.0
"""Seconds that are waited for a server's index."""


def open_qdrant(place: str, name: str, *, url: str, vector: str | None, id: str | None) -> Store:
    """Open a collection of Qdrant."""
    require("qdrant_client", "stores", f"{url}: Qdrant")
    if not name:
        raise ValueError(f"store is {url!r}; expected qdrant:PLACE#COLLECTION")
    if id is not None:
        raise ValueError(f"id is {id!r}; a point of Qdrant has an id of its own: leave it out")
    if not _places.is_url(place):
        clients.check_folder(place, "Qdrant")
        if not (Path(place) / "meta.json").exists():
            raise clients.no_collection(place, name, [])
    client = qdrant.connect(place)
    names, aliases = qdrant.names(client), qdrant.aliases(client)
    if name in aliases:
        raise ValueError(
            f"{name!r} is an alias of {aliases[name]!r} in {place}; name the collection itself"
        )
    if name not in names:
        raise clients.no_collection(place, name, names)
    return QdrantStore(client, place, name, url, vector)


class QdrantStore:
    """A collection of Qdrant, with one of its dense vectors.

    A server's points are read in the order of their ids: while others write, no point comes
    twice, and one that was added meanwhile may or may not be among them. In a folder (the
    client's local mode) one process at a time has the collections open; all points are in
    its memory, each row is a transaction of its own, and a search compares all rows. Its
    files hold pickles: open only folders that you trust.
    """

    def __init__(
        self, client: Guarded, place: str, name: str, url: str, vector: str | None
    ) -> None:
        self.client, self.place, self.name, self.url = client, place, name, url
        self.models = require("qdrant_client.models", "stores", f"{url}: Qdrant")
        self.local = not _places.is_url(place)
        self.config = client.get_collection(name).config
        self.vector, self.params = qdrant.chosen_vector(self.config.params, vector, url)
        self.n_features = int(self.params.size)
        page, _ = client.scroll(name, limit=SAMPLE, with_payload=True)
        self.fields = clients.names_in([clients.without_marks(p.payload) for p in page])

    def count(self) -> int:
        return int(self.client.count(self.name, exact=True).count)

    def state(self) -> str | None:
        return None  # a server tells no version of a collection

    def ids(self) -> Iterator[list[str]]:
        for page in qdrant.pages(self.client, self.name, IDS, with_payload=False):
            yield [str(point.id) for point in page]

    def batches(self, size: int, *, payload: bool = True) -> Iterator[Rows]:
        limit = clients.rows_at_once(self.n_features, size)
        for page in qdrant.pages(
            self.client, self.name, limit, with_payload=payload, with_vectors=self._wanted
        ):
            yield self._rows(page, payload)

    @property
    def _wanted(self) -> Any:
        return [self.vector] if self.vector else True

    def _rows(self, points: Sequence[Any], payload: bool) -> Rows:
        ids = [str(point.id) for point in points]
        found = [p.vector.get(self.vector) if isinstance(p.vector, dict) else p.vector
                 for p in points]  # fmt: skip
        bare = [i for i, x in zip(ids, found, strict=True) if x is None]
        if bare:
            which = f"vector {self.vector!r}" if self.vector else "vector"
            raise ValueError(
                f"{self.url}: no {which} in {', '.join(bare[:5])}; expected one in every point"
            )
        X = np.asarray(found, np.float64 if self.local else np.float32)
        X = X.reshape(-1, self.n_features)
        if self.local and self.params.distance == self.models.Distance.COSINE:
            X = qdrant.normalised(X)
        payloads = [clients.without_marks(p.payload) for p in points] if payload else None
        return Rows(ids, X.astype(np.float32), payloads)

    def take(self, ids: Sequence[str], *, payload: bool = True) -> Rows:
        asked = [i for i in dict.fromkeys(ids) if qdrant.is_id(i)]
        found: list[Any] = []
        for start in range(0, len(asked), TAKEN):
            some = [qdrant.point_id(i) for i in asked[start : start + TAKEN]]
            found += self.client.retrieve(
                self.name, some, with_payload=payload, with_vectors=self._wanted
            )
        return self._rows(found, payload)

    def values(self, rows: Rows, field: str) -> list[Any]:
        return clients.values(rows.payload, field, self.url, self.fields)

    def search(self, queries: np.ndarray, k: int) -> list[list[tuple[str, float]]]:
        queries = np.asarray(queries, np.float32)
        if self.local:  # the client's own search divides what it holds by its norms again
            return self._compared(queries, k)
        cosine = self.params.distance == self.models.Distance.COSINE
        asked = {"using": self.vector or None, "limit": k}
        found = []
        for start in range(0, len(queries), QUERIES):
            some = queries[start : start + QUERIES]
            requests = [
                self.models.QueryRequest(query=q, with_vector=not cosine and self._wanted, **asked)
                for q in some.tolist()
            ]
            for query, answer in zip(
                some, self.client.query_batch_points(self.name, requests), strict=True
            ):
                ids = [str(point.id) for point in answer.points]
                if cosine or not ids:
                    own = [float(point.score) for point in answer.points]
                else:
                    own = clients.cosines(query, self._rows(answer.points, False).X).tolist()
                found.append(list(zip(ids, own, strict=True)))
        return found

    def _compared(self, queries: np.ndarray, k: int) -> list[list[tuple[str, float]]]:
        parts = list(self.batches(65_536, payload=False))
        ids = [i for part in parts for i in part.ids]
        if not ids:
            return [[] for _ in queries]
        X = np.concatenate([part.X for part in parts])
        best, rows = nearest(queries, X, min(k, len(ids)))
        return [
            [(ids[i], float(c)) for i, c in zip(row, own, strict=True)]
            for row, own in zip(rows, best, strict=True)
        ]

    def about(self) -> dict[str, Any]:
        return dict((getattr(self.config, "metadata", None) or {}).get(ABOUT) or {})

    def shadow(self, name: str) -> Shadow:
        return QdrantShadow(self, name)

    def point(self, alias: str, name: str | None) -> None:
        if alias in qdrant.names(self.client):
            raise ValueError(
                f"alias is {alias!r}, which is a collection of {self.place}; expected a name "
                "that no collection has"
            )
        m = self.models
        new = m.CreateAlias(collection_name=name or self.name, alias_name=alias)
        changes = [m.CreateAliasOperation(create_alias=new)]
        if alias in qdrant.aliases(self.client):
            old = m.DeleteAlias(alias_name=alias)
            changes.insert(0, m.DeleteAliasOperation(delete_alias=old))
        self.client.update_collection_aliases(changes)  # all at one moment

    def pointed(self, alias: str) -> str | None:
        return qdrant.aliases(self.client).get(alias)


class QdrantShadow:
    """A collection beside another.

    A write of many rows is several requests. One that breaks off between them leaves whole
    rows, each with its marks.
    """

    copies_payload = True

    def __init__(self, store: QdrantStore, name: str) -> None:
        self.store, self.name, self.client = store, name, store.client

    def exists(self) -> bool:
        return self.name in qdrant.names(self.client)

    def create(self, n_features: int, about: Mapping[str, Any]) -> None:
        m, old = self.store.models, self.store.config
        params = self.store.params.model_copy(update={"size": n_features})
        if params.datatype == m.Datatype.UINT8:  # holds the whole numbers of the old encoder
            params = params.model_copy(update={"datatype": None})
        hnsw = old.hnsw_config.model_dump(exclude_none=True)
        self.client.create_collection(
            self.name,
            vectors_config={self.store.vector: params} if self.store.vector else params,
            shard_number=old.params.shard_number,
            replication_factor=old.params.replication_factor,
            write_consistency_factor=old.params.write_consistency_factor,
            on_disk_payload=old.params.on_disk_payload,
            hnsw_config=m.HnswConfigDiff(**hnsw),
            quantization_config=old.quantization_config,
            metadata={**(getattr(old, "metadata", None) or {}), ABOUT: dict(about)},
        )
        if about and not self.open().about():
            self.drop()
            raise ValueError(
                f"{self.store.place} keeps no metadata of collections; expected a newer Qdrant"
            )
        self._index_payloads()

    def open(self) -> Store:
        url = f"{self.store.url.rpartition('#')[0]}#{self.name}"
        vector = self.store.vector or None
        return QdrantStore(self.client, self.store.place, self.name, url, vector)

    def marks(self) -> Iterator[Marks]:
        for page in qdrant.pages(self.client, self.name, IDS, with_payload=[SUM, NATIVE]):
            yield clients.marks_of([str(p.id) for p in page], [p.payload for p in page])

    def write(
        self, rows: Rows, Y: np.ndarray, sums: np.ndarray, native: bool, *, replace: bool
    ) -> None:
        payloads, name = clients.with_marks(rows.payload, sums, native), self.store.vector
        point = self.store.models.PointStruct.model_construct  # ours; to check them takes long
        for part in clients.pieces(payloads, Y.shape[1], 100_000):
            vectors = np.asarray(Y[part], np.float32).tolist()
            points = [
                point(id=qdrant.point_id(i), vector={name: y} if name else y, payload=payload)
                for i, y, payload in zip(rows.ids[part], vectors, payloads[part], strict=True)
            ]
            self.client.upsert(self.name, points, wait=True)

    def remove(self, ids: Sequence[str]) -> None:
        for start in range(0, len(ids), IDS):
            some = [qdrant.point_id(i) for i in ids[start : start + IDS]]
            chosen = self.store.models.PointIdsList(points=some)
            self.client.delete(self.name, chosen, wait=True)

    def finish(self) -> None:
        self._index_payloads()
        end = time.monotonic() + GREEN
        while (found := self.client.get_collection(self.name)).status == "yellow":
            if time.monotonic() > end:
                warnings.warn(
                    f"{self.store.place} still builds the index of {self.name} after {GREEN:g} s; "
                    "searches are slow until it is there",
                    stacklevel=2,
                )
                return
            time.sleep(0.5)
        if found.status == "red":
            raise OSError(f"{self.store.place}: {self.name} is red: {found.optimizer_status}")

    def _index_payloads(self) -> None:
        """Build the indexes of payloads that the old collection has."""
        there = self.client.get_collection(self.name).payload_schema
        for field, index in self.client.get_collection(self.store.name).payload_schema.items():
            if field not in there:
                schema = index.params or index.data_type
                self.client.create_payload_index(self.name, field, field_schema=schema, wait=True)

    def drop(self) -> None:
        self.client.delete_collection(self.name)
