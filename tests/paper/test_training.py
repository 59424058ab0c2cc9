"""Training: it learns, an interrupted one ends with the same numbers, loggers work offline."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="training needs the extra paper")
pytest.importorskip("lightning", reason="training needs the extra paper")

from relatum.nn import RelativeModel, RelativeProjection  # noqa: E402
from relatum.paper._epochs import Batches  # noqa: E402
from relatum.paper.autoencoders import Reconstruction, calibrated_likelihood  # noqa: E402
from relatum.paper.models_images import Gaussian, as_images  # noqa: E402
from relatum.paper.training import Plan, Trained, fit, load_weights  # noqa: E402

N_BATCHES = 6
GENERATOR = torch.Generator().manual_seed(0)
PIXELS = torch.randint(0, 256, (6 * N_BATCHES, 4, 4, 1), generator=GENERATOR, dtype=torch.uint8)


class Interrupted(Exception):
    pass


def tiny_model():
    """Every kind of part that the autoencoders have, in small."""
    torch.manual_seed(0)
    encoder = torch.nn.Sequential(
        torch.nn.Conv2d(1, 8, 3, padding=1), torch.nn.BatchNorm2d(8), torch.nn.Flatten()
    )
    projection = RelativeProjection(
        encoder=encoder, anchor_samples=as_images(PIXELS[:5]), refresh=4, update_batch_norm=True
    )
    decoder = torch.nn.Sequential(
        Gaussian(5, 5), torch.nn.Linear(5, 16), torch.nn.Unflatten(1, (1, 4, 4)), torch.nn.Sigmoid()
    )
    return RelativeModel(encoder, projection, decoder)


def plan(**changes):
    settings = {"n_epochs": 3, "seed": 0, "learning_rate": 0.01, "batch_size": 6}
    return Plan(**(settings | changes))


def train(folder, stop_at=None, module=None, **changes):
    def advance(done, total):
        assert total == 3 * N_BATCHES
        if done == stop_at:
            raise Interrupted

    module = module or Reconstruction(tiny_model(), plan(**changes))
    fit(module, [PIXELS], folder, advance=advance)
    return module


def weights_of(module):
    return {k: v.clone() for k, v in module.model.state_dict().items()}


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_an_interrupted_training_ends_with_the_same_numbers(tmp_path, precision):
    settings = {"precision": precision, "schedule": "one-cycle"}
    whole = weights_of(train(tmp_path / "whole", **settings))
    for stop_at in (N_BATCHES + 2, 2 * N_BATCHES + 1):  # twice, the second time in the last epoch
        with pytest.raises(Interrupted):
            train(tmp_path / "broken", stop_at, **settings)
        assert (tmp_path / "broken" / "last.ckpt").exists()
    resumed = weights_of(train(tmp_path / "broken", **settings))
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    untrained = tiny_model().state_dict()
    assert not torch.equal(whole["encoder.0.weight"], untrained["encoder.0.weight"])


def test_nothing_depends_on_what_ran_before(tmp_path):
    one = weights_of(train(tmp_path / "one"))
    torch.manual_seed(123)
    torch.rand(7)
    before = torch.get_rng_state()
    module = Reconstruction(tiny_model(), plan())
    torch.set_rng_state(before)
    two = weights_of(train(tmp_path / "two", module=module))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_seeds_differ(tmp_path):
    one, two = (weights_of(train(tmp_path / str(seed), seed=seed)) for seed in (0, 1))
    assert not torch.equal(one["decoder.1.weight"], two["decoder.1.weight"])


def test_a_finished_training_is_loaded_and_not_repeated(tmp_path):
    first = train(tmp_path / "a")
    assert sorted(p.name for p in (tmp_path / "a").iterdir()) == ["lock", "weights.safetensors"]
    again = Reconstruction(tiny_model(), plan())
    model = fit(again, [PIXELS], tmp_path / "a", advance=lambda done, total: pytest.fail("trained"))
    assert not model.training
    x = as_images(PIXELS[:3])
    with torch.no_grad():
        assert torch.equal(model(x), first.model(x))


def test_two_at_the_same_training_do_it_once(tmp_path):
    done = []

    def work():
        module = Reconstruction(linear(), plan())
        fit(module, [PIXELS], tmp_path, advance=lambda at, total: done.append(at))

    from concurrent.futures import ThreadPoolExecutor

    from filelock import FileLock

    with ThreadPoolExecutor(1) as pool:
        with FileLock(tmp_path / "lock"):
            waiting = pool.submit(work)
            with pytest.raises(TimeoutError):
                waiting.result(timeout=0.5)
            assert not done
        waiting.result(timeout=60)
    assert done[-1] == 3 * N_BATCHES
    work()
    assert len(done) == 3 * N_BATCHES


def test_training_lowers_the_error_and_does_it_in_adam_s_steps(tmp_path):
    """The oracle: the same optimiser, loss and batches in a plain loop."""
    ours = weights_of(train(tmp_path, module=Reconstruction(linear(), plan(clip=0.5))))
    model = linear()
    adam = torch.optim.Adam(model.parameters(), lr=0.01)
    batches, errors = Batches(len(PIXELS), 6, seed=0), []
    for epoch in range(3):
        batches.set_epoch(epoch)
        for rows in batches:
            x = as_images(PIXELS[rows])
            error = (model(x) - x).square().mean()
            sigma = error.sqrt()
            loss = (0.5 * ((model(x) - x) / sigma).square() + sigma.log()).sum()
            adam.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 0.5)
            adam.step()
            errors.append(error.item())
    assert errors[-1] < errors[0]
    for name, value in model.state_dict().items():
        assert torch.allclose(ours[name], value, atol=1e-5)


def linear():
    torch.manual_seed(1)
    return torch.nn.Sequential(
        torch.nn.Flatten(), torch.nn.Linear(16, 16), torch.nn.Unflatten(1, (1, 4, 4))
    )


def test_the_loss_is_the_likelihood_of_the_best_gaussian():
    error = torch.randn(50, generator=GENERATOR, dtype=torch.float64)
    squared = error.square().mean()
    normal = torch.distributions.Normal(0.0, squared.sqrt())
    constant = 50 * 0.5 * torch.log(torch.tensor(2 * torch.pi, dtype=torch.float64))
    expected = -normal.log_prob(error).sum() - constant
    assert torch.allclose(calibrated_likelihood(squared, 50), expected)


def test_batches_are_a_new_order_of_all_rows_in_each_epoch():
    batches = Batches(20, 6, seed=3)
    orders = []
    for epoch in (0, 1, 0):
        batches.set_epoch(epoch)
        orders.append(torch.cat(list(batches)).tolist())
    assert len(batches) == 3
    assert len(set(orders[0])) == 18
    assert orders[0] == orders[2] != orders[1]
    assert len(Batches(5, 128, seed=0)) == 1


class Divergent(Trained):
    def loss(self, batch):
        loss = self.model(as_images(batch[0])).sum() * float("nan")
        return loss, loss


def test_a_training_that_diverges_is_no_result(tmp_path):
    with pytest.raises(FloatingPointError, match="the loss is nan in epoch 0; training diverged"):
        train(tmp_path, module=Divergent(linear(), plan()))
    assert not (tmp_path / "weights.safetensors").exists()


def test_a_keyboard_interrupt_is_passed_on(tmp_path):
    def advance(done, total):
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises((KeyboardInterrupt, SystemExit)):
        fit(Reconstruction(linear(), plan()), [PIXELS], tmp_path, advance=advance)
    assert not (tmp_path / "weights.safetensors").exists()


def test_damaged_weights_are_named(tmp_path):
    (tmp_path / "weights.safetensors").write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"weights\.safetensors is truncated or damaged"):
        load_weights(linear(), tmp_path / "weights.safetensors")


def test_tensorboard_gets_the_error_of_each_epoch(tmp_path):
    pytest.importorskip("tensorboard", reason="optional logger")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    fit(Reconstruction(linear(), plan()), [PIXELS], tmp_path, logger="tensorboard")
    events = EventAccumulator(str(tmp_path / "log"))
    events.Reload()
    values = [e.value for e in events.Scalars("train")]
    assert len(values) == 3
    assert values[-1] < values[0]


@pytest.mark.slow
def test_wandb_logs_without_a_network(tmp_path, monkeypatch):
    pytest.importorskip("wandb", reason="optional logger")
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.chdir(tmp_path)
    fit(Reconstruction(linear(), plan()), [PIXELS], tmp_path / "a", logger="wandb", offline=True)
    assert list((tmp_path / "a").glob("wandb/offline-run-*/*.wandb"))
