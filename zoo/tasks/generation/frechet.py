"""Frechet distances of samples and reconstructions from held-out images."""

from typing import cast

from lightning import LightningModule, Trainer

from zoo.pretrained.features import distance_name, frechet_distance
from zoo.tasks.abilities import Decodes, Generates, Reconstructs
from zoo.tasks.evaluation import batches, has_training_samples, samples
from zoo.tasks.generation.base import ImageScores, Split


class FrechetDistance(ImageScores):
    """Logs the Frechet distances of samples, reconstructions and training images from held-out images.

    `test/<distance>_samples` is logged for systems that generate, `test/<distance>_reconstructions` for systems that
    reconstruct. `test/<distance>_real` is the distance of training images. Only a model that copies training images can be
    expected to get below it. <distance> is "fid" for Inception, else "fd_" and the name of the weights. Validations log the
    first two as `val/...`.

    Args:
        extractor: "inception", or the name of published weights of a classifier.
        num_images: number of images of each kind in a test, over all processes; at most the number of test images. It biases
            the distance, so compare only at the same number.
        num_val_images: the same for a validation. 0: no distances at validations.
    """

    ability = Decodes, "generate or reconstruct images"

    def load(self) -> None:
        self._metric = frechet_distance(self.extractor)

    def score(self, trainer: Trainer, pl_module: LightningModule, split: Split, num: int) -> None:
        model = cast(Decodes, pl_module)
        metric = self._metric.to(pl_module.device)
        kinds = {}
        if isinstance(model, Generates):
            kinds["samples"] = samples(model, trainer, num)
        if isinstance(model, Reconstructs):
            kinds["reconstructions"] = (model(*model.inputs(batch)) for batch in batches(trainer, split, num=num))
        if split == "test" and has_training_samples(trainer):
            kinds["real"] = (batch.x for batch in batches(trainer, "train", num=num))
        metric.reset_real_features = True
        metric.reset()
        metric.reset_real_features = False  # all kinds are compared with the same held-out images
        for batch in batches(trainer, split, num=num):
            metric.update(batch.x, real=True)
        for kind, images in kinds.items():
            for x in images:
                metric.update(x, real=False)
            pl_module.log(f"{split}/{distance_name(self.extractor)}_{kind}", metric.compute(), sync_dist=True)
            metric.reset()
