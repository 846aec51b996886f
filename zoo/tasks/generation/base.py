"""Base class of reports that compare a system's images with the test images, at equal numbers of each."""

from typing import Any, ClassVar

from lightning import Callback, LightningModule, Trainer

from zoo.errors import ZooError
from zoo.tasks.abilities import Decodes, require_ability
from zoo.tasks.evaluation import check_counts
from zoo.training.reporting import facts


class ImageScores(Callback):
    """Counts the images that are tested, and refuses a system or data whose images cannot be compared.

    A subclass states the ability that it needs, loads its network in `load`, and uses `num_of` images of each kind.

    Args:
        extractor: "inception", or the name of published weights of a classifier.
        num_images: number of images of each kind over all processes, at most the number of test images.

    Raises:
        ZooError: if `num_images` is below 1.
    """

    ability: ClassVar[tuple[type[Decodes], str]]  # a protocol, and what its systems do, as in "draw samples"

    def __init__(self, extractor: str, num_images: int = 10_000) -> None:
        check_counts(num_images=num_images)
        self.extractor, self.num_images = extractor, num_images
        self._tested = 0

    def load(self) -> None:
        """Load the extractor. Called before training starts, so that an unknown name is refused there."""
        raise NotImplementedError(f"{type(self).__name__} has to define load()")

    def num_of(self, trainer: Trainer) -> int:
        """Return this process's number of images of each kind; known when the test ends."""
        return min(self._tested, self.num_images // trainer.world_size)

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if stage not in ("fit", "test"):
            return
        require_ability(self, pl_module, *self.ability)
        if facts(trainer).binarize:
            name = type(self).__name__
            raise ZooError(f"the data has binary pixels but samples are grey, so all features differ: leave {name} out")
        self.load()

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._tested = 0

    def on_test_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        self._tested += len(batch.x)
