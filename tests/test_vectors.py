"""Embeddings, labels and row numbers on disk: round trips, bad files, atomic writes."""

from __future__ import annotations

import io
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import relatum
from relatum import _files, vectors

SUFFIXES = (".npy", ".npz", ".parquet", ".safetensors")
FLOATS = (np.float16, np.float32, np.float64)
X = np.random.default_rng(0).normal(size=(40, 6))
EMBEDDINGS = vectors.Embeddings(X, None)

matrices = st.sampled_from(FLOATS).flatmap(
    lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=2, max_dims=2, max_side=6))
)
# NumPy's fixed-width strings drop NULs at the end, and surrogates are not UTF-8
words = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=8)


def whole_disk(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in folder.iterdir()}


# ---- round trips


@pytest.mark.parametrize("suffix", SUFFIXES)
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data(), array=matrices)
def test_every_format_gives_back_what_was_written(suffix, data, array, tmp_path):
    ids = None
    if suffix != ".npy":
        n = len(array)
        ids = data.draw(
            st.one_of(
                st.none(),
                st.lists(words, min_size=n, max_size=n).map(lambda v: np.asarray(v, dtype=str)),
                hnp.arrays(np.int64, n),
            )
        )
    path = tmp_path / f"a{suffix}"
    relatum.write_embeddings(path, array, ids)
    back = relatum.read_embeddings(path)
    np.testing.assert_array_equal(back.array, array)
    assert back.array.dtype == array.dtype
    if ids is None:
        assert back.ids is None
    else:
        assert back.ids.dtype.kind == ids.dtype.kind
        assert back.ids.tolist() == ids.tolist()
    assert os.listdir(tmp_path) == [path.name]


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("make", [
    np.asfortranarray, lambda a: a[::2, ::-1], lambda a: a.astype(">f8"),
], ids=["fortran", "strided", "big-endian"])  # fmt: skip
def test_memory_layout_and_byte_order_do_not_matter(suffix, make, tmp_path):
    path = tmp_path / f"a{suffix}"
    relatum.write_embeddings(path, make(X))
    back = relatum.read_embeddings(path).array
    np.testing.assert_array_equal(back, make(X))
    assert back.dtype.isnative


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_integers_are_embeddings_too(suffix, tmp_path):
    path = tmp_path / f"a{suffix}"
    relatum.write_embeddings(path, np.arange(6).reshape(2, 3))
    assert relatum.read_embeddings(path).array.tolist() == [[0, 1, 2], [3, 4, 5]]


def test_torch_tensors_are_written_and_bfloat16_is_widened(tmp_path):
    torch = pytest.importorskip("torch")
    tensor = torch.tensor([[1.5, -2.0]], dtype=torch.bfloat16)
    relatum.write_embeddings(tmp_path / "a.npy", tensor)
    assert relatum.read_embeddings(tmp_path / "a.npy").array.dtype == np.float32


def test_npy_and_safetensors_are_memory_mapped(tmp_path):
    for suffix in (".npy", ".safetensors"):
        relatum.write_embeddings(tmp_path / f"a{suffix}", X)
        array = relatum.read_embeddings(tmp_path / f"a{suffix}").array
        assert not array.flags.writeable
        while not isinstance(array, np.memmap):
            array = array.base
            assert array is not None, suffix


def test_a_single_fixed_size_list_chunk_is_a_view(tmp_path, monkeypatch):
    relatum.write_embeddings(tmp_path / "a.parquet", X)
    monkeypatch.setattr(np, "empty", lambda *a, **k: pytest.fail("copied"))
    assert not relatum.read_embeddings(tmp_path / "a.parquet").array.flags.writeable


