"""Base class of the classic sets of small images: one size, all in memory, from the hub or a mirror of it."""

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Literal

import torch
from torch import Tensor
from torchvision.transforms.v2.functional import resize

from datamodules.core.base import Arrays, DataModule, Split
from datamodules.core.cache import cached
from datamodules.core.sources import hub_file
from datamodules.core.splits import stratified_sample
from datamodules.images.augmentation import Augment, augmentation_of
from datamodules.images.transform import Binarize, ImageTransform, read_parquet, statistics
from zoo.errors import ZooError


class HubSet(DataModule):
    """Images of one small size, decoded once and served from memory; `val_fraction` of the training part validates.

    A subclass states the facts of the set: `repo` and `folder` on the hub, `columns`, `input_shape`, `class_names`, and `mean`
    and `std` of its training images in [0, 1].

    Args:
        normalize: to zero mean and unit standard deviation per channel; otherwise pixels stay in [0, 1].
        flip: mirror half of the training images; refused if a mirrored image means something else.
        shift: move training images by up to this number of pixels in each direction.
        binarize: make pixels 0 or 1: "threshold" at 1/2, or "stochastic" with their value as probability.
        augment: further changes of training images; see `Augment`.
        num_train: train on this number of images only, with the same share of each class.
        size: resize to this number of pixels per side.
        rgb: convert grey images to RGB, for networks that need three channels.
        mean: normalise by this mean instead of the set's own, for weights that were trained with it.
        std: normalise by this standard deviation instead of the set's own.
        revision: revision of the hub's repository.
        classes_per_batch: classes in a training batch, and `samples_per_class` from each of them; see `DataModule`.
    """

    repo: ClassVar[str]
    folder: ClassVar[str]
    columns: ClassVar[tuple[str, str]] = ("image", "label")
    otherwise: ClassVar[str] = ""  # another way to get the set, for the error message
    has_mirror_twins: ClassVar[bool] = True  # whether a mirrored image is a valid example of its class
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
        augment: Augment | None = None,
        num_train: int | None = None,
        classes_per_batch: int | None = None,
        samples_per_class: int | None = None,
    ) -> None:
        super().__init__(
            batch_size,
            val_fraction=val_fraction,
            seed=seed,
            split_seed=split_seed,
            classes_per_batch=classes_per_batch,
            samples_per_class=samples_per_class,
        )
        if flip and not self.has_mirror_twins:
            raise ZooError(f"flip changes the meaning of {type(self).__name__}'s images: leave it out")
        if size is not None and size < 1:
            raise ZooError(f"size must be at least 1 pixel, got {size}")
        channels, height, width = self.input_shape
        if rgb and channels == 1:
            channels, self.mean, self.std = 3, self.mean * 3, self.std * 3
        self.input_shape = (channels, size or height, size or width)
        self.mean, self.std = statistics(channels, normalize, mean or self.mean, std or self.std)
        self.size, self.revision, self.binarize = size, revision, binarize
        self.num_train = self.num_train_expected = num_train
        has_colours = type(self).input_shape[0] == 3 and not self.stacked
        self.transform = ImageTransform(
            self.mean,
            self.std,
            normalize=normalize,
            flip=flip,
            shift=shift,
            seed=self.seed,
            binarize=binarize,
            augmentation=augmentation_of(augment, self.input_shape, self.seed, self.num_classes, has_colours),
        )

    def prepare_data(self) -> None:
        self.paths("train")
        self.paths("test")

    def setup(self, stage: str | None = None) -> None:
        if self.splits:
            return
        super().setup(stage)
        if self.num_train is not None:
            arrays, rows = self.splits["train"]
            few = stratified_sample(arrays.y[rows], self.num_train, self.split_seed, "num_train")
            self.splits["train"] = Split(arrays, rows[few])

    def load(self, part: Literal["train", "test"]) -> Arrays:
        paths = self.paths(part)
        return self.fitted(cached(f"{self.repo.rpartition('/')[2]}-{part}", paths, lambda: self.decoded(paths)))

    def paths(self, part: Literal["train", "test"]) -> list[Path]:
        """Return the files of a part, fetched if necessary."""
        return [hub_file(self.repo, self.filename(part), self.revision, self.otherwise)]

    def decoded(self, paths: list[Path]) -> dict[str, Tensor]:
        """Decode the files of a part to x (N, C, H, W) uint8 and y (N,) int64."""
        return read_parquet(paths[0], *self.columns)

    def filename(self, part: str) -> str:
        """Return the path of a part within the repository."""
        return f"{self.folder}/{part}-00000-of-00001.parquet"

    def fitted(self, tensors: dict[str, Tensor]) -> Arrays:
        """Convert decoded images to the size and channels of `input_shape`. The channels of grey images share memory."""
        x, size = tensors["x"], list(self.input_shape[1:])
        if self.size is not None and list(x.shape[2:]) != size:
            x = torch.cat([resize(images, size, antialias=True) for images in torch.split(x, 1000)])
        if x.shape[1] == 1 < self.input_shape[0]:
            x = x.expand(-1, 3, -1, -1)
        return Arrays(x, tensors["y"])
