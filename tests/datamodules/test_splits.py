"""What a split promises: disjoint, complete, true to the classes, the same everywhere."""

import pytest
import torch

from datamodules.splits import stratified_split

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
            assert 1 <= num_held_out <= total - 1  # a class is known on both sides


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
