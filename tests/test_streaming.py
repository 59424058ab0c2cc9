"""From disk to disk: the same rows whatever the format, the cut and the interruptions."""

from __future__ import annotations

import io
import json
import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import relatum
from relatum import _journal, _sinks, streaming, vectors
from relatum._files import FileFormatError
from relatum._journal import Unfinished, folder_of
from relatum.projection import fit_projection, project
from relatum.row_maps import RowMap, projection_of_rows, translation_of_rows
from relatum.streaming import Plan, plan_for, transform_file
from relatum.translation import fit_translation, translate

RNG = np.random.default_rng(0)
X = RNG.normal(size=(400, 6)).astype(np.float32)
A = RNG.normal(size=(9, 6)).astype(np.float32)
PROJECTION = fit_projection(A, center=True)
ROWS = projection_of_rows(PROJECTION)
EXPECTED = project(X, PROJECTION)
WIDTH = 4 * (6 + 9)
SMALL = 10 * WIDTH * 20
"""Memory for blocks of 20 rows, and parts of 40."""
OUTPUTS = ["r.npy", "r.npz", "r.safetensors", "r.parquet", "folder"]


def table_of(array: np.ndarray, **columns: object) -> pa.Table:
    vectors_ = pa.FixedSizeListArray.from_arrays(pa.array(array.ravel()), array.shape[1])
    return pa.table({**columns, "vector": vectors_})


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "x.npy"
    np.save(path, X)
    return path


def whole(path: Path) -> bytes:
    """All bytes of a file, or of the files of a folder."""
    if path.is_dir():
        return b"".join(p.name.encode() + p.read_bytes() for p in sorted(path.iterdir()))
    return path.read_bytes()


def read(path: Path) -> np.ndarray:
    parts = [batch.X for batch in vectors.open_embeddings(path).batches(0, 64)]
    return np.concatenate(parts)


def read_folder(path: Path) -> np.ndarray:
    return np.stack(pq.read_table(path)["embedding"].to_numpy())


class Stops:
    """A function of rows that fails when it has been called ``after`` times."""

    def __init__(self, after: int, error: BaseException) -> None:
        self.left, self.error = after, error

    def rows(self) -> RowMap:
        def function(x: np.ndarray) -> np.ndarray:
            self.left -= 1
            if self.left < 0:
                raise self.error
            return project(x, PROJECTION)

        return RowMap(function, 6, 9, ROWS.settings)


def test_small_memory_cuts_the_rows_as_these_tests_suppose():
    source = vectors.as_source(X)
    assert plan_for(source, ROWS, SMALL) == Plan(20, 40)
    assert [r.stop for _, r in Plan(20, 60).parts(130)] == [60, 120, 130]


# ---- what is written


@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("memory", [SMALL, 2**30])
@pytest.mark.parametrize("dtype", [None, "float16", "float64"])
def test_a_streamed_projection_equals_the_projection(output, memory, dtype, source, tmp_path):
    done: list[int] = []
    path = tmp_path / output
    found = transform_file(source, ROWS, path, memory=memory, dtype=dtype, progress=done.append)
    assert found == (400, 9, 10 if memory == SMALL else 1, 0)
    assert done[-1] == 400
    assert sorted(done) == done
    back = read(path)
    assert back.dtype == (dtype or "float32")
    np.testing.assert_allclose(back, EXPECTED, atol=1e-3 if dtype == "float16" else 1e-6)
    assert sorted(os.listdir(tmp_path)) == sorted([output, "x.npy"])


@pytest.mark.parametrize("name", ["v1.2", "out.parquet", "out.npy"])
def test_a_name_that_ends_like_a_folder_is_one_whatever_it_is_called(name, source, tmp_path):
    transform_file(source, ROWS, f"{tmp_path / name}/", memory=SMALL)
    assert sorted(os.listdir(tmp_path / name)) == [f"part-{i:05}.parquet" for i in range(10)]
    np.testing.assert_allclose(read_folder(tmp_path / name), EXPECTED, atol=1e-6)