@pytest.mark.parametrize("kind", ["fixed", "list", "large_list", "tensor"])
@pytest.mark.parametrize("row_group_size", [7, 1000])
def test_parquet_list_columns_of_every_kind(kind, row_group_size, tmp_path):
    flat = pa.array(X.astype(np.float32).ravel())
    offsets = np.arange(0, X.size + 1, X.shape[1])
    fixed = pa.FixedSizeListArray.from_arrays(flat, X.shape[1])
    column = {
        "fixed": lambda: fixed,
        "list": lambda: pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), flat),
        "large_list": lambda: pa.LargeListArray.from_arrays(pa.array(offsets), flat),
        "tensor": lambda: pa.ExtensionArray.from_storage(
            pa.fixed_shape_tensor(pa.float32(), [X.shape[1]]), fixed
        ),
    }[kind]()
    tags = pa.array([[1, 2, 3]] * len(X))  # a list of integers is not taken for embeddings
    table = pa.table({"text": ["x"] * len(X), "vector": column, "tokens": tags})
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=row_group_size)
    back = relatum.read_embeddings(tmp_path / "a.parquet")
    np.testing.assert_array_equal(back.array, X.astype(np.float32))
    assert back.ids is None


def test_parquet_columns_are_chosen_by_name_and_ids_found(tmp_path):
    path = tmp_path / "a.parquet"
    table = {"a": list(X), "b": list(2 * X), "key": [str(i) for i in range(40)], "n": range(40)}
    pq.write_table(pa.table({k: pa.array(v) for k, v in table.items()}), path)
    back = relatum.read_embeddings(path, column="b", id_column="n")
    np.testing.assert_array_equal(back.array, 2 * X)
    assert back.ids.tolist() == list(range(40))
    assert relatum.read_embeddings(path, column="a").ids.tolist() == table["key"]
    with pytest.raises(ValueError, match=r"a\.parquet has several list columns \(a, b\); name"):
        relatum.read_embeddings(path)
    with pytest.raises(ValueError, match="column is 'keyy' \\(did you mean 'key'\\?\\)"):
        relatum.read_embeddings(path, column="keyy")
    with pytest.raises(ValueError, match="column 'n' has type int64; expected a list of numbers"):
        relatum.read_embeddings(path, column="n")
    with pytest.raises(ValueError, match=r"column 'a' of .* has type list.*; expected strings or"):
        relatum.read_embeddings(path, column="a", id_column="a")


def test_categories_are_ids(tmp_path):
    column = pa.array(["x", "y", "x"]).dictionary_encode()
    pq.write_table(pa.table({"e": [[1.0], [2.0], [3.0]], "id": column}), tmp_path / "a.parquet")
    assert relatum.read_embeddings(tmp_path / "a.parquet").ids.tolist() == ["x", "y", "x"]


def test_an_id_column_that_cannot_be_ids_is_said(tmp_path):
    pq.write_table(pa.table({"e": [[1.0], [2.0]], "id": [0.5, 1.5]}), tmp_path / "a.parquet")
    with pytest.warns(relatum.RelatumWarning, match="'id' has type double and is not used as ids"):
        assert relatum.read_embeddings(tmp_path / "a.parquet").ids is None


def test_archives_take_one_array_or_a_known_name(tmp_path):
    np.savez(tmp_path / "a.npz", X)
    np.testing.assert_array_equal(relatum.read_embeddings(tmp_path / "a.npz").array, X)
    np.savez(tmp_path / "b.npz", X=X, labels=np.arange(40), ids=np.arange(40))
    assert relatum.read_embeddings(tmp_path / "b.npz").ids.tolist() == list(range(40))
    np.savez(tmp_path / "c.npz", mine=X, other=2 * X)
    assert relatum.read_embeddings(tmp_path / "c.npz", column="mine").array[0, 0] == X[0, 0]
    with pytest.raises(ValueError, match=r"c\.npz has the arrays mine, other; expected one, or"):
        relatum.read_embeddings(tmp_path / "c.npz")
    with pytest.raises(ValueError, match=r"column is 'Mine' .*; expected one of mine, other"):
        relatum.read_embeddings(tmp_path / "c.npz", column="Mine")


def test_safetensors_of_torch_are_read_without_it(tmp_path):
    torch = pytest.importorskip("torch")
    from safetensors.torch import save_file

    values = torch.randn(5, 3)
    for dtype in (torch.bfloat16, torch.float16, torch.float32, torch.float64):
        save_file({"weights": values.to(dtype)}, tmp_path / "a.safetensors")
        back = relatum.read_embeddings(tmp_path / "a.safetensors").array
        np.testing.assert_array_equal(back, relatum._array.to_numpy(values.to(dtype)))
    save_file({"w": values.to(torch.float8_e4m3fn)}, tmp_path / "a.safetensors")
    with pytest.raises(ValueError, match="tensor 'w' has type F8_E4M3; expected one of F64"):
        relatum.read_embeddings(tmp_path / "a.safetensors")


