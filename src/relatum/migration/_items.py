"""Items of a store that is migrated: drawn at random, and embedded by the new encoder."""

from __future__ import annotations

import heapq
import os
import zlib
from collections.abc import Callable, Iterable
from itertools import chain

import numpy as np

from relatum.migration.filling import BATCH
from relatum.migration.native_vectors import NativeVectors, embedder
from relatum.migration.plan import EncoderPart, StorePart, state_folder
from relatum.stores import Store, open_store


def opened(store: StorePart) -> Store:
    """Open the store of a plan."""
    return open_store(store.url, vector=store.vector or None, id=store.id or None)


def all_ids(store: Store) -> Iterable[str]:
    return chain.from_iterable(store.ids())


def sample_ids(ids: Iterable[str], n: int, seed: int = 0, *, skip: Iterable[str] = ()) -> list[str]:
    """Return ``n`` ids drawn at random.

    The draw depends on the seed and each id alone: a larger draw contains a smaller one, in
    the same order, and ids that come or go change little of it.

    Parameters
    ----------
    ids : iterable of str
    n : int
    seed : int
    skip : iterable of str
        Never drawn.

    Examples
    --------
    >>> from relatum.migration._items import sample_ids
    >>> sample_ids(map(str, range(100)), 5) == sample_ids(map(str, range(100)), 9)[:5]
    True
    """
    left_out = set(skip)
    keyed = ((_key(i, seed), i) for i in ids if i not in left_out)
    return [i for _, i in heapq.nsmallest(n, keyed)]


def _key(id: str, seed: int) -> int:
    """Return a number that says nothing about the id (the finaliser of MurmurHash3)."""
    text = id.encode()
    value = zlib.crc32(text, seed) << 32 | zlib.crc32(text[::-1], seed + 1)
    value = (value ^ value >> 33) * 0xFF51AFD7ED558CCD & 0xFFFFFFFFFFFFFFFF
    value = (value ^ value >> 33) * 0xC4CEB9FE1A85EC53 & 0xFFFFFFFFFFFFFFFF
    return value ^ value >> 33


def natives_of(path: str | os.PathLike[str], encoder: EncoderPart) -> NativeVectors:
    """Return the vectors of the new encoder that a plan has made, and how to make others."""
    embed = embedder(encoder.embed, column=encoder.column or None)
    return NativeVectors(state_folder(path) / "native", embed)


def paired(
    store: Store, natives: NativeVectors, ids: Iterable[str], text: str,
    progress: Callable[[int], object] | None = None,
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Return old and new vectors of some items, in the order of their ids."""
    rows = store.take(list(ids))
    place = {i: n for n, i in enumerate(rows.ids)}
    texts = dict.fromkeys(rows.ids, "")
    if text:
        values = store.values(rows, text)
        texts = {i: "" if v is None else str(v) for i, v in zip(rows.ids, values, strict=True)}
    there = [i for i in ids if i in place]
    Y = natives.of({i: texts[i] for i in there}, progress)
    return rows.X[[place[i] for i in there]], Y


def some_rows(store: Store, n: int, seed: int) -> np.ndarray:
    """Return vectors of about ``n`` rows drawn at random, in one pass."""
    rng = np.random.default_rng(seed)
    kept: list[np.ndarray] = []
    total = max(1, store.count())
    for rows in store.batches(BATCH, payload=False):
        kept.append(rows.X[rng.random(len(rows.X)) < n / total] if n < total else rows.X)
    return np.concatenate(kept)
