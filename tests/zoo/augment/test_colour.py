"""Changes of colour against torchvision's, one image and one factor at a time."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as F

from zoo.augment import colour

X = torch.randint(0, 256, (40, 3, 7, 9), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (colour.brightness, F.adjust_brightness),
        (colour.contrast, F.adjust_contrast),
        (colour.saturation, F.adjust_saturation),
        (colour.sharpness, F.adjust_sharpness),
    ],
)
@pytest.mark.parametrize("num_channels", [1, 3])
def test_any_factor_within_one_level(
    ours: Callable[[Tensor, Tensor], Tensor], theirs: Callable[[Tensor, float], Tensor], num_channels: int
) -> None:
    x, factor = X[:, :num_channels], torch.linspace(0, 2, 40)
    expected = torch.stack([theirs(image, value) for image, value in zip(x, factor.tolist(), strict=True)])
    assert (ours(x, factor).int() - expected.int()).abs().max() <= 1
    assert (ours(x, factor) == expected).float().mean() > 0.99
    assert torch.equal(ours(x, torch.ones(40)), x)


def test_hue_equals_torchvisions_within_one_level() -> None:
    shift = torch.linspace(-0.5, 0.5, 40)
    expected = torch.stack([F.adjust_hue(image, value) for image, value in zip(X, shift.tolist(), strict=True)])
    assert (colour.hue(X, shift).int() - expected.int()).abs().max() <= 1
    assert torch.equal(colour.hue(X, torch.zeros(40)), X)
    grey = X[:, :1].expand(-1, 3, -1, -1)
    assert torch.equal(colour.hue(grey, shift), grey)
