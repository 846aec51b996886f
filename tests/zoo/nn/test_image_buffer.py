"""The buffer shows half old and half new images, each image once, and changes only in `store`."""

import pytest
import torch
from torch import Tensor

from zoo.nn.image_buffer import ImageBuffer


def images(first: int, num: int) -> Tensor:
    """Return images (num, 1, 2, 2), each filled with its own number."""
    return torch.arange(first, first + num).float().view(-1, 1, 1, 1).expand(-1, 1, 2, 2)


def numbers(x: Tensor) -> list[int]:
    return [int(value) for value in x[:, 0, 0, 0]]


def run(buffer: ImageBuffer, rounds: int, num: int) -> tuple[list[int], list[int]]:
    """Query and store batches; return the numbers of all new images and of the images shown instead."""
    came, shown = [], []
    for turn in range(rounds):
        new = images(turn * num, num)
        instead, place = buffer.query(new)
        buffer.store(new, place)
        came += numbers(new)
        shown += numbers(instead)
    return came, shown


def test_every_image_is_shown_and_stored_until_the_buffer_is_full() -> None:
    buffer = ImageBuffer((1, 2, 2), 20)
    came, shown = run(buffer, rounds=5, num=4)
    assert shown == came
    assert numbers(buffer.images[:-1]) == came
    assert buffer.count == 20


def test_half_of_the_shown_images_are_old_if_the_buffer_is_full() -> None:
    torch.manual_seed(0)
    came, shown = run(ImageBuffer((1, 2, 2), 50), rounds=1000, num=4)
    old = [c != s for c, s in zip(came[50:], shown[50:], strict=True)]
    assert sum(old) / len(old) == pytest.approx(0.5, abs=0.03)
    age = torch.tensor([c - s for c, s in zip(came, shown, strict=True) if c != s]).float()
    assert age.mean() == pytest.approx(100, rel=0.1)  # every second image replaces one of 50


def test_no_image_is_lost_or_shown_twice() -> None:
    torch.manual_seed(0)
    buffer = ImageBuffer((1, 2, 2), 10)
    came, shown = run(buffer, rounds=200, num=3)
    later = [number for number in shown if number >= 12]  # images before the buffer was full may be shown again
    assert len(later) == len(set(later))
    assert {number for number in came if number >= 12} == set(later) | {n for n in numbers(buffer.images[:-1]) if n >= 12}


def test_a_query_does_not_change_the_buffer() -> None:
    torch.manual_seed(0)
    buffer = ImageBuffer((1, 2, 2), 10)
    run(buffer, rounds=10, num=3)
    before = {name: value.clone() for name, value in buffer.state_dict().items()}
    buffer.query(images(99, 5))
    assert all(torch.equal(before[name], value) for name, value in buffer.state_dict().items())


def test_a_batch_may_be_larger_than_the_buffer() -> None:
    torch.manual_seed(0)
    buffer = ImageBuffer((1, 2, 2), 3)
    came, shown = run(buffer, rounds=20, num=8)
    assert shown[:8] == came[:8]
    assert shown[8:] != came[8:]
    assert buffer.count == 3
    for _ in range(50):
        shown, place = buffer.query(images(0, 8))
        taken = place[place >= 0].tolist()
        assert len(set(taken)) == len(taken)  # no old image is shown twice, and no place is used twice
        assert shown.shape == (8, 1, 2, 2)


def test_a_buffer_of_size_0_shows_the_new_images() -> None:
    came, shown = run(ImageBuffer((1, 2, 2), 0), rounds=5, num=3)
    assert shown == came
    with pytest.raises(ValueError, match="a buffer's size must be 0 or more images, got -1"):
        ImageBuffer((1, 2, 2), -1)
