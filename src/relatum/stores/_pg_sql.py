"""SQL put together of names and values, each of which psycopg quotes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, LiteralString

if TYPE_CHECKING:
    from psycopg.sql import Composable, Composed, Identifier, Literal


def sql(text: LiteralString, *parts: Any) -> Composed:
    """Return ``text`` with parts in place of its braces."""
    from psycopg.sql import SQL

    return SQL(text).format(*parts)


def identifier(*parts: str) -> Identifier:
    """Return a name, perhaps after that of its schema or table."""
    from psycopg.sql import Identifier

    return Identifier(*parts)


def literal(value: Any) -> Literal:
    """Return a value, quoted: a query with parameters could have no % in its names."""
    from psycopg.sql import Literal

    return Literal(value)


def listed(parts: Iterable[Composable]) -> Composed:
    """Return parts with commas between them."""
    from psycopg.sql import SQL

    return SQL(", ").join(parts)
