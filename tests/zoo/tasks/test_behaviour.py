"""The behaviour of a few steps."""

import json
from pathlib import Path

import pytest
import torch
from lightning import LightningModule, Trainer
from torch import Tensor, nn
from torch.utils.data import DataLoader

from zoo.reports import Behaviour


class Square(LightningModule):
    """One weight w from 0 on, with the loss (w - 1)^2."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        return (self.weight - 1).square().sum()

    def validation_step(self, batch: Tensor, batch_idx: int) -> None:
        self.log("val/loss", (self.weight - 1).square().sum())

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


@pytest.mark.filterwarnings("ignore:The '.*_dataloader' does not have many workers")
def test_losses_are_those_of_the_steps_and_the_distance_is_that_of_the_weights(tmp_path: Path) -> None:
    """By hand, a step of gradient descent with rate 0.1 leaves 0.8 of the difference 1 - w."""
    trainer = Trainer(
        max_epochs=1,
        accelerator="cpu",
        default_root_dir=tmp_path,
        callbacks=[Behaviour()],
        **{"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False},
    )
    loader = DataLoader(torch.zeros(3, 1))
    trainer.fit(Square(), loader, loader)
    assert json.loads((tmp_path / "behaviour.json").read_text()) == {
        "train/loss": [1.0, pytest.approx(0.64), pytest.approx(0.4096)],
        "distance": [pytest.approx(1 - 0.8**3)],
        "val/loss": [pytest.approx(0.8**6, rel=1e-5)],
    }
