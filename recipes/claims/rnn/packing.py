"""Effect of padding on the predictions and the speed of a recurrent classifier, with and without packing.

python recipes/claims/rnn/packing.py [--full]        half a minute on one CPU core; --full about two

Small LSTMs, bidirectional or forwards only, are trained and then read test sentences with 0 to 200 extra steps of padding.
Measured are (a) the largest change of any logit, (b) the accuracy, and (c) the real tokens per second of one core, forward and
backward, with batches made in several ways that take turns.

Each network is read in three modes: "packed" by torch; "zoo", by `zoo.nn.recurrent.Recurrent`, which masks padded steps; and
"unpacked", the control, which treats padding as text, as many examples do.

Sentences are from SST-2 if `ZOO_DATA` has it. Otherwise they are made up: lengths are log-normal, and one of two words at a
random place determines the class. Speed is also measured at the lengths of SMS Spam. Its longest text is eleven times the mean
length; SST-2's is three times.

Shapes: B batch, T steps, N sentences.
"""

import json
import statistics
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, Literal, NamedTuple

import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from pyarrow.parquet import read_table
from torch import Tensor
from torch.nn.utils.rnn import pack_padded_sequence, pad_sequence

from datamodules.core.loader import BatchOrder
from datamodules.core.sources import mirrored
from zoo.cli.claims import Claim, Row, judge, main
from zoo.rnn.rnn import RNNNet

CLAIM = (
    "Padding without packing changes the answer; packing does not (at most by 1e-6), and bucketed and packed batches are at "
    "least 1.8 times as fast as batches padded to the longest."
)
SAME, FASTER = 1e-6, 1.8
NOTHING = 1e-9  # where the plot shows a change of exactly 0
VOCAB_SIZE, BATCH_SIZE = 4000, 64
UNKNOWN = 1  # the token of rare words; 0 is padding
Mode = Literal["packed", "zoo", "unpacked"]
COLOURS: dict[Mode, str] = {"packed": "tab:blue", "zoo": "tab:purple", "unpacked": "tab:orange"}
TRAINED: dict[str, tuple[bool, Mode]] = {  # whether it is bidirectional, and the mode in training
    "both ways": (True, "zoo"),
    "trained unpacked": (True, "unpacked"),
    "forwards": (False, "zoo"),
}
READ: dict[str, tuple[str, Mode]] = {  # which network, and the mode in testing
    "both ways, packed": ("both ways", "packed"),
    "both ways, zoo": ("both ways", "zoo"),
    "both ways, unpacked": ("both ways", "unpacked"),
    "both ways, trained unpacked too": ("trained unpacked", "unpacked"),
    "forwards, packed": ("forwards", "packed"),
    "forwards, unpacked": ("forwards", "unpacked"),
}
WAYS: dict[str, tuple[bool, bool, Mode]] = {  # bucketed by length, padded to the longest of all, mode
    "pad to max": (False, True, "unpacked"),
    "pad to max, packed": (False, True, "packed"),
    "random": (False, False, "unpacked"),
    "random, packed": (False, False, "packed"),
    "bucketed": (True, False, "unpacked"),
    "bucketed, packed": (True, False, "packed"),
    "bucketed, zoo": (True, False, "zoo"),
}


class Sizes(NamedTuple):
    """Sizes of the measurement."""

    num_seeds: int
    extra: tuple[int, ...]  # extra steps of padding
    num_sentences: int  # training sentences, at most
    num_epochs: int
    num_rounds: int  # rounds of timing, after a warm-up
    num_batches: int  # per round
    timed_dim: int  # hidden size of the timed network


FAST = Sizes(3, (0, 10, 50, 200), num_sentences=3000, num_epochs=3, num_rounds=3, num_batches=4, timed_dim=128)
FULL = Sizes(5, (0, 10, 50, 200), num_sentences=6920, num_epochs=3, num_rounds=9, num_batches=6, timed_dim=128)
SMALLEST = FAST._replace(num_seeds=2, extra=(0, 9), num_sentences=150, num_epochs=1, num_rounds=2, timed_dim=8)
CONTROLS = {"of": ["both ways, unpacked", "forwards, unpacked", "pad to max", "bucketed", "bucketed, zoo"]}


