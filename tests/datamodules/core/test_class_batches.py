"""Batches by class: their composition, what an epoch covers, and who serves what."""

from typing import Any

import pytest
import torch
from torch import Tensor

from datamodules import Digits
from datamodules.core.class_batches import ClassBatches, take_turns
from datamodules.core.loader import TensorLoader

EQUAL = torch.arange(240) % 12  # 12 classes of 20
UNEQUAL = torch.cat([torch.full((size,), label) for label, size in ((2, 4), (3, 9), (5, 50), (7, 37))])


def epoch(order: ClassBatches, number: int = 0) -> list[Tensor]:
    order.set_epoch(number)
    return list(order)


@pytest.mark.parametrize(
    ("classes", "p", "k"), [(EQUAL, 12, 20), (EQUAL, 5, 3), (EQUAL, 2, 2), (UNEQUAL, 4, 4), (UNEQUAL, 3, 2)]
)
def test_a_batch_holds_p_classes_with_k_different_samples_each(classes: Tensor, p: int, k: int) -> None:
    for number in range(3):
        batches = epoch(ClassBatches(classes, p, k, seed=3), number)
        assert len(batches) == len(classes) // (p * k)
        for rows in batches:
            assert len(set(rows.tolist())) == p * k
            labels, counts = classes[rows].unique(return_counts=True)
            assert len(labels) == p
            assert (counts == k).all()
            assert (classes[rows].view(p, k) == classes[rows].view(p, k)[:, :1]).all()  # class by class


def test_an_epoch_covers_classes_of_equal_size_completely() -> None:
    rows = torch.cat(epoch(ClassBatches(EQUAL, 4, 5, seed=1)))
    assert rows.sort().values.equal(torch.arange(240))


def test_classes_and_samples_take_turns() -> None:
    counts = torch.bincount(torch.cat(epoch(ClassBatches(UNEQUAL, 2, 4, seed=1))), minlength=100)
    served = torch.stack([counts[label == UNEQUAL].sum() for label in (2, 3, 5, 7)])
    assert served.max() - served.min() <= 4  # one turn of 4 samples
    for label in (2, 3, 5, 7):
        assert counts[label == UNEQUAL].max() - counts[label == UNEQUAL].min() <= 1


def test_a_large_class_shows_other_samples_in_the_next_epoch() -> None:
    order = ClassBatches(UNEQUAL, 2, 2, seed=1)
    large = (UNEQUAL == 5).nonzero()[:, 0].tolist()
    shown = [set(torch.cat(epoch(order, number)).tolist()) & set(large) for number in range(12)]
    assert shown[0] != shown[1]
    assert set.union(*shown) == set(large)


@pytest.mark.parametrize(("num_items", "size", "num_groups"), [(5, 5, 4), (7, 3, 10), (4, 2, 0), (6, 4, 1), (9, 2, 40)])
def test_turns_are_groups_of_different_items_that_occur_equally_often(num_items: int, size: int, num_groups: int) -> None:
    groups = take_turns(num_items, size, num_groups, torch.Generator().manual_seed(0))
    assert groups.shape == (num_groups, size)
    assert all(len(set(group)) == size for group in groups.tolist())
    counts = torch.bincount(groups.flatten(), minlength=num_items)
    assert counts.max() - counts.min() <= 1


def test_the_order_is_a_function_of_seed_and_epoch() -> None:
    def rows(seed: int, number: int, **arguments: Any) -> Tensor:
        torch.rand(number + 1)  # the global generator does not matter
        return torch.cat(epoch(ClassBatches(EQUAL, 4, 5, seed=seed, **arguments), number))

    assert rows(1, 2).equal(rows(1, 2))
    assert not rows(1, 2).equal(rows(1, 3))
    assert not rows(1, 2).equal(rows(2, 2))
    assert rows(1, 2, shuffle=False).equal(rows(1, 3, shuffle=False))  # overfit_batches


def test_two_ranks_share_the_classes_of_each_batch() -> None:
    alone = epoch(ClassBatches(EQUAL, 6, 4, seed=5), 1)
    ranks = [epoch(ClassBatches(EQUAL, 6, 4, seed=5, rank=rank, world_size=2), 1) for rank in (0, 1)]
    for batch, first, second in zip(alone, *ranks, strict=True):
        assert torch.cat([first, second]).equal(batch)
        assert not set(EQUAL[first].tolist()) & set(EQUAL[second].tolist())
        assert EQUAL[first].unique(return_counts=True)[1].tolist() == [4, 4, 4]


def test_a_restarted_epoch_continues_where_it_was() -> None:
    def loader() -> TensorLoader:
        return TensorLoader(EQUAL, EQUAL, torch.arange(240), ClassBatches(EQUAL, 4, 5, seed=5))

    first = loader()
    first.sampler.set_epoch(2)
    iterator = iter(first)
    served = [next(iterator).position for _ in range(3)]
    state = first.state_dict()
    rest = [batch.position for batch in iterator]
    again = loader()
    again.load_state_dict(state)
    assert len(served) + len(rest) == 12
    assert torch.cat([batch.position for batch in again]).equal(torch.cat(rest))


@pytest.mark.parametrize(
    ("p", "k", "ranks", "message"),
    [
        (13, 2, 1, "classes_per_batch must be at most 12, the number of classes, got 13"),
        (4, 21, 1, "samples_per_class must be at most 20, the training samples of class 0, got 21: lower it, or add samples"),
        (5, 2, 2, "each needs 2: expected a multiple of 2 from 4 on, got 5"),
        (2, 2, 2, "each needs 2: expected a multiple of 2 from 4 on, got 2"),
    ],
)
def test_refuses_what_cannot_be_served(p: int, k: int, ranks: int, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        ClassBatches(EQUAL, p, k, world_size=ranks)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"classes_per_batch": 4}, "classes_per_batch is 4 and samples_per_class is None: set both, or neither"),
        ({"samples_per_class": 4}, "classes_per_batch is None and samples_per_class is 4: set both, or neither"),
        ({"classes_per_batch": 1, "samples_per_class": 4}, "classes_per_batch must be at least 2, .*, got 1"),
        ({"classes_per_batch": 4, "samples_per_class": 1}, "samples_per_class must be at least 2, .*, got 1"),
    ],
)
def test_a_datamodule_refuses_batches_without_pairs(arguments: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Digits(**arguments)


def test_a_datamodule_composes_training_batches_only() -> None:
    data = Digits(batch_size=50, classes_per_batch=4, samples_per_class=3)
    data.setup()
    batch = next(iter(data.train_dataloader()))
    assert batch.y.unique(return_counts=True)[1].tolist() == [3] * 4
    assert data.num_train_batches == len(data.splits["train"].rows) // 12
    assert data.class_counts("train").tolist() == pytest.approx([len(data.splits["train"].rows) / 10] * 10)
    assert len(next(iter(data.val_dataloader())).y) == 50
    with data.training_part_in_order() as name:
        assert torch.cat([batch.position for batch in data.loader(name)]).equal(data.splits["train"].rows)
    assert data.state_dict()["order"]["classes_per_batch"] == 4
