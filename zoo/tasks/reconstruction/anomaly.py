"""Detection of images from another data set by anomaly scores."""

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
    """Logs how well an autoencoder's anomaly scores separate its test images from those of another data set, after test.

    `test/auroc_<score>_<data>` is the area under the ROC curve, in [0, 1]: the probability that an image of the other set has a
    higher score than a test image. 0.5 is chance. Below 0.5 the model finds the other set less unusual than its own data
    (Nalisnick et al., 2019, arXiv:1810.09136). The other set is loaded before training, so that missing data raises early.

    Args:
        data: the other set, a class of `datamodules` with images of the same shape. Its pixels are in [0, 1], or binary if
            those of the trainer's data are.
        num_images: largest number of images of each set over all processes.
    """

    def __init__(self, data: str = "MNIST", num_images: int = 10_000) -> None:
        check_counts(num_images=num_images)
        self.data, self.num_images = data, num_images
        self._scores: dict[str, list[Tensor]] = {}

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
                f"{self.data} has images of shape {other.input_shape}, but the model takes "
                f"{tuple(pl_module.hparams['input_shape'])}: choose a data set with images of the same shape"
            )
        other.setup()
        self._other = other

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._scores = {}

    def on_test_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        model = cast(Reconstructs, pl_module)
        for name, score in model.anomaly_scores(*model.inputs(batch)).items():
            self._scores.setdefault(name, []).append(score.float().cpu())

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        model = cast(Reconstructs, pl_module)
        other: dict[str, list[Tensor]] = {}
        for batch in batches(trainer, "test", self._other, self.num_images):
            for name, score in model.anomaly_scores(*model.inputs(batch)).items():
                other.setdefault(name, []).append(score.float().cpu())
        for name in other:
            inside = torch.cat(gathered(trainer, self._scores[name]))[: self.num_images]
            outside = torch.cat(other[name])[: len(inside)]
            labels = torch.cat([torch.zeros(len(inside)), torch.ones(len(outside))]).long()
            auroc = binary_auroc(_ranks(torch.cat([inside, outside])), labels)
            pl_module.log(f"test/auroc_{name}_{self.data}", float(auroc), sync_dist=True)


def _ranks(scores: Tensor) -> Tensor:
    """Map scores (N,) of any range to (0, 1) in the same order.

    torchmetrics applies a sigmoid to scores outside [0, 1], after which large scores would be equal.
    """
    order = torch.unique(scores, return_inverse=True)[1]
    return (order + 1) / (order.max() + 2)