class Sentences(NamedTuple):
    """Texts as tokens."""

    x: Tensor  # (N, T), padded with 0
    lengths: Tensor  # (N,)
    y: Tensor  # (N,) 0 or 1


def sentences(count: int) -> tuple[Sentences, Sentences, str]:
    """Return at most `count` training sentences, test sentences, and the name of their source."""
    paths = [path for part in ("train", "dev") if (path := mirrored("SetFit/sst2", f"{part}.jsonl"))]
    if len(paths) < 2:
        generator = torch.Generator().manual_seed(0)
        return made_up(count, generator), made_up(1000, generator), "made-up sentences"
    lines, tests = ([json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] for path in paths)
    lines = lines[:count]
    counts = Counter(word for line in lines for word in line["text"].split())
    known = {word: UNKNOWN + 1 + number for number, (word, _) in enumerate(counts.most_common(VOCAB_SIZE - UNKNOWN - 1))}

    def tokenized(lines: list[dict[str, Any]]) -> Sentences:
        tokens = [torch.tensor([known.get(word, UNKNOWN) for word in line["text"].split()]) for line in lines]
        lengths = torch.tensor([len(each) for each in tokens])
        return Sentences(pad_sequence(tokens, batch_first=True), lengths, torch.tensor([line["label"] for line in lines]))

    return tokenized(lines), tokenized(tests), "SST-2"


def made_up(count: int, generator: torch.Generator) -> Sentences:
    """Make up random words with one token, 2 or 3, that determines the class. Lengths are similar to SST-2's."""
    lengths = (2.8 + 0.6 * torch.randn(count, generator=generator)).exp().long().clamp(2, 52)
    x, _, y = noise(lengths, generator)
    x[torch.arange(count), (torch.rand(count, generator=generator) * lengths).long()] = 2 + y
    return Sentences(x, lengths, y)


