"""The adding problem: two marks, their sum, and the error of knowing nothing."""

import pytest
import torch

from datamodules import Adding


def ready(**arguments: int) -> Adding:
    data = Adding(**{"length": 20, "num_samples": 500, "num_test": 300, **arguments})
    data.setup()
    return data


@pytest.mark.parametrize("length", [2, 7, 20])
def test_one_mark_in_each_half_and_their_sum(length: int) -> None:
    data = ready(length=length)
    for x, y, lengths in (data.splits["train"].arrays, data.splits["test"].arrays):
        numbers, marks = x.unbind(2)
        assert ((marks == 0) | (marks == 1)).all()
        assert (marks[:, : length // 2].sum(1) == 1).all()
        assert (marks[:, length // 2 :].sum(1) == 1).all()
        assert marks.any(0).all()  # every step is marked in some series
        torch.testing.assert_close(y, (numbers * marks).sum(1, keepdim=True))
        assert numbers.min() >= 0
        assert numbers.max() < 1
        assert lengths is not None
        assert (lengths == length).all()


def test_always_saying_one_is_wrong_by_a_sixth() -> None:
    y = ready(num_test=100_000).splits["test"].arrays.y
    assert (y - 1).square().mean().item() == pytest.approx(1 / 6, abs=0.003)  # 5 standard errors
    assert y.mean().item() == pytest.approx(1, abs=0.007)  # and no other constant does better


def test_series_follow_split_seed_and_not_seed() -> None:
    data, same, other = ready(), ready(seed=5), ready(split_seed=1)
    for name in ("train", "val", "test"):
        assert torch.equal(data.splits[name].arrays.x, same.splits[name].arrays.x)
        assert not torch.equal(data.splits[name].arrays.x, other.splits[name].arrays.x)
    train, test = data.splits["train"].arrays.x, data.splits["test"].arrays.x
    assert not (train[:, None, :, 0] == test[None, :, :, 0]).all(2).any()
    assert not torch.equal(other.splits["test"].arrays.x[0], train[0])  # nor is one's test part another's training part


def test_batches_reach_the_model_as_they_are() -> None:
    data = ready(batch_size=50)
    assert (data.input_shape, data.num_targets, data.num_classes) == ((20, 2), 1, None)
    assert {name: len(split.rows) for name, split in data.splits.items()} == {"train": 450, "val": 50, "test": 300}
    batch = next(iter(data.train_dataloader()))
    assert data.transform(batch, 0, True) is batch
    assert (batch.x.shape, batch.y.shape, batch.x.dtype) == ((50, 20, 2), (50, 1), torch.float32)
    for name in ("mean", "std", "target_mean", "target_std"):  # errors are in the task's own units
        assert getattr(data, name, None) is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"length": 1}, "length must be at least 2 steps, one for each mark, got 1"),
        ({"num_samples": 1}, "expected at least 2 samples and 1 to test on, got 1 and 10000"),
        ({"num_test": 0}, "expected at least 2 samples and 1 to test on, got 50000 and 0"),
    ],
)
def test_refuses_what_cannot_be(arguments: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Adding(**arguments)
