"""The fit on features itself is tested in test_transfer_classifier.py."""

import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from lightning import Callback, LightningModule, Trainer
from torch import Tensor

from datamodules import Digits
from zoo import TransferClassifier

SOURCE = {"class_path": "zoo.MLPClassifier", "init_args": {"hidden_dims": [4], "norm": "none"}}


class Recorder(Callback):
    """Records the batches of a fit."""

    def __init__(self) -> None:
        self.train: list[Any] = []
        self.val: list[Any] = []

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self.train.append(batch)

    def on_validation_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        self.val.append(batch)


def test_lines_before_and_after_say_what_takes_time(
    fit: Callable[..., Trainer], digits: Digits, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    system = TransferClassifier((1, 8, 8), 10, backbone=SOURCE, weights=None, strategy="feature_extraction")
    said_before = ""

    def features(batch: Any) -> Tensor:
        nonlocal said_before
        said_before += capsys.readouterr().out
        return TransferClassifier.features(system, batch)

    monkeypatch.setattr(system, "features", features)
    fit(system, digits)
    train, val = (len(digits.splits[part].rows) for part in ("train", "val"))
    line = f"computing features of {train:,} training and {val:,} validation samples (model.cache_features) ...\n"
    assert said_before == line
    after = capsys.readouterr().out
    assert re.search(r"^features computed once, without augmentation, in \d+\.\d s$", after, flags=re.MULTILINE)


def test_each_sample_is_served_with_its_own_features(fit: Callable[..., Trainer]) -> None:
    """Although images are shifted in training, and a short last batch is left out of an epoch."""
    data, recorder = Digits(batch_size=300, shift=2), Recorder()
    system = TransferClassifier((1, 8, 8), 10, backbone=SOURCE, weights=None, strategy="feature_extraction")
    fit(system, data, max_epochs=2, callbacks=[recorder])
    arrays, rows = data.splits["train"]
    seen = torch.cat([batch.position for batch in recorder.train])
    assert len(seen) == 2 * 4 * 300
    assert set(seen.tolist()) <= set(rows.tolist())
    for batch in (recorder.train[-1], recorder.val[-1]):
        plain = data.transform(batch._replace(x=arrays.x[batch.position]), 0, False)
        torch.testing.assert_close(batch.x, system.net.backbone(plain.x))
        assert torch.equal(batch.y, arrays.y[batch.position])
    assert not data.serves_features  # after the fit
    assert next(iter(data.test_dataloader())).x.shape[1:] == (1, 8, 8)