def noise(lengths: Tensor, generator: torch.Generator) -> Sentences:
    """Make up random words and classes, with lengths (N,)."""
    x = torch.randint(4, VOCAB_SIZE // 10, (len(lengths), int(lengths.max())), generator=generator)
    y = torch.randint(2, lengths.shape, generator=generator)
    return Sentences(x * (torch.arange(x.shape[1]) < lengths[:, None]), lengths, y)


def sms_spam() -> dict[str, Sentences]:
    """Make up noise with the lengths of SMS Spam's texts, if they are available. It is used for timing."""
    path = mirrored("ucirvine/sms_spam", "plain_text/train-00000-of-00001.parquet")
    if path is None:
        return {}
    lengths = [len(text.split()) for text in read_table(path)["sms"].to_pylist()]
    return {"SMS Spam": noise(torch.tensor(lengths).clamp(min=1), torch.Generator().manual_seed(0))}


def batches(data: Sentences, way: str, seed: int = 0) -> Iterator[Sentences]:
    """Serve batches made in one of WAYS."""
    bucketed, to_longest, _ = WAYS[way]
    lengths = data.lengths if bucketed else None
    for rows in BatchOrder(len(data.y), BATCH_SIZE, shuffle=True, drop_last=True, seed=seed, lengths=lengths):
        width = data.x.shape[1] if to_longest else int(data.lengths[rows].max())
        yield Sentences(data.x[rows, :width], data.lengths[rows], data.y[rows])


def answer(net: RNNNet, x: Tensor, lengths: Tensor, mode: Mode) -> Tensor:
    """Compute the logits (B, 2) of a network with one layer and pooling "last"."""
    if mode != "packed":
        return net(x, lengths if mode == "zoo" else None)
    assert net.embedding is not None
    embedded = net.embed_dropout(net.embedding(x))
    _, (h, _) = net.recurrent.layers(pack_padded_sequence(embedded, lengths, batch_first=True, enforce_sorted=False))
    return net.head(h.movedim(0, 1).flatten(1))


def train(data: Sentences, num_epochs: int, mode: Mode, *, bidirectional: bool) -> RNNNet:
    """Train a small LSTM with Adam and cross-entropy."""
    net = RNNNet((1,), 2, VOCAB_SIZE, embed_dim=32, hidden_dim=32, bidirectional=bidirectional, embed_dropout=0.3)
    optimizer = torch.optim.Adam(net.parameters(), 0.005)
    for epoch in range(num_epochs):
        for x, lengths, y in batches(data, "bucketed", seed=epoch):
            optimizer.zero_grad()
            F.cross_entropy(answer(net, x, lengths, mode), y).backward()
            optimizer.step()
    return net.eval()


@torch.no_grad()
def logits(net: RNNNet, data: Sentences, extra: int, mode: Mode) -> Tensor:
    """Compute the logits (N, 2) of sentences with exactly `extra` steps of padding."""
    found = torch.empty(len(data.y), 2)
    for length in sorted(set(data.lengths.tolist())):
        rows = data.lengths == length
        found[rows] = answer(net, F.pad(data.x[rows, :length], (0, extra)), data.lengths[rows], mode)
    return found


def read_padded(data: Sentences, test: Sentences, sizes: Sizes) -> dict[tuple[str, int], list[tuple[float, float]]]:
    """Measure (a) and (b): for each network, padding and seed the largest change of a logit, and the accuracy."""
    found: dict[tuple[str, int], list[tuple[float, float]]] = {}
    for seed in range(sizes.num_seeds):
        nets = {}
        for name, (bidirectional, mode) in TRAINED.items():
            torch.manual_seed(seed)
            nets[name] = train(data, sizes.num_epochs, mode, bidirectional=bidirectional)
        for how, (name, mode) in READ.items():
            alone = logits(nets[name], test, 0, mode)
            for extra in sizes.extra:
                answers = logits(nets[name], test, extra, mode)
                accuracy = (answers.argmax(1) == test.y).float().mean().item()
                found.setdefault((how, extra), []).append(((answers - alone).abs().max().item(), accuracy))
    return found


def take_turns(data: Sentences, sizes: Sizes) -> dict[str, list[float]]:
    """Measure (c): real tokens per second of each way. In each round every way has its turn.

    Times are CPU times of one thread, so that other load on the machine counts less.
    """
    torch.manual_seed(0)
    net = RNNNet((1,), 2, VOCAB_SIZE, hidden_dim=sizes.timed_dim, bidirectional=True)
    speeds: dict[str, list[float]] = {way: [] for way in WAYS}
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    for number in range(sizes.num_rounds + 1):
        for way, (_, _, mode) in WAYS.items():
            chosen = list(islice(batches(data, way, seed=number), sizes.num_batches))
            start = time.process_time()
            for x, lengths, y in chosen:
                F.cross_entropy(answer(net, x, lengths, mode), y).backward()
            seconds = time.process_time() - start
            if number:  # the first round is a warm-up
                speeds[way].append(sum(int(batch.lengths.sum()) for batch in chosen) / seconds)
    torch.set_num_threads(num_threads)
    return speeds


def measure(full: bool) -> Claim:
    """Logits and accuracy under padding, and speed; the claim holds where all of its numbers do, speed by its median."""
    sizes = FULL if full else FAST
    data, test, source = sentences(sizes.num_sentences)
    padded = read_padded(data, test, sizes)
    speeds = {texts: take_turns(each, sizes) for texts, each in {source: data, **sms_spam()}.items()}
    ratios = {
        texts: {way: [one / base for one, base in zip(each, of["pad to max"], strict=True)] for way, each in of.items()}
        for texts, of in speeds.items()
    }
    rows = [_padding_row(how, source, extra, values) for (how, extra), values in padded.items()]
    rows += [_speed_row(way, texts, each, ratios[texts][way]) for texts, of in speeds.items() for way, each in of.items()]
    packed, unpacked, most = "both ways, packed", "both ways, unpacked", max(sizes.extra)
    changes = [max(change for extra in sizes.extra for change, _ in padded[how, extra]) for how in (packed, unpacked)]
    scores = [statistics.mean(score for _, score in padded[how, most]) for how in (packed, unpacked, "forwards, unpacked")]
    found = f"{most} steps of padding change logits on {source} by up to {changes[0]:.1g} packed and {changes[1]:.1f} unpacked"
    found += "; accuracy is {:.3f} packed and {:.3f} unpacked ({:.3f} forwards only); times as fast bucketed".format(*scores)
    for texts, of in ratios.items():
        middle, low, high = (summary(of["bucketed, packed"]) for summary in (statistics.median, min, max))
        found += (
            f", on {texts}: packed {middle:.1f} ({low:.1f} to {high:.1f}), zoo {statistics.median(of['bucketed, zoo']):.1f}, "
        )
        found += f"unpacked {statistics.median(of['bucketed']):.1f}"
    fast = min(statistics.median(of["bucketed, packed"]) for of in ratios.values())
    holds = changes[0] <= SAME < changes[1] and fast >= FASTER
    return Claim(CLAIM, found, judge(holds), list(range(sizes.num_seeds)), rows, _draw(padded, ratios))


def _padding_row(how: str, texts: str, extra: int, values: list[tuple[float, float]]) -> Row:
    changes, scores = zip(*values, strict=True)
    row: Row = {"of": how, "texts": texts, "padding": extra, "logits change": max(changes), "accuracy": statistics.mean(scores)}
    return {**row, "sd": _sd(scores), "tokens/s": None, "times as fast": None, "spread": None}


def _speed_row(way: str, texts: str, speeds: list[float], ratios: list[float]) -> Row:
    row: Row = {"of": way, "texts": texts, "padding": None, "logits change": None, "accuracy": None, "sd": None}
    median = statistics.median
    return {**row, "tokens/s": round(median(speeds)), "times as fast": median(ratios), "spread": _sd(ratios)}


def _sd(values: Sequence[float]) -> float:
    return statistics.stdev(values) if len(values) > 1 else 0.0


def _draw(padded: dict[tuple[str, int], list[tuple[float, float]]], ratios: dict[str, dict[str, list[float]]]) -> Figure:
    """Change of logits and accuracy by padding, and speed by the way batches are made."""
    figure = Figure(figsize=(11, 8), layout="constrained")
    changes, accuracies, *bars = figure.subplots(2, 2).flat
    for axes in bars[len(ratios) :]:
        axes.remove()
    for how, (name, mode) in READ.items():
        extra = [padding for other, padding in padded if other == how]
        values = torch.tensor([padded[how, padding] for padding in extra])  # (padding, seeds, 2)
        marker, line = ("s", "--") if name == "forwards" else ("o", "-")
        colour = "tab:green" if name == "trained unpacked" else COLOURS[mode]
        style: Any = {"marker": marker, "color": colour, "linestyle": line, "label": how}
        places = range(len(extra))
        changes.plot(places, values[:, :, 0].amax(1).clamp(min=NOTHING), **style)
        accuracies.errorbar(places, values[:, :, 1].mean(1), values[:, :, 1].std(1, correction=0), capsize=3, **style)
    for axes, title in ((changes, "largest change of a logit"), (accuracies, "accuracy: mean and deviation over seeds")):
        axes.set_xticks(places, [str(padding) for padding in extra])
        axes.set_xlabel("steps of padding added")
        axes.set_title(title, fontsize=10)
    changes.set_yscale("log")
    changes.axhline(SAME, color="grey", linestyle=":")
    changes.text(0, SAME * 1.5, "the same, below", ha="left", fontsize=8, color="grey")
    changes.text(places[-1], NOTHING * 1.5, "none at all", ha="right", fontsize=8, color="grey")
    changes.legend(loc="center right", fontsize=8, handlelength=3)  # the lines leave room there
    for axes, (texts, of) in zip(bars, ratios.items(), strict=False):
        medians = [statistics.median(each) for each in of.values()]
        axes.barh(list(of), medians, color=[COLOURS[WAYS[way][2]] for way in of])
        for place, (each, median) in enumerate(zip(of.values(), medians, strict=True)):
            axes.plot([min(each), max(each)], [place, place], color="black", linewidth=1)
            axes.text(max(each), place, f" {median:.2f}", va="center")
        axes.set_xlim(0, 1.15 * max(max(each) for each in of.values()))
        axes.axvline(FASTER, color="grey", linestyle=":")
        axes.invert_yaxis()
        axes.set_title(f"real tokens per second, lengths of {texts}", fontsize=10)
        axes.set_xlabel("times as fast: median and range; orange answers are wrong", fontsize=9)
    return figure


if __name__ == "__main__":
    sys.exit(main(__file__))
