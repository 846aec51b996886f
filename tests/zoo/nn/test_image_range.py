"""Images are mapped from [0, 1] to [-1, 1] and back. Points are unchanged."""

import torch

from zoo.nn.image_range import as_bytes, as_images, as_signed


def test_images_are_mapped_and_mapped_back() -> None:
    x = torch.tensor([0.0, 0.25, 1.0]).view(1, 1, 1, 3)
    assert as_signed(x).flatten().tolist() == [-1, -0.5, 1]
    assert as_images(as_signed(x)).equal(x)


def test_points_are_unchanged() -> None:
    x = torch.tensor([[3.0, -7.0]])
    assert as_signed(x).equal(x)
    assert as_images(x).equal(x)


def test_pixels_beyond_the_range_do_not_wrap_around() -> None:
    x = torch.tensor([-0.01, 0.0, 0.499, 0.5 / 255 + 1e-6, 1.0, 1.005, 7.0])
    assert as_bytes(x).tolist() == [0, 0, 127, 1, 255, 255, 255]
    assert as_bytes(x).dtype == torch.uint8
