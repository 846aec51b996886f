"""The report of the data: printed and kept when training starts, for datamodules that have one."""

from pathlib import Path

import pytest
import torch
from lightning import LightningDataModule, Trainer
from torch.utils.data import DataLoader

from datamodules import Digits
from datamodules.core.batch import Batch
from zoo.mlp.mlp import MLPClassifier
from zoo.training.data_report import DataReport


def fit(data: LightningDataModule, folder: Path) -> None:
    trainer = Trainer(
        accelerator="cpu",
        logger=False,
        callbacks=[DataReport(folder)],
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        max_steps=1,
        limit_val_batches=1,
    )
    trainer.fit(MLPClassifier((1, 8, 8), 10, hidden_dims=[4]), datamodule=data)


def test_the_report_is_printed_and_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = Digits()
    fit(data, tmp_path)
    written = (tmp_path / "data.txt").read_text(encoding="utf-8")
    assert written in capsys.readouterr().out
    assert written.splitlines() == data.report()
    assert written.startswith("Digits: 1,295 train, 143 val, 359 test samples\n10 classes: 0 (178), 1 (182),")


def test_a_datamodule_without_a_report_is_trained_without_one(tmp_path: Path) -> None:
    class Plain(LightningDataModule):
        def train_dataloader(self) -> DataLoader[Batch]:
            samples = [Batch(torch.rand(1, 8, 8), torch.tensor(row % 10), torch.tensor(row)) for row in range(8)]
            return DataLoader(samples, batch_size=4)  # type: ignore[arg-type]  # a list is a map-style data set

        val_dataloader = train_dataloader

    fit(Plain(), tmp_path)
    assert not (tmp_path / "data.txt").exists()
