"""PostgreSQL's binary COPY: rows with a vector, in bulk.

Each row is the number of its fields, and each field its length and bytes, all big-endian.
The vector comes first and the id last, so that all but the id is at the same place in every
row, and NumPy reads and writes it for all rows at once.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import TypeVar

import numpy as np

HEAD = b"PGCOPY\n\xff\r\n\0" + bytes(8)
"""Signature, flags, and the length of what may follow them and never does."""
END = struct.pack(">h", -1)
KINDS = {"vector": np.dtype(">f4"), "halfvec": np.dtype(">f2")}
"""Types of vectors, and of their numbers."""
INTEGERS = {"int2": 2, "int4": 4, "int8": 8}
VECTOR = [("size", ">i4"), ("width", ">i2"), ("unused", ">i2")]
"""What stands before the numbers of a vector."""
CACHED = 128
"""Rows that are made or read at once, so that they stay near the processor."""
ID_TYPES = (*INTEGERS, "text", "varchar", "bpchar", "uuid")
"""Types of ids."""
NAMED = 5
"""Ids that a message names."""
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
Buffer = bytes | bytearray | memoryview
T = TypeVar("T")


def rows(copy: Iterable[Buffer]) -> Iterator[Buffer]:
    """Yield the bytes of each row; the server sends one message for each."""
    first = True
    for message in copy:
        if first:
            message, first = message[len(HEAD) :], False
        if len(message) > len(END):
            yield message


def groups(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Yield lists of ``size``, and of what is left."""
    remaining = iter(items)
    while some := list(islice(remaining, size)):
        yield some


def vectors(
    messages: Sequence[Buffer], type_: str, width: int, name: str
) -> tuple[list[str], np.ndarray, list[bytes] | None]:
    """Read rows of a vector, an id and perhaps one more field."""
    form = np.dtype([*VECTOR, ("vector", KINDS[type_], (width,)), ("id_size", ">i4")])
    at = 2 + form.itemsize
    X, sizes = np.empty((len(messages), width), np.float32), np.empty(len(messages), np.int64)
    for start in range(0, len(messages), CACHED):
        some = messages[start : start + CACHED]
        data = b"".join([m[2:at] for m in some])
        if len(data) < len(some) * form.itemsize:
            raise _unfit(some, form, width, name)
        found = np.frombuffer(data, form)
        if (found["size"] != form["vector"].itemsize + 4).any() or (found["width"] != width).any():
            raise _unfit(some, form, width, name)
        X[start : start + CACHED] = found["vector"]
        sizes[start : start + CACHED] = found["id_size"]
    if (sizes < 0).any():
        raise ValueError(f"{name} has a row whose id is NULL; expected an id in every row")
    if not len(messages) or len(messages[0]) == at + sizes[0]:
        return [str(m[at:], "utf-8") for m in messages], X, None
    ends = (sizes + at).tolist()
    found_ids = [str(m[at:end], "utf-8") for m, end in zip(messages, ends, strict=True)]
    return found_ids, X, [bytes(m[end + 4 :]) for m, end in zip(messages, ends, strict=True)]


def _unfit(messages: Sequence[Buffer], form: np.dtype, width: int, name: str) -> ValueError:
    """Return an error that names rows without a vector, or with one of another length."""
    head = struct.pack(">ih", form["vector"].itemsize + 4, width)
    some = [m for m in messages if m[2:8] != head][:NAMED]
    named = ", ".join(repr(_id_of(m)) for m in some)
    return ValueError(
        f"{name} has no vector, or one of another length, in the rows {named}; expected {width} "
        "numbers in every row"
    )


def _id_of(message: Buffer) -> str:
    """Return the id of a row whose vector has any length, or is NULL."""
    (size,) = struct.unpack(">i", message[2:6])
    rest = message[6 + max(size, 0) :]
    (size,) = struct.unpack(">i", rest[:4])
    return str(rest[4 : 4 + max(size, 0)], "utf-8")


def ids(messages: Sequence[Buffer]) -> list[str]:
    """Read rows of an id."""
    return [str(m[6:], "utf-8") for m in messages]


MARK = np.dtype(
    [("fields", ">i2"), ("sum_size", ">i4"), ("sum", ">i8"), ("native_size", ">i4"),
     ("native", "u1"), ("id_size", ">i4")]
)  # fmt: skip
"""A row of a sum, whether it is native, and an id, up to the id."""


def marks(messages: Sequence[Buffer]) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Read rows of a sum, whether it is native, and an id."""
    fixed = np.frombuffer(b"".join([m[: MARK.itemsize] for m in messages]), MARK)
    ids = [str(m[MARK.itemsize :], "utf-8") for m in messages]
    return ids, fixed["sum"].astype(np.uint32), fixed["native"].astype(bool)


def packed(ids: Sequence[bytes], Y: np.ndarray, sums: np.ndarray, native: bool) -> Iterator[bytes]:
    """Yield rows of a vector, a sum, whether it is native, and an id, with head and end."""
    width = Y.shape[1]
    form = np.dtype(
        [("fields", ">i2"), *VECTOR, ("vector", ">f4", (width,)), *MARK.descr[1:]]
    )  # fmt: skip
    fixed, step = np.zeros(min(CACHED, len(ids)), form), form.itemsize
    fixed["fields"], fixed["size"], fixed["width"] = 4, 4 + 4 * width, width
    fixed["sum_size"], fixed["native_size"], fixed["native"] = 8, 1, native
    data = memoryview(fixed.view(np.uint8))  # type: ignore[arg-type]
    yield HEAD
    for start in range(0, len(ids), CACHED):
        some, rows = ids[start : start + CACHED], slice(start, start + CACHED)
        fixed["vector"][: len(some)], fixed["sum"][: len(some)] = Y[rows], sums[rows]
        fixed["id_size"][: len(some)] = np.fromiter(map(len, some), np.int32, len(some))
        parts: list[Buffer] = []
        for i, id in enumerate(some):
            parts += (data[i * step : (i + 1) * step], id)
        yield b"".join(parts)
    yield END


def id_bytes(ids: Sequence[str], type_: str) -> list[bytes]:
    """Return ids as they are in a binary COPY of their type."""
    if type_ in INTEGERS:
        size = INTEGERS[type_]
        return [int(i).to_bytes(size, "big", signed=True) for i in ids]
    if type_ == "uuid":
        return [bytes.fromhex(i.replace("-", "")) for i in ids]
    return [i.encode() for i in ids]


def possible(ids: Sequence[str], type_: str) -> list[str]:
    """Return the ids that a column of a type can have, as the server writes them."""
    if type_ == "uuid":
        return [i for i in ids if UUID.fullmatch(i)]
    if type_ not in INTEGERS:
        return [i for i in ids if "\0" not in i]
    limit = 1 << (8 * INTEGERS[type_] - 1)
    return [i for i in ids if _number(i) is not None and -limit <= int(i) < limit]


def _number(text: str) -> int | None:
    try:
        number = int(text)
    except ValueError:
        return None
    return number if str(number) == text else None
