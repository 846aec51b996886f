"""What a split promises: disjoint, complete, true to the classes, the same everywhere."""

from itertools import pairwise

import pytest
import torch

from datamodules.core.splits import (
    check_shares,
    hold_out,
    numbered,
    stratified_sample,
    stratified_split,
    without_lone_validation,
)

LABELS = torch.tensor([0] * 40 + [1] * 7 + [2] * 2 + [3] + [5] * 50)[
    torch.randperm(100, generator=torch.Generator().manual_seed(0))
]


@pytest.mark.parametrize("fraction", [0.01, 0.1, 0.2, 0.5, 0.75, 0.99])
def test_disjoint_complete_and_within_one_sample_of_each_class_share(fraction: float) -> None:
    rest, held_out = stratified_split(LABELS, fraction, seed=0)
    assert torch.equal(torch.cat([rest, held_out]).sort().values, torch.arange(100))
    assert torch.equal(rest, rest.sort().values)
    assert torch.equal(held_out, held_out.sort().values)
    for label, total in [(0, 40), (1, 7), (2, 2), (3, 1), (5, 50)]:
        num_held_out = (LABELS[held_out] == label).sum().item()
        assert abs(num_held_out - total * fraction) <= 1
        if total > 1:
            assert num_held_out <= total - 1  # training knows each class
            assert num_held_out >= (round(total * fraction) > 0)
    assert len(held_out) == pytest.approx(100 * fraction, abs=3)


@pytest.mark.parametrize(("num_classes", "size"), [(500, 2), (100, 4), (300, 3)])
@pytest.mark.parametrize("fraction", [0.02, 0.1])
def test_small_classes_give_the_fraction_together(num_classes: int, size: int, fraction: float) -> None:
    """One sample of each class would be a half, a quarter or a third of the data."""
    y = torch.arange(num_classes * size) % num_classes
    rest, held_out = stratified_split(y, fraction, seed=0)
    assert len(held_out) == round(num_classes * size * fraction)
    assert torch.bincount(y[held_out]).max() == 1
    assert torch.bincount(y[rest], minlength=num_classes).min() >= size - 1
    assert not torch.equal(held_out, stratified_split(y, fraction, seed=1)[1])


