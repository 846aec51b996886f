"""Frechet distances of samples and reconstructions from the test images."""

from typing import cast

from lightning import LightningModule, Trainer

from zoo.pretrained.features import distance_name, frechet_distance
from zoo.tasks.abilities import Decodes, Generates, Reconstructs
from zoo.tasks.evaluation import batches, samples
from zoo.tasks.generation.base import ImageScores


class FrechetDistance(ImageScores):
    """Logs the Frechet distances of samples, reconstructions and training images from the test images, after test.

    `test/<distance>_samples` is logged for systems that generate, `test/<distance>_reconstructions` for systems that
    reconstruct. `test/<distance>_real` is the distance of training images. Only a model that copies training images can be
    expected to get below it. <distance> is "fid" for Inception, else "fd_" and the name of the weights.

    Args:
        extractor: "inception", or the name of published weights of a classifier.
        num_images: number of images of each kind over all processes, at most the number of test images. It biases the
            distance, so compare only at the same number.
    """

    ability = Decodes, "generate or reconstruct images"

    def load(self) -> None:
        self._metric = frechet_distance(self.extractor)
        self._metric.reset_real_features = False

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        model = cast(Decodes, pl_module)
        num = self.num_of(trainer)
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