def test_an_artefact_is_not_embeddings(tmp_path):
    relatum.save(relatum.RelativeProjection().fit(X), tmp_path / "a.safetensors")
    with pytest.raises(ValueError, match=r"a\.safetensors is a relatum artefact .*; expected emb"):
        relatum.read_embeddings(tmp_path / "a.safetensors")


# ---- bad files


def written(folder: Path, suffix: str) -> Path:
    path = folder / f"good{suffix}"
    relatum.write_embeddings(path, np.random.default_rng(0).normal(size=(200, 50)))
    return path


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_missing_empty_folder(suffix, tmp_path):
    with pytest.raises(FileNotFoundError, match=rf"no{suffix}: no such file; expected"):
        relatum.read_embeddings(tmp_path / f"no{suffix}")
    (tmp_path / f"empty{suffix}").touch()
    with pytest.raises(ValueError, match=rf"empty{suffix} is empty \(0 bytes\); expected"):
        relatum.read_embeddings(tmp_path / f"empty{suffix}")
    (tmp_path / f"folder{suffix}").mkdir()
    with pytest.raises(ValueError, match=rf"folder{suffix} is a folder"):
        relatum.read_embeddings(tmp_path / f"folder{suffix}")


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("share", [0.02, 0.5, 0.9, 0.9999])
def test_truncated(suffix, share, tmp_path):
    path = written(tmp_path, suffix)
    data = path.read_bytes()
    path.write_bytes(data[: max(10, int(share * len(data)))])
    with pytest.raises(ValueError, match=rf"good{suffix} is truncated or damaged \(.*\); expected"):
        relatum.read_embeddings(path)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("content", SUFFIXES)
def test_content_of_another_format_than_the_suffix_says(suffix, content, tmp_path):
    path = tmp_path / f"a{suffix}"
    written(tmp_path, content).rename(path)
    if suffix == content:
        assert relatum.read_embeddings(path).array.shape == (200, 50)
        return
    came, expected = _files.FORMATS[content], _files.FORMATS[suffix]
    with pytest.raises(ValueError, match=rf"a{suffix} is {came}; expected {expected} \({suffix}\)"):
        relatum.read_embeddings(path)


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (pickle.dumps(X), r"a pickle \(refused: loading one can run any code\)"),
        (b"\x1f\x8b\x08\x00data", r"a gzip archive \(unpack it first\)"),
        (b"version https://git-lfs.github.com/spec/v1", r"a Git LFS pointer \(run: git lfs pull\)"),
        (b"0.1 0.2\n0.3 0.4\n", "something else"),
        (b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
    ],
)
def test_wrong_kinds_are_named(head, name, tmp_path):
    (tmp_path / "a.npy").write_bytes(head)
    with pytest.raises(ValueError, match=rf"a\.npy is {name}; expected a NumPy array \(\.npy\)"):
        relatum.read_embeddings(tmp_path / "a.npy")


