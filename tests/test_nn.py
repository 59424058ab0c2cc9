"""Torch modules: parity with the functions, state, anchors that train, and real stitching."""

from __future__ import annotations

import copy
import subprocess
import sys

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

import relatum  # noqa: E402
from relatum import bind, stitch  # noqa: E402
from relatum import nn as rnn  # noqa: E402
from relatum.neighborhoods import neighborhood_jaccard  # noqa: E402
from relatum.similarity import SIMILARITIES  # noqa: E402
from relatum.stitching import inverse, space_of, standardize  # noqa: E402

KINDS = [
    {},
    {"center": True},
    {"center": True, "whiten": 0.3},
    {"similarity": "angular"},
    {"similarity": ["cosine", "euclidean"], "center": True},
]


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    """Small networks train faster on one thread, however busy the machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def spaces(n=40, d=6, k=12, dtype=torch.float64):
    X = torch.randn(n, d, dtype=dtype) + 0.5
    return X, X[:k]


# ---- RelativeProjection onto fixed anchors


@pytest.mark.parametrize("name", SIMILARITIES)
@pytest.mark.parametrize("center", [False, True])
def test_module_is_the_function(name, center):
    X, anchors = spaces()
    spec = ("quantised", {"n_clusters": 8}) if name == "quantised" else name
    whiten = 0.3 if SIMILARITIES[name].is_kernel else None
    options = {"similarity": spec, "center": center, "whiten": whiten}
    module = rnn.RelativeProjection(anchors, **options)
    expected = relatum.relative_projection(X, anchors, **options)
    torch.testing.assert_close(module(X), expected, rtol=1e-9, atol=1e-9)
    if name in ("cosine", "dot", "angular", "euclidean"):
        back = rnn.InverseRelativeProjection(anchors, **options)
        torch.testing.assert_close(
            back(expected), relatum.inverse_relative_projection(expected, anchors, **options)
        )


@pytest.mark.parametrize("kwargs", KINDS)
def test_gradient_of_the_input(kwargs):
    X, anchors = spaces(5)
    module = rnn.RelativeProjection(anchors, **kwargs)
    assert torch.autograd.gradcheck(module, (X.clone()[:3] + 0.1).requires_grad_())
    R = module(X).detach().requires_grad_()
    assert torch.autograd.gradcheck(module.inverse(), R)


def test_takes_numpy_anchors_and_holds_a_copy():
    X, anchors = spaces()
    module = rnn.RelativeProjection(anchors.numpy())
    expected, X = relatum.relative_projection(X, anchors), X.clone()
    anchors.zero_()
    torch.testing.assert_close(module(X), expected)
    assert next(name for name, _ in module.named_buffers()) == "anchors"
    assert not list(module.parameters())


def test_from_estimator():
    X, _ = spaces()
    ids = [f"item {i}" for i in range(len(X))]
    estimator = relatum.RelativeProjection(9, center=True, whiten=0.5, random_state=0)
    estimator.fit(X.numpy(), ids=ids)
    module = rnn.RelativeProjection.from_estimator(estimator)
    np.testing.assert_allclose(module(X).numpy(), estimator.transform(X.numpy()), atol=1e-12)
    assert module.space == estimator.space_
    assert module.space.anchor_ids is not None


# ---- state, precision, copies


@pytest.mark.parametrize("kwargs", KINDS)
def test_state_dict_round_trip_prepares_anew(kwargs):
    X, anchors = spaces()
    ids = [f"a{i}" for i in range(12)]
    trained = rnn.RelativeProjection(anchors, anchor_ids=ids, **kwargs)
    other = rnn.RelativeProjection(torch.randn_like(anchors), **kwargs)
    assert not torch.allclose(other(X), trained(X))
    other.load_state_dict(trained.state_dict())
    assert torch.equal(other(X), trained(X))
    assert other.space == trained.space
    other.load_state_dict(rnn.RelativeProjection(anchors * 2, **kwargs).state_dict())
    assert other.space.anchor_ids is None  # the ids belong to the anchors that left
    assert set(trained.state_dict()) == {"anchors", "anchor_ids_hash"}


def test_precision_changes_start_from_the_anchors():
    X, anchors = spaces(dtype=torch.float32)
    module = rnn.RelativeProjection(anchors, center=True, whiten=1e-3)
    exact = relatum.relative_projection(X.double(), anchors.double(), center=True, whiten=1e-3)
    assert module(X).dtype == torch.float32
    torch.testing.assert_close(module(X.double()), exact, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(module.double()(X.double()), exact, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(module.float()(X), exact.float(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_computes_in_float32(dtype):
    X, anchors = spaces(dtype=torch.float32)
    X, anchors = X.to(dtype), anchors.to(dtype)
    expected = relatum.relative_projection(X.float(), anchors.float())
    module = rnn.RelativeProjection(anchors).to(dtype)
    assert module(X).dtype == dtype
    torch.testing.assert_close(module(X).float(), expected, rtol=8e-3, atol=4e-3)
    back = rnn.InverseRelativeProjection(anchors).to(dtype)
    assert back(module(X)).dtype == dtype


def test_autocast():
    X, anchors = spaces(dtype=torch.float32)
    module = nn.Sequential(nn.Linear(6, 6), rnn.RelativeProjection(anchors))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        encoded = module[0](X)
        R = module(X)
        back = module[1].inverse()(R)
    assert encoded.dtype == torch.bfloat16
    assert R.dtype == back.dtype == torch.float32
    torch.testing.assert_close(R, relatum.relative_projection(encoded.float(), anchors))


def test_anchors_changed_in_place_or_replaced():
    X, anchors = spaces()
    module = rnn.RelativeProjection(anchors)
    module(X)
    other = torch.randn_like(anchors)
    module.anchors.copy_(other)
    torch.testing.assert_close(module(X), relatum.relative_projection(X, other))
    module.anchors = anchors * 3 + 1
    torch.testing.assert_close(module(X), relatum.relative_projection(X, anchors * 3 + 1))


def test_deep_copy_is_independent():
    X, anchors = spaces()
    module = rnn.RelativeProjection(anchors, whiten=0.1)
    expected = module(X)
    twin = copy.deepcopy(module)
    twin.anchors.mul_(-1)
    assert torch.equal(module(X), expected)
    assert not torch.allclose(twin(X), expected)


def test_deep_copy_of_a_model_encodes_with_its_own_encoder():
    model, X = live_model()
    twin = copy.deepcopy(model)
    with torch.no_grad():
        for p in twin.parameters():
            p.add_(torch.randn_like(p))
    expected = model(X)
    assert not torch.allclose(twin(X), expected)
    own = relatum.relative_projection(twin.encoder(X), twin.encoder(X[:10]))
    torch.testing.assert_close(twin.latent(X), own)
    assert torch.equal(model(X), expected)


def test_a_module_made_on_no_device_is_filled_by_its_state():
    X, anchors = spaces()
    module = rnn.RelativeProjection(anchors)
    empty = copy.deepcopy(module).to("meta").to_empty(device="cpu")
    empty.load_state_dict(module.state_dict())
    assert torch.equal(empty(X), module(X))


def test_made_under_inference_mode_serves_a_backward_pass():
    model, X = live_model()
    model.eval()
    fixed = rnn.RelativeProjection(torch.randn(5, 6, dtype=torch.float64))
    with torch.inference_mode():
        model(X)
        fixed.refresh_anchors()
        back = rnn.InverseRelativeProjection(torch.randn(5, 6, dtype=torch.float64))
        back(fixed(X))
    model(X).sum().backward()
    back(fixed(X.clone().requires_grad_())).sum().backward()
    fixed(X.clone().requires_grad_()).sum().backward()
    assert all(p.grad is not None for p in model.encoder.parameters())


# ---- anchors that are encoded again


class Encoder(nn.Module):
    """Linear and batch norm; counts its passes."""

    def __init__(self, d=6, width=5):
        super().__init__()
        self.linear = nn.Linear(d, width, dtype=torch.float64)
        self.norm = nn.BatchNorm1d(width, dtype=torch.float64)
        self.n_passes = 0

    def forward(self, x):
        self.n_passes += 1
        return self.norm(self.linear(x))


def live_model(**kwargs):
    X, samples = spaces(k=10)
    encoder = Encoder()
    projection = rnn.RelativeProjection(encoder=encoder, anchor_samples=samples, **kwargs)
    n = projection.space.n_outputs
    return rnn.RelativeModel(encoder, projection, nn.Linear(n, 3, dtype=torch.float64)), X


def step(model):
    """Move the encoder's weights, as an optimiser does."""
    with torch.no_grad():
        model.encoder.linear.weight.add_(0.3 * torch.randn_like(model.encoder.linear.weight))


