"""Layers of progressive GAN and StyleGAN: equalised learning rate, pixel norm, minibatch deviation.

Karras et al., 2018, arXiv:1710.10196. Shapes: B batch, C channels, H height, W width, G group size.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class EqualizedLinear(nn.Module):
    """Dense layer with weights from N(0, 1), scaled in the forward pass, so that all layers learn at one pace (section 4.1).

    Args:
        in_features: size of the input.
        out_features: size of the output.
        gain: gain of the activation that follows; 1 for the last layer.
        bias: initial value of the biases.
        lr_scale: this layer's learning rate, relative to the other layers'.
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
    """Convolution with equalised learning rate that keeps the size of maps: (B, C, H, W) to (B, C', H, W)."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, gain: float = math.sqrt(2)) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, kernel_size, kernel_size))
        self.bias = nn.Parameter(torch.zeros(out_channels))
        self.scale, self.padding = gain / math.sqrt(in_channels * kernel_size**2), kernel_size // 2

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight * self.scale, self.bias, padding=self.padding)


class PixelNorm(nn.Module):
    """Scale the channels of each pixel, or the features of each sample, to a mean square of 1 (section 4.2)."""

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.rsqrt(x.float().square().mean(1, keepdim=True) + 1e-8).to(x.dtype)


class MinibatchStd(nn.Module):
    """Append a channel with the mean standard deviation within groups of the batch: (B, C, H, W) to (B, C + 1, H, W).

    Section 3. A batch that does not divide into groups forms one group.
    """

    def __init__(self, group: int = 4) -> None:
        super().__init__()
        self.group = group

    def forward(self, x: Tensor) -> Tensor:
        group = self.group if len(x) % self.group == 0 else len(x)
        grouped = x.float().reshape(group, -1, *x.shape[1:])  # (G, B / G, C, H, W)
        std = (grouped.var(0, correction=0) + 1e-8).sqrt().mean((1, 2, 3))  # (B / G,)
        return torch.cat([x, std.to(x.dtype).repeat(group).view(-1, 1, 1, 1).expand(-1, 1, *x.shape[2:])], dim=1)