def test_unknown_suffix(tmp_path):
    (tmp_path / "a.xlsx").write_bytes(b"x")
    with pytest.raises(ValueError, match=r"has the suffix '.xlsx'; expected embeddings as \.npy, "):
        relatum.read_embeddings(tmp_path / "a.xlsx")


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_pickled_arrays_are_refused_and_never_run(suffix, tmp_path):
    class Bomb:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "ran"),))

    path = tmp_path / f"a{suffix}"
    array = np.array([[Bomb()]], dtype=object)
    (np.save if suffix == ".npy" else np.savez)(path, array, allow_pickle=True)
    with pytest.raises(ValueError, match=r"holds Python objects \(pickled\), which are refused"):
        relatum.read_embeddings(path)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros(3), r"array of shape \(3,\); expected 2 dimensions: \(rows, features\)"),
        (np.zeros((2, 3, 4)), r"array of shape \(2, 3, 4\); expected 2 dimensions"),
        (np.zeros((0, 3)), r"shape \(0, 3\); expected at least 1 row and 1 feature"),
        (np.zeros((3, 0)), r"shape \(3, 0\); expected at least 1 row and 1 feature"),
        (np.zeros((2, 2), complex), "holds complex128 values; expected real numbers"),
        (np.zeros((2, 2), bool), "holds bool values; expected real numbers"),
        (np.array([["a"]]), "holds <U1 values; expected real numbers"),
        (np.zeros((2, 2), [("a", "f4")]), r"holds \[\('a', '<f4'\)\] values; expected real"),
    ],
)
def test_arrays_that_are_no_matrix_of_numbers(array, message, tmp_path):
    for suffix in (".npy", ".npz"):
        (np.save if suffix == ".npy" else np.savez)(tmp_path / f"a{suffix}", array)
        with pytest.raises(ValueError, match=message):
            relatum.read_embeddings(tmp_path / f"a{suffix}")


def test_parquet_refuses_nulls_and_unequal_lists_with_row_numbers(tmp_path):
    path = tmp_path / "a.parquet"

    def write(values, type_=None, **more):
        pq.write_table(pa.table({"e": pa.array(values, type_), **more}), path, row_group_size=3)

    rows = [[1.0, 2.0]] * 8
    for type_ in (None, pa.list_(pa.float64(), 2)):
        write([*rows, None, [1.0, None]], type_)
        with pytest.raises(ValueError, match=r"column 'e' of .* has nulls in 2 rows: 8, 9; exp"):
            relatum.read_embeddings(path)
        write([None] * 4, type_ or pa.list_(pa.float64()))
        with pytest.raises(ValueError, match="has nulls in 4 rows: 0, 1, 2, 3; expected numbers"):
            relatum.read_embeddings(path)
    write([*rows, [1.0], [1.0, 2.0, 3.0], [1.0, 2.0]])
    with pytest.raises(
        ValueError, match="unequal length: 2 in the first row, another in 2 rows: 8, 9"
    ):
        relatum.read_embeddings(path)
    write(rows, id=["a", None, "b", "c", "d", "e", "f", "g"])
    with pytest.raises(
        ValueError, match=r"column 'id' of .* has nulls in 1 row: 1; expected a value"
    ):
        relatum.read_embeddings(path)
    write([], pa.list_(pa.float64()))
    with pytest.raises(ValueError, match="has no rows; expected at least 1"):
        relatum.read_embeddings(path)
    pq.write_table(pa.table({"text": ["a"]}), path)
    with pytest.raises(ValueError, match=r"has text \(string\); expected a column with a list"):
        relatum.read_embeddings(path)


def test_npy_takes_no_names(tmp_path):
    np.save(tmp_path / "a.npy", X)
    with pytest.raises(ValueError, match=r"a\.npy is \.npy, which has one array and no names"):
        relatum.read_embeddings(tmp_path / "a.npy", column="x")


def test_ids_must_fit(tmp_path):
    np.savez(tmp_path / "a.npz", X=X, ids=np.arange(7))
    with pytest.raises(
        ValueError, match=r"a\.npz has ids of type int64 and shape \(7,\); expected"
    ):
        relatum.read_embeddings(tmp_path / "a.npz")
    np.savez(tmp_path / "a.npz", X=X, ids=np.zeros(40))
    with pytest.raises(ValueError, match="ids of type float64"):
        relatum.read_embeddings(tmp_path / "a.npz")


# ---- writing