def test_small_blocks_share_a_row_group(tmp_path, monkeypatch):
    monkeypatch.setattr(_sinks, "ROW_GROUP", 60 * 9 * 4)  # three blocks of 20 rows
    transform_file(X, ROWS, tmp_path / "r", memory=2 * SMALL)
    sizes = [
        [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)]
        for file in map(pq.ParquetFile, sorted((tmp_path / "r").iterdir()))
    ]
    assert sum(map(sum, sizes)) == 400
    assert all(n >= 60 for groups in sizes for n in groups[:-1])
    np.testing.assert_allclose(read_folder(tmp_path / "r"), EXPECTED, atol=1e-6)


@pytest.mark.parametrize("precision", [None, "float32", "float64"])
@pytest.mark.parametrize("similarity", ["cosine", "quantised", ["euclidean", "cosine"]], ids=str)
def test_every_similarity_and_precision_streams(similarity, precision, tmp_path):
    spec = ("quantised", {"threshold": 0.5}) if similarity == "quantised" else similarity
    projection = fit_projection(A.astype(np.float64), similarity=spec, center=True)
    wide = X.astype(np.float64)
    path = tmp_path / "r.npy"
    transform_file(wide, projection_of_rows(projection, precision), path, memory=SMALL * 4)
    np.testing.assert_allclose(
        np.load(path), project(wide, projection, precision=precision), rtol=1e-4, atol=1e-6
    )
    assert np.load(path).dtype == (precision or "float64")


