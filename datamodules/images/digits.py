"""Digits: scikit-learn's copy of UCI's optical recognition set (Alpaydin & Kaynak, 1998), which needs no network."""

from typing import Literal

import torch

from datamodules.core.base import Arrays, DataModule
from datamodules.images.augmentation import Augment, augmentation_of
from datamodules.images.transform import Binarize, ImageTransform, statistics


class Digits(DataModule):
    """1,797 images of 8x8 pixels: 20 % are held out for the test, then `val_fraction` of the rest, stratified by class."""

    input_shape = (1, 8, 8)
    num_classes = 10
    class_names = tuple("0123456789")
    mean: tuple[float, ...] = (0.3053,)  # of all pixels in [0, 1]
    std: tuple[float, ...] = (0.3759,)

    def __init__(
        self,
        batch_size: int = 64,
        normalize: bool = True,
        shift: int = 0,
        binarize: Binarize | None = None,
        val_fraction: float = 0.1,
        seed: int | None = None,
        split_seed: int = 0,
        augment: Augment | None = None,
        classes_per_batch: int | None = None,
        samples_per_class: int | None = None,
    ) -> None:
        super().__init__(
            batch_size,
            val_fraction=val_fraction,
            test_fraction=0.2,
            seed=seed,
            split_seed=split_seed,
            classes_per_batch=classes_per_batch,
            samples_per_class=samples_per_class,
        )
        self.mean, self.std = statistics(1, normalize, self.mean, self.std)
        self.binarize = binarize
        self.transform = ImageTransform(
            self.mean,
            self.std,
            normalize=normalize,
            shift=shift,
            seed=self.seed,
            binarize=binarize,
            augmentation=augmentation_of(augment, self.input_shape, self.seed, self.num_classes, has_colours=False),
        )

    def load(self, part: Literal["train", "test"]) -> Arrays:
        from sklearn.datasets import load_digits

        digits = load_digits()
        x = torch.from_numpy(digits.images / 16 * 255).round().to(torch.uint8)  # Ink is counted from 0 to 16.
        return Arrays(x[:, None], torch.from_numpy(digits.target).long())
