"""Frechet distances of samples and reconstructions from the test images."""

from typing import Any, cast

from lightning import Callback, LightningModule, Trainer

from zoo.errors import ZooError
from zoo.pretrained.features import distance_name, frechet_distance
from zoo.tasks.abilities import Decodes, Generates, Reconstructs, require_ability
from zoo.tasks.evaluation import batches, check_counts, samples
from zoo.training.reporting import facts


class FrechetDistance(Callback):
    """Logs the Frechet distances of samples, reconstructions and training images from the test images, after test.

    `test/<distance>_samples` is logged for systems that generate, `test/<distance>_reconstructions` for systems that
    reconstruct. `test/<distance>_real` is the distance of training images. Only a model that copies training images can be
    expected to get below it. <distance> is "fid" for Inception, else "fd_" and the name of the weights.

    Args:
        extractor: "inception", or the name of published weights of a classifier.
        num_images: number of images of each kind over all processes, at most the number of test images. It biases the
            distance, so compare only at the same number.
    """

    def __init__(self, extractor: str, num_images: int = 10_000) -> None:
        check_counts(num_images=num_images)
        self.extractor, self.num_images = extractor, num_images
        self._tested = 0

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if stage not in ("fit", "test"):
            return
        require_ability(self, pl_module, Decodes, "generate or reconstruct images")
        if facts(trainer).binarize:
            raise ZooError("the data has binary pixels but samples are grey, so all features differ: leave FrechetDistance out")
        self._metric = frechet_distance(self.extractor)  # raises for an unknown name before training starts
        self._metric.reset_real_features = False

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._tested = 0

    def on_test_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        self._tested += len(batch.x)

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        model = cast(Decodes, pl_module)
        num = min(self._tested, self.num_images // trainer.world_size)
        metric = self._metric.to(pl_module.device)
        kinds = {}
        if isinstance(model, Generates):
            kinds["samples"] = samples(model, trainer, num)
        if isinstance(model, Reconstructs):
            kinds["reconstructions"] = (model(*model.inputs(batch)) for batch in batches(trainer, "test", num=num))
        kinds["real"] = (batch.x for batch in batches(trainer, "train", num=num))
        for batch in batches(trainer, "test", num=num):
            metric.update(batch.x, real=True)
        for kind, images in kinds.items():
            for x in images:
                metric.update(x, real=False)
            pl_module.log(f"test/{distance_name(self.extractor)}_{kind}", metric.compute(), sync_dist=True)
            metric.reset()
