"""MNIST (LeCun, Bottou, Bengio & Haffner, 1998): 28x28 grey handwritten digits."""

from typing import Literal

from datamodules.base import Arrays, DataModule
from datamodules.cache import cached
from datamodules.images import ImageTransform, read_parquet
from datamodules.sources import hub_file


class MNIST(DataModule):
    """60,000 training images, of which `val_fraction` validate (stratified), and 10,000 test images.

    Read from `ZOO_DATA` or from the hub at `revision`. There is no `flip`: a mirrored digit is another sign.
    """

    input_shape = (1, 28, 28)
    num_classes = 10
    class_names = tuple("0123456789")
    mean = (0.1307,)  # of the training images in [0, 1]
    std = (0.3081,)

    def __init__(
        self,
        batch_size: int = 128,
        normalize: bool = True,
        shift: int = 0,
        val_fraction: float = 0.1,
        seed: int | None = None,
        split_seed: int = 0,
        revision: str = "main",
    ) -> None:
        super().__init__(batch_size, val_fraction=val_fraction, seed=seed, split_seed=split_seed)
        self.revision = revision
        self.transform = ImageTransform(self.mean, self.std, normalize=normalize, shift=shift, seed=self.seed)

    def load(self, part: Literal["train", "test"]) -> Arrays:
        path = hub_file("ylecun/mnist", f"mnist/{part}-00000-of-00001.parquet", self.revision)
        return Arrays(**cached(f"mnist-{part}", [path], lambda: read_parquet(path, image="image", label="label")))
