"""What the classic sets of small images share: one size, all in memory, from the hub or a mirror of it."""

from collections.abc import Sequence
from typing import ClassVar, Literal

import torch
from torchvision.transforms.v2.functional import resize

from datamodules.core.base import Arrays, DataModule
from datamodules.core.cache import cached
from datamodules.core.sources import hub_file
from datamodules.images.transform import Binarize, ImageTransform, read_parquet, statistics
from zoo.errors import ZooError


class HubSet(DataModule):
    """Images of one small size, decoded once and served from memory; `val_fraction` of the training part validates.

    A subclass states what the set is: `repo` and `folder` on the hub, `columns`, `input_shape`, `class_names`, and `mean` and
    `std` of its training images in [0, 1].

    Args:
        normalize: to zero mean and unit deviation per channel; otherwise pixels stay in [0, 1].
        flip: mirror half of the training images; refused where a mirrored image means something else.
        shift: move training images by up to so many pixels each way.
        binarize: make pixels 0 or 1: "threshold" at 1/2, or "stochastic" with their value as probability.
        size: resize to so many pixels a side.
        rgb: turn grey images into RGB, for networks that take nothing else.
        mean: normalise by this in place of the set's own, for weights that were trained so.
        std: likewise.
        revision: of the hub's repository.
    """

    repo: ClassVar[str]
    folder: ClassVar[str]
    columns: ClassVar[tuple[str, str]] = ("image", "label")
    otherwise: ClassVar[str] = ""  # what else than the hub gives it, as an error says it
    has_mirror_twins: ClassVar[bool] = True  # whether a mirrored image is as good an example of its class
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __init__(
        self,
        batch_size: int = 128,
        normalize: bool = True,
        flip: bool = False,
        shift: int = 0,
        binarize: Binarize | None = None,
        size: int | None = None,
        rgb: bool = False,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        val_fraction: float = 0.1,
        seed: int | None = None,
        split_seed: int = 0,
        revision: str = "main",
    ) -> None:
        super().__init__(batch_size, val_fraction=val_fraction, seed=seed, split_seed=split_seed)
        if flip and not self.has_mirror_twins:
            raise ZooError(f"flip makes other signs of {type(self).__name__}'s digits: leave it out")
        if size is not None and size < 1:
            raise ZooError(f"size must be at least 1 pixel, got {size}")
        channels, height, width = self.input_shape
        if rgb and channels == 1:
            channels, self.mean, self.std = 3, self.mean * 3, self.std * 3
        self.input_shape = (channels, size or height, size or width)
        self.mean, self.std = statistics(channels, normalize, mean or self.mean, std or self.std)
        self.size, self.revision = size, revision
        self.transform = ImageTransform(
            self.mean, self.std, normalize=normalize, flip=flip, shift=shift, seed=self.seed, binarize=binarize
        )

    def load(self, part: Literal["train", "test"]) -> Arrays:
        path = hub_file(self.repo, self.filename(part), self.revision, self.otherwise)
        return self.fitted(cached(f"{self.repo.rpartition('/')[2]}-{part}", [path], lambda: read_parquet(path, *self.columns)))

    def filename(self, part: str) -> str:
        """Where a part stands in the repository."""
        return f"{self.folder}/{part}-00000-of-00001.parquet"

    def fitted(self, tensors: dict[str, torch.Tensor]) -> Arrays:
        """Decoded images as `input_shape` wants them; an expanded view costs no memory."""
        x, size = tensors["x"], list(self.input_shape[1:])
        if self.size is not None and list(x.shape[2:]) != size:
            x = torch.cat([resize(images, size, antialias=True) for images in torch.split(x, 1000)])
        if x.shape[1] == 1 < self.input_shape[0]:
            x = x.expand(-1, 3, -1, -1)
        return Arrays(x, tensors["y"])
