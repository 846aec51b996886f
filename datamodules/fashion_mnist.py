"""Fashion-MNIST (Xiao, Rasul & Vollgraf, 2017, arXiv:1708.07747): 28x28 grey pictures of ten kinds of clothing."""

from pathlib import Path
from typing import Literal

from datamodules.base import Arrays, DataModule
from datamodules.cache import cached
from datamodules.images import ImageTransform, read_idx, read_parquet
from datamodules.sources import hub_file, mirrored

_REPO = "zalando-datasets/fashion_mnist"
_DEBIAN = Path("/usr/share/datasets/fashion-mnist")  # where Debian's package dataset-fashion-mnist puts the idx files


class FashionMNIST(DataModule):
    """60,000 training images, of which `val_fraction` validate (stratified), and 10,000 test images.

    Read from `ZOO_DATA`, from Debian's package, or from the hub at `revision`.
    """

    input_shape = (1, 28, 28)
    num_classes = 10
    class_names = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
    mean = (0.2860,)  # of the training images in [0, 1]
    std = (0.3530,)

    def __init__(
        self,
        batch_size: int = 128,
        normalize: bool = True,
        flip: bool = False,
        shift: int = 0,
        val_fraction: float = 0.1,
        seed: int | None = None,
        split_seed: int = 0,
        revision: str = "main",
    ) -> None:
        super().__init__(batch_size, val_fraction=val_fraction, seed=seed, split_seed=split_seed)
        self.revision = revision
        self.transform = ImageTransform(self.mean, self.std, normalize=normalize, flip=flip, shift=shift, seed=self.seed)

    def load(self, part: Literal["train", "test"]) -> Arrays:
        filename = f"fashion_mnist/{part}-00000-of-00001.parquet"
        prefix = {"train": "train", "test": "t10k"}[part]
        idx = _DEBIAN / f"{prefix}-images-idx3-ubyte.gz", _DEBIAN / f"{prefix}-labels-idx1-ubyte.gz"
        if not mirrored(_REPO, filename) and all(path.is_file() for path in idx):
            return Arrays(**cached(f"fashion_mnist-{part}", idx, lambda: read_idx(*idx)))
        path = hub_file(_REPO, filename, self.revision, otherwise="run `apt-get install dataset-fashion-mnist` or ")
        return Arrays(**cached(f"fashion_mnist-{part}", [path], lambda: read_parquet(path, image="image", label="label")))