@pytest.mark.parametrize("kwargs", KINDS)
def test_reencoded_anchors_follow_the_encoder(kwargs):
    model, X = live_model(**kwargs)
    for _ in range(3):
        step(model)
        latent = model.latent(X)  # in training mode each batch has its own statistics
        anchors = copy.deepcopy(model.encoder)(X[:10])
        expected = relatum.relative_projection(copy.deepcopy(model.encoder)(X), anchors, **kwargs)
        torch.testing.assert_close(latent, expected)


def test_the_encoder_is_registered_once():
    model, _ = live_model()
    assert not list(model.projection.parameters())
    assert not list(model.projection.children())
    assert len(list(model.named_parameters())) == 6
    assert not [key for key in model.state_dict() if key.startswith("projection.encoder")]
    assert "projection.anchor_samples" in model.state_dict()


def test_refresh_every_n_steps():
    model, X = live_model(refresh=3)
    passes = []
    for _ in range(7):
        before = model.encoder.n_passes
        model.latent(X)
        step(model)
        passes.append(model.encoder.n_passes - before - 1)
    assert passes == [1, 0, 0, 1, 0, 0, 1]


def test_in_evaluation_the_anchors_are_encoded_once():
    model, X = live_model()
    model.eval()

    def n_passes():
        before = model.encoder.n_passes
        R = model.latent(X)
        anchors = model.encoder(X[:10])
        torch.testing.assert_close(R, relatum.relative_projection(model.encoder(X), anchors))
        return model.encoder.n_passes - before - 3

    assert [n_passes() for _ in range(3)] == [1, 0, 0]
    model.projection.refresh_anchors()
    assert [n_passes() for _ in range(2)] == [1, 0]
    step(model)  # weights written in place are noticed
    assert [n_passes() for _ in range(2)] == [1, 0]
    model.load_state_dict(live_model()[0].state_dict())
    X = model.projection.anchor_samples
    assert n_passes() == 1
    model.train()
    model(X)
    model.eval()
    assert [n_passes() for _ in range(2)] == [1, 0]


