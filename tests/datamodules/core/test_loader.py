"""The order of samples: who serves which of them, when, and after a restart."""

import json
import random
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from datamodules.core.batch import Batch, SequenceBatch
from datamodules.core.loader import BatchOrder, Loader, SequenceLoader, TensorLoader, WorkerLoader
from zoo.errors import ZooError

X = torch.randn(50, 3, generator=torch.Generator().manual_seed(7))
Y = torch.arange(50) % 4
ROWS = torch.arange(49, 3, -2)  # 23 rows of 50, not sorted
LENGTHS = 1 + torch.randint(30, (1000,), generator=torch.Generator().manual_seed(3)) ** 2 // 20  # 1 to 43, most of them short


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


def sequences(seed: int = 5) -> Loader:
    order = BatchOrder(len(ROWS), 4, shuffle=True, seed=seed, lengths=LENGTHS[ROWS])
    return SequenceLoader(X, torch.full((50,), 3), Y, ROWS, order)


every_loader = pytest.mark.parametrize("make", [tensors, no_workers, two_workers, sequences])


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
    bad = {6: ZooError("six.png holds no picture"), 7: ZooError("seven.png holds no picture")}
    loader = WorkerLoader(Damaged(bad), torch.arange(12), BatchOrder(12, 4), num_workers)
    served = iter(loader)
    assert next(served).position.tolist() == [0, 1, 2, 3]
    with pytest.raises(ValueError, match=r"^six\.png holds no picture$"):
        next(served)


@pytest.mark.parametrize(("num_workers", "message"), [(0, "no such thing"), (2, r"test_loader\.py(.*\n)+.*no such thing")])
@pytest.mark.parametrize("mistake", [TypeError, ValueError])
def test_a_mistake_keeps_its_traceback(mistake: type[Exception], num_workers: int, message: str) -> None:
    """Only errors that were written for a user are shortened."""
    loader = WorkerLoader(Damaged({1: mistake("no such thing")}), torch.arange(4), BatchOrder(4, 4), num_workers)
    with pytest.raises(mistake, match=message) as raised:
        list(loader)
    assert not isinstance(raised.value, ZooError)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_after_a_bad_sample_a_loader_can_be_used_again(num_workers: int) -> None:
    loader = WorkerLoader(Damaged({5: ZooError("bad")}), torch.arange(12), BatchOrder(12, 4), num_workers)
    for _ in range(2):
        with pytest.raises(ValueError, match="bad"):
            list(loader)


def test_after_a_bad_sample_nothing_holds_on_to_the_workers() -> None:
    """Left to the garbage collector, they would be waited for until they time out, ten seconds later."""
    loader = WorkerLoader(Damaged({5: ZooError("bad")}), torch.arange(12), BatchOrder(12, 4), num_workers=2)
    with pytest.raises(ValueError, match="bad"):
        list(loader)
    alive = weakref.ref(loader._loader)
    del loader
    assert alive() is None


def by_length(epoch: int = 0, lengths: torch.Tensor = LENGTHS, batch_size: int = 8, **arguments: Any) -> list[list[int]]:
    """Shuffled batches of sequences of these lengths."""
    order = BatchOrder(len(lengths), batch_size, shuffle=True, lengths=lengths, **arguments)
    order.set_epoch(epoch)
    found = batches(order)
    assert len(found) == len(order)
    return found


def padding(served: list[list[int]]) -> float:
    """The share of steps that only fill up."""
    longest = [int(LENGTHS[batch].max()) * len(batch) for batch in served]
    return 1 - sum(int(LENGTHS[batch].sum()) for batch in served) / sum(longest)