@settings(max_examples=30, deadline=None)
@given(
    block=st.integers(1, 400), parts=st.integers(1, 6), threads=st.integers(1, 5), data=st.data()
)
def test_rows_are_the_same_however_they_are_cut(block, parts, threads, data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("cut")
    output = data.draw(st.sampled_from(OUTPUTS))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(streaming, "plan_for", lambda *_: Plan(block, block * parts))
        patch.setenv("OMP_NUM_THREADS", str(threads))
        transform_file(X, ROWS, folder / output)
    np.testing.assert_allclose(read(folder / output), EXPECTED, rtol=1e-6, atol=1e-7)


def test_a_translation_streams(source, tmp_path):
    fitted = fit_translation(X[:100], X[:100, ::-1] + 1, method="procrustes_kernel")
    transform_file(source, translation_of_rows(fitted), tmp_path / "t.npy", memory=SMALL)
    np.testing.assert_allclose(np.load(tmp_path / "t.npy"), translate(X, fitted), atol=1e-5)


@pytest.mark.parametrize("as_folder", [False, True])
@pytest.mark.parametrize("list_type", ["fixed", "list", "half"])
def test_other_columns_are_carried_along(as_folder, list_type, tmp_path):
    array = X.astype(np.float16) if list_type == "half" else X
    table = table_of(array, key=[f"k{i}" for i in range(400)], n=np.arange(400))
    table = table.append_column("tags", [[[str(i), None] for i in range(400)]])
    if list_type == "list":
        table = table.set_column(2, "vector", pa.array(X.tolist(), pa.list_(pa.float32())))
    path = tmp_path / "x"
    if as_folder:
        path.mkdir()
        for i, start in enumerate((0, 150, 151)):
            stop = (150, 151, 400)[i]
            pq.write_table(table.slice(start, stop - start), path / f"{i}.parquet")
    else:
        path = tmp_path / "x.parquet"
        pq.write_table(table, path, row_group_size=70)
    opened = vectors.open_embeddings(path)
    assert (opened.n_rows, opened.n_features, opened.id_column) == (400, 6, "key")
    for output in ("r.parquet", "folder"):
        transform_file(opened, ROWS, tmp_path / output, memory=SMALL)
        back = pq.read_table(tmp_path / output)
        assert back.column_names == table.column_names
        for name in ("key", "n", "tags"):
            assert back[name].to_pylist() == table[name].to_pylist()
        np.testing.assert_allclose(read(tmp_path / output), EXPECTED, atol=2e-3)
    for output in ("r.npz", "r.safetensors"):
        with pytest.warns(relatum.RelatumWarning, match="has no place for the columns n, t"):
            transform_file(opened, ROWS, tmp_path / output, memory=SMALL)
        back = relatum.read_embeddings(tmp_path / output)
        assert back.ids.tolist() == table["key"].to_pylist()
    with pytest.raises(ValueError, match=r"r\.npy: \.npy cannot hold ids"):
        transform_file(opened, ROWS, tmp_path / "r.npy")
    transform_file(opened.bare(ids=False), ROWS, tmp_path / "r.npy", memory=SMALL)
    np.testing.assert_allclose(np.load(tmp_path / "r.npy"), EXPECTED, atol=2e-3)


@pytest.mark.parametrize("start", [0, 1, 69, 70, 149, 150, 399])
def test_batches_begin_at_any_row(start, tmp_path):
    for i, part in enumerate((X[:150], X[150:])):
        pq.write_table(table_of(part), tmp_path / f"{i}.parquet", row_group_size=70)
    for opened in (vectors.open_embeddings(tmp_path), vectors.as_source(X)):
        batches = list(opened.batches(start, 33))
        assert [b.start for b in batches] == list(range(start, 400, 33))
        np.testing.assert_array_equal(np.concatenate([b.X for b in batches]), X[start:])
        np.testing.assert_array_equal(
            pa.concat_tables([b.to_arrow("v") for b in batches])["v"].to_pylist(), X[start:]
        )


@pytest.mark.parametrize("rows", [[7], [399, 0, 151], [3, 2, 1]])
def test_anchors_are_taken_from_a_stream(rows, tmp_path):
    table = table_of(X, id=[f"k{i}" for i in range(400)])
    pq.write_table(table, tmp_path / "x.parquet", row_group_size=70)
    np.save(tmp_path / "i.npy", rows)
    found = vectors.read_anchors(
        tmp_path / "i.npy", vectors.open_embeddings(tmp_path / "x.parquet")
    )
    np.testing.assert_array_equal(found.array, X[rows])
    assert found.ids.tolist() == [f"k{i}" for i in rows]


def test_an_array_in_columns_is_read_as_it_is(tmp_path):
    np.save(tmp_path / "x.npy", np.asfortranarray(X))
    transform_file(tmp_path / "x.npy", ROWS, tmp_path / "r.npy", memory=SMALL)
    np.testing.assert_allclose(np.load(tmp_path / "r.npy"), EXPECTED, atol=1e-6)


def test_standard_output_gets_the_whole(source, capfdbinary):
    transform_file(source, ROWS, "-", memory=SMALL)
    np.testing.assert_allclose(
        np.load(io.BytesIO(capfdbinary.readouterr().out)), EXPECTED, atol=1e-6
    )


# ---- messages


def test_messages_count_rows_of_the_whole(tmp_path):
    bad = X.copy()
    bad[[20, 33, 399]] = 0
    rows = projection_of_rows(fit_projection(A))
    np.save(tmp_path / "x.npy", bad)
    with pytest.warns(relatum.RelatumWarning, match=r"x\.npy has rows .*\(3 rows: 20, 33, 399\)"):
        transform_file(tmp_path / "x.npy", rows, tmp_path / "r.npy", memory=SMALL)
    zeros = np.repeat([[0.0], [1.0]], [300, 100], 0) * np.ones(6)
    with pytest.warns(relatum.RelatumWarning, match=r"300 rows: 0, 1, 2, 3, 4, \.\.\."):
        transform_file(zeros, rows, tmp_path / "s.npy", memory=2 * SMALL)
    bad[[25, 31]] = np.nan
    np.save(tmp_path / "x.npy", bad)
    with pytest.raises(ValueError, match=r"x\.npy contains NaN or infinity in 2 rows: 25, 31"):
        transform_file(tmp_path / "x.npy", rows, tmp_path / "t.npy", memory=SMALL)
    assert sorted(os.listdir(tmp_path)) == ["r.npy", "s.npy", "x.npy"]  # nothing was kept of it


def test_one_bad_number_among_millions_is_named(tmp_path):
    array = np.lib.format.open_memmap(tmp_path / "x.npy", "w+", np.float32, (3_200_000, 2))
    array[:] = 1
    array[3_141_592, 1] = np.nan
    array.flush()
    rows = projection_of_rows(fit_projection(np.eye(2, dtype=np.float32)))
    with pytest.raises(ValueError, match=r"x\.npy contains NaN or infinity in 1 row: 3141592"):
        transform_file(tmp_path / "x.npy", rows, tmp_path / "r.npy", memory=50_000_000)
    assert not (tmp_path / "r.npy").exists()
    array[3_141_592, 1] = 2  # mended: another input, and so another job
    array.flush()
    with pytest.raises(ValueError, match=r"begun by an earlier run with another input"):
        transform_file(tmp_path / "x.npy", rows, tmp_path / "r.npy", memory=50_000_000)


@pytest.mark.skipif(os.name == "nt", reason="permissions of folders")
def test_a_folder_that_cannot_be_written_is_named(source, tmp_path, monkeypatch):
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")  # root may write anywhere

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(OSError, match=r"r\.npy: cannot write in .* \(Permission denied\)"):
        transform_file(source, ROWS, tmp_path / "r.npy")


def test_null_rows_of_a_late_file_are_named_by_their_number(tmp_path):
    values = X.tolist()
    values[250] = None
    for i, part in enumerate((values[:200], values[200:])):
        pq.write_table(
            pa.table({"v": pa.array(part, pa.list_(pa.float32()))}), tmp_path / f"{i}.parquet"
        )
    with pytest.raises(ValueError, match=r"column 'v' of .* has nulls in 1 row: 250"):
        transform_file(tmp_path, ROWS, tmp_path / "r.npy", memory=SMALL)


@pytest.mark.parametrize("torch", [True, False])
def test_numbers_that_leave_half_precision_are_refused(torch, tmp_path, monkeypatch):
    if torch:
        pytest.importorskip("torch")
    else:
        monkeypatch.setitem(sys.modules, "torch", None)
    rows = RowMap(lambda x: np.where(np.arange(len(x))[:, None] % 20 == 3, 1e39, x), 6, 6)
    for dtype in ("float16", "bfloat16"):
        with pytest.raises(ValueError, match=f"range of {dtype} in 1 row: 3; write a wider"):
            transform_file(np.ones((500, 6)), rows, tmp_path / "r.safetensors", dtype=dtype,
                           memory=10 * 8 * 12 * 20)  # fmt: skip


def test_wide_other_columns_make_blocks_smaller(tmp_path):
    texts = ["x" * 5000] * len(X)
    for name, columns in (("plain", {}), ("wide", {"text": texts})):
        pq.write_table(table_of(X, **columns), tmp_path / f"{name}.parquet")
    plain, wide = (
        plan_for(relatum.open_embeddings(tmp_path / f"{name}.parquet"), ROWS, 10**6)
        for name in ("plain", "wide")
    )
    assert plain.block == 10**6 // 10 // WIDTH
    assert 10 * wide.block * (WIDTH + 5000) <= 10**6 < 12 * wide.block * (WIDTH + 5000)
    output = tmp_path / "r.parquet"
    transform_file(tmp_path / "wide.parquet", ROWS, output, memory=10**6)
    assert pq.read_table(output).column("text").to_pylist() == texts


@pytest.mark.parametrize("loaded", [True, False])
def test_bfloat16_is_written_as_torch_rounds_it_and_read_batch_by_batch(
    loaded, tmp_path, monkeypatch
):
    torch = pytest.importorskip("torch")
    from safetensors.torch import load_file

    rng = np.random.default_rng(0)
    values = np.exp(rng.normal(0, 20, (300, 4))) * rng.choice([-1, 1], (300, 4))
    values[:4, 0] = 1 + np.array([1, 2, 3, 4]) / 256  # between two, and exact
    values = values.astype(np.float32)
    if not loaded:
        monkeypatch.delitem(sys.modules, "torch")
    rows = RowMap(lambda x: x, 4, 4)
    path = tmp_path / "r.safetensors"
    ids = [f"i{i}" for i in range(300)]
    relatum.write_embeddings(tmp_path / "x.npz", values, ids)
    transform_file(tmp_path / "x.npz", rows, path, dtype="bfloat16", memory=5000)
    monkeypatch.undo()
    expected = torch.from_numpy(values).to(torch.bfloat16)
    assert torch.equal(load_file(path)["embeddings"], expected)
    source = relatum.open_embeddings(path)
    assert (source.dtype, source.ids().tolist()) == (np.float32, ids)
    np.testing.assert_array_equal(vectors.take(source, np.array([7, 3])), expected[[7, 3]].float())
    batches = list(source.batches(13, 100))
    np.testing.assert_array_equal(np.concatenate([b.X for b in batches]), expected[13:].float())
    again = pickle.loads(pickle.dumps(source))
    np.testing.assert_array_equal(again.array, expected.float())
    np.testing.assert_array_equal(relatum.read_embeddings(path).array, expected.float())
    # half the bytes in, half the bytes out
    transform_file(source, rows, tmp_path / "again.safetensors", dtype="bfloat16", memory=5000)
    assert (tmp_path / "again.safetensors").read_bytes() == path.read_bytes()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda p: transform_file(X[:, :5], ROWS, p / "r.npy"), "X has 5 features; expected 6"),
        (lambda p: transform_file(X, ROWS, p / "r.txt"), r"suffix '\.txt'; expected one of"),
        (lambda p: transform_file(X, ROWS, p / "r.npy", memory=100), "memory is 100 bytes; .*600"),
        (lambda p: transform_file(X, ROWS, p / "r.npy", dtype="half"), "dtype is 'half'"),
        (lambda p: transform_file(X, ROWS, p / "r.npy", dtype="bfloat16"), "cannot hold bfloat16"),
        (lambda p: transform_file(p / "none.npy", ROWS, p / "r.npy"), r"none\.npy: no such file"),
        (lambda p: transform_file(X, ROWS, p / "a" / "b"), "no such folder"),
        (lambda p: transform_file(X, ROWS, p), "exists; expected a new or an empty folder"),
        (lambda p: vectors.open_embeddings(p / "sub"), r"folder without \.parquet files"),
        (lambda p: projection_of_rows(PROJECTION, "int8"), "precision is 'int8'"),
    ],
)  # fmt: skip
def test_wrong_use_is_said_before_any_work(call, message, tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "file.txt").write_text("")
    with pytest.raises((ValueError, OSError), match=message):
        call(tmp_path)
    assert os.listdir(tmp_path) == ["sub"]


