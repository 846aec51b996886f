"""Sparsity of codes: units that are on, units that never are, and PCA with as many components as units are on."""

from typing import Any, cast

import torch
from lightning import Callback, LightningModule, Trainer
from torch import Tensor

from zoo.metrics.probe import principal_components
from zoo.tasks.abilities import Encodes, require_ability
from zoo.tasks.evaluation import batches, check_counts, has_training_samples
from zoo.training.reporting import facts, gathered


class CodeSparsity(Callback):
    """Logs how sparse the codes of a system are, after test.

    `test/l0` is the number of units that are on for an image, averaged over test images. `test/dead_units` is the share of
    units that are on for none of them. `test/mse_pca` is a baseline: the squared error per pixel of test images that are
    reconstructed from principal components of training images, as many as units are on, and clipped to [0, 1]. It needs a
    datamodule that has `loader(split)` and `transform`.

    Args:
        threshold: a unit is on if its activation is above this.
        num_images: number of training images for the principal components over all processes.
    """

    def __init__(self, threshold: float = 0.0, num_images: int = 20_000) -> None:
        check_counts(num_images=num_images)
        self.threshold, self.num_images = threshold, num_images
        self._codes: list[Tensor] = []  # whether each unit is on, (B, Z)
        self._images: list[Tensor] = []  # pixels (B, C H W)

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        require_ability(self, pl_module, Encodes, "encode their inputs")

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._codes, self._images = [], []

    def on_test_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        model = cast(Encodes, pl_module)
        self._codes.append((model.encode(*model.inputs(batch)) > self.threshold).cpu())
        self._images.append(batch.x.flatten(1).float().cpu())

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        on = torch.cat(gathered(trainer, self._codes))
        l0 = float(on.float().sum(1).mean())
        pl_module.log("test/l0", l0, sync_dist=True)
        pl_module.log("test/dead_units", float((~on).all(0).float().mean()), sync_dist=True)
        if facts(trainer).loader is None or facts(trainer).transform is None or not has_training_samples(trainer):
            return  # training images cannot be read again
        train = [batch.x.flatten(1).cpu() for batch in batches(trainer, "train", num=self.num_images // trainer.world_size)]
        mean, directions = principal_components(torch.cat(gathered(trainer, train)), max(1, round(l0)))
        x = torch.cat(gathered(trainer, self._images)) - mean
        error = ((x @ directions.T @ directions + mean).clamp(0, 1) - mean - x).square().mean()
        pl_module.log("test/mse_pca", float(error), sync_dist=True)