def test_an_encoder_that_is_a_function_is_asked_again_after_training():
    X, samples = spaces()
    scale = torch.ones(6, dtype=torch.float64)
    module = rnn.RelativeProjection(encoder=lambda x: x * scale, anchor_samples=samples).eval()
    module(X)
    scale = torch.arange(1.0, 7.0, dtype=torch.float64)
    module.train()
    module.eval()
    torch.testing.assert_close(module(X), relatum.relative_projection(X, samples * scale))


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("anchor_gradient", [False, True])
def test_gradient_through_the_anchors_is_as_asked_for(anchor_gradient, training):
    model, X = live_model(anchor_gradient=anchor_gradient, center=True, whiten=0.2)
    model.train(training)
    model.latent(X).square().sum().backward()
    got = model.encoder.linear.weight.grad.clone()
    model.zero_grad()
    anchors = model.encoder(X[:10])
    anchors = anchors if anchor_gradient else anchors.detach()
    R = relatum.relative_projection(model.encoder(X), anchors, center=True, whiten=0.2)
    R.square().sum().backward()
    torch.testing.assert_close(model.encoder.linear.weight.grad, got)


@pytest.mark.parametrize("anchor_gradient", [False, True])
def test_running_statistics_see_the_samples_alone(anchor_gradient):
    model, X = live_model(anchor_gradient=anchor_gradient)
    alone = copy.deepcopy(model.encoder)
    alone(X)
    model(X).sum().backward()
    for name, buffer in model.encoder.named_buffers():
        assert torch.equal(buffer, dict(alone.named_buffers())[name])


def test_running_statistics_see_the_anchors_on_request():
    model, X = live_model(update_batch_norm=True)
    both = copy.deepcopy(model.encoder)
    both(X)
    both(X[:10])
    model(X)
    torch.testing.assert_close(model.encoder.norm.running_mean, both.norm.running_mean)
    assert int(model.encoder.norm.num_batches_tracked) == 2


def test_samples_of_any_kind_and_any_encoder():
    table = torch.randn(30, 6, dtype=torch.float64)
    words = [f"w{i}" for i in range(30)]

    def encoder(texts):
        return table[[words.index(t) for t in texts]]

    module = rnn.RelativeProjection(
        encoder=encoder, anchor_samples=words[:7], anchor_ids=words[:7], center=True
    )
    assert module.space.n_anchors == 7
    expected = relatum.relative_projection(table, table[:7], center=True)
    torch.testing.assert_close(module(table), expected)
    assert list(module.state_dict()) == ["anchor_ids_hash"]
    R = module.eval()(table)
    back = module.inverse()(R)
    torch.testing.assert_close(back, relatum.inverse_relative_projection(R, table[:7], center=True))
    assert space_of(module.inverse()) == module.space


# ---- torch.compile


@pytest.fixture
def fresh_dynamo():
    """Compile as if this test were the first one."""
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


