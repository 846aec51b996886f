"""What padding does to a bidirectional LSTM's answers and to its speed, with packing and without.

python recipes/claims/packing.py [--full]        half a minute on one CPU core; --full about two

(a) The largest change of any logit when sequences of several lengths are filled up by 0 to 200 more steps. (b) The accuracy of a
small trained classifier under such padding: one of two words stands somewhere in each sentence, and says its class. (c)
Real tokens per second, forward and backward, of batches made in several ways, one after another in turn, as medians. The
control is the same network without lengths (`lengths=None`), which reads padding as if it were text, as many examples do.
Lengths are those of SST-2's sentences where `ZOO_DATA` has them, else log-normal.

Shapes: B batch, T steps, N sentences.
"""

import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from itertools import islice
from typing import NamedTuple

import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from torch import Tensor

from datamodules.loader import BatchOrder
from datamodules.sources import mirrored
from zoo.cli.claims import Claim, Row, main
from zoo.rnn.rnn import RNNNet

CLAIM = (
    "Padding without packing changes the answer; packing does not (1e-6 at most), and bucketed it is at least 1.8 times as fast "
    "as padding to the longest."
)
SAME, FASTER = 1e-6, 1.8
VOCAB_SIZE, BATCH_SIZE = 1000, 64
NETWORKS = {  # whether it was trained packed, and is read packed
    "packed": (True, True),
    "unpacked": (True, False),
    "trained unpacked too": (False, False),
}
WAYS = {  # how batches are made: in buckets of about the same length, padded to the longest of all, packed
    "pad to max": (False, True, False),
    "pad to max, packed": (False, True, True),
    "random": (False, False, False),
    "random, packed": (False, False, True),
    "bucketed": (True, False, False),
    "bucketed, packed": (True, False, True),
}


class Sizes(NamedTuple):
    """How much is measured."""

    num_seeds: int
    extra: tuple[int, ...]  # steps of padding
    num_sentences: int  # trained on; a quarter more are tested
    num_epochs: int
    hidden_dim: int  # of the classifier
    num_rounds: int  # of timing, after one that warms up
    num_batches: int  # a round
    timed_dim: int  # hidden, of the timed network


FAST = Sizes(3, (0, 10, 50, 200), 2000, 4, hidden_dim=32, num_rounds=5, num_batches=4, timed_dim=128)
FULL = Sizes(5, (0, 5, 10, 20, 50, 100, 200), 6000, 4, hidden_dim=32, num_rounds=15, num_batches=8, timed_dim=128)


class Sentences(NamedTuple):
    """Made-up texts: words are at random but for one, which says the class."""

    x: Tensor  # (N, T) tokens, filled up with 0
    lengths: Tensor  # (N,)
    y: Tensor  # (N,) 0 or 1


def real_lengths() -> tuple[Tensor, str]:
    """How long sentences are (N,), and whose."""
    if path := mirrored("SetFit/sst2", "train.jsonl"):
        return torch.tensor([len(json.loads(line)["text"].split()) for line in path.read_text().splitlines()]), "SST-2"
    normal = torch.randn(7000, generator=torch.Generator().manual_seed(0))
    return (2.8 + 0.6 * normal).exp().long().clamp(2, 52), "log-normal"


def make_sentences(count: int, generator: torch.Generator) -> Sentences:
    """`count` sentences in classes of about the same size, word 1 or 2 standing for the class at a random place."""
    known, _ = real_lengths()
    lengths = known[torch.randint(len(known), (count,), generator=generator)]
    y = torch.randint(2, (count,), generator=generator)
    x = torch.randint(3, VOCAB_SIZE, (count, int(known.max())), generator=generator)
    x[torch.arange(count), (torch.rand(count, generator=generator) * lengths).long()] = 1 + y
    return Sentences(x * (torch.arange(x.shape[1]) < lengths[:, None]), lengths, y)


