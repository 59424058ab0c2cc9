"""Images in every layout: the same pixels and labels come out of each."""

from __future__ import annotations

import gzip
import pickle
import struct

import numpy as np
import pytest

pytest.importorskip("torch", reason="the paper's experiments need the extra paper")
pytest.importorskip("pydantic", reason="the paper's experiments need the extra paper")

from relatum._files import FileFormatError
from relatum.paper import _image_files, hub
from relatum.paper.data_images import load_images, read_folder, stratified
from relatum.paper.runner import MissingDataError

RNG = np.random.default_rng(0)
GREY = {
    part: RNG.integers(0, 256, (n, 28, 28), np.uint8) for part, n in (("train", 30), ("t10k", 8))
}
LABELS = {part: RNG.integers(0, 10, len(x)).astype(np.uint8) for part, x in GREY.items()}
COLOUR = RNG.integers(0, 256, (12, 32, 32, 3), np.uint8)
FINE = np.arange(12) % 7


def write_idx(path, array, packed=True):
    raw = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    raw += array.tobytes()
    path.write_bytes(gzip.compress(raw) if packed else raw)


@pytest.fixture
def idx_folder(tmp_path):
    folder = tmp_path / "mnist"
    folder.mkdir()
    for part in GREY:
        write_idx(folder / f"{part}-images-idx3-ubyte.gz", GREY[part])
        write_idx(folder / f"{part}-labels-idx1-ubyte", LABELS[part], packed=False)
    return folder


def planes(pixels):
    return np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)).reshape(len(pixels), -1)


def test_idx_files_are_read(idx_folder):
    train, test = read_folder(idx_folder)
    np.testing.assert_array_equal(train[0][..., 0], GREY["train"])
    np.testing.assert_array_equal(test[1], LABELS["t10k"])
    assert train[1].dtype == np.int64


def test_damaged_idx_files_are_refused(tmp_path):
    path = tmp_path / "images"
    path.write_bytes(b"PNG...")
    with pytest.raises(FileFormatError, match=r"begins with b'PNG\.'; expected an IDX file"):
        _image_files.read_idx(path)
    write_idx(path, GREY["t10k"], packed=False)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(FileFormatError, match=r"truncated: it holds 6271 bytes of \(8, 28, 28\)"):
        _image_files.read_idx(path)
    path.write_bytes(gzip.compress(b"\0\0\x08\x01")[:-3])
    with pytest.raises(FileFormatError, match="truncated or damaged"):
        _image_files.read_idx(path)


def write_ten(folder, python):
    folder.mkdir()
    names = [f"data_batch_{i}" for i in range(1, 6)] + ["test_batch"]
    for i, name in enumerate(names):
        rows, labels = planes(COLOUR[2 * i : 2 * i + 2]), FINE[2 * i : 2 * i + 2]
        if python:
            batch = {b"data": rows, b"labels": labels.tolist(), b"batch_label": b"x"}
            (folder / name).write_bytes(pickle.dumps(batch, protocol=2))
        else:
            joined = np.concatenate([labels[:, None].astype(np.uint8), rows], axis=1)
            (folder / f"{name}.bin").write_bytes(joined.tobytes())


@pytest.mark.parametrize("python", [True, False])
def test_cifar10_batches_are_read(tmp_path, python):
    write_ten(tmp_path / "c", python)
    train, test = read_folder(tmp_path / "c")
    np.testing.assert_array_equal(train[0], COLOUR[:10])
    np.testing.assert_array_equal(test[0], COLOUR[10:])
    np.testing.assert_array_equal(np.concatenate([train[1], test[1]]), FINE)


