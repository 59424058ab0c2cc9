"""Training with PyTorch Lightning that goes on after an interruption as if there was none.

Whatever is random in an epoch (order, noise) comes from the seed and the epoch's
number alone, and a checkpoint is written after each, so a training that was
interrupted ends with the same numbers.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import load_file, save_file

from relatum import _files, _validation
from relatum.nn import RelativeProjection
from relatum.paper._epochs import Batches, Rows, seed_of

try:
    import lightning.pytorch as pl
    from lightning.pytorch.callbacks import Callback, Checkpoint
except ImportError as error:
    raise _validation.MissingExtraError(
        "training needs lightning; install it with: pip install 'relatum[paper]'"
    ) from error

Precision = Literal["32-true", "bf16-mixed"]
LearningRate = Literal["constant", "one-cycle"]


@dataclass(frozen=True)
class Plan:
    """How a model is trained.

    ``learning_rate`` is the highest of a ``one-cycle`` schedule; gradients are
    clipped to the norm ``clip``.
    """

    n_epochs: int
    seed: int
    learning_rate: float
    schedule: LearningRate = "constant"
    batch_size: int = 128
    clip: float = 10.0
    precision: Precision = "32-true"


class Trained(pl.LightningModule):
    """A model with its optimiser; what it is trained for is in a subclass's ``loss``."""

    def __init__(self, model: torch.nn.Module, plan: Plan) -> None:
        super().__init__()
        self.model = model
        self.plan = plan
        self.losses: list[torch.Tensor] = []

    def loss(self, batch: Sequence[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        """Return what is minimised, and what is reported of it."""
        raise NotImplementedError

    def training_step(self, batch: Sequence[torch.Tensor], index: int) -> torch.Tensor:
        loss, reported = self.loss(batch)
        self.losses.append(reported.detach())
        return loss

    def on_train_epoch_start(self) -> None:
        self.losses = []
        torch.manual_seed(seed_of(self.plan.seed, self.current_epoch))
        for module in self.modules():
            if isinstance(module, RelativeProjection):
                module.refresh_anchors()  # where in its interval it was is in no checkpoint

    def on_train_epoch_end(self) -> None:
        mean = torch.stack(self.losses).mean()
        if not torch.isfinite(mean):
            raise FloatingPointError(
                f"the loss is {mean.item()} in epoch {self.current_epoch}; training diverged"
            )
        self.log("train", mean)

    def configure_optimizers(self) -> Any:
        plan = self.plan
        adam = torch.optim.Adam(self.model.parameters(), lr=plan.learning_rate, fused=True)
        if plan.schedule == "constant":
            return adam
        steps = int(self.trainer.estimated_stepping_batches)
        cycle = torch.optim.lr_scheduler.OneCycleLR(adam, plan.learning_rate, total_steps=steps)
        return {"optimizer": adam, "lr_scheduler": {"scheduler": cycle, "interval": "step"}}

    def configure_gradient_clipping(self, optimizer: Any, *args: Any, **kwargs: Any) -> None:
        # Lightning's own refuses the fused Adam, which takes a third of the time
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.plan.clip)


def fit(
    module: Trained,
    tensors: Sequence[torch.Tensor],
    folder: Path,
    *,
    logger: str | None = None,
    offline: bool = True,
    advance: Callable[[int, int], None] = lambda done, total: None,
) -> torch.nn.Module:
    """Train ``module`` on rows of ``tensors``, or load it where that was done before.

    Parameters
    ----------
    module : Trained
    tensors : sequence of tensors
        Row i of each belongs to sample i; a batch is the same rows of each. An
        incomplete last batch is left out.
    folder : Path
        Of this training alone: a checkpoint after each epoch, and at the end the
        weights (``weights.safetensors``).
    logger : "wandb", "tensorboard" or None
    offline : bool
        Nothing is sent to W&B.
    advance : callable (done, total)
        Called with the number of batches done.

    Returns
    -------
    torch.nn.Module
        The model, in evaluation mode.
    """
    weights = folder / "weights.safetensors"
    module.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    folder.mkdir(parents=True, exist_ok=True)
    with _validation.require("filelock", "paper", "training").FileLock(folder / "lock"):
        # another process may be at the same training: this one waits for it
        if not weights.exists():
            _train(module, tensors, folder, _logger(logger, folder, offline), advance)
            save_weights(module.model, weights)
            (folder / "last.ckpt").unlink()
    return load_weights(module.model, weights)


def _train(
    module: Trained,
    tensors: Sequence[torch.Tensor],
    folder: Path,
    logger: Any,
    advance: Callable[[int, int], None],
) -> None:
    plan = module.plan
    batches = Batches(len(tensors[0]), plan.batch_size, plan.seed)
    # its own generator: an iterator of it draws a number, before or after the epoch's seed is set
    loader = torch.utils.data.DataLoader(
        Rows(tensors), sampler=batches, batch_size=None, generator=torch.Generator()
    )
    last = folder / "last.ckpt"
    with _quiet(), torch.random.fork_rng(devices=[]):
        trainer = pl.Trainer(
            max_epochs=plan.n_epochs,
            precision=plan.precision,
            accelerator="auto",
            devices=1,
            logger=logger,
            callbacks=[_Last(last), _Progress(advance)],
            enable_progress_bar=False,
            enable_model_summary=False,
            default_root_dir=folder,
        )
        trainer.fit(module, loader, ckpt_path=last if last.exists() else None, weights_only=True)
    if trainer.interrupted or trainer.current_epoch < plan.n_epochs:
        raise KeyboardInterrupt  # Lightning swallows it; half a training is no result


class _Last(Checkpoint):
    """Keeps the state after the last whole epoch; Lightning's own can leave half a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def on_train_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        with _files.replacing(self.path) as temporary:
            trainer.save_checkpoint(temporary)


class _Progress(Callback):
    def __init__(self, advance: Callable[[int, int], None]) -> None:
        self.advance = advance

    def on_train_batch_end(self, trainer: pl.Trainer, *args: Any, **kwargs: Any) -> None:
        self.advance(trainer.global_step, int(trainer.estimated_stepping_batches))


def _logger(name: str | None, folder: Path, offline: bool) -> Any:
    from lightning.pytorch import loggers

    if name == "tensorboard":
        _validation.require("tensorboard", "loggers", "--logger tensorboard")
        return loggers.TensorBoardLogger(folder, name="log", version="")
    if name == "wandb":
        _validation.require("wandb", "loggers", "--logger wandb")
        return loggers.WandbLogger(folder.name, project="relatum", save_dir=folder, offline=offline)
    return False


@contextmanager
def _quiet() -> Iterator[None]:
    """Leave out what Lightning says of the machine, and its advice on workers and intervals."""
    names = ["lightning.pytorch", "lightning.fabric", "lightning"]
    levels = [logging.getLogger(name).level for name in names]
    for name in names:
        logging.getLogger(name).setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            for text in (
                ".*does not have many workers.*",
                ".*exists and is not empty.*",
                ".*smaller than the logging interval.*",
                ".*`isinstance.treespec, LeafSpec.`.*",
            ):
                warnings.filterwarnings("ignore", text)
            yield
    finally:
        for name, level in zip(names, levels, strict=True):
            logging.getLogger(name).setLevel(level)


def save_weights(model: torch.nn.Module, path: Path) -> None:
    """Write a model's tensors to a safetensors file."""
    with _files.replacing(path) as temporary:
        save_file({k: v.contiguous() for k, v in model.state_dict().items()}, temporary)


def load_weights(model: torch.nn.Module, path: Path) -> torch.nn.Module:
    """Read a model's tensors; return it in evaluation mode."""
    with _files.reading(path, "the weights of a trained model"):
        model.load_state_dict(load_file(path))
    return model.eval()
