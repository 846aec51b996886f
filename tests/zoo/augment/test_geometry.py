"""Rotations against torchvision's, one image and one angle at a time."""

import torch
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as F

from zoo.augment.geometry import rotations, warp


def test_each_image_has_an_angle_of_its_own() -> None:
    x = torch.randint(0, 256, (30, 3, 9, 14), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    degrees = torch.linspace(-180, 180, 30)
    turned = warp(x, rotations(degrees), "bilinear")
    expected = torch.stack(
        [F.rotate(image, angle, InterpolationMode.BILINEAR) for image, angle in zip(x, degrees.tolist(), strict=True)]
    )
    assert turned.dtype == torch.uint8
    assert (turned.int() - expected.int()).abs().max() <= 1
    quarter = warp(x[:, :, :, :9], rotations(torch.full((30,), 90.0)), "nearest")
    assert torch.equal(quarter, x[:, :, :, :9].rot90(1, (2, 3)))
    assert torch.equal(warp(x.float(), rotations(torch.zeros(30)), "nearest"), x.float())
