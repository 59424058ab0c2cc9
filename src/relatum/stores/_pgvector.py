"""PostgreSQL with pgvector as a store: a table, and beside it one of ids and new vectors.

The shadow has no copy of what else a row holds. Who reads the shadow, or the view that an
alias is, gets that from the old table, by id; rows that are gone there are hidden.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from math import isnan
from typing import TYPE_CHECKING, Any

import numpy as np

from relatum import _files
from relatum.stores import Rows, Shadow, Store, _pg_copy
from relatum.stores import _pg_catalog as catalog
from relatum.stores._pg_server import FORM, Server
from relatum.stores._pg_shadow import PgShadow
from relatum.stores._pg_source import Source, among, source, width
from relatum.stores._pg_sql import identifier, listed, literal, sql

if TYPE_CHECKING:
    from psycopg import Connection
    from psycopg.sql import Composed

READ = 65_536
"""Rows of ids at once."""
REACH = """
    SELECT set_config('hnsw.ef_search', least(1000, greatest(%(k)s,
        coalesce(current_setting('hnsw.ef_search', true), '40')::int))::text, true),
      CASE WHEN (string_to_array(extversion, '.'))[1:2]::int[] >= '{0,8}' THEN
        set_config('hnsw.iterative_scan', 'strict_order', true) ||
        set_config('ivfflat.iterative_scan', 'relaxed_order', true) END
    FROM pg_extension WHERE extname = 'vector'"""
"""Lets an index give k rows; by itself it ends a search with 40, or with one of its lists."""


def open_pgvector(place: str, name: str, *, url: str, vector: str | None, id: str | None) -> Store:
    """Open a table of a PostgreSQL database."""
    server = Server(place)
    if not name:
        raise ValueError(f"store is {server.url!r}; expected {FORM}")
    return PgStore(server, name, vector, id)


class PgStore:
    """A table of PostgreSQL with a column of pgvector."""

    def __init__(
        self, server: Server, name: str, vector: str | None = None, id: str | None = None
    ) -> None:
        self.server, self.name, self.url = server, name, f"{server.url}#{name}"
        schema, _, plain = name.rpartition(".")
        self._qualified = bool(schema)
        with server.connection(reading=True) as connection:
            table = catalog.opened(connection, schema or None, plain, self.url)
            self.source = source(connection, table, vector, id, self.url)
            self.n_features = width(connection, self.source, self.url)
        self.fields = self.source.fields

    def beside(self, name: str) -> PgStore:
        """Return a shadow as a store."""
        return PgStore(self.server, name)

    def count(self) -> int:
        return int(self._one(sql("SELECT count(*) FROM {}", self.source.relation())))

    def state(self) -> str | None:
        version = self.source.version()
        if version is None:
            return None
        return str(self._one(sql("SELECT {} FROM {}", version, self.source.relation())))

    def _one(self, query: Composed) -> Any:
        with self.server.connection(reading=True) as connection:
            return connection.execute(query).fetchone()[0]  # type: ignore[index]

    def ids(self) -> Iterator[list[str]]:
        query = sql("SELECT {} FROM {}", self.source.id_text(), self.source.relation())
        for messages in self.server.copied(query, READ):
            yield _pg_copy.ids(messages)

    def batches(self, size: int, *, payload: bool = True) -> Iterator[Rows]:
        for messages in self.server.copied(self._query(payload), size):
            yield self._rows(messages)

    def take(self, ids: Sequence[str], *, payload: bool = True) -> Rows:
        of = self.source.id
        some = _pg_copy.possible(ids, of.type)
        query = self._query(payload) + sql(" WHERE {}", among(self.source.of_id(), of, some))
        return self._rows([m for messages in self.server.copied(query, READ) for m in messages])

    def _query(self, payload: bool) -> Composed:
        columns = [self.source.of_vector(), self.source.id_text()]
        columns += [self.source.payload()] if payload else []
        return sql("SELECT {} FROM {}", listed(columns), self.source.relation())

    def _rows(self, messages: Sequence[_pg_copy.Buffer]) -> Rows:
        type_ = self.source.vector.type
        return Rows(*_pg_copy.vectors(messages, type_, self.n_features, self.url))

    def values(self, rows: Rows, field: str) -> list[Any]:
        _files.check_name(field, self.fields, self.url)
        return [json.loads(line)[field] for line in rows.payload or []]

    def search(self, queries: np.ndarray, k: int) -> list[list[tuple[str, float]]]:
        found = []
        with self.server.connection(reading=True) as connection:
            connection.execute(REACH, {"k": k})
            for row in np.asarray(queries, np.float32):
                lines = connection.execute(self._nearest(row, k)).fetchall()
                found.append(sorted(lines, key=lambda line: (isnan(line[1]), -line[1])))
        return found

    def _nearest(self, row: np.ndarray, k: int) -> Composed:
        distance = self.source.distance(f"[{','.join(map(repr, row.tolist()))}]")
        what = sql("SELECT {}, 1 - ({})", self.source.id_text(), distance)
        which = sql("WHERE {} IS NOT NULL", self.source.of_vector())
        nearest = sql("ORDER BY {} LIMIT {}", distance, literal(int(k)))
        return sql("{} FROM {} {} {}", what, self.source.relation(), which, nearest)

    def about(self) -> dict[str, Any]:
        return dict(self.source.table.note.get("about", {}))

    def shadow(self, name: str) -> Shadow:
        return PgShadow(self, name)

    def placed(self, name: str) -> tuple[str, str]:
        """Return schema and name of a table or view beside this one."""
        schema, _, plain = name.rpartition(".")
        if not 0 < len(plain.encode()) <= catalog.LONGEST:
            raise ValueError(f"name is {name!r}; expected 1 to {catalog.LONGEST} bytes")
        return schema or self.source.table.schema, plain

    def called(self, schema: str, name: str) -> str:
        """Return a name as it stands in a URL, with the schema where ours has it."""
        plain = schema == self.source.table.schema and not self._qualified
        return name if plain else f"{schema}.{name}"

    def point(self, alias: str, name: str | None) -> None:
        place = self.placed(alias)
        view = identifier(*place)
        with self.server.connection() as connection:
            target = self._target(connection, name)
            there = catalog.find(connection, *place)
            if there is not None and (there.kind != "v" or "stands_for" not in there.note):
                raise ValueError(
                    f"alias is {alias!r}; {self.url} has a table or view of that name, which "
                    "relatum did not make"
                )
            if target.whole.guarded:
                raise ValueError(
                    f"{self.url} has row-level security, which a view would not keep; make the "
                    f"view {alias!r} and its rights yourself"
                )
            stands_for = {"schema": target.table.schema, "table": target.table.name}
            note = {"stands_for": stands_for, "about": target.table.note.get("about", {})}
            queries = [
                sql("DROP VIEW IF EXISTS {}", view),  # a view's columns cannot change their type
                sql("CREATE VIEW {} AS {}", view, target.select_all()),
                sql("COMMENT ON VIEW {} IS {}", view, literal(catalog.comment(note))),
                *(catalog.grants(connection, there) if there else []),
            ]
            for query in queries:
                connection.execute(query)

    def _target(self, connection: Connection[Any], name: str | None) -> Source:
        if name is None:
            return self.source
        table = catalog.find(connection, *self.placed(name))
        found = source(connection, table, None, None, self.url) if table else None
        if found is None or found.old is None or found.old.oid != self.source.whole.oid:
            raise ValueError(f"{self.url} has no shadow {name!r}")
        return found

    def pointed(self, alias: str) -> str | None:
        with self.server.connection(reading=True) as connection:
            there = catalog.find(connection, *self.placed(alias))
        stands_for = there.note.get("stands_for") if there else None
        return self.called(stands_for["schema"], stands_for["table"]) if stands_for else None
