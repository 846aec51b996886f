"""How well a model detects images from another data set."""

from typing import Any, cast

import torch
from lightning import Callback, LightningModule, Trainer
from torch import Tensor
from torchmetrics.functional.classification import binary_auroc

from zoo.errors import ZooError
from zoo.tasks.abilities import Reconstructs, require_ability
from zoo.tasks.evaluation import batches, check_counts
from zoo.training.links import import_class
from zoo.training.reporting import facts, gathered


class AnomalyDetection(Callback):
    """Logs after test how well an autoencoder's anomaly scores separate its test images from those of another data set.

    `test/auroc_<score>_<data>` is the probability that an image of the other set has a higher score than one of the test
    split: 1 is perfect, 0.5 is chance, 0 means that the model finds the other set more likely (Nalisnick et al., 2019,
    arXiv:1810.09136). The other set is opened before training begins, so that a missing one costs no run.

    Args:
        data: the other set, a class of `datamodules` with images of the same shape; its pixels are in [0, 1], or binary if
            those of the trainer's data are.
        num_images: of each set at most, over all processes.
    """

    def __init__(self, data: str = "MNIST", num_images: int = 10_000) -> None:
        check_counts(num_images=num_images)
        self.data, self.num_images = data, num_images
        self._own: dict[str, list[Tensor]] = {}

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if stage not in ("fit", "test"):
            return
        require_ability(self, pl_module, Reconstructs, "score anomalies")
        try:
            kind = import_class(f"datamodules.{self.data}")
        except AttributeError as error:
            raise ZooError(str(error)) from None
        other = kind(batch_size=500, normalize=False, binarize=facts(trainer).binarize)
        if other.input_shape != tuple(pl_module.hparams["input_shape"]):
            raise ZooError(
                f"{self.data} has images of shape {other.input_shape}, the model {tuple(pl_module.hparams['input_shape'])}: "
                "choose a set with images of the same shape"
            )
        other.setup()
        self._other = other

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._own = {}

    def on_test_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        model = cast(Reconstructs, pl_module)
        for name, score in model.anomaly_scores(*model.inputs(batch)).items():
            self._own.setdefault(name, []).append(score.float().cpu())

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        model = cast(Reconstructs, pl_module)
        found: dict[str, list[Tensor]] = {}
        for batch in batches(trainer, "test", self._other, self.num_images):
            for name, score in model.anomaly_scores(*model.inputs(batch)).items():
                found.setdefault(name, []).append(score.float().cpu())
        for name in found:
            inside = torch.cat(gathered(trainer, self._own[name]))[: self.num_images]
            outside = torch.cat(found[name])[: len(inside)]
            labels = torch.cat([torch.zeros(len(inside)), torch.ones(len(outside))]).long()
            auroc = binary_auroc(_ranks(torch.cat([inside, outside])), labels)
            pl_module.log(f"test/auroc_{name}_{self.data}", float(auroc), sync_dist=True)


def _ranks(scores: Tensor) -> Tensor:
    """Map scores (N,) of any range to (0, 1) in the same order: torchmetrics would apply a sigmoid, which ties large ones."""
    order = torch.unique(scores, return_inverse=True)[1]
    return (order + 1) / (order.max() + 2)