quiet_dynamo = pytest.mark.filterwarnings("ignore::UserWarning")  # of dynamo, about itself


@quiet_dynamo
@pytest.mark.parametrize(
    "kwargs", [KINDS[2], *(pytest.param(k, marks=pytest.mark.slow) for k in (KINDS[0], *KINDS[3:]))]
)
def test_compiled_in_one_graph(kwargs, fresh_dynamo):
    X, anchors = spaces(dtype=torch.float32)
    module = rnn.RelativeProjection(anchors, **kwargs)
    compiled = torch.compile(module, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(X), module(X))
    module.load_state_dict({**module.state_dict(), "anchors": anchors.flip(0)})
    torch.testing.assert_close(
        compiled(X), relatum.relative_projection(X, anchors.flip(0), **kwargs)
    )
    module.bfloat16()  # rounds the anchors
    rounded = anchors.flip(0).bfloat16().float()
    torch.testing.assert_close(
        compiled(X), relatum.relative_projection(X, rounded, **kwargs), rtol=1e-4, atol=1e-5
    )


@pytest.mark.slow
@quiet_dynamo
@pytest.mark.parametrize("kwargs", [{}, {"refresh": 2}, {"anchor_gradient": True, "whiten": 0.3}])
def test_compiled_model_trains_as_the_plain_one(kwargs, fresh_dynamo):
    model, X = live_model(**kwargs)
    plain = copy.deepcopy(model)
    in_one_graph = "refresh" not in kwargs
    compiled = torch.compile(model, backend="eager", fullgraph=in_one_graph)
    for m, run in ((model, compiled), (plain, plain)):
        optimiser = torch.optim.SGD(m.parameters(), lr=0.1)
        for _ in range(4):
            optimiser.zero_grad()
            run(X).square().sum().backward()
            optimiser.step()
    for a, b in zip(model.state_dict().values(), plain.state_dict().values(), strict=True):
        torch.testing.assert_close(a, b)
    if not in_one_graph:
        model.eval()
        plain.eval()
        torch.testing.assert_close(compiled(X), plain(X))


@pytest.mark.slow
@quiet_dynamo
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_compiled_by_inductor(fresh_dynamo):
    from torch._inductor import cpp_builder

    try:
        cpp_builder.get_cpp_compiler()
    except Exception as error:
        pytest.skip(f"no C++ compiler: {error}")
    X, anchors = spaces(dtype=torch.float32)
    module = nn.Sequential(nn.Linear(6, 6), rnn.RelativeProjection(anchors, whiten=0.3))
    torch.testing.assert_close(torch.compile(module)(X), module(X), rtol=1e-4, atol=1e-5)


# ---- what the projections refuse


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda X: rnn.RelativeProjection(), TypeError, "got no anchors; expected either"),
        (
            lambda X: rnn.RelativeProjection(X, encoder=abs, anchor_samples=X),
            TypeError,
            "got anchors, encoder, anchor_samples; expected either",
        ),
        (lambda X: rnn.RelativeProjection(encoder=abs), TypeError, "got encoder; expected"),
        (
            lambda X: rnn.RelativeProjection(encoder="bert", anchor_samples=X),
            TypeError,
            "encoder is str; expected a module or a callable",
        ),
        (
            lambda X: rnn.RelativeProjection(X, anchor_gradient=True),
            ValueError,
            "anchor_gradient=True takes anchors that are encoded at every step",
        ),
        (
            lambda X: rnn.RelativeProjection(
                encoder=abs, anchor_samples=X, anchor_gradient=True, refresh=2
            ),
            ValueError,
            "with refresh=1",
        ),
        (
            lambda X: rnn.RelativeProjection(encoder=abs, anchor_samples=X, refresh=0),
            ValueError,
            "refresh is 0; expected at least 1",
        ),
        (
            lambda X: rnn.RelativeProjection(encoder=abs, anchor_samples=X, anchor_ids=[1]),
            ValueError,
            "anchor_ids has 1 ids, anchor_samples has 40 rows",
        ),
        (lambda X: rnn.RelativeProjection(X, anchor_ids=[1]), ValueError, "anchor_ids has 1 ids"),
        (lambda X: rnn.RelativeProjection(X * torch.nan), ValueError, "anchors contains NaN"),
        (lambda X: rnn.RelativeProjection(X[:1]), ValueError, "anchors has 1 row"),
        (lambda X: rnn.RelativeProjection(X, whiten=-1.0), ValueError, "whiten is -1.0"),
        (lambda X: rnn.RelativeProjection(X)(X[:, :4]), ValueError, "X has 4 features, anchors"),
        (lambda X: rnn.RelativeProjection(X)(X[0]), ValueError, r"X has 1 dimension.*flatten"),
        (
            lambda X: rnn.InverseRelativeProjection(X, similarity="manhattan"),
            ValueError,
            "similarity manhattan has no inverse",
        ),
        (
            lambda X: rnn.InverseRelativeProjection(X)(X),
            ValueError,
            "R has 6 features, the projection gives 40",
        ),
        (
            lambda X: rnn.RelativeProjection(encoder=torch.sum, anchor_samples=X)(X),
            ValueError,
            r"encoder gives Tensor of shape \(\) for anchor_samples; expected .* \(40, n_features",
        ),
        (
            lambda X: rnn.RelativeProjection(encoder=lambda x: x[1:], anchor_samples=X)(X),
            ValueError,
            r"encoder gives Tensor of shape \(39, 6\)",
        ),
        (
            lambda X: rnn.RelativeProjection(encoder=lambda x: 3, anchor_samples=["a"])(X),
            ValueError,
            r"encoder gives int of shape \(\)",
        ),
    ],
)
def test_bad_projections(call, error, match):
    with pytest.raises(error, match=match):
        call(spaces()[0])


