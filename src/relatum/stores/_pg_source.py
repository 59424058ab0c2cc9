"""Where rows are in PostgreSQL: in a table, or in a shadow and the table that it is beside."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from relatum.stores import _pg_catalog as catalog
from relatum.stores._pg_catalog import NATIVE, SUM, Column, Table
from relatum.stores._pg_sql import identifier, listed, literal, sql

if TYPE_CHECKING:
    from psycopg import Connection
    from psycopg.sql import Composable, Composed, Identifier

VECTORS, REST = "v", "r"
"""What queries call the table of the vectors, and that of all else."""


class Source(NamedTuple):
    """Tables and columns, and the parts of queries that name them."""

    table: Table
    """Has ids and vectors."""
    old: Table | None
    """Has all else, where ``table`` is a shadow."""
    id: Column
    vector: Column

    @property
    def whole(self) -> Table:
        """The table that has all columns, whatever its vectors are."""
        return self.old or self.table

    @property
    def fields(self) -> list[str]:
        """Names of all columns but id, vector and marks."""
        own = (self.id.name, self.vector.name, SUM, NATIVE)
        return [c.name for c in self.whole.columns if c.name not in own]

    def relation(self) -> Composed:
        """What stands after FROM."""
        found = sql("{} AS {}", self.table.identifier(), identifier(VECTORS))
        if self.old is None:
            return found
        join = sql(" JOIN {} AS {} ON ", self.old.identifier(), identifier(REST))
        return found + join + sql("{} = {}", identifier(REST, self.id.name), self.of_id())

    def of_id(self) -> Identifier:
        return identifier(VECTORS, self.id.name)

    def of_vector(self) -> Identifier:
        return identifier(VECTORS, self.vector.name)

    def of_field(self, name: str) -> Identifier:
        return identifier(VECTORS if self.old is None else REST, name)

    def id_text(self) -> Composed:
        return sql("{}::text", self.of_id())

    def payload(self) -> Composed:
        """The fields of a row as one JSON object."""
        fields = listed(map(self.of_field, self.fields))
        return sql("(SELECT row_to_json(f) FROM (SELECT {}) AS f)::text", fields)

    def distance(self, query: str) -> Composed:
        """The cosine distance to a vector, written as text."""
        own = identifier(self.vector.schema, self.vector.type)
        operator = sql("OPERATOR({}.<=>)", identifier(self.vector.schema))
        return sql("{} {} {}::{}", self.of_vector(), operator, literal(query), own)

    def version(self) -> Composed | None:
        """What changes with any row of the tables; None where the database cannot say.

        A version of a row has its own place, and the number of what wrote it.
        """
        if any(t.kind not in catalog.HEAPS for t in (self.table, self.whole)):
            return None
        tables = [VECTORS] if self.old is None else [VECTORS, REST]
        sums = [
            sql(
                "sum(hashtidextended({}, ({}::bigint << 32) # {}::text::bigint))",
                *(identifier(table, c) for c in ("ctid", "tableoid", "xmin")),
            )
            for table in tables
        ]
        return sql("concat_ws(' ', count(*), {})", listed(sums))

    def select_all(self) -> Composed:
        """All columns of the old table, with the vectors of this one."""
        columns = [
            self.of_vector() if c.name == self.vector.name else self.of_field(c.name)
            for c in self.whole.columns
        ]
        return sql("SELECT {} FROM {}", listed(columns), self.relation())


def among(column: Composable, id: Column, ids: Sequence[str]) -> Composed:
    """Return whether an id is among some, which are text."""
    type_ = identifier("pg_catalog", id.type)
    return sql("{} = ANY({}::text[]::{}[])", column, literal(list(ids)), type_)


def source(
    connection: Connection[Any], table: Table, vector: str | None, id: str | None, url: str
) -> Source:
    """Find the columns of a table, and the table that it is beside."""
    found = catalog.vector_column(table, vector, url)
    own = Source(table, None, catalog.id_column(table, id, url), found)
    beside = table.note.get("beside")
    if beside is None:
        return own
    old = catalog.find(connection, beside["schema"], beside["table"])
    if old is None or own.id.name not in [c.name for c in old.columns]:
        return own
    return own._replace(old=old)


def width(connection: Connection[Any], found: Source, url: str) -> int:
    """Return the numbers of a vector: the type says it, or else the first row."""
    if found.vector.size > 0:
        return found.vector.size
    dims = sql("{}({})", identifier(found.vector.schema, "vector_dims"), found.of_vector())
    first = sql("WHERE {} IS NOT NULL LIMIT 1", found.of_vector())
    line = connection.execute(sql("SELECT {} FROM {} {}", dims, found.relation(), first)).fetchone()
    if line is None:
        raise ValueError(
            f"{url} has no vectors, and column {found.vector} no length; expected one of them"
        )
    return int(line[0])
