"""Two domains of images without pairs: folders in the layout of the CycleGAN data sets, or two image sets of the zoo.

Zhu et al., 2017, arXiv:1703.10593. x is of domain A, y of domain B.
"""

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from datamodules.core.base import Arrays, DataModule, Split
from datamodules.core.loader import BatchOrder, Loader
from datamodules.core.randomness import uniform
from datamodules.core.splits import stratified_split
from datamodules.images.base import FULL_SIZE, open_picture, pixels
from datamodules.images.hub_set import HubSet
from datamodules.images.image_folder import Paths, find_folder, left_out, picture_paths
from datamodules.images.transform import CropTransform
from zoo.errors import MissingFileError, ZooError

Domain = Literal["A", "B"]
Part = Literal["train", "test"]


class UnpairedBatch(NamedTuple):
    """Unrelated images of two domains, (B, C, H, W). Classes are -1 if the data have none."""

    x: Tensor  # of domain A
    y: Tensor  # of domain B
    position: Tensor  # (B,) int64, index of x in A
    y_position: Tensor  # (B,) int64, index of y in B
    label: Tensor  # (B,) int64, class of x, for evaluation only
    y_label: Tensor  # (B,) int64, class of y, for evaluation only


class UnpairedLoader(Loader):
    """Serve two splits of equal length that lie in memory. Every training epoch combines each sample of A with another of B.

    The partners are one cycle through all positions, a function of (seed, epoch), so that no sample meets the one at its own
    position. Evaluation uses the partners of epoch 0.
    """

    def __init__(self, a: Split, b: Split, order: BatchOrder) -> None:
        super().__init__(order)
        self.a, self.b = a, b

    def _batches(self) -> Iterator[UnpairedBatch]:
        partner = partners(len(self.a.rows), self.sampler.seed, self.sampler.epoch if self.sampler.shuffle else 0)
        for chosen in self.sampler:
            position, y_position = self.a.rows[chosen], self.b.rows[partner[chosen]]
            (x, label, _), (y, y_label, _) = self.a.arrays, self.b.arrays
            yield UnpairedBatch(x[position], y[y_position], position, y_position, label[position], y_label[y_position])


class UnpairedTransform:
    """Scale both domains to [0, 1]. In training, crop and mirror each image independently; see `CropTransform`."""

    def __init__(self, size: int, flip: bool, seed: int) -> None:
        # Another seed for B: otherwise images at the same position would be moved together.
        self._of_a, self._of_b = (CropTransform(size, flip, seed + domain) for domain in range(2))

    def __call__(self, batch: UnpairedBatch, epoch: int, train: bool) -> UnpairedBatch:
        x, y = self._of_a(batch.x, batch.position, epoch, train), self._of_b(batch.y, batch.y_position, epoch, train)
        return batch._replace(x=x, y=y)


class Unpaired(DataModule):
    """Base class of unpaired domains. An epoch sees every image of the larger domain, and repeats those of the smaller one.

    A subclass returns the images of a domain in `domain`.

    Args:
        shape: (C, H, W) of both domains.
    """

    def __init__(
        self, shape: tuple[int, ...], flip: bool, batch_size: int, val_fraction: float, seed: int | None, split_seed: int
    ) -> None:
        super().__init__(batch_size, val_fraction=val_fraction, seed=seed, split_seed=split_seed)
        self.input_shape = shape
        self.mean, self.std = (0.0,) * shape[0], (1.0,) * shape[0]
        self.transform = UnpairedTransform(shape[-1], flip, self.seed)
        self.others: dict[str, Split] = {}  # splits of B; `splits` are those of A

    def domain(self, name: Domain, part: Part) -> Arrays:
        """Read the images (N, C, H, W) uint8 and classes (N,) of one domain."""
        raise NotImplementedError

    def setup(self, stage: str | None = None) -> None:
        if self.splits:
            return
        a, b = self._domain("A"), self._domain("B")
        for name in a:
            longest = torch.arange(max(len(a[name].rows), len(b[name].rows)))
            for splits, (arrays, rows) in ((self.splits, a[name]), (self.others, b[name])):
                splits[name] = Split(arrays, rows[longest % len(rows)])
        for domain, splits in (("A", a), ("B", b)):
            sizes = ", ".join(f"{len(split.rows):,} {name}" for name, split in splits.items())
            self.notes.append(f"domain {domain} has {sizes} images; the smaller domain is repeated")

    def loader(self, split: str) -> Loader:
        """Return the batches of "train", "val" or "test" before the transform."""
        return UnpairedLoader(self.splits[split], self.others[split], self.order(split))

    def _domain(self, name: Domain) -> dict[str, Split]:
        """Return the splits of a domain; validation is held out from training."""
        train, test = self.domain(name, "train"), self.domain(name, "test")
        for arrays in (train, test):
            if tuple(arrays.x.shape[1:]) != self.input_shape:
                raise ZooError(f"domain {name} has images of shape {tuple(arrays.x.shape[1:])}, expected {self.input_shape}")
        fit, val = stratified_split(train.y, self.val_fraction, self.split_seed)
        return {"train": Split(train, fit), "val": Split(train, val), "test": Split(test, torch.arange(len(test.y)))}