def test_files_of_a_folder_must_agree(tmp_path):
    pq.write_table(table_of(X), tmp_path / "0.parquet")
    pq.write_table(table_of(X, n=np.arange(400)), tmp_path / "1.parquet")
    with pytest.raises(FileFormatError, match=r"1\.parquet has other columns than .*0\.parquet"):
        vectors.open_embeddings(tmp_path)


# ---- going on


@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("error", [KeyboardInterrupt(), ValueError("broken")], ids=repr)
def test_an_interrupted_run_goes_on_and_ends_with_the_same_bytes(output, error, source, tmp_path):
    transform_file(source, ROWS, tmp_path / f"whole-{output}", memory=SMALL)
    path = tmp_path / output
    with pytest.raises(type(error)):
        transform_file(source, Stops(15, error).rows(), path, memory=SMALL)
    assert not path.exists()
    done = (folder_of(path) / "journal").read_text().count("\n") - 1
    assert 0 < done < 8
    # what is already there is not done again, whatever memory there is now
    counted = Stops(1000, ValueError())
    found = transform_file(source, counted.rows(), path, memory=3 * SMALL)
    assert found.n_kept == 40 * done
    assert 1000 - counted.left == 20 - 2 * done
    assert whole(path) == whole(tmp_path / f"whole-{output}")
    assert not folder_of(path).exists()