def test_what_cannot_be_written_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"\.npy cannot hold ids; write to \.npz, \.parquet or"):
        relatum.write_embeddings(tmp_path / "a.npy", X, ids=range(40))
    with pytest.raises(ValueError, match=r"a\.txt has the suffix '\.txt'; expected one of \.npy"):
        relatum.write_embeddings(tmp_path / "a.txt", X)
    with pytest.raises(ValueError, match=r"has ids of type int64 and shape \(3,\); expected"):
        relatum.write_embeddings(tmp_path / "a.npz", X, ids=[1, 2, 3])
    with pytest.raises(ValueError, match="array holds complex128 values; expected real numbers"):
        relatum.write_embeddings(tmp_path / "a.npy", X + 1j)
    with pytest.raises(TypeError, match="array is str; expected a 2-D array"):
        relatum.write_embeddings(tmp_path / "a.npy", "x")
    with pytest.raises(FileNotFoundError, match=r"a\.npy: no such folder .*/none"):
        relatum.write_embeddings(tmp_path / "none" / "a.npy", X)
    (tmp_path / "b.npy").mkdir()
    with pytest.raises(ValueError, match=r"b\.npy is not a regular file; expected a file to write"):
        relatum.write_embeddings(tmp_path / "b.npy", X)
    with pytest.raises(ValueError, match=r"rows\.txt has the suffix '\.txt'; expected \.npy"):
        vectors.write_array(tmp_path / "rows.txt", np.arange(3))
    assert os.listdir(tmp_path) == ["b.npy"]


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("broken", ["fsync", "replace"])
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_failed_write_leaves_the_old_file_and_nothing_else(
    suffix, broken, error, tmp_path, monkeypatch
):
    path = tmp_path / f"a{suffix}"
    relatum.write_embeddings(path, X)
    before = whole_disk(tmp_path)

    def fail(*_):
        raise error

    monkeypatch.setattr(_files.os, broken, fail)
    with pytest.raises(type(error)):
        relatum.write_embeddings(path, 2 * X)
    assert whole_disk(tmp_path) == before


def test_a_writer_that_fails_half_way_leaves_nothing(tmp_path, monkeypatch):
    def half(path, *_):
        Path(path).write_bytes(b"half")
        raise RuntimeError("killed")

    monkeypatch.setitem(vectors._formats.WRITERS, ".npz", half)
    with pytest.raises(RuntimeError, match="killed"):
        relatum.write_embeddings(tmp_path / "a.npz", X)
    assert not os.listdir(tmp_path)


def test_content_and_folder_are_synced_before_and_after_the_rename(tmp_path, monkeypatch):
    events = []
    real_sync, real_replace = os.fsync, os.replace

    def sync(handle):
        events.append("folder" if os.path.isdir(f"/proc/self/fd/{handle}") else "file")
        real_sync(handle)

    def replace(a, b):
        events.append("rename")
        real_replace(a, b)

    monkeypatch.setattr(_files.os, "fsync", sync)
    monkeypatch.setattr(_files.os, "replace", replace)
    relatum.write_embeddings(tmp_path / "a.parquet", X)
    if sys.platform == "linux":
        assert events == ["file", "rename", "folder"]


def test_an_unwritable_folder_is_said(tmp_path, monkeypatch):
    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(_files.tempfile, "mkstemp", refuse)
    with pytest.raises(OSError, match=r"a\.npy: cannot write in .* \(Permission denied\)"):
        relatum.write_embeddings(tmp_path / "a.npy", X)


def test_links_are_followed_and_permissions_kept(tmp_path):
    target, link = tmp_path / "target.npy", tmp_path / "link.npy"
    relatum.write_embeddings(target, X)
    umask = os.umask(0)
    os.umask(umask)
    assert target.stat().st_mode & 0o777 == 0o666 & ~umask
    target.chmod(0o640)
    link.symlink_to(target)
    relatum.write_embeddings(link, 2 * X)
    assert link.is_symlink()
    assert target.stat().st_mode & 0o777 == 0o640
    np.testing.assert_array_equal(relatum.read_embeddings(target).array, 2 * X)


# ---- standard input and output


PIPE = "import sys, relatum; relatum.write_embeddings('-', relatum.read_embeddings('-').array * 2)"


def run(code: str, data: bytes) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([sys.executable, "-c", code], input=data, capture_output=True)


def test_arrays_pass_through_pipes():
    out = io.BytesIO()
    np.save(out, X.astype(np.float32))
    result = run(PIPE, out.getvalue())
    assert result.returncode == 0, result.stderr
    back = np.load(io.BytesIO(result.stdout))
    np.testing.assert_array_equal(back, 2 * X.astype(np.float32))


