"""Base class of reports that compare a system's images with held-out images, at equal numbers of each."""

from typing import Any, ClassVar, Literal

from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.utilities.seed import isolate_rng

from zoo.errors import ZooError
from zoo.tasks.abilities import Decodes, require_ability
from zoo.tasks.evaluation import check_counts
from zoo.training.reporting import facts, gathered

Split = Literal["val", "test"]


class ImageScores(Callback):
    """Counts the images of a validation or a test, and raises if those of the system and the data cannot be compared.

    A subclass states the ability that it needs, loads its network in `load`, and compares images in `score`. Validations use
    fewer images than the test, to stay fast, so their scores are not comparable with those of the test.

    Args:
        extractor: "inception", or the name of published weights of a classifier.
        num_images: number of images of each kind in a test, over all processes; at most the number of test images.
        num_val_images: the same for a validation. 0: no scores at validations.

    Raises:
        ZooError: if `num_images` is below 1 or `num_val_images` below 0.
    """

    ability: ClassVar[tuple[type[Decodes], str]]  # a protocol, and what its systems do, as in "draw samples"

    def __init__(self, extractor: str, num_images: int = 10_000, num_val_images: int = 1000) -> None:
        check_counts(num_images=num_images)
        if num_val_images < 0:
            raise ZooError(f"num_val_images must be at least 0, got {num_val_images}")
        self.extractor, self.num_images, self.num_val_images = extractor, num_images, num_val_images
        self._seen = 0

    def load(self) -> None:
        """Load the extractor. Called before training starts, so that an unknown name is refused there."""
        raise NotImplementedError(f"{type(self).__name__} has to define load()")

    def score(self, trainer: Trainer, pl_module: LightningModule, split: Split, num: int) -> None:
        """Compare this process's `num` images of each kind, and log the scores under the name of the split."""
        raise NotImplementedError(f"{type(self).__name__} has to define score(trainer, pl_module, split, num)")

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if stage not in ("fit", "validate", "test"):
            return
        require_ability(self, pl_module, *self.ability)
        if facts(trainer).binarize:
            name = type(self).__name__
            raise ZooError(f"the data has binary pixels but samples are grey, so all features differ: leave {name} out")
        self.load()

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._seen = 0

    def on_validation_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        self._seen += len(batch.x)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not trainer.sanity_checking:
            self._score(trainer, pl_module, "val", self.num_val_images)

    on_test_start, on_test_batch_end = on_validation_start, on_validation_batch_end

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._score(trainer, pl_module, "test", self.num_images)

    def _score(self, trainer: Trainer, pl_module: LightningModule, split: Split, wanted: int) -> None:
        # Processes decide alike, because they gather the scores.
        num = min(gathered(trainer, [min(self._seen, wanted // trainer.world_size)]))
        if num > 1:  # a single image has no distribution
            with isolate_rng():  # reports must not change the draws of training
                self.score(trainer, pl_module, split, num)
