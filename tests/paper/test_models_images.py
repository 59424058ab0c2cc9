"""The paper's autoencoders: sizes, parts, and what stitching them needs."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="the models need the extra torch")

import relatum  # noqa: E402
from relatum.paper.models_images import (  # noqa: E402
    Gaussian,
    autoencoder,
    divergence,
    n_parameters,
)


def anchors(n=20, shape=(1, 28, 28)):
    return torch.rand(n, *shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("kind", "projection", "millions"),
    [
        ("ae", "absolute", 2.06),
        ("ae", "cosine", 1.55),
        ("vae", "absolute", 2.58),
        ("vae", "cosine", 2.05),
    ],
)
def test_parameters_are_as_many_as_in_the_paper_s_code(kind, projection, millions):
    model = autoencoder((1, 28, 28), kind=kind, projection=projection, anchors=anchors(500))
    assert abs(n_parameters(model) / 1e6 - millions) <= 0.0051


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32)])
@pytest.mark.parametrize("kind", ["ae", "vae"])
@pytest.mark.parametrize("projection", ["absolute", "cosine", "centred"])
def test_images_come_out_in_the_shape_they_went_in(shape, kind, projection):
    model = autoencoder(shape, kind=kind, projection=projection, anchors=anchors(shape=shape))
    out = model.eval()(anchors(3, shape))
    assert out.shape == (3, *shape)
    assert 0 <= out.min() <= out.max() <= 1


def test_a_relative_latent_is_the_cosine_to_the_encoded_anchors():
    model = autoencoder((1, 28, 28), kind="ae", projection="cosine", anchors=anchors()).eval()
    x = anchors(5) ** 2
    with torch.no_grad():
        X, A = model.encoder(x), model.encoder(anchors())
        expected = torch.nn.functional.cosine_similarity(X[:, None], A[None], dim=2)
        assert torch.allclose(model.latent(x), expected, atol=1e-5)
    assert X.min() < 0  # no activation has folded the latent


def test_a_linear_bottleneck_has_no_activation():
    bent = autoencoder((1, 28, 28), kind="ae", projection="absolute", n_latent=2)
    straight = autoencoder(
        (1, 28, 28), kind="ae", projection="absolute", n_latent=2, linear_bottleneck=True
    )
    assert bent.encoder(anchors()).shape == straight.encoder(anchors()).shape == (20, 2)
    assert n_parameters(bent) == n_parameters(straight)
    assert isinstance(bent.encoder[-1], torch.nn.GELU)
    assert isinstance(straight.encoder[-1], torch.nn.Linear)


def test_the_gaussian_s_divergence_is_that_of_torch():
    torch.manual_seed(0)
    layer, x = Gaussian(6, 4), torch.randn(10, 6)
    layer(x)
    spread = (0.5 * layer.log_variance(x)).exp()
    expected = torch.distributions.kl_divergence(
        torch.distributions.Normal(layer.mean(x), spread), torch.distributions.Normal(0.0, 1.0)
    )
    assert torch.allclose(divergence(torch.nn.Sequential(layer)), expected.sum(), rtol=1e-5)
    assert divergence(torch.nn.Linear(2, 2)) == 0


def test_the_gaussian_samples_while_training_and_gives_its_mean_afterwards():
    torch.manual_seed(0)
    layer, x = Gaussian(6, 4), torch.randn(2000, 6)
    drawn = layer(x) - layer.mean(x)
    spread = (0.5 * layer.log_variance(x)).exp()
    assert torch.allclose((drawn / spread).std(0), torch.ones(4), atol=0.06)
    assert torch.equal(layer.eval()(x), layer.mean(x))
    layer.sample_at_test = True
    assert not torch.equal(layer(x), layer.mean(x))


def test_seeds_stitch_and_other_numbers_of_anchors_do_not():
    def make(n):
        return autoencoder((1, 28, 28), kind="vae", projection="cosine", anchors=anchors(n)).eval()

    first, second, other = make(20), make(20), make(10)
    stitched = relatum.stitch(first.encoder, first.projection, second.decoder)
    with torch.no_grad():
        x = anchors(4)
        expected = second.decoder(first.projection(first.encoder(x)))
        assert torch.equal(stitched(x), expected)
    with pytest.raises(ValueError, match="another relative space"):
        relatum.stitch(first.encoder, first.projection, other.decoder)


def test_wrong_input_is_refused():
    with pytest.raises(ValueError, match="anchors is None; expected anchor images"):
        autoencoder((1, 28, 28), kind="ae", projection="cosine")
    with pytest.raises(ValueError, match="images are 30 pixels high; expected 28 or 32"):
        autoencoder((1, 30, 30), kind="ae", projection="absolute")
