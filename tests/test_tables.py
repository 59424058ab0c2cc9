"""Lance, saved Hugging Face datasets, and URLs give the rows that Parquet gives."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import relatum
from relatum import _places, vectors
from relatum.projection import fit_projection, project
from relatum.row_maps import RowMap, projection_of_rows
from relatum.streaming import transform_file

pa = pytest.importorskip("pyarrow")
X = np.random.default_rng(0).normal(size=(500, 8)).astype(np.float32)
IDS = [f"item {i}" for i in range(500)]
ROWS = projection_of_rows(fit_projection(X[:12], center=True))


def table(dtype: Any = np.float32) -> Any:
    lists = pa.FixedSizeListArray.from_arrays(pa.array(X.astype(dtype).ravel()), 8)
    return pa.table({"id": IDS, "vector": lists, "text": [f"text of {i}" for i in IDS]})


def lance_dataset(folder: Path, dtype: Any = np.float32) -> str:
    lance = pytest.importorskip("lance")
    path = str(folder / "x.lance")
    lance.write_dataset(table(dtype), path, max_rows_per_file=170)
    return path


def hf_dataset(folder: Path, dtype: Any = np.float32) -> str:
    datasets = pytest.importorskip("datasets")
    path = str(folder / "x_hf")
    datasets.Dataset(table(dtype)).save_to_disk(path, num_shards=3)
    return path


def parquet_url(folder: Path, dtype: Any = np.float32) -> str:
    import pyarrow.parquet as pq

    fsspec = pytest.importorskip("fsspec")
    fs = fsspec.filesystem("memory")
    folder_url = f"memory://{folder.name}/x"
    fs.makedirs(f"{folder.name}/x", exist_ok=True)
    for i, start in enumerate(range(0, 500, 170)):
        with fs.open(f"{folder.name}/x/part-{i}.parquet", "wb") as file:
            pq.write_table(table(dtype).slice(start, 170), file, row_group_size=60)
    return folder_url


KINDS = [lance_dataset, hf_dataset, parquet_url]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.float64])
def test_rows_ids_and_columns_are_those_that_were_written(
    kind: Any, dtype: Any, tmp_path: Path
) -> None:
    path = kind(tmp_path, dtype)
    array, ids = relatum.read_embeddings(path)
    np.testing.assert_array_equal(array, X.astype(dtype))
    assert ids is not None
    assert ids.tolist() == IDS
    source = relatum.open_embeddings(path)
    assert (source.n_rows, source.n_features, source.dtype) == (500, 8, dtype)
    assert list(source.other_columns) == ["id", "text"]
    for start, size in [(0, 500), (0, 64), (123, 100), (340, 7), (499, 5)]:
        batches = list(source.batches(start, size))
        assert [b.start for b in batches] == list(range(start, 500, size))
        np.testing.assert_array_equal(np.concatenate([b.X for b in batches]), array[start:])
        texts = [t for b in batches for t in b.table.column("text").to_pylist()]
        assert texts == [f"text of {i}" for i in IDS[start:]]
    rows = np.array([400, 3, 3, 171, 169])
    np.testing.assert_array_equal(
        vectors.take(source, rows[[0, 1, 3, 4]]), array[[400, 3, 171, 169]]
    )
    assert source.ids_of(rows).tolist() == [IDS[i] for i in rows]


@pytest.mark.parametrize("kind", KINDS)
def test_whole_files_go_through_and_keep_their_columns(
    kind: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    source = relatum.open_embeddings(kind(tmp_path))
    transform_file(source, ROWS, "out", memory=20_000)
    found = relatum.open_embeddings("out")
    batch = next(iter(found.batches(0, 500)))
    np.testing.assert_allclose(batch.X, project(X, fit_projection(X[:12], center=True)), atol=1e-6)
    assert batch.table.column_names == ["id", "vector", "text"]
    assert batch.table.column("text").to_pylist() == table().column("text").to_pylist()


@pytest.mark.parametrize("kind", KINDS)
def test_another_process_gets_the_place_and_not_the_rows(kind: Any, tmp_path: Path) -> None:
    source = relatum.open_embeddings(kind(tmp_path))
    sent = pickle.dumps(source)
    assert len(sent) < X.nbytes / 2
    again = pickle.loads(sent)
    np.testing.assert_array_equal(next(iter(again.batches(0, 500))).X, X)
    assert again.fingerprint() == source.fingerprint()


class TestLance:
    def test_written_rows_columns_and_types(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        lance = pytest.importorskip("lance")
        monkeypatch.chdir(tmp_path)
        source = relatum.open_embeddings(lance_dataset(tmp_path))
        written = transform_file(source, ROWS, "out.lance", dtype="float16", memory=20_000)
        assert written.n_parts > 3
        transform_file(source, ROWS, "out.parquet", dtype="float16", memory=20_000)
        found = lance.dataset("out.lance").to_table()
        assert found.column("vector").type == pa.list_(pa.float16(), 12)
        np.testing.assert_array_equal(
            relatum.read_embeddings("out.lance").array, relatum.read_embeddings("out.parquet").array
        )
        assert found.column("text").to_pylist() == table().column("text").to_pylist()
        assert sorted(os.listdir()) == ["out.lance", "out.parquet", "x.lance"]

    def test_what_was_interrupted_goes_on(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        lance = pytest.importorskip("lance")
        monkeypatch.chdir(tmp_path)
        whole = lance.write_dataset

        def cut(reader: Any, path: str, **options: Any) -> Any:
            whole(reader, path, **options)
            raise OSError("cut short")

        monkeypatch.setattr(lance, "write_dataset", cut)
        with pytest.raises(OSError, match="cut short"):
            transform_file(X, ROWS, "out.lance", memory=20_000)
        assert not Path("out.lance").exists()
        monkeypatch.setattr(lance, "write_dataset", whole)
        assert transform_file(X, ROWS, "out.lance", memory=20_000).n_kept == 500
        assert relatum.read_embeddings("out.lance").array.shape == (500, 12)

    def test_a_folder_in_lance_format_needs_no_suffix(self, tmp_path: Path) -> None:
        path = lance_dataset(tmp_path)
        os.rename(path, tmp_path / "plain")
        assert relatum.open_embeddings(tmp_path / "plain").n_rows == 500

    def test_deleted_rows_are_gone(self, tmp_path: Path) -> None:
        lance = pytest.importorskip("lance")
        path = lance_dataset(tmp_path)
        lance.dataset(path).delete("id = 'item 3' or id = 'item 250'")
        array, ids = relatum.read_embeddings(path)
        np.testing.assert_array_equal(array, np.delete(X, [3, 250], axis=0))
        source = relatum.open_embeddings(path)
        assert source.ids_of(np.array([3, 249])).tolist() == ["item 4", "item 251"]
        assert ids is not None
        assert len(ids) == 498

    def test_a_store_that_grows_meanwhile_is_read_as_it_was(self, tmp_path: Path) -> None:
        lance = pytest.importorskip("lance")
        path = lance_dataset(tmp_path)
        source = relatum.open_embeddings(path)
        before = source.fingerprint()
        lance.write_dataset(table(), path, mode="append")
        assert sum(len(b.X) for b in source.batches(0, 100)) == 500
        assert source.fingerprint() == before
        assert relatum.open_embeddings(path).fingerprint() != before

    def test_another_dataset_of_the_same_name_is_another_input(self, tmp_path: Path) -> None:
        lance = pytest.importorskip("lance")
        path = lance_dataset(tmp_path)
        before = relatum.open_embeddings(path).fingerprint()
        import shutil

        shutil.rmtree(path)
        lance.write_dataset(table(), path, max_rows_per_file=170)
        assert relatum.open_embeddings(path).fingerprint() != before

    def test_what_is_no_dataset_is_refused(self, tmp_path: Path) -> None:
        pytest.importorskip("lance")
        with pytest.raises(FileNotFoundError, match=r"x\.lance: no such folder; expected a Lance"):
            relatum.open_embeddings(tmp_path / "x.lance")
        (tmp_path / "y.lance").mkdir()
        with pytest.raises(
            ValueError, match=r"y\.lance is truncated or damaged .* a Lance dataset"
        ):
            relatum.open_embeddings(tmp_path / "y.lance")


class TestSavedDataset:
    def test_splits_are_named(self, tmp_path: Path) -> None:
        datasets = pytest.importorskip("datasets")
        both = datasets.DatasetDict(
            {"train": datasets.Dataset(table()), "test": datasets.Dataset(table().slice(0, 9))}
        )
        both.save_to_disk(str(tmp_path / "d"))
        with pytest.raises(
            ValueError, match=r"with the splits train, test; expected one of them: .*d/train"
        ):
            relatum.open_embeddings(tmp_path / "d")
        assert relatum.open_embeddings(tmp_path / "d" / "test").n_rows == 9

    def test_rows_in_another_order_are_refused(self, tmp_path: Path) -> None:
        datasets = pytest.importorskip("datasets")
        shuffled = datasets.Dataset(table()).shuffle(seed=0)
        path = tmp_path / "d"
        shuffled.save_to_disk(str(path))
        if json.loads((path / "state.json").read_text()).get("_indices_files"):
            with pytest.raises(ValueError, match=r"call flatten_indices\(\)"):
                relatum.open_embeddings(path)
        else:  # saved in the new order
            assert relatum.read_embeddings(path).ids.tolist() == shuffled["id"][:]

    def test_indices_beside_the_files_are_refused(self, tmp_path: Path) -> None:
        path = Path(hf_dataset(tmp_path))
        state = json.loads((path / "state.json").read_text())
        state["_indices_files"] = [{"filename": "indices.arrow"}]
        (path / "state.json").write_text(json.dumps(state))
        with pytest.raises(ValueError, match=r"another order than its files; call flatten_indices"):
            relatum.open_embeddings(path)

    @pytest.mark.parametrize("name", ["../secret.arrow", "/etc/passwd", "a/b.arrow"])
    def test_files_elsewhere_are_not_read(self, name: str, tmp_path: Path) -> None:
        path = Path(hf_dataset(tmp_path))
        (path / "state.json").write_text(json.dumps({"_data_files": [{"filename": name}]}))
        with pytest.raises(ValueError, match=r"state\.json names .* expected a file beside it"):
            relatum.open_embeddings(path)

    def test_damage_is_named(self, tmp_path: Path) -> None:
        path = Path(hf_dataset(tmp_path))
        first = sorted(path.glob("*.arrow"))[0]
        first.write_bytes(first.read_bytes()[:3000])
        with pytest.raises(ValueError, match=r"data-00000.*truncated or damaged.*whole Arrow file"):
            relatum.open_embeddings(path)
        first.unlink()
        with pytest.raises(FileNotFoundError, match=r"data-00000.*no such file"):
            relatum.open_embeddings(path)
        (path / "state.json").write_text("{")
        with pytest.raises(ValueError, match=r"damaged .*a saved Hugging Face dataset"):
            relatum.open_embeddings(path)


class TestUrl:
    @pytest.fixture
    def url(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
        monkeypatch.chdir(tmp_path)
        pytest.importorskip("fsspec")
        return f"memory://{tmp_path.name}"

    @pytest.mark.parametrize("suffix", [".npy", ".npz", ".safetensors", ".parquet"])
    def test_every_format_is_read(self, suffix: str, url: str) -> None:
        import fsspec

        ids = None if suffix == ".npy" else IDS
        relatum.write_embeddings(f"x{suffix}", X, ids)
        fsspec.filesystem("memory").put_file(f"x{suffix}", f"{url}/x{suffix}")
        os.remove(f"x{suffix}")
        array, found = relatum.read_embeddings(f"{url}/x{suffix}")
        np.testing.assert_array_equal(array, X)
        assert found is None if ids is None else found.tolist() == ids
        source = relatum.open_embeddings(f"{url}/x{suffix}")
        np.testing.assert_array_equal(vectors.take(source, np.array([400, 2])), X[[400, 2]])
        np.testing.assert_array_equal(next(iter(source.batches(130, 50))).X, X[130:180])

    def test_npy_is_fetched_by_rows(self, url: str) -> None:
        import fsspec

        np.save("x.npy", X)
        fsspec.filesystem("memory").put_file("x.npy", f"{url}/x.npy")
        source = relatum.open_embeddings(f"{url}/x.npy")
        assert not hasattr(source, "array")
        assert pickle.loads(pickle.dumps(source)).fingerprint() == source.fingerprint()
        assert source.ids() is None
        assert source.bare().n_rows == 500
        assert source.ids_of(np.array([1])) is None

    def test_rows_of_anchors_are_read(self, url: str) -> None:
        import fsspec

        np.save("rows.npy", [4, 2])
        fsspec.filesystem("memory").put_file("rows.npy", f"{url}/rows.npy")
        found = vectors.read_anchors(f"{url}/rows.npy", vectors.Embeddings(X, None))
        np.testing.assert_array_equal(found.array, X[[4, 2]])

    @pytest.mark.parametrize(
        ("array", "message"),
        [
            (np.ones(5), r"shape \(5,\).*2 dimensions"),
            (np.asfortranarray(np.ones((4, 3))), r"column by column.*row by row"),
        ],
    )
    def test_another_array_is_refused(self, array: np.ndarray, message: str, url: str) -> None:
        import fsspec

        np.save("x.npy", array)
        fsspec.filesystem("memory").put_file("x.npy", f"{url}/x.npy")
        with pytest.raises(ValueError, match=message):
            relatum.open_embeddings(f"{url}/x.npy")

    def test_what_is_not_there_is_named(self, url: str) -> None:
        with pytest.raises(FileNotFoundError, match=r"memory://.*/no\.npy: no such file"):
            relatum.open_embeddings(f"{url}/no.npy")
        with pytest.raises(ValueError, match=r"nosuch://x/a\.npy: .*expected a URL that fsspec"):
            relatum.open_embeddings("nosuch://x/a.npy")

    def test_parts_are_sent_as_they_are_whole(self, url: str) -> None:
        done: list[int] = []
        written = transform_file(X, ROWS, f"{url}/out", memory=20_000, progress=done.append)
        assert written.n_parts > 3
        assert os.listdir() == []
        transform_file(X, ROWS, "here", memory=20_000)
        np.testing.assert_array_equal(
            relatum.read_embeddings(f"{url}/out").array, relatum.read_embeddings("here").array
        )
        for name in os.listdir("here"):
            with _places.open_file(f"{url}/out/{name}") as file:
                assert file.read() == (Path("here") / name).read_bytes()

    def test_what_was_interrupted_goes_on(self, url: str) -> None:
        def fail(x: np.ndarray) -> np.ndarray:
            if (x == X[300]).all(axis=1).any():
                raise OSError("no luck")
            return ROWS.function(x)

        rows = RowMap(fail, 8, 12, ROWS.settings)
        with pytest.raises(OSError, match="no luck"):
            transform_file(X, rows, f"{url}/out", memory=20_000)
        sent = _places.below(f"{url}/out", ".parquet")
        assert sent
        with _places.open_file(sent[0]) as file:
            content = file.read()
        import fsspec

        fsspec.filesystem("memory").pipe_file(sent[0], content[:-100] + bytes(100))  # damaged
        found = transform_file(X, ROWS, f"{url}/out", memory=20_000)
        assert 0 < found.n_kept < 300
        transform_file(X, ROWS, "here", memory=20_000)
        np.testing.assert_array_equal(
            relatum.read_embeddings(f"{url}/out").array, relatum.read_embeddings("here").array
        )
        assert os.listdir() == ["here"]

    def test_begun_anew_leaves_no_parts_of_before(self, url: str) -> None:
        def fail(x: np.ndarray) -> np.ndarray:
            if (x == X[499]).all(axis=1).any():
                raise OSError("no luck")
            return ROWS.function(x)

        with pytest.raises(OSError, match="no luck"):
            transform_file(X, RowMap(fail, 8, 12, {}), f"{url}/out", memory=20_000)
        transform_file(X, ROWS, f"{url}/out", memory=200_000, restart=True)
        assert relatum.open_embeddings(f"{url}/out").n_rows == 500

    def test_what_is_there_is_not_written_over(self, url: str) -> None:
        transform_file(X, ROWS, f"{url}/out")
        with pytest.raises(FileExistsError, match=r"out exists; expected a new or an empty folder"):
            transform_file(X, ROWS, f"{url}/out")
        with pytest.raises(ValueError, match=r"only a folder of Parquet files .* written to a URL"):
            transform_file(X, ROWS, f"{url}/out.npy")


def test_a_missing_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = lance_dataset(tmp_path)
    for module in ("lance", "fsspec"):
        monkeypatch.setitem(__import__("sys").modules, module, None)
    with pytest.raises(relatum.MissingExtraError, match=r"pip install 'relatum\[lance\]'"):
        relatum.open_embeddings(path)
    with pytest.raises(relatum.MissingExtraError, match=r"pip install 'relatum\[url\]'"):
        relatum.open_embeddings("s3://bucket/x.npy")
