"""Stores to test with: each makes a table of items, and reads or changes it by its own client."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest


@dataclass
class Case:
    """A store on this machine, and what its own client can do to it."""

    url: str
    add: Callable[[Sequence[str], np.ndarray, Sequence[str]], None]
    """Add items: ids, vectors, texts. Items of an id that is there are replaced."""
    delete: Callable[[Sequence[str]], None]


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
            pq.write_table(kept, path)

    def add(ids: Sequence[str], X: np.ndarray, texts: Sequence[str]) -> None:
        delete(ids)
        pq.write_table(
            table_of(ids, X, texts), items / f"part-{len(list(items.iterdir()))}.parquet"
        )

    return Case(f"parquet:{items}", add, delete)


CASES = {"lancedb": lancedb_case, "parquet": parquet_case}
