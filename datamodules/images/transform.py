"""Decoding, normalisation and augmentation of images."""

import gzip
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from datamodules.core.batch import Batch
from datamodules.core.files import reading
from datamodules.core.randomness import uniform
from datamodules.core.table_files import read_table
from datamodules.images.augmentation import Augmentation
from zoo.errors import ZooError, check_choice

Binarize = Literal["threshold", "stochastic"]


class ImageTransform:
    """Convert batches of uint8 images to float, on the device of the batch.

    (B, C, H, W) in 0..255 becomes [0, 1] and, with `normalize`, zero mean and unit standard deviation per channel. In training,
    images may first be mirrored with probability 1/2 (`flip`) and moved by up to `shift` pixels in each direction, with black
    at the border. With `binarize`, pixels become 0 or 1: "threshold" at 1/2, or "stochastic" with their value as probability
    (Salakhutdinov & Murray, 2008), drawn anew in each epoch of training and fixed in evaluation. `augmentation` changes
    training images between the shift and the normalisation, and erases and mixes after the normalisation.
    """

    def __init__(
        self,
        mean: Sequence[float],
        std: Sequence[float],
        normalize: bool = True,
        flip: bool = False,
        shift: int = 0,
        seed: int = 0,
        binarize: Binarize | None = None,
        augmentation: Augmentation | None = None,
    ) -> None:
        if shift < 0:
            raise ZooError(f"shift must be 0 or more pixels, got {shift}")
        if binarize is not None:
            check_choice("binarize", binarize, get_args(Binarize))
        if binarize and normalize:
            raise ZooError("binarize makes pixels 0 or 1, which normalize would change: set data.normalize to false")
        if binarize and augmentation is not None and augmentation.settings["mixup"]:
            raise ZooError("augment.mixup makes pixels grey, which binarize makes 0 or 1: leave one of them out")
        self.normalize, self.flip, self.shift, self.seed, self.binarize = normalize, flip, shift, seed, binarize
        self.augmentation = augmentation
        self._scale = torch.tensor([1 / (255 * s) for s in std]).view(-1, 1, 1)
        self._offset = torch.tensor([-m / s for m, s in zip(mean, std, strict=True)]).view(-1, 1, 1)

    def __call__(self, batch: Batch, epoch: int, train: bool) -> Batch:
        x = batch.x
        if train and (self.flip or self.shift):
            x = self._move(x, uniform(batch.position, seed=self.seed, epoch=epoch, num_draws=3))
        if train and self.augmentation is not None:
            x = self.augmentation.change(x, batch.position, epoch)
        if self.binarize:
            x = self._binary(x, batch.position, epoch if train else None)
        elif not self.normalize:
            x = x.float() / 255
        else:
            if self._scale.device != x.device:
                self._scale, self._offset = self._scale.to(x.device), self._offset.to(x.device)
            x = torch.addcmul(self._offset, x.float(), self._scale)
        batch = batch._replace(x=x)
        return self.augmentation.erase_and_mix(batch, epoch) if train and self.augmentation is not None else batch

    def _binary(self, x: Tensor, position: Tensor, epoch: int | None) -> Tensor:
        """Binarize pixels in 0..255; the epoch is None in evaluation."""
        if self.binarize == "threshold":
            return (x > 127).float()
        seed, epoch = (0, -1) if epoch is None else (self.seed, epoch)  # Evaluation is the same for all training seeds.
        draw = uniform(position, seed=seed, epoch=epoch, num_draws=x[0].numel()).view(x.shape)
        return (255 * draw < x).float()

    def _move(self, x: Tensor, draw: Tensor) -> Tensor:
        """Mirror and shift by index: (B, C, H, W), draws (B, 3) in [0, 1)."""
        height, width = x.shape[-2:]
        row = torch.arange(height, device=x.device).expand(len(x), -1)
        column = torch.arange(width, device=x.device).expand(len(x), -1)
        if self.flip:
            column = torch.where(draw[:, :1] < 0.5, width - 1 - column, column)
        if self.shift:
            x = F.pad(x, [self.shift] * 4)
            move = (draw[:, 1:] * (2 * self.shift + 1)).long()
            row, column = row + move[:, :1], column + move[:, 1:]
        return _take(x, row, column)


