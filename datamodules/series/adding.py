"""The adding problem (Hochreiter & Schmidhuber, 1997; as in Le et al., 2015, arXiv:1504.00941): a test of long-term memory."""

from typing import Literal

import torch

from datamodules.core.base import Arrays, DataModule
from datamodules.core.batch import SequenceBatch
from zoo.errors import ZooError


class Adding(DataModule):
    """Synthetic series with two channels: numbers in [0, 1), and marks on the two numbers to add.

    x is (B, T, 2). The second channel is 1 at one step of the first half and at one step of the second half, else 0. y (B, 1)
    is the sum of the two marked numbers. A network without memory predicts 1, with a mean squared error of 1/6. Nothing is
    normalised, so errors are in the units of the task. Training and test series are drawn by `split_seed`.

    Args:
        length: number of steps T.
        num_samples: number of training series; `val_fraction` of them validates.
        num_test: number of test series.
    """

    num_targets = 1

    def __init__(
        self,
        length: int = 200,
        num_samples: int = 50_000,
        num_test: int = 10_000,
        batch_size: int = 128,
        val_fraction: float = 0.1,
        seed: int | None = None,
        split_seed: int = 0,
    ) -> None:
        super().__init__(batch_size, val_fraction=val_fraction, seed=seed, split_seed=split_seed)
        if length < 2:
            raise ZooError(f"length must be at least 2 steps, one for each mark, got {length}")
        if num_samples < 2 or num_test < 1:
            raise ZooError(f"expected at least 2 samples and 1 to test on, got {num_samples} and {num_test}")
        self.length, self.num_samples, self.num_test = length, num_samples, num_test
        self.input_shape = (length, 2)
        self.transform = _unchanged

    def load(self, part: Literal["train", "test"]) -> Arrays:
        generator = torch.Generator().manual_seed(2 * self.split_seed + (part == "test"))
        size, half = self.num_samples if part == "train" else self.num_test, self.length // 2
        first = torch.randint(0, half, (size, 1), generator=generator)
        second = torch.randint(half, self.length, (size, 1), generator=generator)
        marked = torch.cat([first, second], dim=1)
        numbers = torch.rand(size, self.length, generator=generator)
        marks = torch.zeros(size, self.length).scatter_(1, marked, 1.0)
        y = numbers.gather(1, marked).sum(1, keepdim=True)
        return Arrays(torch.stack([numbers, marks], dim=2), y, torch.full((size,), self.length))


def _unchanged(batch: SequenceBatch, epoch: int, train: bool) -> SequenceBatch:
    return batch
