"""What a PostgreSQL database has: tables, their columns, indexes, and what relatum noted there."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, LiteralString, NamedTuple

from relatum import _columns, _files
from relatum.stores import _pg_copy
from relatum.stores._pg_sql import identifier, listed, literal, sql

if TYPE_CHECKING:
    from psycopg import Connection
    from psycopg.sql import Composed, Identifier

SUM, NATIVE = "relatum_sum", "relatum_native"
"""Columns of a shadow: see :class:`relatum.stores.Marks`."""
NOTE = "relatum"
"""Key under which the comment of a table or view says what it is."""
IDS = (*_columns.ID_NAMES, "_id")
NAMED = 20
"""Tables that a message names."""
LONGEST = 63
"""Bytes of a name."""
HEAPS = ("r", "p", "m")
"""Kinds of relations whose rows say which transaction wrote them."""


RIGHTS: dict[str, LiteralString] = {
    right: right for right in ("SELECT", "INSERT", "UPDATE", "DELETE", "REFERENCES", "TRIGGER")
}  # fmt: skip
"""What others may be allowed to do with a view."""


class Column(NamedTuple):
    """A column of a table."""

    name: str
    type: str
    schema: str
    """Where the type is."""
    size: int
    """Numbers of a vector; -1 where the type does not say it."""
    number: int
    shown: str

    def __str__(self) -> str:
        """Return name and type."""
        return f"{self.name} ({self.shown})"


class Table(NamedTuple):
    """A table or view, and its columns."""

    oid: int
    schema: str
    name: str
    kind: str
    note: dict[str, Any]
    """What relatum wrote about it; empty where it did not make it."""
    columns: list[Column]
    key: list[str]
    """Columns of the primary key."""
    guarded: bool
    """Whether it has row-level security, by which each role sees rows of its own."""

    def identifier(self) -> Identifier:
        return identifier(self.schema, self.name)

    def column(self, name: str) -> Column:
        return next(c for c in self.columns if c.name == name)


def find(connection: Connection[Any], schema: str | None, name: str) -> Table | None:
    """Look for a table or view; without a schema, where the database looks for names."""
    found = connection.execute(
        "SELECT c.oid, n.nspname, c.relname, c.relkind::text, obj_description(c.oid, 'pg_class'),"
        " c.relrowsecurity"
        " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE c.relname = %(name)s AND c.relkind IN ('r', 'p', 'm', 'v', 'f')"
        " AND CASE WHEN %(schema)s::text IS NULL THEN pg_table_is_visible(c.oid)"
        " ELSE n.nspname = %(schema)s END",
        {"name": name, "schema": schema},
    ).fetchone()
    if found is None:
        return None
    oid, schema, name, kind, comment, guarded = found
    columns = connection.execute(
        "SELECT a.attname, t.typname, n.nspname, a.atttypmod, a.attnum,"
        " format_type(a.atttypid, a.atttypmod)"
        " FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid"
        " JOIN pg_namespace n ON n.oid = t.typnamespace"
        " WHERE a.attrelid = %s AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum",
        [oid],
    ).fetchall()
    key = connection.execute(
        "SELECT a.attname FROM pg_index i JOIN pg_attribute a"
        " ON a.attrelid = i.indrelid AND a.attnum = ANY(i.indkey)"
        " WHERE i.indrelid = %s AND i.indisprimary",
        [oid],
    ).fetchall()
    named = [Column(*column) for column in columns]
    keys = [column for (column,) in key]
    return Table(oid, schema, name, kind, _note(comment), named, keys, guarded)


def _note(comment: str | None) -> dict[str, Any]:
    try:
        found = json.loads(comment or "{}")
    except ValueError:  # of a person
        return {}
    note = found.get(NOTE) if isinstance(found, dict) else None
    return note if isinstance(note, dict) else {}


def comment(note: Mapping[str, Any]) -> str:
    return json.dumps({NOTE: dict(note)}, ensure_ascii=False)


def opened(connection: Connection[Any], schema: str | None, name: str, url: str) -> Table:
    """Return a table to be read, or say what there is."""
    there = connection.execute("SELECT extname FROM pg_extension ORDER BY 1").fetchall()
    if ("vector",) not in there:
        have = ", ".join(name for (name,) in there) or "none"
        raise ValueError(f"{url}: the database has no extension vector; it has {have}")
    table = find(connection, schema, name)
    if table is not None:
        return table
    others = connection.execute(
        "SELECT DISTINCT a.attrelid::regclass::text FROM pg_attribute a"
        " JOIN pg_class c ON c.oid = a.attrelid JOIN pg_type t ON t.oid = a.atttypid"
        " WHERE t.typname = ANY(%s) AND c.relkind IN ('r', 'p', 'm', 'v', 'f') ORDER BY 1 LIMIT %s",
        [list(_pg_copy.KINDS), NAMED],
    ).fetchall()
    asked = name if schema is None else f"{schema}.{name}"
    have = ", ".join(o for (o,) in others) or "none with vectors"
    raise ValueError(f"{url} has no table {asked!r}; it has {have}")


def vector_column(table: Table, wanted: str | None, url: str) -> Column:
    """Return the column of the vectors."""
    if wanted is not None:
        _files.check_name(wanted, [c.name for c in table.columns], url)
        column = table.column(wanted)
        if column.type not in _pg_copy.KINDS:
            raise ValueError(f"{url}: column {column} is no vector; expected vector or halfvec")
        return column
    found = [c for c in table.columns if c.type in _pg_copy.KINDS]
    if len(found) > 1:
        names = ", ".join(map(str, found))
        raise ValueError(f"{url} has several columns of vectors ({names}); name one (vector)")
    if not found:
        have = ", ".join(map(str, table.columns)) or "no columns"
        raise ValueError(f"{url} has {have}; expected a column of type vector or halfvec")
    return found[0]


def id_column(table: Table, wanted: str | None, url: str) -> Column:
    """Return the column of the ids."""
    names = [c.name for c in table.columns]
    if wanted is not None:
        _files.check_name(wanted, names, url)
    elif len(table.key) > 1:
        raise ValueError(
            f"{url} has a primary key of several columns ({', '.join(table.key)}); name one that "
            "tells its rows apart (id)"
        )
    found = wanted or next((n for n in (*table.key, *IDS) if n in names), None)
    if found is None:
        raise ValueError(
            f"{url} has no primary key, and the columns {', '.join(names)}; name the one of the "
            "ids (id)"
        )
    column = table.column(found)
    if column.type not in _pg_copy.ID_TYPES or column.schema != "pg_catalog":
        raise ValueError(f"{url}: column {column} has no ids; expected integers, text or uuid")
    return column


def indexes(connection: Connection[Any], table: Table, column: str) -> list[tuple[Any, ...]]:
    """Return kind, operator class, its schema and options of each index of a column of vectors."""
    return connection.execute(
        "SELECT m.amname, o.opcname, n.nspname, c.reloptions FROM pg_index i"
        " JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am m ON m.oid = c.relam"
        " JOIN pg_opclass o ON o.oid = i.indclass[0] JOIN pg_namespace n ON n.oid = o.opcnamespace"
        " WHERE i.indrelid = %s AND i.indkey[0] = %s AND i.indnatts = 1 AND i.indpred IS NULL"
        " AND m.amname IN ('hnsw', 'ivfflat') ORDER BY c.relname",
        [table.oid, table.column(column).number],
    ).fetchall()


def create_index(
    connection: Connection[Any], table: Table, column: str, like: tuple[Any, ...]
) -> None:
    """Build an index as another table has it."""
    method, operators, schema, options = like
    of = sql("{} {}", identifier(column), identifier(schema, operators))
    query = sql("CREATE INDEX ON {} USING {} ({})", table.identifier(), identifier(method), of)
    if options:
        pairs = (option.partition("=") for option in options)
        settings = listed(sql("{} = {}", identifier(n), literal(value)) for n, _, value in pairs)
        query += sql(" WITH ({})", settings)
    connection.execute(query)


def grants(connection: Connection[Any], view: Table) -> list[Composed]:
    """Return the statements that give others their rights on a view, once it is made anew."""
    found = connection.execute(
        "SELECT a.privilege_type, a.is_grantable,"
        " CASE WHEN a.grantee <> 0 THEN pg_get_userbyid(a.grantee) END"
        " FROM pg_class c, aclexplode(c.relacl) a WHERE c.oid = %s AND a.grantee <> c.relowner",
        [view.oid],
    ).fetchall()
    return [
        sql("GRANT {} ON {} TO ", sql(RIGHTS[right]), view.identifier())
        + (sql("PUBLIC") if role is None else sql("{}", identifier(role)))
        + sql(" WITH GRANT OPTION" if again else "")
        for right, again, role in found
        if right in RIGHTS
    ]
