"""Fashion-MNIST (Xiao, Rasul & Vollgraf, 2017, arXiv:1708.07747): 28x28 grey images of ten kinds of clothing."""

from pathlib import Path
from typing import Literal

from torch import Tensor

from datamodules.core.sources import mirrored
from datamodules.images.hub_set import HubSet
from datamodules.images.transform import read_idx

_DEBIAN = Path("/usr/share/datasets/fashion-mnist")  # folder of the Debian package dataset-fashion-mnist


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

    def paths(self, part: Literal["train", "test"]) -> list[Path]:
        prefix = {"train": "train", "test": "t10k"}[part]
        idx = [_DEBIAN / f"{prefix}-images-idx3-ubyte.gz", _DEBIAN / f"{prefix}-labels-idx1-ubyte.gz"]
        available = not mirrored(self.repo, self.filename(part)) and all(path.is_file() for path in idx)
        return idx if available else super().paths(part)

    def decoded(self, paths: list[Path]) -> dict[str, Tensor]:
        return read_idx(*paths) if len(paths) == 2 else super().decoded(paths)