def test_small_classes_beside_large_ones() -> None:
    y = torch.tensor([0] * 100 + [i // 2 for i in range(2, 202)])  # 100 classes of two beside one of a hundred
    _, held_out = stratified_split(y, 0.1, seed=0)
    assert (y[held_out] == 0).sum() == 10
    assert len(held_out) == 30


def test_of_the_smallest_set_one_sample_is_held_out() -> None:
    _, held_out = stratified_split(torch.tensor([0, 0, 1, 1]), 0.1, seed=0)
    assert len(held_out) == 1


def test_groups_stay_on_one_side() -> None:
    groups = torch.tensor([row % 40 for row in range(100)])  # some of three rows, some of two
    y = groups % 2
    rest, held_out = stratified_split(y, 0.25, seed=0, groups=groups)
    assert torch.equal(torch.cat([rest, held_out]).sort().values, torch.arange(100))
    assert not set(groups[rest].tolist()) & set(groups[held_out].tolist())
    assert len(groups[held_out].unique()) == 10
    assert (groups[held_out].unique() % 2).sum() == 5  # of groups, a quarter of each class


def test_groups_of_one_change_nothing() -> None:
    numbers = torch.arange(100)
    for alone, grouped in zip(stratified_split(LABELS, 0.3, 4), stratified_split(LABELS, 0.3, 4, numbers), strict=True):
        assert torch.equal(alone, grouped)


def test_equal_values_have_equal_numbers() -> None:
    assert numbered([("b", 0), ("a", 0), ("b", 0), ("b", 1)]).tolist() == [0, 1, 0, 2]
    assert numbered([]).dtype == torch.int64


def test_groups_are_held_out_one_part_after_the_other() -> None:
    y, groups = torch.zeros(90).long(), numbered(row % 30 for row in range(90))
    complete = hold_out(y, {"train": torch.arange(5, 90)}, {"test": 0.2, "val": 0.1}, seed=3, groups=groups)
    sides = [set(groups[rows].tolist()) for rows in complete.values()]
    assert sum(map(len, sides)) == len(set.union(*sides)) == 30
    assert sorted(map(len, sides)) == [2, 6, 22]


def test_a_seed_decides_and_nothing_else() -> None:
    torch.manual_seed(1)
    _, first = stratified_split(LABELS, 0.3, seed=4)
    torch.manual_seed(2)
    before = torch.get_rng_state()
    _, again = stratified_split(LABELS, 0.3, seed=4)
    assert torch.equal(first, again)
    assert torch.equal(torch.get_rng_state(), before)
    assert not torch.equal(first, stratified_split(LABELS, 0.3, seed=5)[1])


def test_every_row_is_as_likely_held_out() -> None:
    y = torch.tensor([0, 1] * 10)
    counts = torch.zeros(20)
    for seed in range(500):
        counts[stratified_split(y, 0.3, seed)[1]] += 1
    assert counts.sum() == 500 * 6
    assert (counts - 150).abs().max() < 42  # 4 standard deviations of Binomial(500, 0.3)


def test_targets_without_classes_are_split_at_random() -> None:
    y = torch.linspace(0, 1, 50)[:, None]
    rest, held_out = stratified_split(y, 0.2, seed=0)
    assert len(held_out) == 10
    assert torch.equal(torch.cat([rest, held_out]).sort().values, torch.arange(50))
    assert held_out.tolist() != list(range(10))


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.1, 1.5, float("nan")])
def test_refuses_a_fraction_that_is_none(fraction: float) -> None:
    with pytest.raises(ValueError, match=f"between 0 and 1, got {fraction}"):
        stratified_split(LABELS, fraction, seed=0)


@pytest.mark.parametrize("y", [torch.tensor([7]), torch.tensor([1, 2, 3]), torch.empty(0, dtype=torch.long)])
def test_refuses_to_leave_a_side_empty(y: torch.Tensor) -> None:
    with pytest.raises(ValueError, match=rf"cannot hold out 10% of {len(y)} samples: one side would be empty"):
        stratified_split(y, 0.1, seed=0)


def test_parts_that_are_missing_are_held_out_one_after_the_other() -> None:
    y = torch.arange(100) % 2
    parts = {"train": torch.arange(100)}
    complete = hold_out(y, parts, {"test": 0.2, "val": 0.1}, seed=3)
    assert {part: len(rows) for part, rows in complete.items()} == {"train": 72, "test": 20, "val": 8}  # a tenth of 80
    assert torch.equal(torch.cat(list(complete.values())).sort().values, torch.arange(100))
    assert [int(y[rows].sum()) for rows in complete.values()] == [36, 10, 4]
    rest, test = stratified_split(y, 0.2, seed=3)
    assert torch.equal(complete["test"], test)
    assert torch.equal(complete["val"], rest[stratified_split(y[rest], 0.1, seed=3)[1]])
    assert parts.keys() == {"train"}  # the caller's own stay as they are


def test_only_training_rows_are_held_out_and_parts_that_exist_stay() -> None:
    y = torch.arange(60) % 3
    parts = {"train": torch.arange(30, 60), "val": torch.arange(0, 20)}
    complete = hold_out(y, parts, {"test": 0.2, "val": 0.5}, seed=0)
    assert torch.equal(complete["val"], parts["val"])
    assert len(complete["test"]) == 6
    assert torch.equal(torch.cat([complete["train"], complete["test"]]).sort().values, parts["train"])
    whole = {**parts, "test": torch.arange(20, 30)}
    assert hold_out(y, whole, {"test": 0.2, "val": 0.5}, seed=0) == whole


