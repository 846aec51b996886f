"""Pairs of images side by side in one file, the layout of the Pix2Pix data sets (Isola et al., 2017, arXiv:1611.07004)."""

from pathlib import Path
from typing import Any, Literal, get_args

import torch
from PIL import Image
from torch import Tensor

from datamodules.core.base import Arrays, DataModule, Split
from datamodules.core.batch import Batch
from datamodules.core.splits import hold_out, without_lone_validation
from datamodules.images.base import FULL_SIZE, open_picture, pixels
from datamodules.images.image_folder import Paths, find_folder, left_out, part_folders, picture_paths
from datamodules.images.transform import CropTransform
from zoo.errors import ZooError, check_choice

Direction = Literal["left_to_right", "right_to_left"]


class PairTransform:
    """Scale both images of a pair to [0, 1]. In training, crop and mirror both in the same way; see `CropTransform`."""

    def __init__(self, size: int, flip: bool, seed: int) -> None:
        self._of_both = CropTransform(size, flip, seed)

    def __call__(self, batch: Batch, epoch: int, train: bool) -> Batch:
        x, y = self._of_both(torch.cat([batch.x, batch.y], dim=1), batch.position, epoch, train).chunk(2, dim=1)
        return batch._replace(x=x, y=y)


class PairedImages(DataModule):
    """Files under `root`/train/ and `root`/test/ or `root`/val/, each with two images of the same size side by side.

    x is one half, y the other, both in [0, 1]. Halves are resized to squares and kept in memory. Three parts are used as their
    names say. If only `val` or only `test` exists beside `train`, it is the test part and `val_fraction` of the training part
    validates. `setup` reads the files.

    Args:
        root: the folder, also below the folder that `ZOO_DATA` names.
        direction: which half is x. In CMP's facades the photo is on the left; "right_to_left" learns photos from label maps.
        size: pixels per side.
        rgb: whether images become RGB or grey.
        jitter: training pairs are random crops of images that are this number of pixels larger per side.
        flip: mirror half of the training pairs.

    Raises:
        MissingFileError: if there is no such folder.
        ZooError: if a part holds no images, or if a file cannot be cut into two halves.
    """

    squeeze = True

    def __init__(
        self,
        root: str | None = None,
        direction: Direction = "left_to_right",
        size: int = 64,
        rgb: bool = True,
        jitter: int = 0,
        flip: bool = True,
        batch_size: int = 16,
        val_fraction: float = 0.1,
        seed: int | None = None,
        split_seed: int = 0,
    ) -> None:
        super().__init__(batch_size, val_fraction=val_fraction, seed=seed, split_seed=split_seed)
        if root is None:
            raise ZooError("root is not given: name the folder with train/ and test/ (--data.root FOLDER)")
        check_choice("direction", direction, get_args(Direction))
        if size < 1 or jitter < 0:
            raise ZooError(f"size must be at least 1 pixel and jitter at least 0, got {size} and {jitter}")
        folder = find_folder(root, "train/ and test/ with pairs of pictures")
        self.parts = without_lone_validation(part_folders(folder))
        self.notes += left_out(folder, self.parts.values())
        if "train" not in self.parts or "test" not in self.parts:
            raise ZooError(
                f"{folder} holds {', '.join(self.parts) or 'no part'}: expected train/ and test/, or train/ and val/"
            )
        self.direction, self.size, self.rgb, self.jitter = direction, size, rgb, jitter
        self.input_shape = (3 if rgb else 1, size, size)
        self.mean, self.std = (0.0,) * self.input_shape[0], (1.0,) * self.input_shape[0]
        self.transform = PairTransform(size, flip, self.seed)

    def describe(self) -> dict[str, Any]:
        return {**super().describe(), "direction": self.direction}

    def setup(self, stage: str | None = None) -> None:
        if self.splits:
            return
        pairs = {part: self.read(path, self.size) for part, path in self.parts.items()}
        num = len(pairs["train"].x)
        rows = {"train": torch.arange(num)} | ({"val": torch.arange(len(pairs["val"].x))} if "val" in pairs else {})
        # The float targets mean that the split is not stratified: pairs have no classes.
        rows = hold_out(torch.zeros(num), rows, {"val": self.val_fraction}, self.split_seed)
        larger = self.read(self.parts["train"], self.size + self.jitter) if self.jitter else pairs["train"]
        self.splits = {
            "train": Split(larger, rows["train"]),
            "val": Split(pairs.get("val", pairs["train"]), rows["val"]),
            "test": Split(pairs["test"], torch.arange(len(pairs["test"].x))),
        }

    def read(self, folder: Path, size: int) -> Arrays:
        """Read all pairs of a folder in the order of their names: x and y (N, C, size, size) uint8.

        Raises:
            ZooError: naming the folder without images, or the file that cannot be cut into two halves.
        """
        paths = picture_paths(folder)
        if not paths:
            raise ZooError(f"{folder} holds no pictures: fill it, or name another with data.root")
        files = Paths(paths)
        halves = [self._halves(open_picture(files, place, FULL_SIZE), files.name(place), size) for place in range(len(files))]
        left, right = (torch.stack(side) for side in zip(*halves, strict=True))
        return Arrays(left, right) if self.direction == "left_to_right" else Arrays(right, left)

    def _halves(self, picture: Image.Image, name: str, size: int) -> tuple[Tensor, Tensor]:
        width, height = picture.size
        if width % 2:
            raise ZooError(f"{name} is {width} pixels wide, which cannot be cut into two equal halves: correct or remove it")
        middle = width // 2
        return (
            pixels(picture, size, self.rgb, (0, 0, middle, height)),
            pixels(picture, size, self.rgb, (middle, 0, width, height)),
        )
