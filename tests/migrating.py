"""A store of an old encoder, and what a new encoder makes of its items."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from store_cases import CASES, Case

from relatum import _columns
from relatum.migration.plan import EncoderPart, StorePart

N = 600


def two_encoders(n: int = N, noise: float = 0.15, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    mixes = rng.normal(size=(2, 10, 16))
    rng = np.random.default_rng(seed + 1)
    Z = rng.normal(size=(n, 10))
    X, Y = (Z @ mix + noise * rng.normal(size=(n, 16)) for mix in mixes)
    Y = Y[:, :12]
    return tuple(  # type: ignore[return-value]
        np.asarray(M / np.linalg.norm(M, axis=1, keepdims=True), np.float32) for M in (X, Y)
    )


def names(n: int = N) -> list[str]:
    return [f"i{n}" for n in range(n)]


def texts(ids: Sequence[str]) -> list[str]:
    return [f"text of {i}" for i in ids]


class World:
    """A store on the disk, and a file of what the new encoder makes of each item."""

    def __init__(self, folder: Path, kind: str = "parquet", n: int = N) -> None:
        self.folder = folder
        self.X, self.Y = two_encoders(n)
        made = names(n)
        self.case: Case = CASES[kind](folder, made, self.X, texts(made))
        self.ids = [self.case.id_of(i) for i in made]
        self.new = folder / "new.parquet"
        self.write_new(self.ids, self.Y)
        self.plan = folder / "migration.toml"
        self.store = StorePart(self.case.url, "text")
        self.encoder = EncoderPart("new-12", str(self.new), old_name="old-16")

    def write_new(self, ids: Sequence[str], Y: np.ndarray) -> None:
        table = _columns.with_matrix(pa.table({"id": list(ids)}), "embedding", Y)
        pq.write_table(table, self.new)
