"""Table 3 and the latent planes, with small models on small images."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the paper's experiments need the extra paper")
for module in ("lightning", "pydantic"):
    pytest.importorskip(module, reason="the paper's experiments need the extra paper")

from relatum.paper import autoencoders, tasks_isometry  # noqa: E402
from relatum.paper.autoencoders import anchor_images, images_of  # noqa: E402
from relatum.paper.models_images import as_images  # noqa: E402
from relatum.paper.pictures_images import latent_planes, reconstruction_grid  # noqa: E402
from relatum.paper.tasks_isometry import compare_latents, planes, shuffled  # noqa: E402
from relatum.paper.tasks_reconstruction import (  # noqa: E402
    mean_squared_error,
    reconstruct,
)

SHORT = {"n_train": 64, "n_test": 20, "n_epochs": 1, "batch_size": 32, "learning_rate": 1e-3}


@pytest.fixture
def run(make_run):
    autoencoders._SPLITS.clear()
    return make_run("table-3")


def row_of(run, **changes):
    settings = {"dataset": "mnist", "model": "ae", "n_latent": 8, "n_anchors": 12, "encoder": 0}
    settings["n_kept"] = 10
    (row,) = reconstruct(run, **(SHORT | settings | changes))
    return row


def test_the_error_is_per_pixel_and_times_1000():
    pixels = torch.randint(0, 256, (3, 4, 4, 1), dtype=torch.uint8)
    pictures = torch.rand(3, 1, 4, 4)
    expected = np.mean((pixels.numpy()[..., 0] / 255 - pictures.numpy()[:, 0]) ** 2) * 1000
    assert mean_squared_error(pictures, pixels) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("projection", ["absolute", "cosine"])
def test_native_and_stitched_rows_come_from_the_same_trainings(run, projection, monkeypatch):
    trainings = []
    real = autoencoders.Reconstruction.on_train_epoch_start
    monkeypatch.setattr(
        autoencoders.Reconstruction,
        "on_train_epoch_start",
        lambda self: (trainings.append(self.plan.seed), real(self))[1],
    )
    native = row_of(run, projection=projection, decoder=0)
    assert row_of(run, projection=projection) == native  # no decoder: its own
    stitched = row_of(run, projection=projection, decoder=1)
    assert trainings == [0, 1]
    assert (native["stitched"], stitched["stitched"]) == (False, True)
    assert (stitched["encoder"], stitched["decoder"]) == (0, 1)
    assert native["mse"] > 0
    assert native["mse"] != stitched["mse"]
    kept = run.kept(f"mnist-ae-{projection}-stitched")
    assert kept["images"].shape == kept["reconstructions"].shape == (10, 28, 28, 1)


def test_other_settings_train_other_models(run):
    first = row_of(run, projection="cosine")
    assert row_of(run, projection="cosine", refresh=2)["mse"] != first["mse"]
    assert row_of(run, projection="cosine", anchor_method="kmeans")["mse"] != first["mse"]
    assert row_of(run, projection="whitened", whiten=1.0)["mse"] != first["mse"]
    assert len(list(run.work.iterdir())) == 4


def test_a_vae_decodes_its_mean_or_a_sample(run):
    mean = row_of(run, model="vae", projection="absolute")
    sample = row_of(run, model="vae", projection="absolute", test_latent="sample")
    assert sample["mse"] != mean["mse"]
    assert sample == row_of(run, model="vae", projection="absolute", test_latent="sample")
    assert mean == row_of(run, model="vae", projection="absolute")


def test_anchors_are_training_images_and_the_same_every_time(run):
    splits = images_of(run, "mnist")
    known = {x.tobytes() for x in splits.train.pixels}
    for method in ("stratified", "kmeans", "farthest_point"):
        anchors = anchor_images(splits, 20, method)
        assert torch.equal(anchors, anchor_images(splits, 20, method))
        pixels = (255 * anchors).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
        assert {x.tobytes() for x in np.ascontiguousarray(pixels)} <= known
        assert len(anchors) == 20


def test_latents_of_several_seeds_are_compared_and_kept(run):
    rows = compare_latents(
        run, dataset="mnist", seeds=[0, 1, 2], n_latent=3, linear_bottleneck=True, **SHORT
    )
    pairs = [(row["first"], row["second"]) for row in rows if row["items"] == "same"]
    assert pairs == [(0, 1), (0, 2), (1, 2)]
    assert all(0 <= row["residual"] <= 2 for row in rows)
    kept = run.kept("latents")
    assert kept["own"].shape == kept["shared"].shape == (3, 20, 2)
    assert len(kept["labels"]) == 20


def test_planes_tell_a_turned_space_from_another_one():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 6)) * [5, 3, 1, 1, 0.5, 0.1]
    turned = X @ np.linalg.qr(rng.normal(size=(6, 6)))[0] + 1
    own, shared = planes([X, turned])
    np.testing.assert_allclose(own[0], own[1], atol=1e-8)
    assert np.abs(shared[0] - shared[1]).mean() > 1
    same, apart = tasks_isometry.alike(X, turned), tasks_isometry.alike(X, shuffled(turned))
    assert same["residual"] == pytest.approx(0, abs=1e-9)
    assert same["distance_correlation"] == pytest.approx(1)
    assert apart["residual"] > 1
    assert abs(apart["distance_correlation"]) < 0.2
    flat = [X[:, :2], X[:, :2] + 1]
    np.testing.assert_array_equal(planes(flat)[1], np.stack(flat))


def test_pictures_are_drawn(tmp_path):
    pytest.importorskip("matplotlib", reason="pictures need the extra plot")
    rng = np.random.default_rng(0)
    plane = rng.normal(size=(3, 50, 2)).astype(np.float16)
    kept = {
        "latents": {
            "seeds": np.arange(3),
            "labels": np.arange(50) % 10,
            "own": plane,
            "shared": plane,
        }
    }
    for dataset, shape in (("mnist", (10, 28, 28, 1)), ("cifar10_jpeg", (10, 32, 32, 3))):
        for model in ("ae", "vae"):
            for projection in ("absolute", "cosine"):
                for how in ("native", "stitched"):
                    image = rng.integers(0, 256, shape, np.uint8)
                    kept[f"{dataset}-{model}-{projection}-{how}"] = {
                        "images": image,
                        "reconstructions": image,
                    }
    latent_planes([], kept, tmp_path / "a.png", latents="latents", names=["own", "shared"])
    reconstruction_grid([], kept, tmp_path / "b.png", datasets=["mnist", "cifar10_jpeg", "cifar10"])
    for name in ("a.png", "b.png"):
        data = (tmp_path / name).read_bytes()
        assert data[:4] == b"\x89PNG"
        assert len(data) < 200_000
    with pytest.raises(ValueError, match="no reconstructions of cifar10 were kept"):
        reconstruction_grid([], kept, tmp_path / "c.png", datasets=["cifar10"])


def test_images_become_floats_in_the_order_of_convolutions():
    pixels = torch.arange(2 * 4 * 4 * 3, dtype=torch.uint8).reshape(2, 4, 4, 3)
    images = as_images(pixels)
    assert images.shape == (2, 3, 4, 4)
    assert images[1, 2, 3, 0] == pixels[1, 3, 0, 2] / 255
    assert images.is_contiguous(memory_format=torch.channels_last)