def test_bad_anchors_in_a_state_dict():
    _, anchors = spaces()
    module = rnn.RelativeProjection(anchors)
    with pytest.raises(ValueError, match="anchors contains NaN"):
        module.load_state_dict({**module.state_dict(), "anchors": anchors * torch.nan})
    with pytest.raises(ValueError, match="anchors contains NaN"):
        module(anchors)  # nothing is put in their place
    assert module.space.n_anchors == 12


def test_without_torch_the_install_line_is_named():
    code = "import sys; sys.modules['torch'] = None; import relatum.nn"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "MissingExtraError: relatum.nn needs torch; install it with: pip" in run.stderr


# ---- HeadNormalizer


def test_inductive_statistics_are_exact_over_batches():
    R = torch.randn(1000, 7) * torch.arange(1.0, 8.0) + 10
    normalizer = rnn.HeadNormalizer(7)
    for batch in R.split(97):
        torch.testing.assert_close(normalizer(batch), standardize(batch))
    assert int(normalizer.n_seen) == 1000
    torch.testing.assert_close(normalizer.mean, R.mean(0), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(normalizer.variance, R.var(0, correction=0), rtol=1e-5, atol=1e-5)
    normalizer.eval()
    torch.testing.assert_close(normalizer(R[:1]), standardize(R)[:1], rtol=1e-4, atol=1e-4)
    restored = rnn.HeadNormalizer(7)
    restored.load_state_dict(normalizer.state_dict())
    assert torch.equal(restored.eval()(R), normalizer(R))
    normalizer.reset()
    normalizer.update(R[:50])
    torch.testing.assert_close(normalizer(R), standardize(R, R[:50]), rtol=1e-4, atol=1e-4)


def test_transductive_and_reference_statistics():
    R = torch.randn(50, 3, dtype=torch.float64, requires_grad=True)
    transductive = rnn.HeadNormalizer(3, "transductive")
    for module in (transductive.train(), transductive.eval()):
        torch.testing.assert_close(module(R), standardize(R))
    assert int(transductive.n_seen) == 0
    fixed = rnn.HeadNormalizer.from_reference(R[:20])
    for module in (fixed.train(), fixed.eval()):
        torch.testing.assert_close(module(R), standardize(R.detach(), R[:20].detach()))
    assert int(fixed.n_seen) == 20
    assert torch.autograd.gradcheck(transductive, R)
    assert "mode='transductive'" in repr(transductive)


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: rnn.HeadNormalizer(3, "batch"), "mode is 'batch'"),
        (lambda: rnn.HeadNormalizer(0), "n_features is 0"),
        (lambda: rnn.HeadNormalizer(3)(torch.ones(1, 3)), r"R has 1 row.*inductive, training"),
        (
            lambda: rnn.HeadNormalizer(3, "transductive").eval()(torch.ones(1, 3)),
            r"R has 1 row, whose columns have no variance.*\(transductive\)",
        ),
        (lambda: rnn.HeadNormalizer(3).eval()(torch.ones(4, 3)), "has seen no rows; train it"),
        (lambda: rnn.HeadNormalizer(3)(torch.ones(4, 2)), r"R has shape \(4, 2\); expected"),
        (lambda: rnn.HeadNormalizer.from_reference(torch.ones(1, 2)), "R has shape"),
    ],
)
def test_bad_normalizers(call, match):
    with pytest.raises(ValueError, match=match):
        call()


