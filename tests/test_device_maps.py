"""Rows through torch on a device are the rows of NumPy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import relatum
from relatum.projection import fit_projection, project
from relatum.row_maps import RowMap, projection_of_rows
from relatum.streaming import transform_file
from relatum.translation import fit_translation, translate

torch = pytest.importorskip("torch")
device_maps = pytest.importorskip("relatum.device_maps")

X = np.random.default_rng(0).normal(size=(300, 6))
DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("similarity", ["cosine", "euclidean", ["cosine", "dot"]], ids=str)
def test_a_projection_on_a_device_is_the_projection(device, dtype, similarity, tmp_path: Path):
    rows = X.astype(dtype)
    whiten = None if similarity == "euclidean" else 0.1
    projection = fit_projection(X[:9], similarity=similarity, center=True, whiten=whiten)
    there = device_maps.projection_on_device(projection, device)
    tolerance = {np.float16: 1e-2, np.float32: 1e-4, np.float64: 1e-7}[dtype]
    expected = project(rows, projection)
    for result in (None, "float16", "bfloat16"):
        path = tmp_path / f"{result}.safetensors"
        transform_file(rows, there, path, dtype=result, memory=50_000)
        np.testing.assert_allclose(
            relatum.read_embeddings(path).array, expected, atol=0.1 if result else tolerance
        )


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("method", ["ridge", "procrustes_kernel"])
def test_a_translation_on_a_device_is_the_translation(device, method, tmp_path: Path):
    fitted = fit_translation(X[:100], X[:100, ::-1] + 1, method=method)
    there = device_maps.translation_on_device(fitted, device)
    transform_file(X, there, tmp_path / "r.npy", memory=50_000)
    np.testing.assert_allclose(np.load(tmp_path / "r.npy"), translate(X, fitted), atol=1e-9)


def test_bfloat16_products(tmp_path: Path):
    projection = fit_projection(X[:9], center=True)
    there = device_maps.projection_on_device(projection, "cpu", "bfloat16")
    transform_file(X.astype(np.float32), there, tmp_path / "r.npy")
    np.testing.assert_allclose(np.load(tmp_path / "r.npy"), project(X, projection), atol=0.02)


def test_bad_rows_are_named_and_rows_without_a_direction_warned_of(tmp_path: Path):
    there = device_maps.projection_on_device(fit_projection(X[:9]), "cpu")
    zero = X.copy()
    zero[[250, 7]] = 0
    with pytest.warns(relatum.RelatumWarning, match="2 rows: 7, 250"):
        transform_file(zero, there, tmp_path / "r.npy", memory=20_000)
    zero[250] = np.nan
    with pytest.raises(ValueError, match="X contains NaN or infinity in 1 row: 250"):
        transform_file(zero, there, tmp_path / "s.npy", memory=20_000)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_rows_that_may_only_be_read(dtype: str, tmp_path: Path):
    rows = X.astype(np.float32)
    rows.flags.writeable = False  # as rows of a Parquet file are
    projection = fit_projection(X[:9])
    for i, maps in enumerate(
        [device_maps.projection_on_device(projection, "cpu"), RowMap(lambda x: x, 6, 6)]
    ):
        path = tmp_path / f"{i}.safetensors"
        transform_file(rows, maps, path, dtype=dtype, memory=50_000)
        expected = project(rows, projection) if i == 0 else rows
        np.testing.assert_allclose(relatum.read_embeddings(path).array, expected, atol=0.05)


def test_one_device_does_not_go_on_with_what_another_began():
    projection = fit_projection(X[:9])
    here, there = (
        projection_of_rows(projection),
        device_maps.projection_on_device(projection, "cpu"),
    )
    assert here.settings != there.settings


@pytest.mark.parametrize("device", ["nowhere", "cuda:99"])
def test_a_device_that_is_not_here_is_refused(device):
    with pytest.raises(ValueError, match=f"device is '{device}'; torch cannot use it here"):
        device_maps.projection_on_device(fit_projection(X[:9]), device)


def test_the_command_line_computes_on_a_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from relatum.cli import main

    monkeypatch.chdir(tmp_path)
    np.save("x.npy", X)
    np.save("anchors.npy", np.arange(40))
    np.save("y.npy", X[:, ::-1] + 1)
    for command in (
        ["project", "x.npy", "--anchors", "anchors.npy"],
        ["translate", "x.npy", "--map", "map.safetensors"],
    ):
        if command[0] == "translate":
            fit = ["fit", "x.npy", "y.npy", "-o", "map.safetensors", "--method", "procrustes"]
            assert main(fit) == 0
        assert main([*command, "-o", "here.npy"]) == 0
        assert main([*command, "-o", "there.npy", "--device", "cpu"]) == 0
        np.testing.assert_allclose(np.load("there.npy"), np.load("here.npy"), atol=1e-9)
        assert main([*command, "-o", "no.npy", "--device", "nowhere"]) == 2
