"""Digits: scikit-learn's own images, split once for all seeds."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from datamodules import Digits
from datamodules.core.batch import Batch


@pytest.fixture(scope="module")
def digits() -> Digits:
    data = Digits()
    data.setup()
    return data


def test_pixels_are_scikit_learns(digits: Digits) -> None:
    (x, y, _), _ = digits.splits["train"]
    original = load_digits()
    assert (x.shape, x.dtype, y.dtype) == ((1797, 1, 8, 8), torch.uint8, torch.int64)
    assert np.array_equal((x[:, 0].float() / 255 * 16).round().numpy(), original.images)  # no level of ink is lost
    assert np.array_equal(y.numpy(), original.target)


def test_mean_and_deviation_are_the_datas(digits: Digits) -> None:
    x = digits.splits["train"].arrays.x.double() / 255
    assert x.mean().item() == pytest.approx(digits.mean[0], abs=1e-4)
    assert x.std(correction=0).item() == pytest.approx(digits.std[0], abs=1e-4)


def test_normalised_images_are_standard(digits: Digits) -> None:
    (x, y, _), _ = digits.splits["train"]
    out = digits.transform(Batch(x, y, torch.arange(1797)), 0, False).x
    assert out.mean().item() == pytest.approx(0, abs=1e-3)
    assert out.std(correction=0).item() == pytest.approx(1, abs=1e-3)


def test_splits_are_disjoint_complete_and_stratified(digits: Digits) -> None:
    y = digits.splits["train"].arrays.y
    rows = {name: split.rows for name, split in digits.splits.items()}
    assert sorted(torch.cat(list(rows.values())).tolist()) == list(range(1797))
    for label in range(10):
        total = (y == label).sum().item()
        share = {name: (y[part] == label).sum().item() for name, part in rows.items()}
        assert abs(share["test"] - 0.2 * total) <= 1
        assert abs(share["val"] - 0.1 * (total - share["test"])) <= 1


def test_splits_follow_split_seed_and_not_seed(digits: Digits) -> None:
    other_seed, other_split = Digits(seed=11), Digits(split_seed=11)
    for data in (other_seed, other_split):
        data.setup()
    for name in ("train", "val", "test"):
        assert torch.equal(other_seed.splits[name].rows, digits.splits[name].rows)
        assert not torch.equal(other_split.splits[name].rows, digits.splits[name].rows)


def test_seed_decides_order_and_augmentation() -> None:
    def first_batch(seed: int) -> tuple[list[int], torch.Tensor]:
        data = Digits(seed=seed, shift=1)
        data.setup()
        batch = next(iter(data.train_dataloader()))
        same = data.splits["train"].rows[:64]
        x = data.splits["train"].arrays.x[same]
        return batch.position.tolist(), data.transform(batch._replace(x=x, position=same), 0, True).x

    (order, x), (order_again, x_again), (other_order, other_x) = first_batch(1), first_batch(1), first_batch(2)
    assert order == order_again
    assert torch.equal(x, x_again)
    assert order != other_order
    assert not torch.equal(x, other_x)


def test_knows_what_it_is_before_it_loads() -> None:
    data = Digits()
    assert (data.input_shape, data.num_classes, data.class_names) == ((1, 8, 8), 10, tuple("0123456789"))
    assert data.splits == {}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"batch_size": 0}, "batch_size must be at least 1, got 0"),
        ({"shift": -2}, "shift must be 0 or more pixels, got -2"),
    ],
)
def test_refuses_at_construction(arguments: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Digits(**arguments)


def test_refuses_a_fraction_that_is_none() -> None:
    with pytest.raises(ValueError, match=r"between 0 and 1, got 1.0"):
        Digits(val_fraction=1.0).setup()
