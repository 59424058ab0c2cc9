"""Stores to test with: each makes a table of items, and reads or changes it by its own client."""

from __future__ import annotations

import os
import re
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from postgres_server import postgres_server, run

from relatum.stores import _chroma_client as chroma
from relatum.stores import _qdrant_client as qdrant


@dataclass
class Case:
    """A store on this machine, and what its own client can do to it."""

    url: str
    add: Callable[[Sequence[str], np.ndarray, Sequence[str]], None]
    """Add items: ids, vectors, texts. Items of an id that is there are replaced."""
    delete: Callable[[Sequence[str]], None]
    id_of: Callable[[str], str] = str
    """From an item's name to its id in the store. ``add`` and ``delete`` know both."""


def table_of(ids: Sequence[str], X: np.ndarray, texts: Sequence[str]) -> Any:
    import pyarrow as pa

    flat = pa.array(np.ascontiguousarray(X, np.float32).reshape(-1))
    return pa.table(
        {
            "id": list(ids),
            "text": list(texts),
            "vector": pa.FixedSizeListArray.from_arrays(flat, X.shape[1]),
            "section": [f"s{len(t) % 3}" for t in texts],
        }
    )


def lancedb_case(folder: Path, ids: Sequence[str], X: np.ndarray, texts: Sequence[str]) -> Case:
    lancedb = pytest.importorskip("lancedb")
    table = lancedb.connect(folder / "db").create_table("items", table_of(ids, X, texts))

    def add(ids: Sequence[str], X: np.ndarray, texts: Sequence[str]) -> None:
        merge = table.merge_insert("id").when_matched_update_all().when_not_matched_insert_all()
        merge.execute(table_of(ids, X, texts))

    def delete(ids: Sequence[str]) -> None:
        listed = ", ".join("'" + i.replace("'", "''") + "'" for i in ids)
        table.delete(f"id IN ({listed})")

    return Case(f"lancedb:{folder / 'db'}#items", add, delete)


def parquet_case(folder: Path, ids: Sequence[str], X: np.ndarray, texts: Sequence[str]) -> Case:
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    items = folder / "items"
    items.mkdir()
    pq.write_table(table_of(ids, X, texts), items / "part-0.parquet", row_group_size=50)

    def delete(ids: Sequence[str]) -> None:
        for path in items.glob("*.parquet"):
            table = pq.read_table(path)
            kept = table.filter(
                pc.invert(pc.is_in(table["id"], value_set=pc.cast(list(ids), "string")))
            )
            whole = path.with_suffix(".new")
            pq.write_table(kept, whole)
            os.replace(whole, path)  # those who read the old file go on with it

    def add(ids: Sequence[str], X: np.ndarray, texts: Sequence[str]) -> None:
        delete(ids)
        pq.write_table(
            table_of(ids, X, texts), items / f"part-{len(list(items.iterdir()))}.parquet"
        )

    return Case(f"parquet:{items}", add, delete)


def point_id(name: str) -> str:
    """Points have whole numbers or UUIDs: some of each."""
    if qdrant.is_id(name):
        return name
    number = re.fullmatch(r"(?:i|it'em )(\d*[02468])", name)
    return number[1] if number else str(uuid.uuid5(uuid.NAMESPACE_OID, name))


def qdrant_case(folder: Path, ids: Sequence[str], X: np.ndarray, texts: Sequence[str]) -> Case:
    models = pytest.importorskip("qdrant_client.models")
    client = qdrant.connect(str(folder / "qdrant"))  # a folder is for one: the store's own
    params = models.VectorParams(size=X.shape[1], distance=models.Distance.COSINE)
    client.create_collection("items", vectors_config=params)

    def add(ids: Sequence[str], X: np.ndarray, texts: Sequence[str]) -> None:
        points = [
            models.PointStruct(
                id=qdrant.point_id(point_id(i)),
                vector=x.tolist(),
                payload={"text": t, "section": f"s{len(t) % 3}"},
            )
            for i, x, t in zip(ids, X, texts, strict=True)
        ]
        client.upsert("items", points)

    def delete(ids: Sequence[str]) -> None:
        gone = [qdrant.point_id(point_id(i)) for i in ids]
        client.delete("items", models.PointIdsList(points=gone))

    add(ids, X, texts)
    return Case(f"qdrant:{folder / 'qdrant'}#items", add, delete, point_id)


def chroma_case(folder: Path, ids: Sequence[str], X: np.ndarray, texts: Sequence[str]) -> Case:
    pytest.importorskip("chromadb")
    client = chroma.connect(str(folder / "chroma"))
    client.create_collection(
        "items", embedding_function=None, configuration={"hnsw": {"space": "cosine"}}
    )
    collection = chroma.collection(client, "items")

    def add(ids: Sequence[str], X: np.ndarray, texts: Sequence[str]) -> None:
        metadatas = [{"text": t, "section": f"s{len(t) % 3}"} for t in texts]
        collection.upsert(list(ids), X, metadatas, [f"about {t}" for t in texts])

    def delete(ids: Sequence[str]) -> None:
        collection.delete(list(ids))

    add(ids, X, texts)
    return Case(f"chroma:{folder / 'chroma'}#items", add, delete)


def pgvector_case(folder: Path, ids: Sequence[str], X: np.ndarray, texts: Sequence[str]) -> Case:
    server = postgres_server()
    url = server.url(server.database(folder))
    run(
        url,
        "CREATE TABLE items"
        f" (id text PRIMARY KEY, text text, vector vector({X.shape[1]}), section text)",
    )

    def add(ids: Sequence[str], X: np.ndarray, texts: Sequence[str]) -> None:
        run(
            url,
            "INSERT INTO items VALUES (%s, %s, %s, %s) ON CONFLICT (id) DO UPDATE"
            " SET text = excluded.text, vector = excluded.vector, section = excluded.section",
            [
                (i, t, str(x.tolist()), f"s{len(t) % 3}")
                for i, x, t in zip(ids, X, texts, strict=True)
            ],
        )

    def delete(ids: Sequence[str]) -> None:
        run(url, "DELETE FROM items WHERE id = %s", [(i,) for i in ids])

    add(ids, X, texts)
    return Case(f"{url}#items", add, delete)


CASES = {
    "lancedb": lancedb_case,
    "parquet": parquet_case,
    "qdrant": qdrant_case,
    "chroma": chroma_case,
    "pgvector": pgvector_case,
}
