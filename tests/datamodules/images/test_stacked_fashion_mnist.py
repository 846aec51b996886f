"""Three pictures in one, and the number that their classes make."""

import pytest
import torch

from datamodules import FashionMNIST, StackedFashionMNIST


@pytest.mark.usefixtures("mirror")
def test_channels_are_pictures_and_the_class_is_theirs() -> None:
    data, single = StackedFashionMNIST(), FashionMNIST()
    x, y, _ = data.load("test")
    assert x.shape == (10_000, 3, 28, 28)
    images, classes, _ = single.load("test")
    known = {image.numpy().tobytes(): int(label) for image, label in zip(images[:, 0], classes, strict=True)}
    for row in range(50):
        digits = [known[x[row, channel].contiguous().numpy().tobytes()] for channel in range(3)]
        assert int(y[row]) == digits[0] + 10 * digits[1] + 100 * digits[2]
    assert y.unique().numel() == 1000
    assert torch.equal(data.load("test").x, x)


@pytest.mark.usefixtures("mirror")
def test_batches_have_three_channels_and_a_thousand_classes() -> None:
    data = StackedFashionMNIST(normalize=False, batch_size=4)
    data.setup()
    batch = next(iter(data.loader("train")))
    assert batch.x.shape == (4, 3, 28, 28)
    assert data.num_classes == len(data.class_names) == 1000
