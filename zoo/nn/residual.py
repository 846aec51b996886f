"""Residual blocks with two 3x3 convolutions (He, Zhang, Ren & Sun, 2016, arXiv:1512.03385 and arXiv:1603.05027).

Where a block halves the image, its shortcut is option A of the first paper, which has no parameters: every second pixel, with
zeros for the new channels. Sums are written `x + y`, because `x += y` would overwrite a value that autograd still needs.

Shapes: B batch, C channels in, C' channels out, H height, W width. Blocks map (B, C, H, W) to
(B, C', ceil(H / stride), ceil(W / stride)).
"""

from typing import Literal, get_args

import torch.nn.functional as F
from torch import Tensor, nn

from zoo.errors import ZooError, check_choice

Skip = Literal["post", "pre", "none"]


def build_block(skip: Skip, in_channels: int, out_channels: int, stride: int = 1, zero_init: bool = False) -> nn.Module:
    """Build a block of two convolutions.

    - post: `PostActivationBlock`, as in ResNet
    - pre: `PreActivationBlock`, as in ResNet v2
    - none: `PostActivationBlock` without the shortcut, as in a plain network

    Raises:
        ZooError: if `skip` is unknown, or if `zero_init` does not fit it.
    """
    check_choice("skip", skip, get_args(Skip))
    if zero_init and skip == "none":
        raise ZooError("a block that starts at 0 and has no skip passes nothing on: set zero_init to false, or skip to post")
    if skip == "pre":
        if zero_init:
            raise ZooError(
                "zero_init sets the scale of the norm that ends a block, which blocks with skip 'pre' lack: leave it out"
            )
        return PreActivationBlock(in_channels, out_channels, stride=stride)
    return PostActivationBlock(in_channels, out_channels, stride=stride, zero_init=zero_init, skip=skip == "post")


class PostActivationBlock(nn.Module):
    """relu(x + F(x)) with F = norm, conv, relu, norm, conv from right to left: a block with F = 0 returns relu(x), not x.

    Args:
        in_channels: C.
        out_channels: C'.
        stride: of the first convolution.
        zero_init: start the scale of the last norm at 0, so that F starts at 0 (Goyal et al., 2017, arXiv:1706.02677).
        skip: add x. Without it, the block returns relu(F(x)).
    """

    def __init__(
        self, in_channels: int, out_channels: int, stride: int = 1, zero_init: bool = False, skip: bool = True
    ) -> None:
        super().__init__()
        # a norm removes the offset of each channel, so convolutions before one need no bias
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.relu1, self.relu2 = nn.ReLU(), nn.ReLU()
        self.stride, self.new_channels, self.skip = stride, out_channels - in_channels, skip
        if zero_init:
            nn.init.zeros_(self.bn2.weight)

    def forward(self, x: Tensor) -> Tensor:
        y = self.relu1(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return self.relu2(y + shortcut(x, self.stride, self.new_channels) if self.skip else y)


class PreActivationBlock(nn.Module):
    """x + F(x) with F = conv, relu, norm, conv, relu, norm from right to left: a block with F = 0 returns x.

    The gradient reaches x undiminished through the sum, at any depth.

    Args:
        in_channels: C.
        out_channels: C'.
        stride: of the first convolution.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(in_channels)
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.relu1, self.relu2 = nn.ReLU(), nn.ReLU()
        self.stride, self.new_channels = stride, out_channels - in_channels

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv1(self.relu1(self.bn1(x)))
        y = self.conv2(self.relu2(self.bn2(y)))
        return y + shortcut(x, self.stride, self.new_channels)


def shortcut(x: Tensor, stride: int, new_channels: int) -> Tensor:
    """Subsample x and pad it with zero channels on both sides (option A)."""
    if stride == 1 and not new_channels:
        return x
    before = new_channels // 2
    return F.pad(x[:, :, ::stride, ::stride], (0, 0, 0, 0, before, new_channels - before))
