"""Heads: their layers, their two normalisations, and that training is a function of its seed."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="heads need torch")

from relatum.paper import heads  # noqa: E402
from relatum.stitching import standardize  # noqa: E402


@pytest.fixture(scope="module")
def data():
    """Two classes that a plane separates, 20 features."""
    rng = np.random.default_rng(0)
    R = rng.normal(size=(200, 20)).astype(np.float32)
    return R, (R[:, 0] + R[:, 1] > 0).astype(np.int64)


def train(data, kind="text", **changes):
    settings = {"n_classes": 2, "epochs": 6, "learning_rate": 1e-2, "hidden": 16, "seed": 0}
    return heads.train_head(*data, kind=kind, **(settings | changes))


@pytest.mark.parametrize("kind", sorted(heads.HEADS))
def test_learns(data, kind):
    head = train(data, kind, epochs=15, learning_rate=0.02)
    for normalisation in heads.normalisations(head):
        assert np.mean(heads.predict(head, data[0], normalisation=normalisation) == data[1]) > 0.9


def test_layers_are_those_of_the_paper():
    names = [type(layer).__name__ for layer in heads.build_head("text", 768, 5)]
    hidden = ["Linear", "SiLU", "HeadNormalizer"]
    assert names == ["LayerNorm", *hidden, *hidden, "Linear", "ReLU"]
    names = [type(layer).__name__ for layer in heads.build_head("image", 384, 100)]
    assert names == ["LayerNorm", "Linear", "Tanh", "HeadNormalizer", "Linear"]
    n = sum(p.numel() for p in heads.build_head("text", 768, 5).parameters())
    assert n == 2 * 768 + 2 * (768 * 768 + 768) + 5 * 768 + 5


def forward(head, R, reference=None):
    """The head by hand: each normaliser takes the statistics of the reference, or of the batch."""
    hidden = torch.from_numpy(R)
    seen = hidden if reference is None else torch.from_numpy(reference)
    with torch.no_grad():
        for layer in head:
            if isinstance(layer, heads.HeadNormalizer):
                hidden = torch.from_numpy(standardize(hidden.numpy(), seen.numpy()))
                seen = torch.from_numpy(standardize(seen.numpy()))
            else:
                hidden, seen = layer(hidden), layer(seen)
    return hidden.numpy().argmax(1)


def test_transductive_takes_the_rows_given(data):
    head = train(data)
    some = data[0][:50] * 2 + 1
    found = heads.predict(head, some, normalisation="transductive")
    np.testing.assert_array_equal(found, forward(head, some))


def test_inductive_takes_the_training_set(data):
    head = train(data)
    some = data[0][:50] * 2 + 1
    found = heads.predict(head, some, normalisation="inductive")
    np.testing.assert_array_equal(found, forward(head, some, data[0]))
    alone = [heads.predict(head, some[i : i + 1], normalisation="inductive")[0] for i in range(50)]
    np.testing.assert_array_equal(found, alone)


def test_same_seed_same_head_whatever_was_drawn_before(data):
    first = train(data)
    torch.manual_seed(123)
    state = torch.random.get_rng_state()
    second = train(data)
    assert torch.equal(torch.random.get_rng_state(), state)
    for a, b in zip(first.state_dict().values(), second.state_dict().values(), strict=True):
        assert torch.equal(a, b)
    other = train(data, seed=1)
    assert not torch.equal(first[1].weight, other[1].weight)


def test_batches_cover_every_sample_once_and_none_is_alone():
    order = torch.Generator().manual_seed(0)
    batches = heads._batches(65, 32, order)
    assert [len(b) for b in batches] == [32, 33]
    assert sorted(torch.cat(batches).tolist()) == list(range(65))


def test_refusals(data):
    R, y = data
    with pytest.raises(ValueError, match=r"kind is 'txt' .did you mean 'text'"):
        heads.build_head("txt", 3, 2)
    with pytest.raises(ValueError, match="R has 200 rows, y has 199; expected as many"):
        train((R, y[:-1]))
    with pytest.raises(ValueError, match="R has 1 row; expected at least 2"):
        train((R[:1], y[:1]))
    with pytest.raises(ValueError, match="y has classes from 0 to 1; expected 0 to 0"):
        train(data, n_classes=1)
    with pytest.raises(ValueError, match="normalisation is 'none'"):
        heads.predict(train(data, epochs=0), R, normalisation="none")
    with pytest.raises(ValueError, match="R has 1 row, whose columns have no variance"):
        heads.predict(train(data, epochs=0), R[:1], normalisation="transductive")
