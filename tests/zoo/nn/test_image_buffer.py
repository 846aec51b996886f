"""The memory of a discriminator: half old, half new, each image once, and nothing changes by looking."""

import pytest
import torch
from torch import Tensor

from zoo.nn.image_buffer import ImageBuffer


def images(first: int, num: int) -> Tensor:
    """(num, 1, 2, 2), each filled with its own number."""
    return torch.arange(first, first + num).float().view(-1, 1, 1, 1).expand(-1, 1, 2, 2)


def numbers(x: Tensor) -> list[int]:
    return [int(value) for value in x[:, 0, 0, 0]]


def play(buffer: ImageBuffer, rounds: int, num: int) -> tuple[list[int], list[int]]:
    """All images that came, and what was shown in their place."""
    came, shown = [], []
    for turn in range(rounds):
        new = images(turn * num, num)
        instead, place = buffer.query(new)
        buffer.store(new, place)
        came += numbers(new)
        shown += numbers(instead)
    return came, shown


def test_while_there_is_room_every_image_is_shown_and_kept() -> None:
    buffer = ImageBuffer((1, 2, 2), 20)
    came, shown = play(buffer, rounds=5, num=4)
    assert shown == came
    assert numbers(buffer.images[:-1]) == came
    assert buffer.count == 20


def test_when_full_half_of_what_is_shown_is_old() -> None:
    torch.manual_seed(0)
    came, shown = play(ImageBuffer((1, 2, 2), 50), rounds=1000, num=4)
    old = [c != s for c, s in zip(came[50:], shown[50:], strict=True)]
    assert sum(old) / len(old) == pytest.approx(0.5, abs=0.03)
    age = torch.tensor([c - s for c, s in zip(came, shown, strict=True) if c != s]).float()
    assert age.mean() == pytest.approx(100, rel=0.1)  # 50 places, of which one in two images takes one


def test_no_image_is_lost_and_none_is_shown_again() -> None:
    torch.manual_seed(0)
    buffer = ImageBuffer((1, 2, 2), 10)
    came, shown = play(buffer, rounds=200, num=3)
    later = [number for number in shown if number >= 12]  # the first were shown when they came, and may be once more
    assert len(later) == len(set(later))
    assert {number for number in came if number >= 12} == set(later) | {n for n in numbers(buffer.images[:-1]) if n >= 12}


def test_looking_changes_nothing() -> None:
    torch.manual_seed(0)
    buffer = ImageBuffer((1, 2, 2), 10)
    play(buffer, rounds=10, num=3)
    before = {name: value.clone() for name, value in buffer.state_dict().items()}
    buffer.query(images(99, 5))
    assert all(torch.equal(before[name], value) for name, value in buffer.state_dict().items())


def test_a_batch_may_be_larger_than_the_buffer() -> None:
    torch.manual_seed(0)
    buffer = ImageBuffer((1, 2, 2), 3)
    came, shown = play(buffer, rounds=20, num=8)
    assert shown[:8] == came[:8]
    assert shown[8:] != came[8:]
    assert buffer.count == 3
    for _ in range(50):
        shown, place = buffer.query(images(0, 8))
        taken = place[place >= 0].tolist()
        assert len(set(taken)) == len(taken)  # no image of the past is shown twice, no place given twice
        assert shown.shape == (8, 1, 2, 2)


def test_without_room_the_new_are_shown() -> None:
    came, shown = play(ImageBuffer((1, 2, 2), 0), rounds=5, num=3)
    assert shown == came
    with pytest.raises(ValueError, match="a buffer's size must be 0 or more images, got -1"):
        ImageBuffer((1, 2, 2), -1)
