"""Table 2's images: absolute and relative networks that differ in nothing else."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the paper's experiments need the extra paper")
for module in ("pydantic", "lightning"):
    pytest.importorskip(module, reason="the paper's experiments need the extra paper")

from sklearn.metrics import precision_recall_fscore_support  # noqa: E402

from relatum.paper import _image_networks, tasks_classification  # noqa: E402
from relatum.paper.data_images import evenly  # noqa: E402
from relatum.paper.encoders_images import ENCODERS, ImageEncoder  # noqa: E402
from relatum.paper.tasks_classification import (  # noqa: E402
    classifier,
    classify_features,
    classify_pixels,
    feature_trunk,
    scores,
)

SETTINGS = {
    "seed": 0, "n_train": 300, "n_test": 150, "n_anchors": 40, "hidden": 32,
    "learning_rate": 0.003, "batch_size": 32,
}  # fmt: skip


@pytest.fixture(autouse=True)
def toy(monkeypatch):
    """Pixels at 8 x 8 in place of a frozen network."""
    network = _image_networks.Network(lambda x: x[:, 0].flatten(1) / 255, size=8)
    encoder = ImageEncoder(64, lambda run: network, lambda run: "1", "to 8 x 8")
    monkeypatch.setitem(ENCODERS, "toy", encoder)


@pytest.mark.parametrize("representation", ["absolute", "relative"])
def test_both_learn_on_frozen_features(make_run, representation):
    (row,) = classify_features(
        make_run("table-2"), dataset="mnist", encoder="toy", representation=representation,
        epochs=12, **SETTINGS,
    )  # fmt: skip
    assert row["network"] == "frozen encoder"
    assert min(row["f1"], row["f1_macro"], row["accuracy"]) > 75


@pytest.mark.parametrize("representation", ["absolute", "relative"])
def test_both_learn_from_pixels(make_run, representation):
    cell = SETTINGS | {"dataset": "mnist", "representation": representation}
    (row,) = classify_pixels(make_run("table-2"), epochs=5, **cell)
    assert row["network"] == "end to end"
    assert row["accuracy"] > 50


def test_a_cell_gives_the_same_again(make_run, tmp_path):
    cell = SETTINGS | {"dataset": "mnist", "representation": "relative", "n_train": 96}
    cell |= {"n_anchors": 20, "epochs": 1}
    first = classify_pixels(make_run("table-2"), **cell)
    torch.manual_seed(99)  # nothing comes from the global generator
    assert classify_pixels(make_run("table-2", work=tmp_path / "other"), **cell) == first


def test_the_networks_have_the_sizes_of_the_published_code():
    def n_parameters(representation):
        trunk = feature_trunk(512, 512)
        model = classifier(trunk, 512, 10, representation, torch.randn(500, 512))
        return sum(p.numel() for p in model.parameters())

    trunk = 2 * (512 * 512 + 512) + 2 * 512
    assert n_parameters("absolute") == trunk + 512 * 10 + 10
    assert n_parameters("relative") == trunk + 2 * 500 + 500 * 10 + 10


def test_the_relative_network_looks_at_cosines_to_anchors_as_they_are_now():
    trunk = feature_trunk(6, 4).eval()
    anchors, x = torch.randn(5, 6), torch.randn(3, 6)
    model = classifier(trunk, 4, 2, "relative", anchors).eval()

    def cosines():
        with torch.no_grad():
            a, b = (torch.nn.functional.normalize(trunk(v), dim=1) for v in (x, anchors))
        return a @ b.T

    torch.testing.assert_close(model.latent(x).detach(), cosines())
    before = cosines()
    with torch.no_grad():
        trunk[0].weight.add_(1.0)
    torch.testing.assert_close(model.latent(x).detach(), cosines())
    assert not torch.allclose(before, cosines(), atol=1e-3)


def test_no_gradient_passes_through_the_anchors():
    trunk = feature_trunk(6, 4)
    x = torch.randn(8, 6)
    model = classifier(trunk, 4, 2, "relative", torch.randn(5, 6))
    model.latent(x).sum().backward()
    alone = {n: p.grad.clone() for n, p in trunk.named_parameters()}
    trunk.zero_grad()
    with torch.no_grad():
        held = torch.nn.functional.normalize(trunk(model.projection.anchor_samples), dim=1)
    (torch.nn.functional.normalize(trunk(x), dim=1) @ held.T).sum().backward()
    for name, parameter in trunk.named_parameters():
        torch.testing.assert_close(parameter.grad, alone[name], atol=1e-5, rtol=1e-4)


def test_anchors_are_even_over_the_classes_and_differ_between_seeds():
    labels = np.repeat(np.arange(5), 40)
    first, other = (evenly(labels, 20, seed) for seed in (0, 1))
    assert np.bincount(labels[first]).tolist() == [4] * 5
    assert set(first) != set(other)


def test_scores_are_means_over_classes_in_percent():
    truth, found = np.array([0, 0, 0, 1, 1, 2]), np.array([0, 0, 1, 1, 1, 0])
    _, _, f1, n = precision_recall_fscore_support(truth, found, zero_division=0)
    got = scores(truth, found)
    assert got["f1"] == pytest.approx(100 * np.average(f1, weights=n), abs=1e-3)
    assert got["f1_macro"] == pytest.approx(100 * f1.mean(), abs=1e-3)
    assert got["accuracy"] == pytest.approx(100 * 4 / 6, abs=1e-3)


def test_a_trained_network_leaves_no_files(make_run):
    run = make_run("table-2")
    cell = SETTINGS | {"dataset": "mnist", "representation": "absolute", "epochs": 1}
    tasks_classification.classify_pixels(run, **cell)
    assert list(run.work.iterdir()) == []
