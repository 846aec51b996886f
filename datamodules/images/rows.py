"""Images as sequences of rows: H steps of W values."""

from typing import Literal

import torch
from torch import Tensor

from datamodules.core.base import Arrays, Transform
from datamodules.core.batch import Batch, SequenceBatch
from datamodules.images.digits import Digits
from datamodules.images.fashion_mnist import FashionMNIST


class RowByRow:
    """Apply an image transform to grey images (B, H, W) and return sequences whose steps are the rows."""

    def __init__(self, transform: Transform) -> None:
        self.transform = transform

    def __call__(self, batch: Batch, epoch: int, train: bool) -> SequenceBatch:
        x = self.transform(batch._replace(x=batch.x[:, None]), epoch, train).x[:, 0]
        return SequenceBatch(x, torch.full((len(x),), x.shape[1]), batch.y, batch.position)


class DigitRows(Digits):
    """`Digits` as sequences of 8 rows of 8 pixels: x (B, 8, 8). Needs no network."""

    def __init__(
        self,
        batch_size: int = 64,
        normalize: bool = True,
        shift: int = 0,
        val_fraction: float = 0.1,
        seed: int | None = None,
        split_seed: int = 0,
    ) -> None:
        super().__init__(batch_size, normalize, shift, val_fraction=val_fraction, seed=seed, split_seed=split_seed)
        self.input_shape = self.input_shape[1:]  # type: ignore[assignment]  # declared by the images: (1, H, W)
        self.transform = RowByRow(self.transform)

    def load(self, part: Literal["train", "test"]) -> Arrays:
        x, y, _ = super().load(part)
        return Arrays(x[:, 0], y)


class FashionMNISTRows(FashionMNIST):
    """`FashionMNIST` as sequences of 28 rows of 28 pixels: x (B, 28, 28)."""

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
        super().__init__(
            batch_size, normalize, flip, shift, val_fraction=val_fraction, seed=seed, split_seed=split_seed, revision=revision
        )
        self.input_shape = self.input_shape[1:]  # type: ignore[assignment]  # declared by the images: (1, H, W)
        self.transform = RowByRow(self.transform)

    def fitted(self, tensors: dict[str, Tensor]) -> Arrays:
        """Drop the channel dimension: images (N, H, W)."""
        return Arrays(tensors["x"][:, 0], tensors["y"])
