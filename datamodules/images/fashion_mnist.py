"""Fashion-MNIST (Xiao, Rasul & Vollgraf, 2017, arXiv:1708.07747): 28x28 grey pictures of ten kinds of clothing."""

from pathlib import Path
from typing import Literal

from datamodules.core.base import Arrays
from datamodules.core.cache import cached
from datamodules.core.sources import mirrored
from datamodules.images.hub_set import HubSet
from datamodules.images.transform import read_idx

_DEBIAN = Path("/usr/share/datasets/fashion-mnist")  # where Debian's package dataset-fashion-mnist puts the idx files


class FashionMNIST(HubSet):
    """60,000 training images and 10,000 test images; read from `ZOO_DATA`, from Debian's package, or from the hub."""

    repo = "zalando-datasets/fashion_mnist"
    folder = "fashion_mnist"
    otherwise = "run `apt-get install dataset-fashion-mnist` or "
    input_shape = (1, 28, 28)
    num_classes = 10
    class_names: tuple[str, ...] = (
        *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
        *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
    )
    mean: tuple[float, ...] = (0.2860,)
    std: tuple[float, ...] = (0.3530,)

    def load(self, part: Literal["train", "test"]) -> Arrays:
        prefix = {"train": "train", "test": "t10k"}[part]
        idx = _DEBIAN / f"{prefix}-images-idx3-ubyte.gz", _DEBIAN / f"{prefix}-labels-idx1-ubyte.gz"
        if not mirrored(self.repo, self.filename(part)) and all(path.is_file() for path in idx):
            return self.fitted(cached(f"fashion_mnist-{part}", idx, lambda: read_idx(*idx)))
        return super().load(part)
