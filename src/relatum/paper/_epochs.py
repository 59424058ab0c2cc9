"""The batches of an epoch, which depend on the seed and the epoch's number alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch


class Batches(torch.utils.data.Sampler[list[int]]):
    """Row numbers of each batch; the order of an epoch depends on the seed and its number."""

    def __init__(self, n_rows: int, batch_size: int, seed: int) -> None:
        self.n_rows, self.seed, self.epoch = n_rows, seed, 0
        self.batch_size = min(batch_size, n_rows)

    def set_epoch(self, epoch: int) -> None:
        """Say which epoch comes next; Lightning does."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.n_rows // self.batch_size

    def __iter__(self) -> Iterator[list[int]]:
        generator = torch.Generator().manual_seed(seed_of(self.seed, self.epoch))
        order = torch.randperm(self.n_rows, generator=generator)
        for i in range(len(self)):
            yield order[i * self.batch_size : (i + 1) * self.batch_size]  # type: ignore[misc]


def seed_of(seed: int, epoch: int) -> int:
    """Return what the generators of an epoch start from."""
    return 1_000_003 * seed + epoch


class Rows(torch.utils.data.Dataset[list[torch.Tensor]]):
    """Takes a whole batch of rows at once."""

    def __init__(self, tensors: Sequence[torch.Tensor]) -> None:
        self.tensors = tensors

    def __getitem__(self, rows: Any) -> list[torch.Tensor]:
        return [tensor[rows] for tensor in self.tensors]
