"""ImageNet as the Datasets library saves it: images of many sizes, decoded as needed."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the paper's experiments need the extra paper")
pytest.importorskip("pydantic", reason="the paper's experiments need the extra paper")
datasets = pytest.importorskip("datasets", reason="the paper's data sets")

from relatum.paper import _image_networks  # noqa: E402
from relatum.paper.data_imagenet import load_imagenet  # noqa: E402
from relatum.paper.encoders_images import ENCODERS, ImageEncoder, encode, fitted  # noqa: E402
from relatum.paper.runner import MissingDataError  # noqa: E402

SIZES = [(20, 30), (40, 18), (16, 16), (25, 25), (33, 21)]
RNG = np.random.default_rng(0)


def arrays(n, seed):
    rng = np.random.default_rng(seed)
    return [rng.integers(0, 256, (*SIZES[i % 5], 3), np.uint8) for i in range(n)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    from PIL import Image

    path = tmp_path_factory.mktemp("data")
    features = datasets.Features({"image": datasets.Image(), "label": datasets.Value("int64")})
    parts = {}
    for name, n in (("train", 20), ("validation", 5)):
        images = [Image.fromarray(x) for x in arrays(n, len(name))]
        images[0] = images[0].convert("L")  # ImageNet has grey ones among them
        rows = {"image": images, "label": list(range(n))}
        parts[name] = datasets.Dataset.from_dict(rows, features=features)
    datasets.DatasetDict(parts).save_to_disk(path / "hub" / "ILSVRC--imagenet-1k")
    return path


def test_every_image_is_in_one_part(make_run, folder):
    train, validation, test = load_imagenet(make_run("table-6", data_dir=folder))
    assert (len(train), len(validation), len(test)) == (18, 2, 5)
    assert sorted([*train.labels, *validation.labels]) == list(range(20))


def test_pixels_come_with_their_own_sizes(make_run, folder):
    _, _, test = load_imagenet(make_run("table-6", data_dir=folder))
    found = test.take(np.array([3, 1])).pixels_of(0, 2)
    expected = arrays(5, len("validation"))
    np.testing.assert_array_equal(found[0], expected[3])
    np.testing.assert_array_equal(found[1], expected[1])
    assert test.pixels_of(0, 1)[0].shape == (*SIZES[0], 3)
    assert test.hash_of(0, 2) != test.hash_of(1, 3)


def test_they_are_encoded(make_run, folder, monkeypatch):
    network = _image_networks.Network(lambda x: x.flatten(1), size=4)
    toy = ImageEncoder(48, lambda run: network, lambda run: "1", "to 4 x 4")
    monkeypatch.setitem(ENCODERS, "toy", toy)
    run = make_run("table-6", data_dir=folder)
    _, _, test = load_imagenet(run)
    X = encode(run, "toy", test)
    one = fitted(arrays(5, len("validation"))[4][None], 4).flatten()
    np.testing.assert_allclose(X[4], one)


def test_a_missing_copy_says_where_to_put_it(make_run, tmp_path):
    run = make_run("table-6", data_dir=tmp_path)
    with pytest.raises(MissingDataError, match=r"into .*/hub/ILSVRC--imagenet-1k"):
        load_imagenet(run)
