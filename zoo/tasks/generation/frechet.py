"""How far samples and reconstructions are from the test images, as the features of a named network see them."""

from typing import Any

from lightning import Callback, LightningModule, Trainer

from zoo.errors import ZooError
from zoo.pretrained.features import distance_name, frechet_distance
from zoo.tasks.evaluation import batches, binarized, check_counts, samples


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
            raise ZooError("binary pixels and the grey means of samples differ in all features: leave FrechetDistance out")
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
            "samples": samples(model, trainer, num) if hasattr(model, "sample") else None,
            "reconstructions": (model(*model.inputs(batch)) for batch in batches(trainer, "test", num=num))
            if hasattr(model, "encode")
            else None,
            "real": (batch.x for batch in batches(trainer, "train", num=num)),
        }
        for batch in batches(trainer, "test", num=num):
            metric.update(batch.x, real=True)
        for kind, images in kinds.items():
            if images is not None:
                for x in images:
                    metric.update(x, real=False)
                pl_module.log(f"test/{distance_name(self.extractor)}_{kind}", metric.compute(), sync_dist=True)
                metric.reset()
