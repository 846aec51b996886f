"""Made-up texts, with what reports on texts read of a datamodule; and the scores of a test with one report."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from lightning import Callback, LightningDataModule, LightningModule, Trainer
from torch import Tensor

from datamodules.core.base import Arrays, DataModule
from datamodules.core.batch import SequenceBatch

WORDS = ("<pad>", "a", "costs", "film", "$5", "of", "surprisingly", "Überlänge", "dull", "bright", "hollow", "radiant")
PRAISE = torch.tensor([WORDS.index("bright"), WORDS.index("radiant")])


class Texts(DataModule):
    """120 texts of 1 to `longest` words that are praise as soon as one word praises: 25 % test, 25 % of the rest validates."""

    num_classes = 2
    class_names = ("blame", "praise")
    vocab_size = len(WORDS)

    def __init__(self, longest: int = 30, batch_size: int = 10, size: int = 120) -> None:
        super().__init__(batch_size, val_fraction=0.25, test_fraction=0.25, seed=0)
        self.input_shape, self.size = (longest,), size
        self.arrays = self.load("train")
        self.texts = [" ".join(self.tokens_of(position)) for position in range(size)]

    def load(self, part: Literal["train", "test"]) -> Arrays:
        generator = torch.Generator().manual_seed(0)
        lengths = torch.randint(1, self.input_shape[0] + 1, (self.size,), generator=generator)
        x = torch.randint(1, 9, (self.size, *self.input_shape), generator=generator)
        y = torch.arange(self.size) % 2
        place = (torch.rand(self.size, generator=generator) * lengths).long()
        x[torch.arange(self.size), place] = torch.where(y == 1, PRAISE[torch.arange(self.size) // 2 % 2], x[:, 0])
        return Arrays(x * (torch.arange(x.shape[1]) < lengths[:, None]), y, lengths)

    def tokens_of(self, position: int) -> list[str]:
        assert self.arrays.lengths is not None
        return [WORDS[token] for token in self.arrays.x[position, : self.arrays.lengths[position]].tolist()]

    def transform(self, batch: SequenceBatch, epoch: int, train: bool) -> SequenceBatch:
        return batch

    def split(self, name: str) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """All of a split at once: x, lengths, y and positions."""
        self.setup()
        (x, y, lengths), rows = self.splits[name]
        assert lengths is not None
        return x[rows], lengths[rows], y[rows], rows


@pytest.fixture
def texts() -> type[Texts]:
    return Texts


Scores = Callable[..., dict[str, Any]]


@pytest.fixture
def scores(fit: Callable[..., Trainer], tmp_path: Path) -> Scores:
    """Train and test with one report, for which `tmp_path` is the run directory; returns the scores of the test."""

    def run(system: LightningModule, data: LightningDataModule, report: Callback, max_epochs: int = 0) -> dict[str, Any]:
        trainer = fit(system, data, callbacks=[report], max_epochs=max_epochs, default_root_dir=tmp_path)
        (found,) = trainer.test(system, datamodule=data, verbose=False)
        return dict(found)

    return run
