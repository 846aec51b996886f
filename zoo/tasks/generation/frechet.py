"""Frechet distances of samples and reconstructions from the test images, in the features of a named network."""

from typing import Any, cast

from lightning import Callback, LightningModule, Trainer

from zoo.errors import ZooError
from zoo.pretrained.features import distance_name, frechet_distance
from zoo.tasks.abilities import Decodes, Generates, Reconstructs, require_ability
from zoo.tasks.evaluation import batches, check_counts, samples
from zoo.training.reporting import facts


class FrechetDistance(Callback):
    """Logs Frechet distances from the test images after test: of samples, of reconstructions, and of training images.

    `test/<distance>_samples` is for systems that generate, `test/<distance>_reconstructions` for those that reconstruct.
    `test/<distance>_real` is the floor: only a model that copies training images gets below it. <distance> is "fid" for
    Inception, else "fd_" with the network's name.

    Args:
        extractor: "inception", or the name of published weights of a classifier.
        num_images: of each kind and over all processes, but no more than were tested. It biases the distance.
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
            raise ZooError("binary pixels and the grey means of samples differ in all features: leave FrechetDistance out")
        self._metric = frechet_distance(self.extractor)  # before training, so that an unknown name costs no run
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
