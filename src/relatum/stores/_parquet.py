"""A folder of Parquet files as a store; its shadow is a folder beside it."""

from __future__ import annotations

import json
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from relatum import _files, _places
from relatum._parquet import open_writer
from relatum._table_sources import TableSource
from relatum.neighbors import nearest
from relatum.stores import Marks, Rows, Shadow, Store
from relatum.stores import _tables as tables
from relatum.stores._tables import NATIVE, SUM

POINTERS = "relatum-pointers.json"
"""The file of aliases, beside the folders."""
SCHEMA = "_schema.parquet"
"""A file without rows: what a shadow's files have, and what made its vectors."""


def open_parquet(place: str, name: str, *, url: str, vector: str | None, id: str | None) -> Store:
    """Open a folder of Parquet files."""
    if name:
        place = f"{place}#{name}"  # a folder's name may have one
    if _places.is_url(place) or not Path(place).is_dir():
        raise FileNotFoundError(f"{place}: no such folder; expected a folder of Parquet files")
    return ParquetStore(Path(place), url, vector, id)


class ParquetStore(tables.TableStore):
    """A folder of Parquet files of one schema."""

    def __init__(self, folder: Path, url: str, vector: str | None, id: str | None) -> None:
        self.folder, self.url, self.name = folder, url, folder.name
        self.schema = self._schema()
        self.columns = tables.columns_of(self.schema, vector, id, url)
        self.fields = self.columns.others
        type_ = self.schema.field(self.columns.vector).type
        self.n_features = getattr(type_, "list_size", 0) or self._source().n_features

    def _schema(self) -> Any:
        import pyarrow.parquet as pq

        of_shadow = self.folder / SCHEMA
        if of_shadow.exists():
            return pq.read_schema(of_shadow)
        return _tables(self.folder)[0].schema

    def _source(self) -> TableSource:
        return TableSource(self.folder, self.columns.vector, self.columns.id)

    def count(self) -> int:
        return sum(table.n_rows for table in _tables(self.folder))

    def state(self) -> str | None:
        return json.dumps([table.fingerprint() for table in _tables(self.folder)])

    def _read(self, columns: Sequence[str], size: int) -> Iterator[Any]:
        for table in _tables(self.folder):
            yield from table.read(0, size, columns)

    def take(self, ids: Sequence[str], *, payload: bool = True) -> Rows:
        import pyarrow as pa

        wanted = self._wanted(payload)
        found = [self.schema.empty_table().select(wanted)]
        for table in self._read(wanted, 65_536):
            found.append(table.filter(_among(table, self.columns.id, ids)))
        whole = pa.concat_tables([t.replace_schema_metadata(None) for t in found])
        return tables.rows_of(whole, self.columns, self.url, self.n_features)

    def values(self, rows: Rows, field: str) -> list[Any]:
        return tables.values(rows, field, self.url, self.fields)

    def search(self, queries: np.ndarray, k: int) -> list[list[tuple[str, float]]]:
        """Search all rows, which are read into memory: a folder has no index."""
        parts = list(self.batches(65_536, payload=False))
        ids = [i for part in parts for i in part.ids]
        cosines, rows = nearest(queries, np.concatenate([part.X for part in parts]), k)
        return [
            [(ids[i], float(c)) for i, c in zip(row, cosine, strict=True)]
            for row, cosine in zip(rows, cosines, strict=True)
        ]

    def about(self) -> dict[str, Any]:
        return tables.about_of(self.schema)

    def shadow(self, name: str) -> Shadow:
        return ParquetShadow(self, name)

    def point(self, alias: str, name: str | None) -> None:
        found = self._pointers() | {alias: name or self.name}
        with _files.replacing(self.folder.parent / POINTERS) as temporary:
            temporary.write_text(json.dumps(found, indent=1), encoding="utf-8")

    def pointed(self, alias: str) -> str | None:
        return self._pointers().get(alias)

    def _pointers(self) -> dict[str, str]:
        path = self.folder.parent / POINTERS
        if not path.exists():
            return {}
        found: dict[str, str] = json.loads(path.read_text(encoding="utf-8"))
        return found


class ParquetShadow:
    """A folder beside another; each write is one file."""

    copies_payload = True

    def __init__(self, store: ParquetStore, name: str) -> None:
        self.store, self.name = store, name
        self.folder = store.folder.parent / name

    def exists(self) -> bool:
        return (self.folder / SCHEMA).exists()

    def create(self, n_features: int, about: Mapping[str, Any]) -> None:
        schema = tables.shadow_schema(self.store.schema, self.store.columns, n_features, about)
        self.folder.mkdir(exist_ok=True)
        self._write(schema.empty_table(), SCHEMA)

    def open(self) -> Store:
        columns = self.store.columns
        return ParquetStore(self.folder, f"parquet:{self.folder}", columns.vector, columns.id)

    def marks(self) -> Iterator[Marks]:
        for part in _tables(self.folder):
            for table in part.read(0, 65_536, [self.store.columns.id, SUM, NATIVE]):
                yield tables.marks_of(table, self.store.columns)

    def write(
        self, rows: Rows, Y: np.ndarray, sums: np.ndarray, native: bool, *, replace: bool
    ) -> None:
        import pyarrow.parquet as pq

        schema = pq.read_schema(self.folder / SCHEMA)
        new = tables.shadow_table(schema, rows, Y, self.store.columns, sums, native)
        if replace:
            self.remove(rows.ids)
        self._write(new, f"part-{uuid.uuid4().hex}.parquet")

    def _write(self, table: Any, name: str) -> None:
        with (
            tables.writing(self.folder),
            _files.replacing(self.folder / name) as temporary,
            open_writer(temporary, table.schema) as writer,
        ):
            writer.write_table(table)

    def remove(self, ids: Sequence[str]) -> None:
        import pyarrow.compute as pc
        import pyarrow.parquet as pq

        for part in _tables(self.folder):
            column = pq.read_table(part.name, columns=[self.store.columns.id])
            gone = _among(column, self.store.columns.id, ids)
            if not pc.any(gone).as_py():
                continue
            rest = pq.read_table(part.name).filter(pc.invert(gone))
            if rest.num_rows:
                self._write(rest, os.path.basename(part.name))
            else:
                os.unlink(part.name)

    def finish(self) -> None:
        """There is no index."""

    def drop(self) -> None:
        shutil.rmtree(self.folder)


def _tables(folder: Path) -> Sequence[Any]:
    from relatum._parquet import ParquetTable

    found = _places.below(folder, ".parquet")
    if not found and not (folder / SCHEMA).exists():
        raise _files.FileFormatError(f"{folder} has no .parquet files; expected some")
    return [ParquetTable(path) for path in found]


def _among(table: Any, id_column: str, ids: Sequence[str]) -> Any:
    import pyarrow as pa
    import pyarrow.compute as pc

    text = table.column(id_column).cast(pa.large_string())
    return pc.is_in(text, value_set=pa.array(list(ids), pa.large_string()))
