"""Base class of metric learning: embeddings that are scored by retrieval, on classes that training need not contain."""

from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from lightning import Callback
from torch import Tensor

from zoo.errors import ZooError
from zoo.metrics.retrieval import retrieval
from zoo.nn.embedding_losses import mean_where, other_class, pairwise_distances, same_class
from zoo.tasks.embedding.pictures import RetrievalPictures
from zoo.tasks.filters import first_filters
from zoo.training.optim import Optim
from zoo.training.reporting import log_means
from zoo.training.system import Batch, Outputs, System, scalars

_COMPOSE = "compose batches by class with --data.classes_per_batch 16 --data.samples_per_class 4"


class Embedder(System):
    """A system whose `net` maps inputs (B, ...) to embeddings (B, D). A subclass defines `loss`.

    It has no `num_classes`: validation and test may have other classes than training. Their embeddings are scored by
    recall@1, MAP@R and the vote of 5 nearest neighbours. Each sample of a split is a query, and the rest of the split is
    searched; see `zoo.metrics.retrieval`.

    Logged with each loss are `d_same` and `d_other`, the mean distance of two samples of one class and of two classes. If both
    approach 0, the embeddings collapse. The losses of validation and test depend on which classes share a batch, so compare
    models by the scores.
    """

    monitor: ClassVar[tuple[str, Literal["min", "max"]] | None] = ("val/recall@1", "max")
    headline: ClassVar[str | tuple[str, ...]] = "test/recall@1"

    def __init__(self, lr: float, optim: Optim | None) -> None:
        super().__init__(lr, optim, retrieval())

    def loss(self, distance: Tensor, y: Tensor) -> tuple[Tensor, Outputs]:
        """Compute the loss (0-d) and values to log, from distances (B, B) and classes (B,)."""
        raise NotImplementedError(f"{type(self).__name__} has to define loss(distance, y) -> (loss, values)")

    def step(self, batch: Batch, progress: Tensor) -> tuple[Tensor, Outputs]:
        z = self.net(*self.inputs(batch))
        distance = pairwise_distances(z)
        loss, values = self.loss(distance, batch.y)
        with torch.no_grad():
            values["d_same"] = mean_where(distance, same_class(batch.y))
            values["d_other"] = mean_where(distance, other_class(batch.y))
        return loss, {"embedding": z, **values}

    def evaluate(self, stage: Literal["val", "test"], batch: Any) -> Outputs:
        """Run `step` on a batch, and log its values and the scores of the whole split."""
        loss, outputs = self.step(batch, torch.ones((), device=self.device))
        log_means(self, {f"{stage}/loss": loss, **scalars(stage, outputs)}, len(batch.x))
        metrics = self.metrics_of(stage)
        metrics.update(outputs["embedding"], batch.y)
        self.log_dict(metrics, on_epoch=True, batch_size=len(batch.x))
        return outputs

    def predict_step(self, batch: Any, batch_idx: int) -> Outputs:
        return {"position": batch.position, "target": batch.y, "embedding": self(*self.inputs(batch))}

    def check_batch(self, batch: Any) -> None:
        if batch.y.is_floating_point() or batch.y.ndim != 1:
            raise ZooError(
                f"this loss needs one class for each sample, got targets of shape {tuple(batch.y.shape)}: "
                "leave out data.augment.mixup and data.augment.cutmix"
            )
        counts = torch.unique(batch.y, return_counts=True)[1]
        if self.training and int(counts.max()) == 1:
            raise ZooError(
                f"a training batch has one sample of each of {len(counts)} classes, so no two are of one class: {_COMPOSE}"
            )
        if self.training and len(counts) == 1:
            raise ZooError(
                f"a training batch has {len(batch.y)} samples of one class, so no two are of different ones: {_COMPOSE}"
            )

    def reports(self, folder: Path) -> list[Callback]:
        pictures = folder / "pictures"
        return [*super().reports(folder), *first_filters(self.net, pictures), RetrievalPictures(pictures)]
