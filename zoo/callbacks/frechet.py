"""How far samples and reconstructions are from the test images, as the features of a named network see them."""

from collections.abc import Iterator
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.utilities.seed import isolate_rng
from torch import Tensor

from zoo.callbacks.evaluation import batches, binarized, check_counts
from zoo.metrics.features import INCEPTION, distance_name, frechet_distance


class FrechetDistance(Callback):
    """Logs Frechet distances from the test images after test: of samples, of reconstructions, and of training images.

    `test/<distance>_samples` is for systems with `sample(n)`, `test/<distance>_reconstructions` for those that reconstruct.
    `test/<distance>_real` is the floor: only memory gets below it. <distance> is "fid" for Inception, else "fd_" with the
    network's name.

    Args:
        extractor: "inception", or the name of published weights of a classifier.
        num_images: of each kind and over all processes, but no more than were tested. The distance is biased in it.
    """

    def __init__(self, extractor: str, num_images: int = 10_000) -> None:
        check_counts(num_images=num_images)
        self.extractor, self.num_images = extractor, num_images
        self._tested = 0

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if stage not in ("fit", "test"):
            return
        if binarized(trainer):
            raise ValueError("binary pixels and the grey means of samples differ in all features: leave FrechetDistance out")
        self._metric = frechet_distance(self.extractor)  # before training, so that a name that is none costs no run
        self._metric.reset_real_features = False

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._tested = 0

    def on_test_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        self._tested += len(batch.x)

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        model: Any = pl_module
        num = min(self._tested, self.num_images // trainer.world_size)
        metric = self._metric.to(pl_module.device)
        kinds = {
            "samples": _samples(model, trainer, num) if hasattr(model, "sample") else None,
            "reconstructions": (model(*model.inputs(batch)) for batch in batches(trainer, "test", num=num)),
            "real": (batch.x for batch in batches(trainer, "train", num=num)),
        }
        for batch in batches(trainer, "test", num=num):
            metric.update(_coloured(batch.x, self.extractor), real=True)
        for kind, images in kinds.items():
            if images is not None:
                for x in images:
                    metric.update(_coloured(x, self.extractor), real=False)
                pl_module.log(f"test/{distance_name(self.extractor)}_{kind}", metric.compute(), sync_dist=True)
                metric.reset()


def _samples(model: Any, trainer: Trainer, num: int, at_once: int = 500) -> Iterator[Tensor]:
    """Other ones on every rank, and the same at every test."""
    for start in range(0, num, at_once):
        with isolate_rng():
            torch.manual_seed(start * trainer.world_size + trainer.global_rank)
            images = model.sample(min(at_once, num - start))
        yield images


def _coloured(x: Tensor, extractor: str) -> Tensor:
    """Grey images for a network that knows colours only."""
    return x.expand(-1, 3, -1, -1) if extractor == INCEPTION else x