class UnpairedImages(Unpaired):
    """Images under `root`/trainA, trainB, testA and testB, resized to squares and kept in memory.

    The constructor lists the folders; `setup` reads the images.

    Args:
        root: the folder, also below the folder that `ZOO_DATA` names.
        size: pixels per side.
        rgb: whether images become RGB or grey.
        jitter: training images are random crops of images that are this number of pixels larger per side.
        flip: mirror half of the training images, independently in A and B.

    Raises:
        MissingFileError: if there is no such folder, or if one of the four is missing.
        ZooError: if one of them holds no images.
    """

    squeeze = True

    def __init__(
        self,
        root: str | None = None,
        size: int = 64,
        rgb: bool = True,
        jitter: int = 0,
        flip: bool = True,
        batch_size: int = 16,
        val_fraction: float = 0.1,
        seed: int | None = None,
        split_seed: int = 0,
    ) -> None:
        if root is None:
            raise ZooError("root is not given: name the folder with trainA, trainB, testA and testB (--data.root FOLDER)")
        if size < 1 or jitter < 0:
            raise ZooError(f"size must be at least 1 pixel and jitter at least 0, got {size} and {jitter}")
        super().__init__((3 if rgb else 1, size, size), flip, batch_size, val_fraction, seed, split_seed)
        self.folder = find_folder(root, "trainA, trainB, testA and testB")
        self.size, self.rgb, self.jitter = size, rgb, jitter
        self._paths: dict[Path, Paths] = {}
        for path in (self.folder / f"{part}{name}" for part in ("train", "test") for name in "AB"):
            if not path.is_dir():
                raise MissingFileError(f"no folder {path}: data.root has to hold trainA, trainB, testA and testB")
            if not (paths := picture_paths(path)):
                raise ZooError(f"the domain folder {path} holds no pictures: fill it")
            self._paths[path] = Paths(paths)
        self.notes += left_out(self.folder, self._paths)

    def domain(self, name: Domain, part: Part) -> Arrays:
        return self.read(name, part, self.size)

    def read(self, name: Domain, part: Part, size: int) -> Arrays:
        """Read all images of a folder in the order of their names: x (N, C, size, size) uint8."""
        files = self._paths[self.folder / f"{part}{name}"]
        pictures = (open_picture(files, place, FULL_SIZE) for place in range(len(files)))
        x = torch.stack([pixels(picture, size, self.rgb) for picture in pictures])
        return Arrays(x, torch.full((len(x),), -1))

    def _domain(self, name: Domain) -> dict[str, Split]:
        splits = super()._domain(name)
        if self.jitter:
            splits["train"] = Split(self.read(name, "train", self.size + self.jitter), splits["train"].rows)
        return splits


class UnpairedSets(Unpaired):
    """Two of the zoo's sets of small images as domains, in one size. Their classes are for evaluation only.

    Args:
        a: name of the datamodule for domain A.
        b: name of the datamodule for domain B.
        size: pixels per side.
        rgb: convert grey images to RGB, if the other domain has colours.
        margin: black pixels around B's images, which become smaller. USPS fills its frame, MNIST leaves 4 pixels free.

    Raises:
        ZooError: for a set of another kind, domains with different channels, or a margin that leaves no pixels.
    """

    def __init__(
        self,
        a: str = "MNIST",
        b: str = "USPS",
        size: int = 28,
        rgb: bool = False,
        margin: int = 0,
        batch_size: int = 16,
        val_fraction: float = 0.1,
        seed: int | None = None,
        split_seed: int = 0,
    ) -> None:
        if not 0 <= 2 * margin < size:
            raise ZooError(f"margin must be 0 or more and less than half of size {size}, got {margin}")
        self.margin = margin
        self._sets: dict[Domain, HubSet] = {"A": small_set(a, size, rgb), "B": small_set(b, size - 2 * margin, rgb)}
        channels = {name: data.input_shape[0] for name, data in self._sets.items()}
        if channels["A"] != channels["B"]:
            raise ZooError(f"{a} has {channels['A']} channel(s) and {b} {channels['B']}: set data.rgb, or choose others")
        super().__init__(self._sets["A"].input_shape, False, batch_size, val_fraction, seed, split_seed)
        self.class_names = self._sets["A"].class_names

    def prepare_data(self) -> None:
        for data in self._sets.values():
            data.prepare_data()

    def domain(self, name: Domain, part: Part) -> Arrays:
        arrays = self._sets[name].load(part)
        return arrays._replace(x=F.pad(arrays.x, [self.margin] * 4)) if name == "B" and self.margin else arrays


def small_set(name: str, size: int, rgb: bool) -> HubSet:
    """Build one of the zoo's sets of small images by its name, with pixels in [0, 1].

    Raises:
        ZooError: if no set of small images has this name.
    """
    found = getattr(importlib.import_module("datamodules"), name, None)
    if not (isinstance(found, type) and issubclass(found, HubSet)):
        raise ZooError(f"{name!r} is not a set of small images of the zoo: choose one such as MNIST, USPS or ColourMNIST")
    return found(normalize=False, size=size, rgb=rgb)


def partners(num: int, seed: int, epoch: int) -> Tensor:
    """Assign another position to each of `num` positions: (num,), one random cycle by (seed, epoch)."""
    # The fourth draw, which no augmentation of these positions uses.
    cycle = uniform(torch.arange(num), seed=seed, epoch=epoch, num_draws=4)[:, 3].argsort(stable=True)
    partner = torch.empty_like(cycle)
    partner[cycle] = cycle.roll(-1)
    return partner
