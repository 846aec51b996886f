"""The order of samples: who serves which of them, when, and after a restart."""

import json
import random
import weakref
from collections.abc import Callable

import numpy as np
import pytest
import torch

from datamodules.batch import Batch
from datamodules.loader import BatchOrder, Loader, TensorLoader, WorkerLoader

X = torch.randn(50, 3, generator=torch.Generator().manual_seed(7))
Y = torch.arange(50) % 4
ROWS = torch.arange(49, 3, -2)  # 23 rows of 50, not sorted


class Stored:
    """Samples that stand in memory."""

    def read(self, epoch: int, position: int) -> Batch:
        return Batch(X[position], Y[position], torch.tensor(position))


class Stamped:
    """Samples that show what they were asked for."""

    def read(self, epoch: int, position: int) -> Batch:
        return Batch(torch.tensor([epoch * 1000.0 + position]), torch.tensor(0), torch.tensor(position))


class Damaged:
    """Samples of which some cannot be read, or hide a mistake in the code."""

    def __init__(self, bad: dict[int, Exception]) -> None:
        self.bad = bad

    def read(self, epoch: int, position: int) -> Batch:
        if position in self.bad:
            raise self.bad[position]
        return Stored().read(epoch, position)


def batches(order: BatchOrder) -> list[list[int]]:
    return [rows.tolist() for rows in order]


def shuffled(seed: int, epoch: int, size: int = 100) -> list[int]:
    order = BatchOrder(size, size, shuffle=True, seed=seed)
    order.set_epoch(epoch)
    return batches(order)[0]


def tensors(seed: int = 5) -> Loader:
    return TensorLoader(X, Y, ROWS, BatchOrder(len(ROWS), 4, shuffle=True, seed=seed))


def no_workers(seed: int = 5) -> Loader:
    return WorkerLoader(Stored(), ROWS, BatchOrder(len(ROWS), 4, shuffle=True, seed=seed))


def two_workers(seed: int = 5) -> Loader:
    return WorkerLoader(Stored(), ROWS, BatchOrder(len(ROWS), 4, shuffle=True, seed=seed), num_workers=2)


every_loader = pytest.mark.parametrize("make", [tensors, no_workers, two_workers])


def positions(loader: Loader) -> list[list[int]]:
    return [batch.position.tolist() for batch in loader]


def test_order_is_a_permutation_that_seed_and_epoch_alone_decide() -> None:
    torch.manual_seed(1)
    first = shuffled(seed=3, epoch=2)
    torch.manual_seed(2)
    torch.rand(10)
    assert shuffled(seed=3, epoch=2) == first
    assert sorted(first) == list(range(100))
    orders = {tuple(shuffled(seed, epoch)) for seed in range(6) for epoch in range(6)}
    assert len(orders) == 36  # among them (0, 1) and (1, 0)


def test_every_sample_is_as_likely_in_every_place() -> None:
    counts = torch.zeros(8, 8)
    for epoch in range(800):
        counts[range(8), shuffled(seed=0, epoch=epoch, size=8)] += 1
    chi_square = ((counts - 100) ** 2 / 100).sum()
    assert 20 < chi_square < 90  # 49 degrees of freedom: 49 +/- 10


def test_without_shuffling_the_order_is_the_rows_own() -> None:
    assert batches(BatchOrder(5, 2)) == [[0, 1], [2, 3], [4]]


@pytest.mark.parametrize(
    ("size", "batch_size", "world_size", "drop_last", "lengths"),
    [
        (10, 4, 1, False, [4, 4, 2]),
        (10, 4, 1, True, [4, 4]),
        (8, 4, 1, True, [4, 4]),
        (3, 4, 1, True, [3]),  # the only batch stays, short
        (3, 4, 2, True, [2]),  # in equal shares
        (9, 4, 1, False, [4, 4, 1]),
        (9, 4, 2, False, [4, 5]),  # one sample for two ranks: it joins the batch before
        (11, 4, 4, False, [4, 7]),
        (12, 4, 4, False, [4, 4, 4]),
        (5, 8, 4, False, [5]),
    ],
)
def test_batch_lengths(size: int, batch_size: int, world_size: int, drop_last: bool, lengths: list[int]) -> None:
    ranks = [BatchOrder(size, batch_size, drop_last=drop_last, rank=rank, world_size=world_size) for rank in range(world_size)]
    assert [len(order) for order in ranks] == [len(lengths)] * world_size
    assert [sum(map(len, shares)) for shares in zip(*map(batches, ranks), strict=True)] == lengths