def test_without_a_training_part_nothing_is_held_out() -> None:
    parts = {"test": torch.arange(5)}
    assert hold_out(torch.zeros(5).long(), parts, {"test": 0.2, "val": 0.1}, seed=0) == parts


def test_a_class_needs_a_sample_for_every_part() -> None:
    y, names = torch.tensor([0] * 5 + [1] * 2), ("many", "few", "none")
    check_shares(y, names, ["val"])
    check_shares(y, names, [])
    with pytest.raises(ValueError, match="the class few has 2 samples, too few for training and test and val"):
        check_shares(y, names, ["test", "val"])
    check_shares(y, names, ["val"], groups=torch.arange(7))
    with pytest.raises(ValueError, match="the class few has 1 different sample, too few for training and val"):
        check_shares(y, names, ["val"], groups=torch.tensor([0, 1, 2, 3, 4, 5, 5]))


def test_too_little_to_hold_out_is_refused() -> None:
    with pytest.raises(ValueError, match=r"cannot hold out 10% of 1 samples: one side would be empty"):
        hold_out(torch.tensor([0, 1]), {"train": torch.tensor([0]), "test": torch.tensor([1])}, {"val": 0.1}, seed=0)


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ({"train": 1, "val": 2}, {"train": 1, "test": 2}),
        ({"val": 2, "train": 1}, {"train": 1, "test": 2}),
        ({"train": 1, "test": 3}, {"train": 1, "test": 3}),
        ({"train": 1, "val": 2, "test": 3}, {"train": 1, "val": 2, "test": 3}),
        ({"train": 1}, {"train": 1}),
        ({"val": 2}, {"val": 2}),
    ],
)
def test_a_lone_validation_part_is_the_test(parts: dict[str, int], expected: dict[str, int]) -> None:
    before = dict(parts)
    assert without_lone_validation(parts) == expected
    assert parts == before


@pytest.mark.parametrize("num", [5, 6, 17, 50, 63, 99, 100])
def test_a_sample_has_exactly_its_size_and_each_class_its_share(num: int) -> None:
    rows = stratified_sample(LABELS, num, seed=0)
    assert len(rows) == len(set(rows.tolist())) == num
    assert torch.equal(rows, rows.sort().values)
    for label, total in [(0, 40), (1, 7), (2, 2), (3, 1), (5, 50)]:
        taken = (LABELS[rows] == label).sum().item()
        assert 1 <= taken <= total
        if num >= 17:
            assert abs(taken - total * num / 100) < 1


def test_of_a_tiny_sample_the_large_classes_give_way() -> None:
    y = torch.tensor([0] * 97 + [1, 2, 3])
    assert y[stratified_sample(y, 4, seed=0)].tolist() == [0, 1, 2, 3]
    assert y[stratified_sample(y, 6, seed=0)].tolist() == [0, 0, 0, 1, 2, 3]


def test_a_smaller_sample_is_part_of_a_larger_one() -> None:
    """So that scores over the number of samples compare: more is more of the same."""
    y = torch.arange(200) % 2
    samples = [set(stratified_sample(y, num, seed=4).tolist()) for num in (2, 10, 50, 200)]
    assert all(smaller < larger for smaller, larger in pairwise(samples))
    assert samples[1] != set(stratified_sample(y, 10, seed=5).tolist())


def test_every_row_is_as_likely_sampled() -> None:
    y, counts = torch.tensor([0, 1] * 10), torch.zeros(20)
    for seed in range(500):
        counts[stratified_sample(y, 6, seed)] += 1
    assert counts.sum() == 500 * 6
    assert (counts - 150).abs().max() < 42  # 4 standard deviations of Binomial(500, 0.3)


@pytest.mark.parametrize("num", [0, 4, 101, -3])
def test_refuses_a_sample_that_cannot_be(num: int) -> None:
    with pytest.raises(ValueError, match=rf"shots must lie in 5\.\.100, from one sample per class to all there are, got {num}"):
        stratified_sample(LABELS, num, seed=0, name="shots")
