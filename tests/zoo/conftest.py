"""Fixtures: tiny data sets, and a function that trains without output."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
import torchvision
from lightning import LightningDataModule, LightningModule, Trainer
from torch import Tensor

from datamodules import Digits
from datamodules.core.base import Arrays, DataModule
from datamodules.core.batch import Batch, SequenceBatch
from zoo.training.quiet import keep_quiet


class Blobs(DataModule):
    """Three Gaussian clusters in four dimensions. 20 % are the test split, 20 % of the rest the validation split."""

    input_shape = (4,)
    num_classes = 3
    class_names = ("ant", "bee", "cat")

    def __init__(self, batch_size: int = 10, size: int = 160) -> None:
        super().__init__(batch_size, val_fraction=0.2, test_fraction=0.2, seed=0)
        self.size = size

    def load(self, part: Literal["train", "test"]) -> Arrays:
        generator = torch.Generator().manual_seed(0)
        y = torch.arange(self.size) % 3
        centres = 2.0 * torch.eye(4)[:3]
        return Arrays(centres[y] + torch.randn(self.size, 4, generator=generator), y)

    def transform(self, batch: Batch, epoch: int, train: bool) -> Batch:
        return batch


WORDS = ("<pad>", "a", "costs", "film", "$5", "of", "surprisingly", "Überlänge", "dull", "bright", "hollow", "radiant")
PRAISE = torch.tensor([WORDS.index("bright"), WORDS.index("radiant")])


class Texts(DataModule):
    """120 texts of 1 to `longest` words. A text with one word of praise is in class 1.

    25 % are the test split, 25 % of the rest the validation split.
    """

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
        """Return a whole split: x, lengths, y and positions."""
        self.setup()
        (x, y, lengths), rows = self.splits[name]
        assert lengths is not None
        return x[rows], lengths[rows], y[rows], rows


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


@pytest.fixture
def blobs() -> type[Blobs]:
    return Blobs


@pytest.fixture
def digits() -> Digits:
    return Digits(batch_size=300)


@pytest.fixture
def fit() -> Callable[..., Trainer]:
    """Function that trains in this process on the CPU, writes nothing, and returns the trainer."""

    def run(
        system: LightningModule,
        data: LightningDataModule | None = None,
        *loaders: Any,
        ckpt_path: Path | None = None,
        **arguments: Any,
    ) -> Trainer:
        keep_quiet()
        quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}
        defaults = {"accelerator": "cpu", "devices": 1, "max_epochs": 1, "num_sanity_val_steps": 0, "log_every_n_steps": 1}
        trainer = Trainer(**{**quiet, **defaults, **arguments})
        trainer.fit(system, *loaders, datamodule=data, ckpt_path=ckpt_path)
        return trainer

    return run


@pytest.fixture
def googlenet_on_disk(tmp_path: Path) -> Path:
    """Folder for TORCH_HOME that holds GoogLeNet weights where torchvision looks for them."""
    folder = tmp_path / "torch"
    path = folder / "hub" / "checkpoints" / Path(torchvision.models.GoogLeNet_Weights.DEFAULT.url).name
    path.parent.mkdir(parents=True)
    torch.save(torchvision.models.googlenet(init_weights=False).state_dict(), path)
    return folder


@pytest.fixture
def texts() -> type[Texts]:
    return Texts