# ---- stitch with torch modules


def test_torch_parts_make_a_torch_module():
    model, X = live_model()
    other, _ = live_model()
    stitched = stitch(model.encoder, model.projection, other.decoder)
    assert isinstance(stitched, nn.Sequential)
    assert [name for name, _ in stitched.named_children()] == ["encoder", "projection", "decoder"]
    assert torch.equal(stitched(X), other.decoder(model.latent(X)))
    stitched(X).sum().backward()
    assert all(p.grad is not None for p in stitched.parameters())
    twin = copy.deepcopy(stitched)
    step(stitched)
    twin.load_state_dict(stitched.state_dict())
    assert torch.equal(twin.eval()(X), stitched.eval()(X))
    assert stitched.float()(X.float()).dtype == torch.float32


def test_torch_parts_at_several_layers_and_through_an_inverse():
    X, anchors = spaces()
    block = nn.Linear(12, 5, dtype=torch.float64)
    first = rnn.RelativeProjection(anchors)
    second = rnn.RelativeProjection(block(first(anchors)))
    decoder = nn.Linear(12, 2, dtype=torch.float64)
    deep = stitch(None, first, block, second, decoder)
    assert [name for name, _ in deep.named_children()] == [
        "projection",
        "block_2",
        "projection_2",
        "decoder",
    ]
    assert torch.equal(deep(X), decoder(second(block(first(X)))))
    Q = torch.linalg.qr(torch.randn(6, 6, dtype=torch.float64))[0]
    unit = nn.functional.normalize(X)
    ours, theirs = rnn.RelativeProjection(unit[:12]), rnn.RelativeProjection(unit[:12] @ Q)
    rest = nn.Linear(6, 2, dtype=torch.float64)
    model = stitch(nn.Identity(), ours, inverse(theirs), rest)
    assert isinstance(model, nn.Sequential)
    torch.testing.assert_close(model(unit), rest(unit @ Q))


def test_a_torch_encoder_under_a_scikit_learn_head_and_the_reverse():
    model, X = live_model()
    model.eval()
    R = model.latent(X).detach().numpy()
    y = (R[:, 0] > 0).astype(int)
    decoder = bind(LogisticRegression().fit(R, y), model.projection)
    expected = decoder.predict(R)
    model.train()
    model.encoder.norm.eval()
    before = copy.deepcopy(model.encoder.state_dict())
    stitched = stitch(model.encoder, model.projection, decoder)
    np.testing.assert_array_equal(stitched.predict(X.numpy()), expected)
    np.testing.assert_array_equal(stitched.predict(X.numpy().astype(np.float32)), expected)
    np.testing.assert_array_equal(stitched.predict(X), expected)
    assert stitched.score(X, y) == decoder.score(R, y)
    # evaluation mode while it predicts, then each part's own mode again
    assert model.encoder.training
    assert not model.encoder.norm.training
    assert all(torch.equal(v, before[k]) for k, v in model.encoder.state_dict().items())
    estimator = relatum.RelativeProjection().fit(X[:10].numpy())
    reverse = stitch(None, estimator, model.decoder)
    out = reverse.predict(X.numpy())
    assert isinstance(out, np.ndarray)
    expected = model.decoder(torch.tensor(estimator.transform(X.numpy()))).detach()
    np.testing.assert_allclose(out, expected)


class Head(nn.Module):
    """Registers its layers in another order than it runs them."""

    def __init__(self, k):
        super().__init__()
        self.out = nn.Linear(4, 2)
        self.hidden = nn.Linear(k, 4)

    def forward(self, R):
        return self.out(self.hidden(R))


class Wrapped(nn.Module):
    def __init__(self, head):
        super().__init__()
        self.head = head


@pytest.mark.parametrize(
    "make",
    [
        lambda k: nn.Linear(k, 2),
        lambda k: nn.Sequential(nn.Dropout(0.1), nn.LayerNorm(k), nn.Linear(k, 2)),
        lambda k: nn.Sequential(nn.Sequential(nn.BatchNorm1d(k)), nn.Linear(k, 2)),
        lambda k: nn.Sequential(rnn.HeadNormalizer(k), nn.Linear(k, 2)),
        lambda k: Wrapped(nn.Linear(k, 2)),
        Head,
    ],
)
def test_a_torch_head_of_another_width(make):
    projection = rnn.RelativeProjection(torch.randn(10, 6))
    assert isinstance(stitch(None, projection, make(10)), nn.Sequential)
    with pytest.raises(ValueError, match=r"decoder takes .* features, the part before it gives 10"):
        stitch(None, projection, make(11))


