"""Stacked Fashion-MNIST: three images as the channels of one, which gives a thousand modes for a generator to cover.

After stacked MNIST (Metz et al., 2017, arXiv:1611.02163; Srivastava et al., 2017, arXiv:1705.07761).
"""

from typing import Literal

import torch

from datamodules.core.base import Arrays
from datamodules.images.fashion_mnist import FashionMNIST


class StackedFashionMNIST(FashionMNIST):
    """As many images as Fashion-MNIST has; each stacks three of its images, in a fixed random combination.

    The class is a number of three digits, one per channel. The last digit is the class of the first channel.
    """

    stacked = True
    input_shape = (3, 28, 28)
    num_classes = 1000
    class_names = tuple(f"{number:03d}" for number in range(1000))
    mean = FashionMNIST.mean * 3
    std = FashionMNIST.std * 3

    def load(self, part: Literal["train", "test"]) -> Arrays:
        single = FashionMNIST(size=self.size, revision=self.revision).load(part)
        generator = torch.Generator().manual_seed({"train": 0, "test": 1}[part])
        rows = torch.randint(len(single.y), (3, len(single.y)), generator=generator)
        x = torch.cat([single.x[row] for row in rows], dim=1)
        return Arrays(x, sum((10**place * single.y[row] for place, row in enumerate(rows)), torch.tensor(0)))
