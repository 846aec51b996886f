"""Layers of progressive GAN and StyleGAN: an equalised learning rate, pixel norm, and what a batch says of its variety.

Karras et al., 2018, arXiv:1710.10196. Shapes: B batch, C channels, H W maps.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class EqualizedLinear(nn.Module):
    """A dense layer whose weights are N(0, 1) and scaled when used, so that every layer learns at the same pace (section 4.1).

    Args:
        in_features: of the input.
        out_features: of the output.
        gain: of the activation after it; 1 after the last layer.
        bias: what biases start from.
        lr_scale: how fast this layer learns beside the others.
    """

    def __init__(
        self, in_features: int, out_features: int, gain: float = math.sqrt(2), bias: float = 0.0, lr_scale: float = 1.0
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_features, in_features) / lr_scale)
        self.bias = nn.Parameter(torch.full((out_features,), bias / lr_scale))
        self.scale, self.lr_scale = gain * lr_scale / math.sqrt(in_features), lr_scale

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight * self.scale, self.bias * self.lr_scale)


class EqualizedConv2d(nn.Module):
    """The same of a convolution that keeps the size of maps: (B, C, H, W) to (B, C', H, W)."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, gain: float = math.sqrt(2)) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, kernel_size, kernel_size))
        self.bias = nn.Parameter(torch.zeros(out_channels))
        self.scale, self.padding = gain / math.sqrt(in_channels * kernel_size**2), kernel_size // 2

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight * self.scale, self.bias, padding=self.padding)


class PixelNorm(nn.Module):
    """Each pixel's channels, or each sample's numbers, to a mean square of 1 (section 4.2)."""

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.rsqrt(x.float().square().mean(1, keepdim=True) + 1e-8).to(x.dtype)


class MinibatchStd(nn.Module):
    """Another channel with the mean deviation within groups of the batch: (B, C, H, W) to (B, C + 1, H, W) (section 3).

    A batch that groups do not divide is one group.
    """

    def __init__(self, group: int = 4) -> None:
        super().__init__()
        self.group = group

    def forward(self, x: Tensor) -> Tensor:
        group = self.group if len(x) % self.group == 0 else len(x)
        grouped = x.float().reshape(group, -1, *x.shape[1:])  # (G, B / G, C, H, W)
        std = (grouped.var(0, correction=0) + 1e-8).sqrt().mean((1, 2, 3))  # (B / G,)
        return torch.cat([x, std.to(x.dtype).repeat(group).view(-1, 1, 1, 1).expand(-1, 1, *x.shape[2:])], dim=1)
