"""What image data sets share: decoding, normalising, augmenting."""

import gzip
import io
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import pyarrow.parquet as pq
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from datamodules.core.batch import Batch
from datamodules.core.randomness import uniform
from zoo.errors import ZooError

Binarize = Literal["threshold", "stochastic"]


class ImageTransform:
    """uint8 images to float ones, a batch at a time, on whatever device the batch is on.

    (B, C, H, W) in 0..255 becomes [0, 1], then, with `normalize`, zero mean and unit deviation per channel. In training
    images may first be mirrored with probability 1/2 (`flip`) and moved by up to `shift` pixels each way, black moving in.
    With `binarize` pixels become 0 or 1: "threshold" at 1/2, "stochastic" with their value as probability (Salakhutdinov &
    Murray, 2008), drawn anew in each epoch of training, and once and for all in evaluation.
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
    ) -> None:
        if shift < 0:
            raise ZooError(f"shift must be 0 or more pixels, got {shift}")
        if binarize not in (None, *get_args(Binarize)):
            raise ZooError(f"unknown binarize {binarize!r}: choose one of {', '.join(get_args(Binarize))}, or leave it out")
        if binarize and normalize:
            raise ZooError("binary pixels are 0 and 1, normalised ones are not: set data.normalize to false")
        self.normalize, self.flip, self.shift, self.seed, self.binarize = normalize, flip, shift, seed, binarize
        self._scale = torch.tensor([1 / (255 * s) for s in std]).view(-1, 1, 1)
        self._offset = torch.tensor([-m / s for m, s in zip(mean, std, strict=True)]).view(-1, 1, 1)

    def __call__(self, batch: Batch, epoch: int, train: bool) -> Batch:
        x = batch.x
        if train and (self.flip or self.shift):
            x = self._move(x, uniform(batch.position, seed=self.seed, epoch=epoch, num_draws=3))
        if self.binarize:
            return batch._replace(x=self._binary(x, batch.position, epoch if train else None))
        if not self.normalize:
            return batch._replace(x=x.float() / 255)
        if self._scale.device != x.device:
            self._scale, self._offset = self._scale.to(x.device), self._offset.to(x.device)
        return batch._replace(x=torch.addcmul(self._offset, x.float(), self._scale))

    def _binary(self, x: Tensor, position: Tensor, epoch: int | None) -> Tensor:
        """Pixels in 0..255 to 0 and 1; the epoch None is evaluation's."""
        if self.binarize == "threshold":
            return (x > 127).float()
        seed, epoch = (0, -1) if epoch is None else (self.seed, epoch)  # a test is the same for all seeds of training
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
            x = torch.nn.functional.pad(x, [self.shift] * 4)
            move = (draw[:, 1:] * (2 * self.shift + 1)).long()
            row, column = row + move[:, :1], column + move[:, 1:]
        sample = torch.arange(len(x), device=x.device)[:, None, None]
        return x[sample, :, row[:, :, None], column[:, None, :]].movedim(-1, 1)


def statistics(
    num_channels: int, normalize: bool, mean: Sequence[float], std: Sequence[float]
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """What is subtracted and divided by, per channel: `mean` and `std`, or 0 and 1 where nothing is normalised.

    Raises:
        ZooError: if there is not one of each per channel, or a deviation is not positive.
    """
    if len(mean) != num_channels or len(std) != num_channels:
        raise ZooError(f"expected a mean and a std for each of {num_channels} channel(s), got {list(mean)} and {list(std)}")
    if not all(value > 0 for value in std):
        raise ZooError(f"std must be positive, got {list(std)}")
    return (tuple(mean), tuple(std)) if normalize else ((0.0,) * num_channels, (1.0,) * num_channels)


def read_parquet(path: Path, image: str, label: str) -> dict[str, Tensor]:
    """Decode a parquet file in the hub's image layout to x (N, C, H, W) uint8 and y (N,) int64.

    Raises:
        ZooError: naming the file, and the row where one image is at fault.
    """
    try:
        table = pq.read_table(path, columns=[image, label])
    except (OSError, ValueError) as error:
        raise ZooError(f"cannot read {path} as parquet with columns {image!r} and {label!r}: {error}") from error
    images = []
    for row, cell in enumerate(table[image].to_pylist()):
        try:
            picture = Image.open(io.BytesIO(cell["bytes"]))
            pixels = np.asarray(picture)
        except (UnidentifiedImageError, OSError, TypeError) as error:  # TypeError: an empty cell
            raise ZooError(f"row {row} of {path} holds no readable image: {error}") from error
        if picture.mode not in ("L", "RGB"):
            raise ZooError(f"row {row} of {path}: expected an 8-bit grey or RGB image, got mode {picture.mode!r}")
        images.append(pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1))
        if images[-1].shape != images[0].shape:
            raise ZooError(f"row {row} of {path}: expected an image of shape {images[0].shape}, got {images[-1].shape}")
    x = torch.from_numpy(np.ascontiguousarray(np.stack(images))) if images else torch.empty(0, 1, 1, 1, dtype=torch.uint8)
    return {"x": x, "y": torch.from_numpy(table[label].to_numpy().astype(np.int64))}


def read_idx(images: Path, labels: Path) -> dict[str, Tensor]:
    """Decode LeCun's gzipped idx files to x (N, 1, H, W) uint8 and y (N,) int64 (http://yann.lecun.com/exdb/mnist).

    Raises:
        ZooError: naming the file that is not such a file, or is cut short.
    """
    return {"x": _idx(images, num_dims=3)[:, None], "y": _idx(labels, num_dims=1).long()}


def _idx(path: Path, num_dims: int) -> Tensor:
    try:
        content = gzip.decompress(path.read_bytes())
        shape = np.frombuffer(content, dtype=">u4", count=num_dims, offset=4).tolist()
        data = np.frombuffer(content, dtype=np.uint8, offset=4 + 4 * num_dims)
    except (OSError, EOFError, zlib.error, ValueError) as error:
        raise ZooError(f"cannot read {path} as gzipped idx: {error}") from error
    if content[:4] != bytes([0, 0, 8, num_dims]) or data.size != np.prod(shape):
        raise ZooError(f"{path} is no idx file of {num_dims} dimension(s) of bytes, or is cut short")
    return torch.from_numpy(data.reshape(shape).copy())