def test_restart_begins_anew(source, tmp_path):
    path = tmp_path / "r.npy"
    with pytest.raises(KeyboardInterrupt):
        transform_file(source, Stops(15, KeyboardInterrupt()).rows(), path, memory=SMALL)
    assert transform_file(source, ROWS, path, memory=SMALL, restart=True).n_kept == 0


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda s, r: (s, projection_of_rows(fit_projection(A, center=False)), None), "settings"),
        (lambda s, r: (s, r, "float16"), "dtype"),
        (lambda s, r: (os.utime(s, (1, 1)) or s, r, None), "input"),
    ],
    ids=["settings", "dtype", "input"],
)
def test_another_job_does_not_go_on(change, what, source, tmp_path):
    path = tmp_path / "r.npy"
    with pytest.raises(KeyboardInterrupt):
        transform_file(source, Stops(15, KeyboardInterrupt()).rows(), path, memory=SMALL)
    again, rows, dtype = change(source, ROWS)
    with pytest.raises(
        ValueError, match=rf"begun by an earlier run with another {what}; .*--restart"
    ):
        transform_file(again, rows, path, memory=SMALL, dtype=dtype)
    assert folder_of(path).exists()


@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("damage", ["cut", "flip", "first", "data"])
def test_damage_is_found_and_its_part_done_again(damage, output, source, tmp_path):
    transform_file(source, ROWS, tmp_path / f"whole-{output}", memory=SMALL)
    path = tmp_path / output
    with pytest.raises(KeyboardInterrupt):
        transform_file(source, Stops(15, KeyboardInterrupt()).rows(), path, memory=SMALL)
    journal = folder_of(path) / "journal"
    raw = bytearray(journal.read_bytes())
    if damage == "cut":
        del raw[-10:]
    elif damage == "flip":
        raw[-12] ^= 1
    elif damage == "first":
        raw[5] ^= 1
    else:
        files = [p for p in folder_of(path).rglob("*") if p.is_file() and p.name != "journal"]
        data = max(files, key=lambda p: p.stat().st_size)
        content = bytearray(data.read_bytes())
        content[len(content) // 5] ^= 1
        data.write_bytes(content)
    journal.write_bytes(raw)
    if damage in ("flip", "first"):
        with pytest.warns(relatum.RelatumWarning, match=r"journal: line \d is damaged"):
            transform_file(source, ROWS, path, memory=SMALL)
    else:
        transform_file(source, ROWS, path, memory=SMALL)
    assert whole(path) == whole(tmp_path / f"whole-{output}")


def test_a_second_process_is_refused(source, tmp_path):
    path = tmp_path / "r.npy"
    with (
        Unfinished(path, {}, {"block": 1, "part": 1}, restart=False),
        pytest.raises(OSError, match=r"r\.npy: another process is writing it"),
    ):
        transform_file(source, ROWS, path)


def test_an_input_that_changes_meanwhile_is_refused(source, tmp_path):
    path = tmp_path / "r.npy"

    def function(x: np.ndarray) -> np.ndarray:
        os.utime(source, (time.time(), 5))
        return project(x, PROJECTION)

    with pytest.raises(FileFormatError, match=r"x\.npy changed while it was read"):
        transform_file(source, RowMap(function, 6, 9), path, memory=SMALL)
    assert not path.exists()


def test_an_input_that_gets_shorter_is_refused(source, tmp_path):
    opened = vectors.open_embeddings(source)
    os.truncate(source, 5000)
    with pytest.raises(FileFormatError, match=r"x\.npy got shorter while it was read"):
        transform_file(opened, ROWS, tmp_path / "r.npy", memory=SMALL)


SCRIPT = """
import sys, time
import numpy as np
from relatum.projection import fit_projection, project
from relatum.streaming import RowMap, transform_file
A = np.load(sys.argv[2])
projection = fit_projection(A, center=True)
def function(x):
    time.sleep(float(sys.argv[4]))
    return project(x, projection)
if len(sys.argv) > 5:
    import resource
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[5]),) * 2)
try:
    transform_file(sys.argv[1], RowMap(function, 6, 9, {}), sys.argv[3], memory=12000)
except OSError as error:
    sys.exit(str(error))
"""


def start(source: Path, path: Path, *arguments: object) -> subprocess.Popen[str]:
    np.save(source.with_name("a.npy"), A)
    command = [sys.executable, "-c", SCRIPT, source, source.with_name("a.npy"), path, *arguments]
    return subprocess.Popen(list(map(str, command)), stderr=subprocess.PIPE, text=True)


def finished(source: Path, path: Path, *arguments: object) -> tuple[int, str]:
    """Exit code and message of a run that is left alone."""
    process = start(source, path, 0, *arguments)
    _, message = process.communicate()
    return process.returncode, message


def kill_at_random_moments(source: Path, tmp_path: Path, output: str, n_kills: int) -> None:
    rng = np.random.default_rng(1)
    whole_path, path = tmp_path / f"whole-{output}", tmp_path / output
    assert finished(source, whole_path) == (0, "")
    killed = 0
    for _ in range(20 * n_kills):
        process = start(source, path, 0.02)
        while not folder_of(path).exists() and process.poll() is None:
            time.sleep(0.005)
        try:
            process.wait(rng.uniform(0, 0.3))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            killed += 1
        process.stderr.close()
        if path.exists() or killed == n_kills:
            break
    assert killed
    if not path.exists():
        assert finished(source, path) == (0, "")
    assert whole(path) == whole(whole_path)
    assert not folder_of(path).exists()


@pytest.mark.parametrize("output", ["r.npy", "folder"])
def test_a_killed_run_goes_on(output, source, tmp_path):
    kill_at_random_moments(source, tmp_path, output, 2)


@pytest.mark.slow
@pytest.mark.parametrize("output", OUTPUTS)
def test_a_run_killed_twenty_times_goes_on(output, source, tmp_path):
    kill_at_random_moments(source, tmp_path, output, 20)


@pytest.mark.skipif(os.name == "nt", reason="no limit of file sizes")
@pytest.mark.parametrize("output", ["r.npy", "r.npz", "folder", "r.parquet"])
def test_a_full_disk_is_said_in_one_line_and_can_be_gone_on_from(output, source, tmp_path):
    path = tmp_path / output
    limit = {"folder": 1500, "r.parquet": 9000}.get(output, 6000)
    code, message = finished(source, path, limit)
    assert code == 1, message
    assert "no room on the disk (File too large)" in message
    assert "Traceback" not in message
    assert not path.exists()
    assert finished(source, path) == (0, "")
    np.testing.assert_allclose(read(path), EXPECTED, atol=1e-6)


def test_blocks_stay_within_the_memory_however_many_rows_from_the_blocks():
    for n in (1000, 10**9):

        class Wide:
            dtype, n_features, n_rows, other_bytes = np.dtype("float32"), 384, n, 0

        plan = plan_for(Wide(), RowMap(len, 384, 512), 2**30)  # type: ignore[arg-type]
        assert plan.block * 4 * (384 + 512) * streaming.BLOCKS <= 2**30
        assert plan.part % plan.block == 0
        assert plan.part * 4 * 512 <= 2**30 / streaming.PARTS


def test_parts_are_of_one_size_but_for_what_their_number_leaves_of_the_last():
    class Wide:
        dtype, n_features, n_rows, other_bytes = np.dtype("float32"), 384, 10**6, 0

    plan = plan_for(Wide(), RowMap(len, 384, 300), 2**30)  # type: ignore[arg-type]
    sizes = [rows.stop - rows.start for _, rows in plan.parts(10**6)]
    assert max(sizes) - min(sizes) < len(sizes) * plan.block


# ---- hostile files


def test_a_header_that_promises_too_much_is_refused_at_once(tmp_path):
    (tmp_path / "x.npy").write_bytes(_sinks.npy_head((2**60, 8), np.dtype("float32")))
    size = 2 * 2**30
    (tmp_path / "x.safetensors").write_bytes(size.to_bytes(8, "little") + b'{"a":' + b" " * 100)
    began = time.perf_counter()
    for name in ("x.npy", "x.safetensors"):
        with pytest.raises(FileFormatError, match="truncated or damaged"):
            vectors.open_embeddings(tmp_path / name)
    assert time.perf_counter() - began < 1


def test_an_archive_that_unpacks_to_far_more_is_refused(tmp_path):
    np.savez_compressed(tmp_path / "x.npz", embeddings=np.zeros((70, 2**20), np.uint8))
    with pytest.raises(FileFormatError, match=r"unpacks to 734\d+ bytes from \d+, which no emb"):
        vectors.open_embeddings(tmp_path / "x.npz")


def test_a_file_of_a_million_columns_is_refused_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr("relatum._parquet.LARGEST_LIST", 1000)
    pq.write_table(pa.table({f"c{i}": [1.0] for i in range(2000)}), tmp_path / "x.parquet")
    with pytest.raises(FileFormatError, match=r"x\.parquet is truncated or damaged"):
        vectors.open_embeddings(tmp_path / "x.parquet")


def test_a_journal_line_says_what_it_is():
    line = _journal._line({"part": 3, "checksum": 5})
    assert json.loads(line[9:]) == {"part": 3, "checksum": 5}
