"""Stacked models against torch-geometric and autograd, number for number."""

import math

import numpy as np
import pytest

pytest.importorskip("pydantic", reason="relatum.paper needs pydantic")
torch = pytest.importorskip("torch", reason="training on graphs")
pytest.importorskip("torch_geometric", reason="the oracle")

import relatum  # noqa: E402
from relatum.paper._stacked_layout import make_layout  # noqa: E402
from relatum.paper._stacked_masks import Masks  # noqa: E402
from relatum.paper.data_graphs import draw_anchors, load_graph, split_nodes  # noqa: E402
from relatum.paper.models_graphs import GraphModel, GraphNet, make_net  # noqa: E402
from relatum.paper.stacked_graphs import (  # noqa: E402
    Similarity,
    _product_seconds,
    choose_products,
    train_stack,
)

WIDTH, N_LAYERS = 12, 3


@pytest.fixture
def graph(make_run):
    return load_graph(make_run(), "cora")


@pytest.fixture
def split(graph):
    return split_nodes(graph, seed=0)


@pytest.fixture
def anchors(graph, split):
    return draw_anchors(graph, split, 15)


def a_model(conv="gcnii", hidden="relu", activation="relu", optimizer="adam", **changes):
    settings = {"n_layers": N_LAYERS, "dropout": 0.5, "learning_rate": 0.01, "width": WIDTH}
    return GraphModel(
        conv=conv, hidden=hidden, activation=activation, optimizer=optimizer, **settings | changes
    )


def trained(graph, models, split, anchors, *, seed=3, n_epochs=4, **others):
    """Losses, representations and logits by model and epoch."""
    found = train_stack(
        graph, models, seed=seed, train=split.train, anchors=anchors, n_epochs=n_epochs, **others
    )
    return {(e.model, e.epoch): e for e in found}


class GivenDropout:
    """The stack's draws of dropout, for a net of torch-geometric."""

    def __init__(self, graph, model):
        self.graph, self.model = graph, model
        self.layout = make_layout(
            graph, model.conv, model.n_layers, model.width, model.dropout, torch.float32
        )
        self.masks = Masks(self.layout, model.dropout, model.n_layers, {"relu"})

    def inputs(self):
        """The features after dropout, dense, in the order of the nodes."""
        bag = self.layout.inputs
        starts = np.append(bag.starts.numpy(), len(bag.rows))
        rows = np.repeat(np.arange(self.layout.n_rows), np.diff(starts))
        X = torch.zeros(self.layout.n_rows, self.graph.n_features + 1)
        X[rows, bag.rows] = self.masks.input_weights
        return X[self.layout.place, :-1]

    def __call__(self, x, layer):
        if layer == 0:
            return self.inputs()
        kept = self.masks.layers["relu"][layer - 1] != 0
        return x * kept[self.layout.place, : self.model.width] / (1 - self.model.dropout)


def by_torch_geometric(graph, model, split, anchors, *, seed=3, n_epochs=4):
    """Train with autograd and torch's own optimisers; yield loss and representations."""
    net, drop = make_net(model, graph, anchors, seed), GivenDropout(graph, model)
    kind = {"adam": torch.optim.Adam, "sgd": torch.optim.SGD}[model.optimizer]
    optimizer = kind(net.parameters(), lr=model.learning_rate)
    labels = torch.from_numpy(graph.labels)
    X = torch.from_numpy(graph.features.toarray())
    for epoch in range(n_epochs):
        drop.masks.draw(seed, epoch)
        logits, _ = net(X, drop)
        loss = torch.nn.functional.cross_entropy(logits[split.train], labels[split.train])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            yield loss.item(), *net(X, lambda x, layer: x)


@pytest.mark.parametrize("conv", ["gcnii", "gcn", "gin"])
@pytest.mark.parametrize(
    ("hidden", "activation", "optimizer", "projection"),
    [("relu", "relu", "adam", "absolute"), ("tanh", "tanh", "sgd", "absolute"),
     ("tanh", "relu", "sgd", "centred"), ("relu", "tanh", "adam", "cosine")],
)  # fmt: skip
def test_a_stack_trains_as_torch_geometric_does(
    graph, split, anchors, conv, hidden, activation, optimizer, projection
):
    model = a_model(conv, hidden, activation, optimizer, projection=projection)
    ours = trained(graph, [model], split, anchors)
    theirs = by_torch_geometric(graph, model, split, anchors)
    for epoch, (loss, logits, representations) in enumerate(theirs):
        found = ours[0, epoch]
        assert found.loss == pytest.approx(loss, rel=1e-5)
        # Adam turns the last bits of gradients near 0 into steps: a little more than rounding
        torch.testing.assert_close(found.logits, logits, rtol=2e-3, atol=2e-4)
        torch.testing.assert_close(found.representations, representations, rtol=2e-3, atol=2e-4)


@pytest.mark.parametrize("conv", ["gcnii", "gcn", "gin"])
def test_bfloat16_stays_near_float32(graph, split, anchors, conv):
    models = [a_model(conv, activation=kind, optimizer="sgd") for kind in ("relu", "tanh")]
    single = trained(graph, models, split, anchors)
    half = trained(graph, models, split, anchors, products="bfloat16")
    for key, found in single.items():
        other = half[key].representations
        error = (other - found.representations).norm() / found.representations.norm()
        assert 0 < float(error) < 0.03
        assert half[key].loss == pytest.approx(found.loss, rel=0.01)


def test_models_train_together_as_alone(graph, split, anchors):
    models = [a_model(hidden=h, activation=a) for h in ("relu", "tanh") for a in ("relu", "tanh")]
    together = trained(graph, models, split, anchors)
    for number, model in enumerate(models):
        alone = trained(graph, [model], split, anchors)
        for epoch in range(4):
            assert together[number, epoch].loss == alone[0, epoch].loss
            assert torch.equal(together[number, epoch].logits, alone[0, epoch].logits)