def batches(data: Sentences, way: str, seed: int = 0) -> Iterator[Sentences]:
    """Batches made in one of WAYS; those that are not packed still carry their lengths, to be counted."""
    bucketed, to_longest, _ = WAYS[way]
    order = BatchOrder(
        len(data.y), BATCH_SIZE, shuffle=True, drop_last=True, seed=seed, lengths=data.lengths if bucketed else None
    )
    for rows in order:
        lengths = data.lengths[rows]
        width = data.x.shape[1] if to_longest else int(lengths.max())
        yield Sentences(data.x[rows, :width], lengths, data.y[rows])


def train(net: RNNNet, data: Sentences, num_epochs: int, *, packed: bool) -> None:
    """Adam on cross-entropy."""
    optimizer = torch.optim.Adam(net.parameters(), 0.01)
    for epoch in range(num_epochs):
        for x, lengths, y in batches(data, "bucketed", seed=epoch):
            optimizer.zero_grad()
            F.cross_entropy(net(x, lengths if packed else None), y).backward()
            optimizer.step()


@torch.no_grad()
def logits(net: RNNNet, data: Sentences, extra: int, *, packed: bool) -> Tensor:
    """Answers (N, 2), a sentence at a time of its own length with `extra` steps of padding; `data` is sorted by length."""
    found = []
    for length in data.lengths.unique().tolist():
        rows = data.lengths == length
        x = F.pad(data.x[rows, :length], (0, extra))
        found.append(net(x, data.lengths[rows] if packed else None))
    return torch.cat(found)


