"""A table of ids and new vectors beside a table of PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from relatum._validation import warn
from relatum.stores import Marks, Rows, Store, _pg_copy
from relatum.stores import _pg_catalog as catalog
from relatum.stores._pg_catalog import NATIVE, SUM
from relatum.stores._pg_source import among
from relatum.stores._pg_sql import identifier, listed, literal, sql

if TYPE_CHECKING:
    from psycopg import Connection
    from psycopg.sql import Composed

    from relatum.stores._pgvector import PgStore

READ = 65_536
"""Rows of marks at once."""
REMOVED = 10_000
"""Rows that one statement removes."""
WIDEST = 2_000
"""Numbers of a vector that an index of pgvector takes."""


class PgShadow:
    """A table beside another; all that is not a vector stays there."""

    copies_payload = False

    def __init__(self, store: PgStore, name: str) -> None:
        self.store, self.server = store, store.server
        self._place = store.placed(name)
        self.name = store.called(*self._place)
        self._table = identifier(*self._place)
        self._id = identifier(store.source.id.name)
        self._values = [identifier(n) for n in (store.source.vector.name, SUM, NATIVE)]

    def exists(self) -> bool:
        with self.server.connection(reading=True) as connection:
            found = catalog.find(connection, *self._place)
        return found is not None and "beside" in found.note

    def create(self, n_features: int, about: Mapping[str, Any]) -> None:
        of = self.store.source
        note = {"beside": {"schema": of.whole.schema, "table": of.whole.name}, "about": about}
        vector, sums, native = self._values
        type_ = sql("{}({})", identifier(of.vector.schema, "vector"), literal(n_features))
        queries = [
            # ids as the old table has them, also in length and collation
            sql("CREATE TABLE {} AS SELECT {} FROM {} WITH NO DATA",
                self._table, of.of_id(), of.relation()),
            sql("ALTER TABLE {} ADD PRIMARY KEY ({}), ADD COLUMN {} {} NOT NULL",
                self._table, self._id, vector, type_),
            sql("ALTER TABLE {} ADD COLUMN {} bigint NOT NULL, ADD COLUMN {} boolean NOT NULL",
                self._table, sums, native),
            sql("COMMENT ON TABLE {} IS {}", self._table, literal(catalog.comment(note))),
        ]  # fmt: skip
        if of.whole.guarded:  # nobody else is to see more here than there
            queries.append(sql("ALTER TABLE {} ENABLE ROW LEVEL SECURITY", self._table))
        with self.server.connection() as connection:
            for query in queries:
                connection.execute(query)

    def open(self) -> Store:
        return self.store.beside(self.name)

    def marks(self) -> Iterator[Marks]:
        columns = listed([*self._values[1:], sql("{}::text", self._id)])
        query = sql("SELECT {} FROM {}", columns, self._table)
        for messages in self.server.copied(query, READ):
            yield Marks(*_pg_copy.marks(messages))

    def write(
        self, rows: Rows, Y: np.ndarray, sums: np.ndarray, native: bool, *, replace: bool
    ) -> None:
        ids = _pg_copy.id_bytes(rows.ids, self.store.source.id.type)
        into = identifier("pg_temp", "relatum_rows") if replace else self._table
        columns = listed([*self._values, self._id])
        with self.server.connection() as connection:
            if replace:
                new = sql("CREATE TEMP TABLE relatum_rows (LIKE {}) ON COMMIT DROP", self._table)
                connection.execute(new)
            copy_in = sql("COPY {} ({}) FROM STDIN (FORMAT BINARY)", into, columns)
            with connection.cursor().copy(copy_in) as copy:
                for data in _pg_copy.packed(ids, Y, sums, native):
                    copy.write(data)
            if replace:
                connection.execute(self._merge(columns, into))

    def _merge(self, columns: Composed, new: Any) -> Composed:
        """Return what adds the rows of another table, or puts them in place of those here."""
        insert = sql("INSERT INTO {} ({}) SELECT {} FROM {}", self._table, columns, columns, new)
        those = listed(sql("{} = excluded.{}", v, v) for v in self._values)
        return insert + sql(" ON CONFLICT ({}) DO UPDATE SET {}", self._id, those)

    def remove(self, ids: Sequence[str]) -> None:
        of = self.store.source.id
        with self.server.connection() as connection:
            for some in _pg_copy.groups(_pg_copy.possible(ids, of.type), REMOVED):
                those = among(self._id, of, some)
                connection.execute(sql("DELETE FROM {} WHERE {}", self._table, those))

    def finish(self) -> None:
        with self.server.connection() as connection:
            self._index(connection)
            connection.execute(sql("ANALYZE {}", self._table))

    def _index(self, connection: Connection[Any]) -> None:
        """Build each index that the vectors have in the store and not here."""
        of, vector = self.store.source, self.store.source.vector.name
        own = catalog.opened(connection, *self._place, self.store.url)
        have = [index[:2] for index in catalog.indexes(connection, own, vector)]
        for method, operators, *rest in catalog.indexes(connection, of.table, vector):
            operators = operators.replace("halfvec_", "vector_")
            size = own.column(vector).size
            if size > WIDEST:
                warn(
                    f"{self.name} has vectors of {size:,} numbers, and indexes of pgvector take "
                    f"{WIDEST:,}: it has none, so that each search reads all its rows"
                )
                return
            if (method, operators) not in have:
                catalog.create_index(connection, own, vector, (method, operators, *rest))

    def drop(self) -> None:
        if not self.exists():
            raise ValueError(f"{self.store.url} has no shadow {self.name!r}")
        with self.server.connection() as connection:
            connection.execute(sql("DROP TABLE {}", self._table))