def test_fewer_epochs_are_a_prefix(graph, split, anchors):
    long = trained(graph, [a_model()], split, anchors, n_epochs=4)
    short = trained(graph, [a_model()], split, anchors, n_epochs=2)
    assert [long[0, e].loss for e in range(2)] == [short[0, e].loss for e in range(2)]


def test_seeds_differ(graph, split, anchors):
    one = trained(graph, [a_model()], split, anchors, seed=0, n_epochs=1)
    other = trained(graph, [a_model()], split, anchors, seed=1, n_epochs=1)
    assert one[0, 0].loss != other[0, 0].loss


@pytest.mark.parametrize("dropout", [0.1, 0.5])
def test_dropout_keeps_the_share_that_it_should(graph, dropout):
    layout = make_layout(graph, "gcnii", 4, 300, dropout, torch.bfloat16)
    masks = Masks(layout, dropout, 4, {"relu", "tanh"})
    masks.draw(0, 7)
    kept = masks.layers["relu"] != 0
    assert float(kept.float().mean()) == pytest.approx(1 - dropout, abs=0.005)
    assert torch.equal(kept, masks.layers["tanh"] != 0)
    assert not torch.equal(kept[0], kept[1])
    before = kept.clone()
    masks.draw(0, 8)
    assert not torch.equal(before, masks.layers["relu"] != 0)
    masks.draw(0, 7)
    assert torch.equal(before, masks.layers["relu"] != 0)


def test_features_are_dropped_and_the_bias_is_not(graph):
    drop = GivenDropout(graph, a_model())
    drop.masks.draw(1, 0)
    X = graph.features.toarray()
    found = drop.inputs().numpy()
    assert np.mean(found[X > 0] > 0) == pytest.approx(0.5, abs=0.05)
    np.testing.assert_allclose(found[found > 0], 2 * X[found > 0], rtol=1e-6)
    bias = drop.layout.inputs.rows == graph.n_features
    assert (drop.masks.input_weights[bias] == 1).all()


def test_what_overflows_is_nan_as_in_torch_geometric(graph, split, anchors):
    model = a_model("gin", n_layers=40, learning_rate=10.0)
    ours = trained(graph, [model, a_model("gin", "tanh", "tanh", n_layers=40)], split, anchors)
    losses = [loss for loss, *_ in by_torch_geometric(graph, model, split, anchors)]
    assert math.isnan(losses[-1])
    assert [math.isnan(ours[0, e].loss) for e in range(4)] == [math.isnan(loss) for loss in losses]
    last = ours[0, 3]
    assert torch.isnan(last.logits).all()
    assert (last.predictions() == 0).all()
    assert math.isfinite(ours[1, 3].loss)
    reference = np.ones((graph.n_nodes, len(anchors)))
    assert Similarity(reference, anchors)(last.representations) is None


@pytest.mark.parametrize("products", ["float32", "bfloat16"])
def test_similarity_is_that_of_the_library(graph, anchors, products):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, graph.n_nodes, 8)).astype(np.float32)
    reference = relatum.relative_projection(y, y[anchors])
    expected = relatum.latent_similarity(relatum.relative_projection(x, x[anchors]), reference)
    found = Similarity(reference, anchors, products)(torch.from_numpy(x))
    assert found == pytest.approx(expected, abs=1e-5 if products == "float32" else 2e-3)


@pytest.mark.parametrize(("projection", "center"), [("cosine", False), ("centred", True)])
def test_relative_models_see_the_library_s_projection(graph, anchors, projection, center):
    net = make_net(a_model(projection=projection), graph, anchors, seed=0)
    x = torch.randn(graph.n_nodes, WIDTH, generator=torch.Generator().manual_seed(0))
    R = relatum.relative_projection(x, x[torch.from_numpy(anchors)], center=center)
    unit = R / R.norm(dim=1, keepdim=True)
    expected = net.classes(unit)
    from relatum.paper.models_graphs import head

    found = head(x, net.classes.weight, net.classes.bias, projection, net.anchors)
    torch.testing.assert_close(found, expected)


def test_making_a_net_leaves_torch_s_generator_alone(graph, anchors):
    before = torch.get_rng_state()
    one = make_net(a_model(), graph, anchors, seed=5)
    assert torch.equal(before, torch.get_rng_state())
    other = make_net(a_model(), graph, anchors, seed=5)
    assert torch.equal(one.hidden.weight, other.hidden.weight)
    assert isinstance(one, GraphNet)


def test_a_net_drops_out_while_it_trains(graph, anchors):
    net = make_net(a_model(), graph, anchors, seed=0)
    X = torch.from_numpy(graph.features.toarray())
    assert not torch.equal(net(X)[0], net(X)[0])
    net.eval()
    assert torch.equal(net(X)[0], net(X)[0])


def test_models_of_two_kinds_are_no_stack(graph, split, anchors):
    with pytest.raises(ValueError, match="models has 2 kinds; a stack is of one conv"):
        trained(graph, [a_model(), a_model("gin")], split, anchors)


def test_auto_takes_the_faster_type():
    assert choose_products("float32") == "float32"
    assert choose_products("bfloat16") == "bfloat16"
    assert choose_products("auto") in ("float32", "bfloat16")
    assert 0 < _product_seconds(torch.float32) < 10


def test_training_leaves_torch_s_threads_alone(graph, split, anchors):
    before = torch.get_num_threads()
    trained(graph, [a_model()], split, anchors, n_epochs=1)
    assert torch.get_num_threads() == before