class Stdin:
    def __init__(self, data: bytes) -> None:
        self.buffer = io.BytesIO(data)


def pickled() -> bytes:
    out = io.BytesIO()
    np.save(out, np.array([[None]]), allow_pickle=True)
    return out.getvalue()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "standard input is empty; expected a NumPy array"),
        (b"PAR1....", r"standard input is a Parquet file; expected a NumPy array \(\.npy\)"),
        (b"\x93NUMPY\x01\x00", "standard input is truncated or damaged"),
        (pickled(), r"standard input holds Python objects \(pickled\), which are refused"),
    ],
)
def test_bad_standard_input(data, message, monkeypatch):
    monkeypatch.setattr(sys, "stdin", Stdin(data))
    with pytest.raises(ValueError, match=message):
        relatum.read_embeddings("-")


# ---- labels, row numbers, anchors


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("y.txt", "b\na\nb\n\n", ["b", "a", "b"]),
        ("y.txt", "﻿b\r\na\r\n", ["b", "a"]),
        ("y.csv", 'text,label\nhi,b\n"a, b",a\n', ["b", "a"]),
        ("y.csv", "topic\nb\na\n", ["b", "a"]),
        ("y.tsv", "text\tlabel\nhi\tb\n", ["b"]),
        ("y.json", '["b", "a"]', ["b", "a"]),
        ("y.json", "[3, 1]", [3, 1]),
    ],
)
def test_labels_in_text_files(name, text, expected, tmp_path):
    (tmp_path / name).write_bytes(text.encode())
    assert vectors.read_labels(tmp_path / name).tolist() == expected


def test_labels_in_arrays_and_tables(tmp_path):
    for labels in (np.array([1, 2, 1]), np.array(["a", "b", "a"])):
        np.save(tmp_path / "y.npy", labels)
        assert vectors.read_labels(tmp_path / "y.npy").tolist() == labels.tolist()
        pq.write_table(pa.table({"e": [[1.0]] * 3, "topic": labels}), tmp_path / "y.parquet")
        assert vectors.read_labels(tmp_path / "y.parquet").tolist() == labels.tolist()
    pq.write_table(
        pa.table({"text": ["a"], "topic": ["b"], "label": ["c"]}), tmp_path / "y.parquet"
    )
    assert vectors.read_labels(tmp_path / "y.parquet").tolist() == ["c"]
    assert vectors.read_labels(tmp_path / "y.parquet", column="topic").tolist() == ["b"]
    (tmp_path / "y.csv").write_text("text,topic\na,b\n")
    assert vectors.read_labels(tmp_path / "y.csv", column="topic").tolist() == ["b"]


@pytest.mark.parametrize(
    ("name", "content", "column", "message"),
    [
        ("y.txt", b"a\n\nb\n \nc\n", None, r"y\.txt has no value in 2 rows: 1, 3; expected labels"),
        ("y.txt", b"\n\n", None, r"y\.txt has no values; expected labels, one a line"),
        ("y.txt", b"caf\xe9\n", None, r"y\.txt is not text in UTF-8 \(byte 3\); expected labels"),
        ("y.csv", b"a,b\n1,2\n", None, r"y\.csv has the columns a, b; name the one that holds"),
        ("y.csv", b"a,b\n1,2\n", "bb", r"y\.csv: column is 'bb' \(did you mean 'b'\?\); expected"),
        ("y.csv", b"label,b\n,2\n1\n", None, r"y\.csv has no value in 1 row: 0"),
        ("y.json", b"[1, ", None, r"y\.json is not JSON \(.*\); expected a list of labels"),
        ("y.json", b'{"a": 1}', None, r"y\.json holds dict; expected a list of strings or of int"),
        ("y.json", b'["a", 1]', None, r"y\.json holds a list of int, str; expected a list of"),
        ("y.json", b"[]", None, r"y\.json holds a list of nothing; expected a list"),
        ("y.pkl", b"x", None, r"y\.pkl has the suffix '\.pkl'; expected labels as \.npy, \.txt"),
        ("y.txt", b"", None, r"y\.txt is empty \(0 bytes\); expected labels"),
    ],
)
def test_bad_label_files(name, content, column, message, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=message):
        vectors.read_labels(tmp_path / name, column=column)


