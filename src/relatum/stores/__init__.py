"""Vector stores: read the vectors that are there, and write others beside them.

A store is one table or collection of one encoder's vectors. Nothing here changes or drops
what it holds: vectors of another encoder go to a *shadow*, a table or collection of its own
beside the old one, which has the same rows.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.metadata import entry_points
from typing import Any, NamedTuple, Protocol

import numpy as np

from relatum._validation import check_choice

__all__ = ["Marks", "Rows", "Shadow", "Store", "current", "open_store"]

GROUP = "relatum.stores"
"""Entry points by which other packages add stores: a scheme, and what opens it."""
BUILT_IN = {
    "lancedb": "relatum.stores._lancedb:open_lancedb",
    "postgresql": "relatum.stores._pgvector:open_pgvector",
    "qdrant": "relatum.stores._qdrant:open_qdrant",
    "chroma": "relatum.stores._chroma:open_chroma",
    "parquet": "relatum.stores._parquet:open_parquet",
}
FORM = "SCHEME:PLACE#NAME, such as lancedb:data/db#items"


class Rows(NamedTuple):
    """Some rows of a store."""

    ids: list[str]
    """Ids as text, whatever they are in the store."""
    X: np.ndarray
    """Vectors (n, n_features) of float32."""
    payload: Any
    """All else, as the store has it; None where it was not asked for."""


class Marks(NamedTuple):
    """What a shadow says of some of its rows."""

    ids: list[str]
    sums: np.ndarray
    """CRC-32 of the old vector that each was made from (n,)."""
    native: np.ndarray
    """Whether the new encoder itself made it (n,)."""


class Store(Protocol):
    """A table or collection of vectors, one for each id."""

    url: str
    n_features: int
    fields: list[str]
    """Names in the payload; those met in some rows, where rows differ."""

    def count(self) -> int:
        """Return the number of rows."""

    def state(self) -> str | None:
        """Return what changes whenever a row does; None where the store cannot say."""

    def ids(self) -> Iterator[list[str]]:
        """Yield the ids of all rows."""

    def batches(self, size: int, *, payload: bool = True) -> Iterator[Rows]:
        """Yield all rows as they were at one moment, at most ``size`` at once."""

    def take(self, ids: Sequence[str], *, payload: bool = True) -> Rows:
        """Return the rows of some ids, in any order; without those that are not there."""

    def values(self, rows: Rows, field: str) -> list[Any]:
        """Return one field of the payload."""

    def search(self, queries: np.ndarray, k: int) -> list[list[tuple[str, float]]]:
        """Return id and cosine of the k nearest rows of each query, by the store's own index."""

    def about(self) -> dict[str, Any]:
        """Return which encoder made the vectors, and how, where that was written."""

    def shadow(self, name: str) -> Shadow:
        """Return a table or collection beside this one, which need not be there yet."""

    def point(self, alias: str, name: str | None) -> None:
        """Let an alias stand for a shadow; None: for this store."""

    def pointed(self, alias: str) -> str | None:
        """Return the name of the table that an alias stands for."""


class Shadow(Protocol):
    """The rows of a store with vectors of another encoder."""

    name: str
    copies_payload: bool
    """Whether rows are written with their payload, and so must be read with it."""

    def exists(self) -> bool:
        """Tell whether it was created."""

    def create(self, n_features: int, about: Mapping[str, Any]) -> None:
        """Create it without rows; ``about`` is kept with it."""

    def open(self) -> Store:
        """Return it as a store, to be read and searched."""

    def marks(self) -> Iterator[Marks]:
        """Yield what is known of all its rows."""

    def write(
        self, rows: Rows, Y: np.ndarray, sums: np.ndarray, native: bool, *, replace: bool
    ) -> None:
        """Add rows with new vectors; ``replace``: some may be there.

        All or none of them where the store can, and each row whole or not at all.
        """

    def remove(self, ids: Sequence[str]) -> None:
        """Remove rows."""

    def finish(self) -> None:
        """Build the index that the store has, or what it needs to be searched fast."""

    def drop(self) -> None:
        """Remove it with all its rows."""


def open_store(url: str, *, vector: str | None = None, id: str | None = None) -> Store:
    """Open a vector store.

    Parameters
    ----------
    url : str
        ``lancedb:FOLDER#TABLE``, ``postgresql://USER@HOST:PORT/DATABASE#TABLE``,
        ``qdrant:FOLDER#COLLECTION``, ``qdrant:http://HOST:6333#COLLECTION``,
        ``chroma:FOLDER#COLLECTION``, ``chroma:http://HOST:8000#COLLECTION``,
        ``parquet:FOLDER``, or a scheme that another package brings (entry points of the
        group ``relatum.stores``).
    vector : str, optional
        Column (or named vector) of the vectors, where there are several.
    id : str, optional
        Column of ids; else the primary key, or one of the names id, ids, _id and key.

    Raises
    ------
    MissingExtraError
        The store's client is not installed (extra ``stores``).
    ValueError
        A URL of another form or scheme, no such table, column or vectors.

    Examples
    --------
    >>> import os, tempfile
    >>> import numpy as np, pyarrow as pa, pyarrow.parquet as pq
    >>> from relatum.stores import open_store
    >>> folder = os.path.join(tempfile.mkdtemp(), "items")
    >>> os.mkdir(folder)
    >>> vectors = pa.FixedSizeListArray.from_arrays(pa.array(np.ones(6, dtype="float32")), 3)
    >>> table = pa.table({"id": ["a", "b"], "vector": vectors, "text": ["one", "two"]})
    >>> pq.write_table(table, os.path.join(folder, "part-0.parquet"))
    >>> store = open_store(f"parquet:{folder}")
    >>> store.count(), store.n_features, store.fields
    (2, 3, ['text'])
    """
    scheme, colon, rest = url.partition(":")
    if not colon or not rest:
        raise ValueError(f"store is {url!r}; expected {FORM}")
    if scheme == "postgres":
        scheme = "postgresql"
    others = {found.name: found for found in entry_points(group=GROUP)}
    check_choice(scheme, "store", [*BUILT_IN, *(n for n in others if n not in BUILT_IN)])
    opens = _built_in(scheme) if scheme in BUILT_IN else others[scheme].load()
    place, _, name = rest.rpartition("#") if "#" in rest else (rest, "", "")
    store: Store = opens(place, name, url=url, vector=vector, id=id)
    return store


def _built_in(scheme: str) -> Callable[..., Store]:
    module, _, name = BUILT_IN[scheme].partition(":")
    opens: Callable[..., Store] = getattr(importlib.import_module(module), name)
    return opens


def current(url: str, alias: str) -> str:
    """Return the name of the table or collection that an alias stands for.

    LanceDB, Chroma and folders have no aliases of their own; what a switch wrote is read
    here. In PostgreSQL (a view) and Qdrant (an alias) the alias itself can be searched.

    Parameters
    ----------
    url : str
        See :func:`open_store`; of the store that was migrated.
    alias : str

    Raises
    ------
    ValueError
        No such alias.
    """
    store = open_store(url)
    found = store.pointed(alias)
    if found is None:
        raise ValueError(f"alias is {alias!r}; {store.url} has none of that name")
    return found