def test_a_torch_head_of_unknown_width_is_believed():
    projection = rnn.RelativeProjection(torch.randn(16, 6))
    maps = nn.Sequential(nn.Unflatten(1, (1, 4, 4)), nn.Conv2d(1, 2, 4), nn.Flatten(), Head(2))
    assert stitch(None, projection, maps)(torch.randn(3, 6)).shape == (3, 2)
    assert isinstance(stitch(None, projection, nn.Sequential(nn.ReLU())), nn.Sequential)


def test_a_torch_head_of_another_space():
    a, _ = live_model(center=True)
    b, _ = live_model()
    with pytest.raises(ValueError, match="center is True here and False there"):
        stitch(a.encoder, a.projection, b.decoder)


# ---- losses


def test_distillation_loss_is_the_formula():
    student, teacher = torch.randn(20, 5), torch.randn(20, 9)
    loss = rnn.relative_distillation_loss(student, teacher, student[:6], teacher[:6], center=True)
    R, S = (relatum.relative_projection(X, X[:6], center=True).numpy() for X in (student, teacher))
    cosines = (R * S).sum(1) / np.linalg.norm(R, axis=1) / np.linalg.norm(S, axis=1)
    np.testing.assert_allclose(float(loss), 1 - cosines.mean(), rtol=1e-5)
    module = rnn.TeacherLoss(teacher[:6], center=True)
    assert torch.equal(module(student, teacher, student[:6]), loss)
    assert list(module.state_dict()) == ["anchors_teacher"]


def test_distillation_loss_reaches_the_student_alone():
    tensors = [torch.randn(n, d, requires_grad=True) for n, d in [(9, 4), (9, 6), (5, 4), (5, 6)]]
    rnn.relative_distillation_loss(*tensors, whiten=0.5).backward()
    has_gradient = [t.grad is not None and bool(t.grad.any()) for t in tensors]
    assert has_gradient == [True, False, True, False]


@pytest.mark.parametrize(
    ("shapes", "match"),
    [
        ([(9, 4), (8, 6), (5, 4), (5, 6)], "X_student has 9 rows, X_teacher has 8"),
        ([(9, 4), (9, 6), (5, 4), (7, 6)], "anchors_student has 5 rows, anchors_teacher has 7"),
        ([(9, 4), (9, 6), (5, 3), (5, 6)], "X_student has 4 features, anchors_student has 3"),
        ([(9, 4), (9, 6), (5, 4), (5, 2)], "X_teacher has 6 features, anchors_teacher has 2"),
        ([(9,), (9, 6), (5, 4), (5, 2)], "X_student is .*expected a 2-D tensor"),
    ],
)
def test_distillation_loss_refuses(shapes, match):
    with pytest.raises(ValueError, match=match):
        rnn.relative_distillation_loss(*[torch.randn(*shape) for shape in shapes])


# ---- real networks


@pytest.fixture(scope="module")
def digits():
    data, target = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(data))
    X = torch.tensor(data[order] / 16, dtype=torch.float32)
    y = torch.tensor(target[order])
    return (X[:1300], y[:1300]), (X[1300:], y[1300:])


def train(model, data, epochs, lr=3e-3):
    X, y = data
    optimiser = torch.optim.Adam(model.parameters(), lr=lr)
    for _ in range(epochs):
        for batch in torch.randperm(len(X)).split(100):
            optimiser.zero_grad()
            nn.functional.cross_entropy(model(X[batch]), y[batch]).backward()
            optimiser.step()
    return model.eval()


@torch.no_grad()
def accuracy(model, data):
    return float((model(data[0]).argmax(1) == data[1]).float().mean())


def encoder():
    return nn.Sequential(nn.Linear(64, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, 32))


def test_zero_shot_stitching_of_networks_trained_end_to_end(digits):
    data, held_out = digits
    relative, absolute = [], []
    for seed in (0, 1):
        torch.manual_seed(seed)
        enc = encoder()
        projection = rnn.RelativeProjection(encoder=enc, anchor_samples=data[0][:100])
        decoder = nn.Sequential(nn.LayerNorm(100), nn.Linear(100, 10))
        relative.append(train(rnn.RelativeModel(enc, projection, decoder), data, 15))
        absolute.append(train(nn.Sequential(encoder(), nn.Linear(32, 10)), data, 8))
    for i, j in ((0, 1), (1, 0)):
        a, b = relative[i], relative[j]
        native = accuracy(b, held_out)
        assert native > 0.92
        stitched = accuracy(stitch(a.encoder, a.projection, b.decoder), held_out)
        assert stitched >= 0.9 * native
        swapped = nn.Sequential(absolute[i][0], absolute[j][1])
        assert accuracy(absolute[j], held_out) > 0.9
        assert accuracy(swapped, held_out) < 0.4 * native


