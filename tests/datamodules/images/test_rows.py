"""Images as sequences: the same pixels, splits and augmentation, one row per step."""

from pathlib import Path

import pytest
import torch

from datamodules import DigitRows, Digits, FashionMNIST, FashionMNISTRows
from datamodules.core.base import DataModule
from datamodules.core.batch import SequenceBatch


def pair(name: str, request: pytest.FixtureRequest) -> tuple[DataModule, DataModule]:
    if name == "digits":
        return DigitRows(batch_size=32, shift=1, seed=3), Digits(batch_size=32, shift=1, seed=3)
    request.getfixturevalue("mirror")
    arguments = {"batch_size": 32, "shift": 2, "flip": True, "seed": 3}
    return FashionMNISTRows(**arguments), FashionMNIST(**arguments)  # type: ignore[arg-type]  # of several types


@pytest.mark.parametrize("name", ["digits", "fashion_mnist"])
def test_a_step_is_a_row_of_the_image_as_the_image_set_has_it(name: str, request: pytest.FixtureRequest) -> None:
    rows, images = pair(name, request)
    assert rows.input_shape == images.input_shape[1:]
    assert (rows.class_names, rows.num_classes) == (images.class_names, images.num_classes)
    for data in (rows, images):
        data.setup()
    side = rows.input_shape[0]
    for split, train in (("train", True), ("val", False), ("test", False)):
        assert torch.equal(rows.splits[split].rows, images.splits[split].rows)
        seen = rows.transform(next(iter(rows.loader(split))), 1, train)
        image = images.transform(next(iter(images.loader(split))), 1, train)
        assert isinstance(seen, SequenceBatch)
        assert torch.equal(seen.x, image.x[:, 0])
        assert torch.equal(seen.y, image.y)
        assert torch.equal(seen.position, image.position)
        assert seen.lengths.tolist() == [side] * 32
        assert seen.lengths.device.type == "cpu"


def test_pixels_can_stay_as_they_are() -> None:
    data = DigitRows(normalize=False)
    data.setup()
    x = data.transform(next(iter(data.test_dataloader())), 0, False).x
    assert (x.min(), x.max()) == (0, 1)
    assert (data.mean, data.std) == ((0.0,), (1.0,))


def test_know_what_they_are_before_they_load() -> None:
    assert (DigitRows().input_shape, FashionMNISTRows().input_shape) == ((8, 8), (28, 28))
    assert (Digits().input_shape, FashionMNIST().input_shape) == ((1, 8, 8), (1, 28, 28))


def test_fashion_mnist_is_read_from_wherever_it_is(mirror: Path) -> None:
    data = FashionMNISTRows()
    data.setup()
    x, y, lengths = data.splits["train"].arrays
    assert (x.shape, x.dtype, lengths) == ((60_000, 28, 28), torch.uint8, None)
    assert y[:3].tolist() == [9, 0, 0]
