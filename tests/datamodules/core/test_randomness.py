"""Numbers that are a function of what they are for: against another implementation, and against chance."""

import pytest
import torch

from datamodules.core.randomness import uniform

MASK = (1 << 64) - 1
GOLDEN = 0x9E3779B97F4A7C15


def finalise(z: int) -> int:
    """SplitMix64's finaliser, in Python's unbounded integers."""
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 & MASK
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB & MASK
    return z ^ (z >> 31)


def by_hand(position: int, seed: int, epoch: int, draw: int) -> float:
    key = finalise(finalise(seed + GOLDEN & MASK) + epoch + GOLDEN & MASK)
    state = finalise(key + position & MASK) + (draw + 1) * GOLDEN & MASK
    return (finalise(state) >> 40) / 2**24


def sample(num: int, seed: int = 0, epoch: int = 0) -> torch.Tensor:
    return uniform(torch.arange(num), seed=seed, epoch=epoch, num_draws=1)[:, 0].double()


def correlation(a: torch.Tensor, b: torch.Tensor) -> float:
    return torch.corrcoef(torch.stack([a, b]))[0, 1].item()


def test_the_oracle_is_splitmix64() -> None:
    """The published first numbers of the generator seeded with 1234567 (https://rosettacode.org/wiki/Pseudo-random_numbers/Splitmix64)."""
    published = [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431, 16408922859458223821]
    assert [finalise(1234567 + k * GOLDEN & MASK) for k in range(1, 6)] == published


@pytest.mark.parametrize("seed", [0, 1, 42, 2**32 - 1, 2**63 + 5])
@pytest.mark.parametrize("epoch", [0, 1, 999])
def test_equals_the_oracle(seed: int, epoch: int) -> None:
    where = [0, 1, 2, 59_999, 2**40, 2**62]
    expected = torch.tensor([[by_hand(position, seed, epoch, draw) for draw in range(3)] for position in where])
    assert torch.equal(uniform(torch.tensor(where), seed=seed, epoch=epoch, num_draws=3), expected)


def test_a_sample_draws_the_same_in_any_company() -> None:
    position = torch.randperm(1000)
    together = uniform(position, seed=3, epoch=1, num_draws=2)
    alone = torch.cat([uniform(position[i : i + 1], seed=3, epoch=1, num_draws=2) for i in range(1000)])
    assert torch.equal(together, alone)
    assert torch.equal(uniform(position, seed=3, epoch=1, num_draws=5)[:, :2], together)


def test_seed_epoch_and_position_each_matter() -> None:
    draws = torch.cat([sample(50, seed, epoch) for seed in range(10) for epoch in range(10)])
    assert len(draws.unique()) >= len(draws) - 4  # 5,000 of 2^24 values: 0.75 pairs coincide by chance


def test_leaves_the_global_generator_alone() -> None:
    before = torch.get_rng_state()
    sample(10)
    assert torch.equal(torch.get_rng_state(), before)


def test_lies_in_the_half_open_unit_interval() -> None:
    draws = sample(1_000_000)
    assert draws.min() >= 0
    assert draws.max() < 1


@pytest.mark.parametrize(("seed", "epoch"), [(0, 0), (0, 1), (1, 0), (123, 45)])
def test_is_uniform(seed: int, epoch: int) -> None:
    num = 100_000
    draws = sample(num, seed, epoch).sort().values
    place = torch.arange(num + 1, dtype=torch.float64) / num
    distance = torch.maximum(place[1:] - draws, draws - place[:-1]).max().item()
    assert 0.2 < distance * num**0.5 < 1.95  # Kolmogorov-Smirnov, 1 in 1,000 at most; too even is no chance either


def test_is_uniform_over_epochs_for_one_sample() -> None:
    draws = torch.cat([uniform(torch.tensor([77]), seed=0, epoch=epoch, num_draws=1)[0] for epoch in range(2000)])
    counts = torch.histc(draws, bins=20, min=0, max=1)
    assert ((counts - 100) ** 2 / 100).sum() < 44  # chi-square, 19 degrees of freedom, 1 in 1,000


def test_neighbours_know_nothing_of_each_other() -> None:
    num = 100_000
    bound = 4 / num**0.5  # four standard deviations of no correlation at all
    here = sample(num)
    for lag in (1, 2, 3, 128):
        assert abs(correlation(here[:-lag], here[lag:])) < bound
    assert abs(correlation(here, sample(num, seed=1))) < bound
    assert abs(correlation(here, sample(num, epoch=1))) < bound
    draws = uniform(torch.arange(num), seed=0, epoch=0, num_draws=3).double()
    assert abs(correlation(draws[:, 0], draws[:, 1])) < bound
    assert abs(correlation(draws[:-1, 2], draws[1:, 0])) < bound


def test_streams_are_independent_and_the_unnamed_one_is_as_before() -> None:
    num = 100_000
    streams = [uniform(torch.arange(num), seed=0, epoch=0, num_draws=1, stream=name)[:, 0] for name in ("", "mixup", "cutmix")]
    assert torch.equal(streams[0].double(), sample(num))
    for a, b in ((0, 1), (0, 2), (1, 2)):
        assert abs(correlation(streams[a].double(), streams[b].double())) < 4 / num**0.5
    again = uniform(torch.arange(50), seed=0, epoch=0, num_draws=1, stream="mixup")[:, 0]
    assert torch.equal(again, streams[1][:50])