def cnn():
    return nn.Sequential(
        nn.Unflatten(1, (1, 8, 8)),
        nn.Conv2d(1, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 16, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(256, 10),
    )


def test_stitching_at_two_layers_of_networks_without_a_relative_one(digits):
    data, held_out = digits
    nets = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        nets.append(train(cnn(), data, 6))
    a, b = nets
    layers = {"3": 4, "5": 6}  # the name of each, and where the rest begins
    anchors = data[0][:100]
    stitched = rnn.stitch_at(a, b, list(layers), anchors, center=True, whiten=0.1)
    assert list(stitched) == list(layers)
    native = accuracy(b, held_out)
    assert native > 0.9
    for layer, start in layers.items():
        swapped = accuracy(nn.Sequential(*a[:start], *b[start:]), held_out)
        got = accuracy(stitched[layer], held_out)
        assert got > 0.85 * native
        assert got > swapped + 0.2
    one = rnn.stitch_at(a, b, "3", anchors, center=True, whiten=0.1)
    assert torch.equal(one(held_out[0]), stitched["3"](held_out[0]))


def test_stitch_at_keeps_the_networks_as_they_were():
    a, b = cnn(), cnn()
    a.train()
    b.train()
    state = copy.deepcopy(a.state_dict())
    stitched = rnn.stitch_at(a, b, "3", torch.randn(9, 64))
    assert a.training
    assert a[2].training
    assert all(torch.equal(v, state[k]) for k, v in a.state_dict().items())
    assert not any(m._forward_hooks for m in (*a.modules(), *b.modules()))
    x = torch.randn(5, 64)
    stitched(x).sum().backward()
    assert a[1].weight.grad is not None
    assert b[7].weight.grad is not None
    assert b[1].weight.grad is None
    assert not any(m._forward_hooks for m in (*a.modules(), *b.modules()))


class Odd(nn.Module):
    def __init__(self):
        super().__init__()
        self.unused = nn.Linear(4, 4)
        self.twice = nn.Linear(4, 4)
        self.pair = nn.LSTM(4, 4)

    def forward(self, x):
        return self.pair(self.twice(self.twice(x)))[0]


@pytest.mark.parametrize(
    ("layers", "match"),
    [
        ("twic", r"layers \(net_a\) is 'twic' \(did you mean 'twice'"),
        ("unused", "layer 'unused' of net_a runs 0 times in a pass"),
        ("twice", "layer 'twice' of net_a runs 2 times in a pass"),
        ("pair", "layer 'pair' of net_a gives tuple; expected a tensor"),
        ([], "layers is empty"),
    ],
)
def test_stitch_at_refuses(layers, match):
    with pytest.raises(ValueError, match=match):
        rnn.stitch_at(Odd(), Odd(), layers, torch.randn(9, 4))


def test_stitch_at_refuses_a_layer_that_stops_running_once():
    class Gated(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer, self.skip = nn.Linear(4, 4), False

        def forward(self, x):
            return x if self.skip else self.layer(x)

    a, b = Gated(), Gated()
    stitched = rnn.stitch_at(a, b, "layer", torch.randn(9, 4))
    b.skip = True
    with pytest.raises(ValueError, match="layer 'layer' of net_b runs 0 times"):
        stitched(torch.randn(3, 4))


def test_a_student_comes_nearer_to_its_teacher(digits):
    (X, _), (held_out, _) = digits
    torch.manual_seed(3)
    teacher = nn.Sequential(nn.Linear(64, 48), nn.Tanh(), nn.Linear(48, 24)).requires_grad_(False)
    student = nn.Sequential(nn.Linear(64, 32), nn.Tanh(), nn.Linear(32, 8))
    anchors = X[:64]
    loss = rnn.TeacherLoss(teacher(anchors), center=True)
    optimiser = torch.optim.Adam(student.parameters(), lr=1e-2)

    def overlap():
        with torch.no_grad():
            return float(neighborhood_jaccard(student(held_out), teacher(held_out), k=10))

    before, losses = overlap(), []
    for _ in range(60):
        optimiser.zero_grad()
        batch = X[torch.randint(len(X), (256,))]
        value = loss(student(batch), teacher(batch), student(anchors))
        value.backward()
        optimiser.step()
        losses.append(value.item())
    assert losses[-1] < 0.3 * losses[0]
    assert overlap() > before + 0.1