@pytest.mark.parametrize("size", [7, 8, 400, 401, 407, 408, 803, 1000])  # pools of 50 batches of 8 end at 400
def test_sequences_are_all_served_once_however_pools_end(size: int) -> None:
    lengths = LENGTHS[:size]
    all_of_them = [row for batch in by_length(lengths=lengths) for row in batch]
    assert sorted(all_of_them) == list(range(size))
    served = by_length(lengths=lengths, drop_last=True)
    assert [len(batch) for batch in served] == [8] * (size // 8) if size >= 8 else [7]
    rows = [row for batch in served for row in batch]
    assert len(rows) == len(set(rows))


def test_the_short_batch_of_sequences_is_one_batch_of_all() -> None:
    sizes = [len(batch) for batch in by_length(lengths=LENGTHS[:803])]
    assert sorted(sizes) == [3, *[8] * 100]


def test_the_order_of_sequences_is_a_function_of_seed_and_epoch() -> None:
    torch.manual_seed(1)
    first = by_length(epoch=2, seed=3)
    torch.manual_seed(2)
    before = torch.get_rng_state()
    assert by_length(epoch=2, seed=3) == first
    assert torch.equal(torch.get_rng_state(), before)
    for epoch, seed in ((3, 3), (2, 4)):
        other = by_length(epoch=epoch, seed=seed)
        assert other != first
        assert not {tuple(sorted(batch)) for batch in other} & {tuple(sorted(batch)) for batch in first}  # others meet


def test_sequences_of_one_length_share_a_batch() -> None:
    plain = padding(batches(BatchOrder(1000, 8, shuffle=True)))
    assert plain > 0.5
    assert padding(by_length()) < plain / 5
    assert padding(batches(BatchOrder(1000, 8, lengths=LENGTHS))) < plain / 20  # sorted as a whole
    for batch in by_length():
        assert LENGTHS[batch].tolist() == sorted(LENGTHS[batch].tolist())


def test_batches_of_short_and_of_long_sequences_take_turns() -> None:
    """A pool is sorted to share out its samples, not to serve them from short to long."""
    means = torch.tensor([LENGTHS[batch].float().mean() for batch in by_length()])
    late = means[len(means) // 2 :].mean() / means.mean()
    assert 0.75 < late < 1.25
    steps = means.diff()
    assert 0.3 < (steps > 0).float().mean() < 0.7
    firsts = [LENGTHS[by_length(epoch=epoch)[0]].float().mean().item() for epoch in range(40)]
    assert min(firsts) < 3
    assert max(firsts) > 20


def test_what_is_left_out_is_no_longer_than_the_rest() -> None:
    """Sorting before dropping would leave out the longest, and never train on them."""
    lengths = torch.arange(1, 12)
    left_out = torch.zeros(12)
    for epoch in range(600):
        served = {row for batch in by_length(epoch, lengths, batch_size=4, drop_last=True) for row in batch}
        missing = sorted(set(range(11)) - served)
        assert len(missing) == 3
        left_out[missing] += 1
    expected = 600 * 3 / 11
    assert (left_out[:11] - expected).abs().max() < 4 * (expected * 8 / 11) ** 0.5  # standard deviations of a binomial


@pytest.mark.parametrize("served", [0, 1, 60, 124])
def test_sequences_go_on_at_the_very_next_batch(served: int) -> None:
    whole = by_length(epoch=4, seed=2, drop_last=True)
    order = BatchOrder(1000, 8, shuffle=True, lengths=LENGTHS, seed=2, drop_last=True)
    order.epoch, order.start = 4, served
    assert batches(order) == whole[served:]
    assert batches(order) == whole


@pytest.mark.parametrize("world_size", [2, 4])
@pytest.mark.parametrize("drop_last", [True, False])
def test_ranks_share_out_each_batch_of_sequences(world_size: int, drop_last: bool) -> None:
    one = by_length(epoch=1, lengths=LENGTHS[:805], drop_last=drop_last)
    ranks = [
        by_length(epoch=1, lengths=LENGTHS[:805], drop_last=drop_last, rank=rank, world_size=world_size)
        for rank in range(world_size)
    ]
    shares = list(zip(*ranks, strict=True))
    assert [[row for share in batch for row in share] for batch in shares] == one
    assert all(share for batch in shares for share in batch)


@pytest.mark.parametrize("world_size", [1, 2])
def test_evaluation_sorts_by_length_and_serves_its_batches_in_a_fixed_random_order(world_size: int) -> None:
    ranks = [batches(BatchOrder(1000, 8, lengths=LENGTHS, rank=rank, world_size=world_size)) for rank in range(world_size)]
    served = [[row for share in shares for row in share] for shares in zip(*ranks, strict=True)]
    rows = sorted(range(1000), key=lambda row: (int(LENGTHS[row]), row))
    assert sorted(served) == sorted(rows[start : start + 8] for start in range(0, 1000, 8))
    assert served == batches(BatchOrder(1000, 8, lengths=LENGTHS, seed=5))
    first = [row for batch in served[:30] for row in batch]  # limit_val_batches 30
    assert LENGTHS[first].float().mean() == pytest.approx(LENGTHS.float().mean().item(), rel=0.25)
    assert LENGTHS[first].max() > LENGTHS.float().quantile(0.9)


def test_a_batch_of_sequences_is_cut_to_its_longest() -> None:
    lengths = LENGTHS[:50]
    x = torch.arange(1, 51, dtype=torch.int32)[:, None] * 100 + torch.arange(43, dtype=torch.int32)
    x *= torch.arange(43) < lengths[:, None]
    order = BatchOrder(len(ROWS), 5, shuffle=True, lengths=lengths[ROWS])
    positions = []
    for batch in SequenceLoader(x, lengths, Y, ROWS, order):
        assert type(batch) is SequenceBatch
        assert {field.dtype for field in batch} == {torch.int64}  # of tokens that are stored in half of that
        assert batch.x.shape == (len(batch.y), batch.lengths.max())
        for position, length, y, row in zip(batch.position.tolist(), batch.lengths.tolist(), batch.y, batch.x, strict=True):
            assert length == lengths[position]
            assert y == Y[position]
            assert row.tolist() == [(position + 1) * 100 + step for step in range(length)] + [0] * (len(row) - length)
        positions += batch.position.tolist()
    assert sorted(positions) == sorted(ROWS.tolist())


def test_series_stay_as_they_are_and_are_cut_alike() -> None:
    x, lengths = torch.randn(6, 9, 2), torch.tensor([1, 4, 9, 2, 4, 3])
    served = SequenceLoader(x, lengths, Y[:6], torch.arange(6), BatchOrder(6, 3, lengths=lengths))
    first, second = sorted(served, key=lambda batch: int(batch.lengths.max()))
    assert first.position.tolist() == [0, 3, 5]
    assert torch.equal(first.x, x[[0, 3, 5], :3])
    assert torch.equal(second.x, x[[1, 4, 2]])
    assert second.lengths.tolist() == [4, 4, 9]


UNEVEN = torch.tensor([0] * 70 + [2] * 25 + [3] * 5)[torch.randperm(100, generator=torch.Generator().manual_seed(0))]


def served(epoch: int, world_size: int = 1, lengths: torch.Tensor | None = None, drop_last: bool = False) -> list[list[int]]:
    """The batches of an epoch with balanced classes. Several ranks are joined."""
    found = []
    for rank in range(world_size):
        order = BatchOrder(
            *(100, 16),
            shuffle=True,
            drop_last=drop_last,
            seed=3,
            rank=rank,
            world_size=world_size,
            lengths=lengths,
            classes=UNEVEN,
        )
        order.set_epoch(epoch)
        found.append(batches(order))
    return [[row for share in shares for row in share] for shares in zip(*found, strict=True)]


def test_balanced_classes_occur_equally_often_and_an_epoch_keeps_its_length() -> None:
    for epoch in range(5):
        rows = torch.tensor([row for batch in served(epoch) for row in batch])
        assert len(rows) == 100
        assert sorted(torch.bincount(UNEVEN[rows])[[0, 2, 3]].tolist()) == [33, 33, 34]
        times = torch.bincount(rows, minlength=100)
        for number in (0, 2, 3):  # within a class, samples differ by one at most
            low, high = times[number == UNEVEN].aminmax()
            assert high - low <= 1
    assert len(served(0)) == 7
    assert len(served(0, drop_last=True)) == 6


def test_balanced_order_depends_on_seed_and_epoch_alone_and_mixes_the_classes() -> None:
    torch.manual_seed(1)
    first = served(2)
    torch.rand(10)
    assert served(2) == first
    assert served(1) != first
    assert all(len(UNEVEN[batch].unique()) == 3 for batch in first[:-1])
    used = {row for epoch in range(20) for batch in served(epoch) for row in batch}
    assert len(used) == 100  # the samples of the large class take turns


def test_ranks_share_the_balanced_batches_of_one_process() -> None:
    assert served(4, world_size=4, drop_last=True) == served(4, drop_last=True)


def test_balanced_sequences_share_batches_of_similar_length() -> None:
    lengths = LENGTHS[:100]
    plain, by_length = served(0), served(0, lengths=lengths)
    assert sorted(row for batch in by_length for row in batch) == sorted(row for batch in plain for row in batch)
    padding = [sum(int(lengths[batch].max()) * len(batch) for batch in order) for order in (plain, by_length)]
    assert padding[1] < 0.8 * padding[0]


def test_a_balanced_order_goes_on_in_the_middle() -> None:
    order = BatchOrder(100, 16, shuffle=True, seed=3, classes=UNEVEN)
    order.epoch, order.start = 2, 4
    assert batches(order) == served(2)[4:]