def read_padded(sizes: Sizes) -> dict[tuple[str, int], list[tuple[float, float]]]:
    """(a) and (b) by network and padding: for each seed the largest change of a logit, and the accuracy."""
    found: dict[tuple[str, int], list[tuple[float, float]]] = {}
    for seed in range(sizes.num_seeds):
        generator = torch.Generator().manual_seed(seed)
        data, test = (make_sentences(count, generator) for count in (sizes.num_sentences, sizes.num_sentences // 4))
        test = Sentences(*(part[test.lengths.argsort(stable=True)] for part in test))
        nets = {}
        for packed in (True, False):
            torch.manual_seed(seed)
            nets[packed] = RNNNet((1,), 2, VOCAB_SIZE, embed_dim=32, hidden_dim=sizes.hidden_dim, bidirectional=True)
            train(nets[packed], data, sizes.num_epochs, packed=packed)
        for network, (trained_packed, packed) in NETWORKS.items():
            alone = logits(nets[trained_packed], test, 0, packed=packed)
            for extra in sizes.extra:
                answers = logits(nets[trained_packed], test, extra, packed=packed)
                accuracy = (answers.argmax(1) == test.y).float().mean().item()
                found.setdefault((network, extra), []).append(((answers - alone).abs().max().item(), accuracy))
    return found


def take_turns(sizes: Sizes) -> dict[str, list[float]]:
    """(c): real tokens per second of each way, round by round; every way has its turn in each."""
    data = make_sentences(50 * BATCH_SIZE, torch.Generator().manual_seed(0))
    torch.manual_seed(0)
    net = RNNNet((1,), 2, VOCAB_SIZE, hidden_dim=sizes.timed_dim, bidirectional=True)
    speeds: dict[str, list[float]] = {way: [] for way in WAYS}
    for number in range(sizes.num_rounds + 1):
        for way, (_, _, packed) in WAYS.items():
            chosen = list(islice(batches(data, way, seed=number), sizes.num_batches))
            start = time.perf_counter()
            for x, lengths, y in chosen:
                F.cross_entropy(net(x, lengths if packed else None), y).backward()
            seconds = time.perf_counter() - start
            if number:  # the first round warms up
                speeds[way].append(sum(int(batch.lengths.sum()) for batch in chosen) / seconds)
    return speeds


def measure(full: bool) -> Claim:
    """Logits and accuracy under padding, and speed; the claim holds where all of its numbers do."""
    sizes = FULL if full else FAST
    padded, speeds = read_padded(sizes), take_turns(sizes)
    rows = [_row("logits change", *key, [change for change, _ in values], max) for key, values in padded.items()]
    rows += [_row("accuracy", *key, [accuracy for _, accuracy in values], statistics.mean) for key, values in padded.items()]
    rows += [_row("tokens/s", way, 0, values, statistics.median) for way, values in speeds.items()]
    ratios = {way: [_ratio(speeds, way, "pad to max", number) for number in range(sizes.num_rounds)] for way in WAYS}
    rows += [_row("times as fast", way, 0, values, statistics.median) for way, values in ratios.items()]
    values = {(str(row["measured"]), str(row["of"]), int(row["padding"])): float(row["value"]) for row in rows}
    most, (packed, unpacked, _) = max(sizes.extra), NETWORKS
    changes = [max(values["logits change", network, extra] for extra in sizes.extra) for network in (packed, unpacked)]
    accuracies = [values["accuracy", network, extra] for network, extra in ((packed, 0), (packed, most), (unpacked, most))]
    fast, cost = values["times as fast", "bucketed, packed", 0], values["times as fast", "bucketed", 0]
    found = "up to {} steps of padding change logits by {:.0e} packed, {:.1f} unpacked".format(most, *changes)
    found += "; accuracy {:.3f} becomes {:.3f} packed, {:.3f} unpacked".format(*accuracies)
    found += (
        f"; bucketed and packed it is {fast:.1f} times as fast as padding to the longest. Buckets save the time, not packing:"
    )
    found += f" the same batches unpacked are {cost:.1f} times as fast, and wrong"
    holds = changes[0] <= SAME < changes[1] and fast >= FASTER
    return Claim(CLAIM, found, holds, list(range(sizes.num_seeds)), rows, _draw(padded, ratios))


def _ratio(speeds: dict[str, list[float]], way: str, other: str, number: int) -> float:
    return speeds[way][number] / speeds[other][number]


def _row(measured: str, of: str, padding: int, values: list[float], summary: Callable[[list[float]], float]) -> Row:
    sd = statistics.stdev(values) if len(values) > 1 else 0.0
    return {"measured": measured, "of": of, "padding": padding, "value": summary(values), "sd": sd}


def _draw(padded: dict[tuple[str, int], list[tuple[float, float]]], ratios: dict[str, list[float]]) -> Figure:
    """Change of logits and accuracy by padding, and speed by the way batches are made."""
    figure = Figure(figsize=(13, 4.5), layout="constrained")
    changes, accuracies, speeds = figure.subplots(1, 3, width_ratios=[1, 1, 1.3])
    for network in NETWORKS:
        extra = [padding for name, padding in padded if name == network]
        values = torch.tensor([padded[network, padding] for padding in extra])  # (padding, seeds, 2)
        changes.plot(extra, values[:, :, 0].amax(1).clamp(min=1e-9), marker="o", label=network)
        accuracies.errorbar(extra, values[:, :, 1].mean(1), values[:, :, 1].std(1), marker="o", capsize=3, label=network)
    for axes, label in ((changes, "largest change of a logit"), (accuracies, "accuracy, mean and deviation over seeds")):
        axes.set_xscale("symlog", linthresh=5)
        axes.set_xlabel("steps of padding added")
        axes.set_ylabel(label)
    changes.set_yscale("log")
    changes.axhline(SAME, color="grey", linestyle="--", linewidth=0.8)
    changes.legend(fontsize=8)
    names = list(ratios)
    colours = ["tab:blue" if WAYS[way][2] else "tab:orange" for way in names]
    speeds.barh(names, [statistics.median(ratios[way]) for way in names], color=colours)
    for place, way in enumerate(names):
        speeds.plot([min(ratios[way]), max(ratios[way])], [place, place], color="black", linewidth=1)
    speeds.axvline(FASTER, color="grey", linestyle="--", linewidth=0.8)
    speeds.invert_yaxis()
    speeds.set_xlabel("real tokens per second, relative to padding to the longest; median and range")
    return figure


if __name__ == "__main__":
    sys.exit(main(__file__))
