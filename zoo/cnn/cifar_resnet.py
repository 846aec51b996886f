"""Residual networks for small images (He, Zhang, Ren & Sun, 2016, arXiv:1512.03385, section 4.2): 6n + 2 layers.

A residual block adds its input to its output. Where a block halves the image, its shortcut is the paper's option A, which has
no parameters: every second pixel, with zeros for the new channels. A ReLU follows the sum, so a block that computes 0 returns
relu(x), not x. (Pre-activation blocks, arXiv:1603.05027, return x itself.)

Shapes: B batch, C channels, H height, W width, K classes.
"""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from zoo.errors import ZooError
from zoo.nn.checks import check_shape
from zoo.tasks.classification.base import Classifier, ClassWeights
from zoo.training.initial_weights import load_weights
from zoo.training.optim import Optim
from zoo.training.system import require


class Block(nn.Module):
    """Residual block with two 3x3 convolutions: (B, C, H, W) to (B, C', ceil(H / stride), ceil(W / stride))."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.relu1, self.relu2 = nn.ReLU(), nn.ReLU()
        self.stride, self.new_channels = stride, out_channels - in_channels

    def forward(self, x: Tensor) -> Tensor:
        y = self.relu1(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return self.relu2(y + self.shortcut(x))

    def shortcut(self, x: Tensor) -> Tensor:
        """Subsample x and pad it with zero channels on both sides (option A)."""
        if self.stride == 1 and not self.new_channels:
            return x
        before = self.new_channels // 2
        return F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, before, self.new_channels - before))


class CIFARResNet(nn.Module):
    """Three groups of residual blocks and global average pooling: images (B, C, H, W) to logits (B, K).

    Args:
        input_shape: (C, H, W).
        num_classes: K.
        depth: number of layers with weights, 6n + 2.
        width: channels of the first group. The others have twice and four times as many.

    Raises:
        ZooError: if depth or width is out of range.
    """

    def __init__(self, input_shape: Sequence[int], num_classes: int, depth: int = 20, width: int = 16) -> None:
        super().__init__()
        if depth < 8 or depth % 6 != 2:
            raise ZooError(f"depth must be 6n + 2 (8, 14, 20, 32, 44, 56, 110, ...), got {depth}")
        if width < 1:
            raise ZooError(f"width must be at least 1 channel, got {width}")
        self.input_shape = tuple(input_shape)
        num_blocks = (depth - 2) // 6
        self.conv1 = nn.Conv2d(self.input_shape[0], width, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU()
        self.layer1 = self._group(width, width, num_blocks, stride=1)
        self.layer2 = self._group(width, 2 * width, num_blocks, stride=2)
        self.layer3 = self._group(2 * width, 4 * width, num_blocks, stride=2)
        self.linear = nn.Linear(4 * width, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        check_shape(x, self.input_shape)
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.linear(x.mean((2, 3)))

    @staticmethod
    def _group(in_channels: int, out_channels: int, num_blocks: int, stride: int) -> nn.Sequential:
        first = Block(in_channels, out_channels, stride=stride)
        return nn.Sequential(first, *(Block(out_channels, out_channels) for _ in range(num_blocks - 1)))


class CIFARResNetClassifier(Classifier):
    """ResNet-20, -32, -44, -56 or -110 for small images, trained with cross-entropy.

    Args:
        depth: number of layers with weights, 6n + 2.
        width: channels of the first group. He et al. use 16.
        weights: file with trained weights: named tensors, a checkpoint, or an exported file. If the number of
            classes differs, the last layer keeps its initial weights. A relative path may also start in the folder `ZOO_DATA`.
    """

    def __init__(
        self,
        input_shape: tuple[int, int, int] | None = None,  # linked from the datamodule
        num_classes: int | None = None,  # linked from the datamodule
        depth: int = 20,
        width: int = 16,
        weights: str | None = None,
        label_smoothing: float = 0.0,
        class_weights: ClassWeights = None,
        lr: float = 0.1,
        optim: Optim | None = None,
    ) -> None:
        input_shape, num_classes = require("input_shape", input_shape), require("num_classes", num_classes)
        super().__init__(num_classes, label_smoothing, lr, optim, class_weights)
        self.save_hyperparameters(logger=False)
        self.net = CIFARResNet(input_shape, num_classes, depth, width)
        if weights is not None:
            load_weights(self.net, weights)