def test_labels_of_other_types_are_refused(tmp_path):
    for values in (np.zeros(3), np.zeros((3, 1), int), np.zeros(0, int)):
        np.save(tmp_path / "y.npy", values)
        with pytest.raises(ValueError, match=r"y\.npy .*expected (labels|a whole)"):
            vectors.read_labels(tmp_path / "y.npy")
    pq.write_table(pa.table({"a": ["x"], "b": ["y"]}), tmp_path / "y.parquet")
    with pytest.raises(ValueError, match="has the columns a, b; name the one that holds the label"):
        vectors.read_labels(tmp_path / "y.parquet")
    with pytest.raises(FileNotFoundError, match=r"no\.txt: no such file; expected labels"):
        vectors.read_labels(tmp_path / "no.txt")


def test_row_numbers(tmp_path):
    np.save(tmp_path / "i.npy", np.array([4, 2], dtype=np.uint8))
    (tmp_path / "i.txt").write_text("4\n2\n")
    (tmp_path / "i.json").write_text("[4, 2]")
    for suffix in (".npy", ".txt", ".json"):
        rows = vectors.read_indices(tmp_path / f"i{suffix}")
        assert rows.dtype == np.int64
        assert rows.tolist() == [4, 2]
        np.testing.assert_array_equal(
            vectors.read_anchors(tmp_path / f"i{suffix}", EMBEDDINGS).array, X[[4, 2]]
        )
    (tmp_path / "i.txt").write_text("4\nx\n")
    with pytest.raises(ValueError, match=r"i\.txt holds <U1 of shape \(2,\); expected row numbers"):
        vectors.read_indices(tmp_path / "i.txt")
    np.save(tmp_path / "i.npy", np.array([1.0]))
    with pytest.raises(ValueError, match=r"i\.npy holds float64 of shape \(1,\); expected row num"):
        vectors.read_indices(tmp_path / "i.npy")


def test_anchors_are_row_numbers_or_embeddings(tmp_path):
    relatum.write_embeddings(tmp_path / "a.npz", X[:3], ids=["x", "y", "z"])
    anchors = vectors.read_anchors(tmp_path / "a.npz", EMBEDDINGS)
    assert anchors.array.shape == (3, 6)
    assert anchors.ids.tolist() == ["x", "y", "z"]
    np.save(tmp_path / "a.npy", X[:3])
    assert vectors.read_anchors(tmp_path / "a.npy", EMBEDDINGS).ids is None
    np.save(tmp_path / "i.npy", [3, 1])
    named = vectors.Embeddings(X, np.arange(100, 140))
    assert vectors.read_anchors(tmp_path / "i.npy", named).ids.tolist() == [103, 101]
    np.save(tmp_path / "i.npy", [0, 40])
    with pytest.raises(ValueError, match=r"i\.npy has row numbers from 0 to 40; expected 0 to 39"):
        vectors.read_anchors(tmp_path / "i.npy", EMBEDDINGS)
    np.save(tmp_path / "b.npy", X[:, :4])
    with pytest.raises(ValueError, match=r"b\.npy has 4 features, emb has 6; expected the same"):
        vectors.read_anchors(tmp_path / "b.npy", EMBEDDINGS, name="emb")


def test_a_folder_of_parquet_files_is_read_in_the_order_of_their_names(tmp_path):
    for i, start in ((10, 25), (2, 0)):
        relatum.write_embeddings(
            tmp_path / f"part-{i:02}.parquet", X[start:][:25], ids=np.arange(40)[start:][:25]
        )
    (tmp_path / "_done.txt").write_text("")
    found = relatum.read_embeddings(tmp_path)
    np.testing.assert_array_equal(found.array, X)
    assert found.ids.tolist() == list(range(40))


def test_manifest_of_the_module_is_what_it_offers():
    assert all(hasattr(vectors, name) for name in vectors.__all__)
    assert json.loads(json.dumps(vectors.__all__)) == sorted(vectors.__all__)
