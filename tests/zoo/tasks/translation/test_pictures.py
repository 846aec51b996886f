"""Pictures show images beside their translations."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning import Trainer
from PIL import Image

from zoo.gans.cyclegan import CycleGAN
from zoo.tasks.translation.pictures import Translations

Fit = Callable[..., Trainer]
Data = Callable[..., Any]
Cycle = Callable[..., CycleGAN]


@pytest.mark.parametrize("batch_size", [50, 2])
def test_strips_are_drawn_at_validation_and_in_the_test(
    fit: Fit, negatives: Data, cycle: Cycle, tmp_path: Path, batch_size: int
) -> None:
    """`num_images` strips are drawn, even if a batch has fewer images."""
    system, data = cycle(), negatives(batch_size)
    trainer = fit(
        system, data, callbacks=[Translations(tmp_path, num_images=5)], limit_train_batches=1, default_root_dir=tmp_path
    )
    for name in ("a_to_b_to_a", "b_to_a_to_b"):
        sheet = np.asarray(Image.open(tmp_path / "pictures" / f"{name}.png").convert("L"))
        # Five rows of three 8x8 tiles, separated by lines, before the magnification.
        cells = sheet[:: sheet.shape[0] // 44, :: sheet.shape[1] // 26][:44, :26]
        batches = [data.transform(batch, 0, False) for batch, _ in zip(data.loader("val"), range(3), strict=False)]
        first = torch.cat([batch.x if name == "a_to_b_to_a" else batch.y for batch in batches])[:5, 0]
        shown = np.stack([cells[9 * row : 9 * row + 8, :8] for row in range(5)])
        assert np.abs(shown - (255 * first).round().numpy()).max() <= 1
    trainer.test(system, data, verbose=False)
    assert (tmp_path / "pictures" / "test_a_to_b_to_a.png").exists()


def test_predictions_are_written_as_images(negatives: Data, cycle: Cycle, tmp_path: Path) -> None:
    system, data = cycle().eval(), negatives()
    trainer = Trainer(
        accelerator="cpu", devices=1, logger=False, enable_checkpointing=False, enable_progress_bar=False,
        callbacks=[Translations(tmp_path)], limit_predict_batches=1,
    )  # fmt: skip
    trainer.predict(system, data, return_predictions=False)
    paths = sorted((tmp_path / "predictions" / "translations").glob("*.png"))
    assert len(paths) == 50
    batch = data.transform(next(iter(data.loader("test"))), 0, False)
    with torch.no_grad():
        expected = (255 * system(batch.x[:1])).round()[0, 0]
    assert np.abs(np.asarray(Image.open(paths[0]).convert("L")) - expected.numpy()).max() <= 1
