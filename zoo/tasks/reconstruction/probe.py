"""Linear probe: a linear classifier on codes, compared with one on principal components."""

from typing import cast

from lightning import Callback, LightningModule, Trainer
from torch import Tensor

from zoo.metrics.probe import linear_probe, principal_components
from zoo.tasks.abilities import Encodes, require_ability
from zoo.tasks.evaluation import batches, check_counts, has_training_samples
from zoo.training.reporting import gathered_batches


class LinearProbe(Callback):
    """Logs the accuracy of logistic regression on the codes of a system, after test.

    `test/probe_acc` is fitted to codes of training images and scored on codes of test images. `test/probe_acc_pca` is the
    baseline: the same with as many principal components of the images as a code has dimensions. Neither is logged for data
    without training images.

    Args:
        num_images: number of training images over all processes.
    """

    def __init__(self, num_images: int = 20_000) -> None:
        check_counts(num_images=num_images)
        self.num_images = num_images

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        require_ability(self, pl_module, Encodes, "encode their inputs")

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not has_training_samples(trainer):
            return
        z, x, y = self._read(trainer, pl_module, "train")
        z_test, x_test, y_test = self._read(trainer, pl_module, "test")
        pl_module.log("test/probe_acc", linear_probe(z, y, z_test, y_test), sync_dist=True)
        mean, directions = principal_components(x, z.shape[1])
        pca = linear_probe((x - mean) @ directions.T, y, (x_test - mean) @ directions.T, y_test)
        pl_module.log("test/probe_acc_pca", pca, sync_dist=True)

    def _read(self, trainer: Trainer, pl_module: LightningModule, split: str) -> tuple[Tensor, Tensor, Tensor]:
        """Gather a split from all ranks: codes (N, Z), pixels (N, C H W) and classes (N,)."""
        model = cast(Encodes, pl_module)
        num = self.num_images // trainer.world_size if split == "train" else None
        found = (
            (model.encode(*model.inputs(batch)).float(), batch.x.flatten(1), batch.y)
            for batch in batches(trainer, split, num=num)
        )
        z, x, y = gathered_batches(trainer, found)
        return z, x, y