class CropTransform:
    """Scale images (B, C, H, W) from 0..255 to [0, 1]. In training, crop and mirror them.

    Args:
        size: pixels per side of the crop; in evaluation, larger images are resized to it.
        flip: mirror half of the training images.
        seed: of the crops and of the choice of mirrored images.
    """

    def __init__(self, size: int, flip: bool, seed: int) -> None:
        self.size, self.flip, self.seed = size, flip, seed

    def __call__(self, x: Tensor, position: Tensor, epoch: int, train: bool) -> Tensor:
        larger = x.shape[-1] != self.size
        if train and (self.flip or larger):
            x = self._move(x, uniform(position, seed=self.seed, epoch=epoch, num_draws=3))
        elif larger:  # A callback evaluates the training part: whole images instead of crops.
            x = F.interpolate(x.float(), (self.size, self.size), mode="bilinear", antialias=True)
        return x.float() / 255

    def _move(self, x: Tensor, draw: Tensor) -> Tensor:
        """Crop and mirror by index: (B, C, H, W), draws (B, 3) in [0, 1)."""
        start = (draw[:, 1:] * (x.shape[-1] - self.size + 1)).long()
        place = torch.arange(self.size, device=x.device)
        row, column = start[:, :1] + place, start[:, 1:] + place
        if self.flip:
            column = torch.where(draw[:, :1] < 0.5, column.flip(1), column)
        return _take(x, row, column)


def _take(x: Tensor, row: Tensor, column: Tensor) -> Tensor:
    """Take these rows (B, H') and columns (B, W') of each image (B, C, H, W): (B, C, H', W')."""
    place = row[:, :, None] * x.shape[-1] + column[:, None, :]
    # Four times as fast as indexing with three tensors.
    taken = x.flatten(2).gather(2, place.flatten(1)[:, None].expand(-1, x.shape[1], -1))
    return taken.view(*x.shape[:2], *place.shape[1:])


def statistics(
    num_channels: int, normalize: bool, mean: Sequence[float], std: Sequence[float]
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the mean and standard deviation per channel: `mean` and `std`, or 0 and 1 without `normalize`.

    Raises:
        ZooError: if the number of values differs from the number of channels, or a standard deviation is not positive.
    """
    if len(mean) != num_channels or len(std) != num_channels:
        raise ZooError(f"expected a mean and a std for each of {num_channels} channel(s), got {list(mean)} and {list(std)}")
    if not all(value > 0 for value in std):
        raise ZooError(f"std must be positive, got {list(std)}")
    return (tuple(mean), tuple(std)) if normalize else ((0.0,) * num_channels, (1.0,) * num_channels)


def read_parquet(path: Path, image: str, label: str) -> dict[str, Tensor]:
    """Decode a parquet file in the hub's image layout to x (N, C, H, W) uint8 and y (N,) int64.

    Raises:
        ZooError: naming the file, and the row if an image is unreadable.
    """
    table = read_table(path, [image, label])
    images = []
    for row, cell in enumerate(table[image].to_pylist()):
        try:
            picture: Image.Image = Image.open(io.BytesIO(cell["bytes"]))
            if picture.mode == "1":
                picture = picture.convert("L")
            pixels = np.asarray(picture)
        except (UnidentifiedImageError, OSError, TypeError) as error:  # TypeError: the cell is empty.
            raise ZooError(f"row {row} of {path} holds no readable image: {error}") from error
        if picture.mode not in ("L", "RGB"):
            raise ZooError(
                f"row {row} of {path}: expected a black-and-white, 8-bit grey or RGB image, got mode {picture.mode!r}"
            )
        images.append(pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1))
        if images[-1].shape != images[0].shape:
            raise ZooError(f"row {row} of {path}: expected an image of shape {images[0].shape}, got {images[-1].shape}")
    x = torch.from_numpy(np.ascontiguousarray(np.stack(images))) if images else torch.empty(0, 1, 1, 1, dtype=torch.uint8)
    return {"x": x, "y": torch.from_numpy(table[label].to_numpy().astype(np.int64))}


def read_idx(images: Path, labels: Path) -> dict[str, Tensor]:
    """Decode LeCun's gzipped idx files to x (N, 1, H, W) uint8 and y (N,) int64 (http://yann.lecun.com/exdb/mnist).

    Raises:
        ZooError: naming the file that is of another kind or cut short.
    """
    return {"x": _idx(images, num_dims=3)[:, None], "y": _idx(labels, num_dims=1).long()}


def _idx(path: Path, num_dims: int) -> Tensor:
    with reading(path, "gzipped idx"):
        content = gzip.decompress(path.read_bytes())
        shape = np.frombuffer(content, dtype=">u4", count=num_dims, offset=4).tolist()
        data = np.frombuffer(content, dtype=np.uint8, offset=4 + 4 * num_dims)
    if content[:4] != bytes([0, 0, 8, num_dims]) or data.size != np.prod(shape):
        raise ZooError(f"{path} is not an idx file with {num_dims} dimension(s) of bytes, or is cut short")
    return torch.from_numpy(data.reshape(shape).copy())
