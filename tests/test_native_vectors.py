"""Vectors of the new encoder: by a command, a function or a file, and never made twice."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from relatum import _columns
from relatum.migration.native_vectors import BATCH, NativeVectors, embedder

PROGRAM = """
import json, sys
import numpy as np
texts = [json.loads(line) for line in sys.stdin]
np.save(sys.stdout.buffer, np.array([[len(t), t.count("e"), 1.0] for t in texts]))
"""
TEXTS = ["one", 'two "quoted"\nlines', "é three"]


def expected(texts: list[str]) -> np.ndarray:
    return np.array([[len(t), t.count("e"), 1.0] for t in texts])


@pytest.fixture
def command(tmp_path: Path) -> str:
    path = tmp_path / "embed.py"
    path.write_text(PROGRAM)
    return f"{sys.executable} {path}"


def test_a_command_gets_texts_and_writes_vectors(command: str) -> None:
    found = embedder(command)(["a", "b", "c"], TEXTS)
    np.testing.assert_array_equal(found, expected(TEXTS))


def test_a_function_of_the_users_own_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my_encoder.py").write_text(
        "def encode(texts): return [[len(t), 1.0] for t in texts]"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    found = embedder("my_encoder:encode")(["a"], ["four"])
    np.testing.assert_array_equal(found, [[4, 1]])
    with pytest.raises(ValueError, match=r"embed is 'my_encoder:nothing': .*nothing"):
        embedder("my_encoder:nothing")
    with pytest.raises(ValueError, match=r"embed is 'no_such_module:encode'"):
        embedder("no_such_module:encode")


def test_a_file_gives_vectors_by_id(tmp_path: Path) -> None:
    path = tmp_path / "new.parquet"
    Y = np.arange(8.0).reshape(4, 2)
    pq.write_table(_columns.with_matrix(pa.table({"id": ["a", "b", "c", "d"]}), "v", Y), path)
    embed = embedder(str(path))
    np.testing.assert_array_equal(embed(["c", "a"], ["", ""]), Y[[2, 0]])
    with pytest.raises(ValueError, match=r"no vector for the id 'x' \(1 of 2 are not there\)"):
        embed(["c", "x"], ["", ""])


def test_a_file_without_ids_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "new.npz", v=np.ones((3, 2)))
    with pytest.raises(ValueError, match=r"it has no ids; expected those of the store"):
        embedder(str(tmp_path / "new.npz"))


def test_commands_that_fail(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="embed is empty; expected a command"):
        embedder(" ")
    with pytest.raises(OSError, match="no_such_program"):
        embedder("no_such_program --x")(["a"], ["t"])
    with pytest.raises(OSError, match="it ended with exit code 3"):
        embedder(f"{sys.executable} -c 'raise SystemExit(3)'")(["a"], ["t"])
    with pytest.raises(ValueError, match=r"truncated or damaged|pickled"):
        embedder(f"{sys.executable} -c 'print(1)'")(["a"], ["t"])


class Counting:
    """Makes vectors of texts, and says how many it was asked for."""

    def __init__(self, width: int = 3) -> None:
        self.asked: list[str] = []
        self.width = width

    def __call__(self, ids: list[str], texts: list[str]) -> np.ndarray:
        assert len(ids) == len(texts) <= BATCH
        self.asked += ids
        return np.array([[len(t) + j for j in range(self.width)] for t in texts], float)


def test_nothing_is_made_twice(tmp_path: Path) -> None:
    embed = Counting()
    items = {f"i{n}": "x" * n for n in range(600)}
    seen: list[int] = []
    first = NativeVectors(tmp_path / "native", embed)
    found = first.of(items, seen.append)
    np.testing.assert_array_equal(found[:, 0], np.arange(600))
    assert (first.n_made, seen) == (600, [256, 512, 600])
    again = NativeVectors(tmp_path / "native", embed)
    np.testing.assert_array_equal(again.of({"i5": "xxxxx", "new": "ab"}), [[5, 6, 7], [2, 3, 4]])
    assert len(embed.asked) == 601
    assert set(again.ids) == {*items, "new"}
    np.testing.assert_array_equal(again.kept(["new", "i1"]), [[2, 3, 4], [1, 2, 3]])


def test_another_text_is_embedded_again(tmp_path: Path) -> None:
    embed = Counting()
    native = NativeVectors(tmp_path, embed)
    native.of({"a": "one"})
    np.testing.assert_array_equal(native.of({"a": "three"})[:, 0], [5])
    assert NativeVectors(tmp_path, embed).of({"a": "three"})[0, 0] == 5
    assert len(embed.asked) == 2


def test_what_was_made_is_kept_when_a_later_batch_fails(tmp_path: Path) -> None:
    embed = Counting()

    def failing(ids: list[str], texts: list[str]) -> np.ndarray:
        if "i300" in ids:
            raise OSError("no quota left")
        return embed(ids, texts)

    items = {f"i{n}": "x" * n for n in range(600)}
    with pytest.raises(OSError, match="no quota left"):
        NativeVectors(tmp_path, failing).of(items)
    NativeVectors(tmp_path, embed).of(items)
    assert len(embed.asked) == 600


def test_vectors_that_do_not_fit(tmp_path: Path) -> None:
    native = NativeVectors(tmp_path, Counting())
    native.of({"a": "x"})
    with pytest.raises(ValueError, match=r"embed made 2 features, 3 before; one encoder only"):
        NativeVectors(tmp_path, Counting(2)).of({"b": "x"})
    for made, message in (
        (np.ones((1, 3)), r"embed made 1 rows of 2 texts"),
        (np.full((2, 3), np.nan), r"what embed made contains NaN"),
        (np.ones(2), r"what embed made has 1 dimension"),
    ):
        with pytest.raises(ValueError, match=message):
            NativeVectors(tmp_path / "x", lambda ids, texts, made=made: made).of({"a": "", "b": ""})


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    NativeVectors(tmp_path, Counting()).of({"a": "x"})
    path = next(tmp_path.glob("part-*.parquet"))
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ValueError, match=rf"{path.name} is truncated or damaged"):
        NativeVectors(tmp_path, Counting())


def test_texts_reach_a_command_one_a_line(command: str) -> None:
    assert json.loads(json.dumps(TEXTS[1])) == TEXTS[1]  # the form that the command reads
    assert embedder(command)(["a"], [""]).shape == (1, 3)
