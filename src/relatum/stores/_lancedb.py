"""LanceDB as a store: a table, and beside it a table of the same rows as its shadow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any

import numpy as np

from relatum import _columns, _places
from relatum._validation import require
from relatum.stores import Marks, Rows, Shadow, Store
from relatum.stores import _tables as tables
from relatum.stores._tables import NATIVE, SUM

POINTERS = "relatum_pointers"
"""The table of aliases, which LanceDB itself has not."""
TAKEN = 2_000
"""Ids that are asked for at once."""
INDEXED = 10_000
"""Rows from which a shadow gets an index where the old table has one."""


def open_lancedb(place: str, name: str, *, url: str, vector: str | None, id: str | None) -> Store:
    """Open a table of a LanceDB database."""
    lancedb = require("lancedb", "stores", f"{url}: LanceDB")
    if not name:
        raise ValueError(f"store is {url!r}; expected lancedb:FOLDER#TABLE")
    if not _places.is_url(place) and not _places.is_folder(place):
        raise FileNotFoundError(f"{place}: no such folder; expected a LanceDB database")
    # every read sees what other processes have written
    db = lancedb.connect(place, read_consistency_interval=timedelta(0))
    names = _names(db)
    if name not in names:
        raise ValueError(f"{place} has no table {name!r}; it has {', '.join(names) or 'none'}")
    return LanceStore(db, name, url, vector, id)


def _names(db: Any) -> list[str]:
    found: list[str] = []
    token = None
    while True:
        page = db.list_tables(page_token=token)
        found += page.tables
        token = page.page_token
        if not token:
            return found


class LanceStore(tables.TableStore):
    """A table of LanceDB."""

    def __init__(self, db: Any, name: str, url: str, vector: str | None, id: str | None) -> None:
        self.db, self.name, self.url = db, name, url
        self.table = db.open_table(name)
        self.columns = tables.columns_of(self.table.schema, vector, id, url)
        self.fields = self.columns.others
        self.n_features = self._width()

    def _width(self) -> int:
        type_ = self.table.schema.field(self.columns.vector).type
        if hasattr(type_, "list_size"):
            return int(type_.list_size)
        some = self.table.search().select([self.columns.vector]).limit(64).to_arrow()
        return _columns.width_of(some.column(0))

    def count(self) -> int:
        return int(self.table.count_rows())

    def state(self) -> str | None:
        return str(self.table.version)

    def _read(self, columns: Sequence[str], size: int) -> Iterator[Any]:
        """Yield Arrow tables of the version that is the newest now."""
        import pyarrow as pa

        table = self.db.open_table(self.name)
        table.checkout(table.version)
        for batch in table.search().select(list(columns)).to_batches(batch_size=size):
            yield pa.Table.from_batches([batch])

    def take(self, ids: Sequence[str], *, payload: bool = True) -> Rows:
        import pyarrow as pa

        schema = self.table.schema
        found = [schema.empty_table().select(self._wanted(payload))]
        for start in range(0, len(ids), TAKEN):
            asked = self.table.search().where(self._among(ids[start : start + TAKEN]))
            found.append(asked.select(self._wanted(payload)).limit(TAKEN * 2).to_arrow())
        whole = pa.concat_tables([t.replace_schema_metadata(None) for t in found])
        return tables.rows_of(whole, self.columns, self.url, self.n_features)

    def _among(self, ids: Sequence[str]) -> str:
        """Return a filter for some ids."""
        import pyarrow.types as t

        if t.is_integer(self.table.schema.field(self.columns.id).type):
            listed = ", ".join(str(int(i)) for i in ids)
        else:
            listed = ", ".join("'" + i.replace("'", "''") + "'" for i in ids)
        return f"`{self.columns.id}` IN ({listed})"

    def values(self, rows: Rows, field: str) -> list[Any]:
        return tables.values(rows, field, self.url, self.fields)

    def search(self, queries: np.ndarray, k: int) -> list[list[tuple[str, float]]]:
        found = []
        for query in np.asarray(queries, np.float32):
            asked = self.table.search(query, vector_column_name=self.columns.vector)
            asked = asked.distance_type("cosine").limit(k)
            table = asked.select([self.columns.id, "_distance"]).to_arrow()
            cosines = 1 - table.column("_distance").to_numpy()
            ids = tables.ids_of(table.column(self.columns.id))
            found.append(list(zip(ids, cosines.tolist(), strict=True)))
        return found

    def about(self) -> dict[str, Any]:
        return tables.about_of(self.table.schema)

    def shadow(self, name: str) -> Shadow:
        return LanceShadow(self, name)

    def point(self, alias: str, name: str | None) -> None:
        import pyarrow as pa

        line = pa.table({"alias": [alias], "table": [name or self.name]})
        if POINTERS not in _names(self.db):
            self.db.create_table(POINTERS, line)
            return
        merge = self.db.open_table(POINTERS).merge_insert("alias")
        merge.when_matched_update_all().when_not_matched_insert_all().execute(line)

    def pointed(self, alias: str) -> str | None:
        if POINTERS not in _names(self.db):
            return None
        pointers = self.db.open_table(POINTERS).to_arrow().to_pylist()
        found = {line["alias"]: line["table"] for line in pointers}
        return found.get(alias)


class LanceShadow:
    """A table beside another."""

    copies_payload = True

    def __init__(self, store: LanceStore, name: str) -> None:
        self.store, self.name, self.db = store, name, store.db

    def exists(self) -> bool:
        return self.name in _names(self.db)

    def create(self, n_features: int, about: Mapping[str, Any]) -> None:
        old = self.store.table.schema
        schema = tables.shadow_schema(old, self.store.columns, n_features, about)
        with tables.writing(self._place):
            self.db.create_table(self.name, schema=schema)

    @property
    def _table(self) -> Any:
        return self.db.open_table(self.name)

    @property
    def _place(self) -> str:
        return f"{self.store.url.rpartition('#')[0]}#{self.name}"

    def open(self) -> Store:
        return LanceStore(
            self.db, self.name, self._place, self.store.columns.vector, self.store.columns.id
        )

    def marks(self) -> Iterator[Marks]:
        import pyarrow as pa

        columns = [self.store.columns.id, SUM, NATIVE]
        for batch in self._table.search().select(columns).to_batches(batch_size=65_536):
            yield tables.marks_of(pa.Table.from_batches([batch]), self.store.columns)

    def write(
        self, rows: Rows, Y: np.ndarray, sums: np.ndarray, native: bool, *, replace: bool
    ) -> None:
        table = self._table
        new = tables.shadow_table(table.schema, rows, Y, self.store.columns, sums, native)
        with tables.writing(self._place):
            if not replace:
                table.add(new)
                return
            merge = table.merge_insert(self.store.columns.id)
            merge.when_matched_update_all().when_not_matched_insert_all().execute(new)

    def remove(self, ids: Sequence[str]) -> None:
        with tables.writing(self._place):
            for start in range(0, len(ids), TAKEN):
                self._table.delete(self.store._among(ids[start : start + TAKEN]))

    def finish(self) -> None:
        with tables.writing(self._place):
            self._build()

    def _build(self) -> None:
        table, vector = self._table, self.store.columns.vector
        table.optimize()
        if vector in _indexed(table) or table.count_rows() < INDEXED:
            return
        index = _indexed(self.store.table).get(vector)
        if index is not None:
            metric = self.store.table.index_stats(index.name).distance_type or "cosine"
            table.create_index(
                metric=metric, index_type=_kind(index.index_type), vector_column_name=vector
            )

    def drop(self) -> None:
        self.db.drop_table(self.name)


def _indexed(table: Any) -> dict[str, Any]:
    return {index.columns[0]: index for index in table.list_indices()}


def _kind(name: str) -> str:
    """``IvfPq`` as ``IVF_PQ``."""
    known = ("IVF_FLAT", "IVF_PQ", "IVF_SQ", "IVF_RQ", "IVF_HNSW_FLAT", "IVF_HNSW_PQ",
             "IVF_HNSW_SQ")  # fmt: skip
    return next((k for k in known if k.replace("_", "") == name.upper().replace("_", "")), "IVF_PQ")