@pytest.mark.parametrize("python", [True, False])
@pytest.mark.parametrize(("label", "divisor"), [("fine_label", 1), ("coarse_label", 3)])
def test_cifar100_has_fine_and_coarse_labels(tmp_path, python, label, divisor):
    coarse = FINE // 3
    for name, rows in (("train", slice(0, 8)), ("test", slice(8, 12))):
        if python:
            batch = {
                b"data": planes(COLOUR[rows]),
                b"fine_labels": FINE[rows].tolist(),
                b"coarse_labels": coarse[rows].tolist(),
            }
            (tmp_path / name).write_bytes(pickle.dumps(batch, protocol=2))
        else:
            both = np.stack([coarse[rows], FINE[rows]], 1).astype(np.uint8)
            joined = np.concatenate([both, planes(COLOUR[rows])], axis=1)
            (tmp_path / f"{name}.bin").write_bytes(joined.tobytes())
    train, test = read_folder(tmp_path, label)
    np.testing.assert_array_equal(test[0], COLOUR[8:])
    np.testing.assert_array_equal(train[1], FINE[:8] // divisor)


class Payload:
    def __reduce__(self):
        return print, ("run",)


def test_a_batch_that_holds_more_than_arrays_is_refused(tmp_path):
    write_ten(tmp_path / "c", python=True)
    (tmp_path / "c" / "test_batch").write_bytes(pickle.dumps({b"data": Payload()}))
    with pytest.raises(FileFormatError, match=r"asks for builtins\.print, which is refused"):
        read_folder(tmp_path / "c")


def test_a_binary_batch_of_another_length_is_refused(tmp_path):
    write_ten(tmp_path / "c", python=False)
    (tmp_path / "c" / "test_batch.bin").write_bytes(b"12345")
    with pytest.raises(FileFormatError, match="has 5 bytes; expected rows of 3073"):
        read_folder(tmp_path / "c")


def test_archives_are_checked(tmp_path):
    np.savez(tmp_path / "a_train.npz", x=GREY["train"], y=LABELS["train"][:-1])
    np.savez(tmp_path / "a_test.npz", x=GREY["t10k"], y=LABELS["t10k"])
    with pytest.raises(FileFormatError, match="30 images and 29 labels"):
        read_folder(tmp_path)
    np.savez(tmp_path / "a_train.npz", x=GREY["train"] / 255, y=LABELS["train"])
    with pytest.raises(FileFormatError, match=r"float64 of shape .* expected uint8 images"):
        read_folder(tmp_path)
    np.savez(tmp_path / "a_train.npz", z=GREY["train"])
    with pytest.raises(FileFormatError, match="truncated or damaged"):
        read_folder(tmp_path)


def test_a_folder_of_something_else_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(FileFormatError, match=r"holds notes\.txt; expected npz files, IDX files"):
        read_folder(tmp_path)


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist", "cifar10_jpeg"])
def test_the_tiny_data_sets_load(name, make_run):
    pytest.importorskip("PIL", reason="JPEG images need pillow")
    splits = load_images(make_run(), name)
    shape = (3, 32, 32) if name == "cifar10_jpeg" else (1, 28, 28)
    assert splits.image_shape == shape
    assert splits.train.pixels.dtype == np.uint8
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (540, 60, 200)
    assert len(splits.classes) == 10


def test_jpeg_files_keep_the_pictures(make_run):
    pytest.importorskip("PIL", reason="JPEG images need pillow")
    colour = load_images(make_run(), "cifar10_jpeg")
    grey = load_images(make_run(), "mnist")
    red = colour.test.pixels[..., 0].astype(float)  # each digit blown up 4 times, not 3
    expected = np.kron(grey.test.pixels[:, 2:26:3, 2:26:3, 0], np.ones((1, 4, 4)))
    assert np.abs(red - expected).mean() < 12


def test_validation_images_are_no_training_images_and_always_the_same(make_run):
    one, two = (load_images(make_run(), "mnist") for _ in range(2))
    rows = {
        part: {x.tobytes() for x in getattr(one, part).pixels} for part in ("train", "validation")
    }
    whole = read_folder(make_run().data("mnist"))[0][0]
    assert rows["train"] | rows["validation"] == {x.tobytes() for x in whole}
    assert len(rows["train"] & rows["validation"]) <= 1  # two digits are equal
    np.testing.assert_array_equal(one.validation.labels, two.validation.labels)
    counts = np.bincount(one.validation.labels)
    assert counts.max() - counts.min() <= 1


def test_a_stratified_draw_is_even_random_and_repeatable():
    labels = np.repeat([0, 1, 2], [100, 50, 4])
    rows = stratified(labels, 30, seed=0)
    np.testing.assert_array_equal(np.sort(np.bincount(labels[rows])), [4, 13, 13])
    assert len(set(rows.tolist())) == 30
    np.testing.assert_array_equal(rows, stratified(labels, 30, seed=0))
    assert set(rows.tolist()) != set(stratified(labels, 30, seed=1).tolist())
    assert len(set(labels[rows][:10].tolist())) > 1  # not class after class
    with pytest.raises(ValueError, match="n is 155; expected 1 to 154"):
        stratified(labels, 155, seed=0)


@pytest.fixture
def saved_on_disk(tmp_path):
    """A data set as ``datasets`` saves it, named as on the hub."""
    datasets = pytest.importorskip("datasets", reason="the hub's data sets need datasets")

    def part(rows):
        features = datasets.Features(
            {
                "img": datasets.Image(),
                "label": datasets.ClassLabel(names=[str(i) for i in range(10)]),
            }
        )
        table = {"img": list(COLOUR[rows]), "label": FINE[rows].tolist()}
        return datasets.Dataset.from_dict(table, features=features)

    parts = datasets.DatasetDict(train=part(slice(0, 10)), test=part(slice(10, 12)))
    parts.save_to_disk(str(tmp_path / "hub" / "uoft-cs--cifar10"))
    return tmp_path


def test_a_saved_hub_data_set_is_read(saved_on_disk, make_run):
    splits = load_images(make_run(data_dir=saved_on_disk), "cifar10")
    np.testing.assert_array_equal(splits.test.pixels, COLOUR[10:])
    np.testing.assert_array_equal(splits.test.labels, FINE[10:])
    assert len(splits.train) == 9


def test_what_is_missing_is_said_in_one_line(tmp_path, make_run, monkeypatch):
    with pytest.raises(
        MissingDataError, match=r"needs mnist: put it into .*/mnist .*hub/ylecun--mnist \("
    ):
        load_images(make_run(data_dir=tmp_path), "mnist")
    with pytest.raises(
        MissingDataError, match=r"cifar10_jpeg: put it into FOLDER/.*--data-dir FOLDER"
    ):
        load_images(make_run(data_dir=None), "cifar10_jpeg")
    with pytest.raises(ValueError, match=r"dataset is 'minst' .did you mean 'mnist'"):
        load_images(make_run(), "minst")

    class Unreachable:
        def load_dataset(self, name, config):
            raise ConnectionError(f"cannot reach the hub for {name}\nsecond line")

    monkeypatch.setattr(hub._validation, "require", lambda *a: Unreachable())
    with pytest.raises(
        MissingDataError, match=r"needs mnist: put it .*the hub gave: cannot reach the hub"
    ):
        load_images(make_run(data_dir=tmp_path, preset="paper"), "mnist")