@pytest.mark.parametrize("world_size", [1, 2, 3, 4])
@pytest.mark.parametrize("per_rank", [1, 2, 5])
def test_evaluation_serves_every_sample_once_and_leaves_no_rank_empty(world_size: int, per_rank: int) -> None:
    for size in range(world_size, 45):
        orders = [BatchOrder(size, per_rank * world_size, rank=rank, world_size=world_size) for rank in range(world_size)]
        ranks = list(map(batches, orders))
        served = [sample for shares in zip(*ranks, strict=True) for share in shares for sample in share]
        assert served == list(range(size))  # all, once, and rank r holds the r-th slice
        assert all(share for rank in ranks for share in rank)


@pytest.mark.parametrize("world_size", [2, 4])
def test_ranks_share_out_the_batches_of_one_process(world_size: int) -> None:
    one, *ranks = (
        BatchOrder(70, 8, shuffle=True, drop_last=True, seed=9, rank=rank, world_size=world)
        for rank, world in [(0, 1), *((rank, world_size) for rank in range(world_size))]
    )
    for order in (one, *ranks):
        order.set_epoch(4)
    shares = list(zip(*map(batches, ranks), strict=True))
    assert [[sample for share in batch for sample in share] for batch in shares] == batches(one)
    assert {len(share) for batch in shares for share in batch} == {8 // world_size}


def test_dropping_the_last_batch_leaves_out_other_samples_each_epoch() -> None:
    order = BatchOrder(10, 4, shuffle=True, drop_last=True)
    left_out = set()
    for epoch in range(20):
        order.set_epoch(epoch)
        left_out |= set(range(10)) - {sample for batch in batches(order) for sample in batch}
    assert left_out == set(range(10))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"size": 0, "batch_size": 4}, r"cannot serve 0 samples to 1 process"),
        ({"size": 3, "batch_size": 4, "world_size": 4}, r"cannot serve 3 samples to 4 process"),
        ({"size": 9, "batch_size": 0}, "positive multiple of 1, got 0"),
        ({"size": 9, "batch_size": 6, "world_size": 4}, "positive multiple of 4, got 6"),
    ],
)
def test_refuses_what_it_cannot_serve(arguments: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        BatchOrder(**arguments)


@every_loader
def test_a_loader_serves_the_rows_own_samples(make: Callable[[], Loader]) -> None:
    loader = make()
    served = list(loader)
    assert len(served) == len(loader) == 6
    assert sorted(torch.cat([batch.position for batch in served]).tolist()) == sorted(ROWS.tolist())
    for batch in served:
        assert torch.equal(batch.x, X[batch.position])
        assert torch.equal(batch.y, Y[batch.position])
        assert (batch.y.dtype, batch.position.dtype) == (torch.int64, torch.int64)


@pytest.mark.parametrize("make", [no_workers, two_workers])
def test_workers_serve_what_memory_serves(make: Callable[[], Loader]) -> None:
    here, there = tensors(), make()
    for epoch in (0, 1, 5):
        here.sampler.set_epoch(epoch)
        there.sampler.set_epoch(epoch)
        for expected, batch in zip(here, there, strict=True):
            assert type(batch) is Batch
            assert all(map(torch.equal, batch, expected))


def test_workers_that_live_on_learn_of_the_epoch() -> None:
    order = BatchOrder(8, 4, shuffle=True)
    loader = WorkerLoader(Stamped(), torch.arange(8), order, num_workers=2)
    for epoch in (0, 3):
        order.set_epoch(epoch)
        for batch in loader:
            assert torch.equal(batch.x[:, 0], epoch * 1000.0 + batch.position)


@every_loader
def test_iterating_leaves_every_global_generator_alone(make: Callable[[], Loader]) -> None:
    loader = make()
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()
    positions(loader)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (random.getstate(), np.random.get_state()[1].tolist()) == before[1:]


@every_loader
@pytest.mark.parametrize("served", [1, 4, 6])
def test_resuming_serves_exactly_the_remaining_batches(make: Callable[[], Loader], served: int) -> None:
    loader = make()
    loader.sampler.set_epoch(2)
    whole = positions(loader)
    for number, _ in enumerate(loader, start=1):
        if number == served:
            state = json.loads(json.dumps(loader.state_dict()))  # plain numbers: any checkpoint can carry them
            break
    resumed = make()
    resumed.load_state_dict(state)
    resumed.sampler.set_epoch(2)  # as Lightning does before an epoch it goes on with
    assert positions(resumed) == whole[served:]
    assert positions(resumed) == whole  # the place is used up


@every_loader
def test_a_place_survives_being_saved_again(make: Callable[[], Loader]) -> None:
    whole = positions(make())
    state = {"epoch": 0, "batch": 0}
    for taken in (2, 1):
        loader = make()
        loader.load_state_dict(state)
        assert loader.state_dict() == state  # also before the first batch
        batches = iter(loader)
        for _ in range(taken):
            next(batches)
        state = loader.state_dict()
    assert state == {"epoch": 0, "batch": 3}
    last = make()
    last.load_state_dict(state)
    assert positions(last) == whole[3:]


@every_loader
def test_another_epoch_forgets_the_place(make: Callable[[], Loader]) -> None:
    fresh, resumed = make(), make()
    resumed.load_state_dict({"epoch": 0, "batch": 4})
    for loader in (fresh, resumed):
        loader.sampler.set_epoch(1)
    assert resumed.state_dict() == {"epoch": 1, "batch": 0}
    assert positions(resumed) == positions(fresh)


@every_loader
def test_between_two_epochs_nothing_of_the_next_is_served(make: Callable[[], Loader]) -> None:
    loader = make()
    positions(loader)
    assert loader.state_dict() == {"epoch": 0, "batch": 6}
    loader.sampler.set_epoch(1)
    assert loader.state_dict() == {"epoch": 1, "batch": 0}


@every_loader
def test_a_pass_cut_short_does_not_shorten_the_next(make: Callable[[], Loader]) -> None:
    loader = make()
    whole = positions(loader)
    next(iter(loader))
    assert positions(loader) == whole


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_sample_that_cannot_be_read_is_named_in_one_line(num_workers: int) -> None:
    bad = {6: ValueError("six.png holds no picture"), 7: ValueError("seven.png holds no picture")}
    loader = WorkerLoader(Damaged(bad), torch.arange(12), BatchOrder(12, 4), num_workers)
    served = iter(loader)
    assert next(served).position.tolist() == [0, 1, 2, 3]
    with pytest.raises(ValueError, match=r"^six\.png holds no picture$"):
        next(served)


@pytest.mark.parametrize(("num_workers", "message"), [(0, "no such thing"), (2, r"test_loader\.py(.*\n)+.*no such thing")])
def test_a_mistake_keeps_its_traceback(num_workers: int, message: str) -> None:
    """Only what is said of the data is shortened."""
    loader = WorkerLoader(Damaged({1: TypeError("no such thing")}), torch.arange(4), BatchOrder(4, 4), num_workers)
    with pytest.raises(TypeError, match=message):
        list(loader)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_after_a_bad_sample_a_loader_can_be_used_again(num_workers: int) -> None:
    loader = WorkerLoader(Damaged({5: ValueError("bad")}), torch.arange(12), BatchOrder(12, 4), num_workers)
    for _ in range(2):
        with pytest.raises(ValueError, match="bad"):
            list(loader)


def test_after_a_bad_sample_nothing_holds_on_to_the_workers() -> None:
    """Left to the garbage collector, they would be waited for until they time out, ten seconds later."""
    loader = WorkerLoader(Damaged({5: ValueError("bad")}), torch.arange(12), BatchOrder(12, 4), num_workers=2)
    with pytest.raises(ValueError, match="bad"):
        list(loader)
    alive = weakref.ref(loader._loader)
    del loader
    assert alive() is None
