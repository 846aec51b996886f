"""Speed of recurrent networks: the ways of `zoo.nn.recurrent`, and batches sorted by length against padded ones.

python benchmarks/sequences.py    two minutes on two CPU cores; needs ZOO_DATA; appends to benchmarks/sequences.results.jsonl

Everything takes turns in one process, so that other load on the machine meets all sides. Ratios are medians over rounds; above
1 the zoo is faster. Tokens are counted without padding.

Scan: one layer, forward and backward, by the equations (`zoo.nn.cells.scan`) and by `torch.nn.LSTM` with the same weights.

Ways: a bidirectional LSTM, forward and backward, on batches with different shares of valid steps. Compared are the ways of
`zoo.nn.recurrent.Recurrent` (one call of torch's module, masked, equations) and packed sequences, which it does not use.

Batches: training steps (forward, backward, optimizer) of the network of recipe bilstm_sst2 on SST-2. The zoo serves sentences
sorted by length within pools and masks padding. The plain loops serve them in random order and compute the padding. They pad to
the recipe's `max_length`, to the longest sentence of the split, or to the longest of each batch.
"""

import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import yaml
from lightning import Trainer
from overhead import keep, parse_arguments
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from datamodules import SST2
from datamodules.core.batch import SequenceBatch
from zoo import RNNClassifier
from zoo.cli.names import recipe_paths
from zoo.nn.cells import LSTMCell, scan
from zoo.nn.recurrent import Recurrent
from zoo.training.memory import keep_memory
from zoo.training.provenance import hardware

SIZES = ((32, 20, 100, 128), (64, 28, 28, 128), (32, 200, 100, 128))  # batch, steps, input size, hidden size
SHARES = (1.0, 0.9, 0.5, 0.2, 0.1)  # of steps that are valid; the text recipes have 0.94 to 0.98 on average


def per_call(functions: dict[str, Callable[[], None]], num_rounds: int) -> dict[str, list[float]]:
    """Return the seconds of each call. The functions take turns; the first round is a warm-up and does not count."""
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(num_rounds + 1):
        for name, function in functions.items():
            start = time.perf_counter()
            function()
            seconds[name].append(time.perf_counter() - start)
    return {name: values[1:] for name, values in seconds.items()}


def compare(seconds: dict[str, list[float]], ours: str, peer: str) -> float:
    """Return how many times as fast `ours` is."""
    return round(statistics.median(b / a for a, b in zip(seconds[ours], seconds[peer], strict=True)), 3)


def train_on(x: Tensor, forward: Callable[[Tensor], tuple[Tensor, Any]]) -> None:
    """Run forward and backward."""
    forward(x)[0].square().mean().backward()


def scans(size: tuple[int, int, int, int], num_rounds: int) -> dict[str, Any]:
    """Measure tokens per second of one layer, forward and backward."""
    batch, steps, inputs, hidden = size
    x = torch.randn(batch, steps, inputs, requires_grad=True)
    theirs, cell = nn.LSTM(inputs, hidden, batch_first=True), LSTMCell(inputs, hidden)
    cell.load_state_dict({name.removesuffix("_l0"): value for name, value in theirs.state_dict().items()})
    functions = {"nn.LSTM": partial(train_on, x, theirs), "scan": partial(train_on, x, partial(scan, cell))}
    seconds = per_call(functions, num_rounds)
    return {
        "work": f"LSTM forward and backward, batch {batch}, {steps} steps, {inputs} to {hidden} values, {num_rounds} rounds",
        "tokens_per_second": {name: round(batch * steps / statistics.median(values)) for name, values in seconds.items()},
        "scan_to_nn_lstm": compare(seconds, "scan", "nn.LSTM"),
    }


def ways(share: float, num_rounds: int) -> dict[str, Any]:
    """Measure the ways of `Recurrent` and packing on batches where `share` of the steps are valid."""
    batch, steps, inputs, hidden = 64, 48, 100, 128
    layers = Recurrent("lstm", inputs, hidden, bidirectional=True)
    x = torch.randn(batch, steps, inputs, requires_grad=True)
    lengths = lengths_of(batch, steps, share)

    def packed(x: Tensor) -> tuple[Tensor, Any]:
        outputs, state = layers.layers(pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False))
        return pad_packed_sequence(outputs, batch_first=True, total_length=steps)[0], state

    forwards: dict[str, Callable[[Tensor], tuple[Tensor, Any]]] = {
        "masked": lambda x: (layers._masked(x, lengths), None),
        "packed": packed,
        "equations": lambda x: layers._equations(x, lengths),
    }
    if share == 1:
        forwards["whole"] = layers.run
    seconds = per_call({name: partial(train_on, x, forward) for name, forward in forwards.items()}, num_rounds)
    num_tokens = int(lengths.sum())
    return {
        "work": f"BiLSTM forward and backward, batch {batch}, {steps} steps, {inputs} to {hidden} values, {num_rounds} rounds",
        "valid_steps": round(num_tokens / (batch * steps), 2),
        "tokens_per_second": {name: round(num_tokens / statistics.median(values)) for name, values in seconds.items()},
        **{f"masked_to_{name}": compare(seconds, "masked", name) for name in forwards if name != "masked"},
    }


def lengths_of(batch: int, steps: int, share: float) -> Tensor:
    """Draw lengths (B,) with mean about `share` of `steps`, one of them the longest possible."""
    spread = min(share, 1 - share)
    lengths = (steps * (share + spread * (2 * torch.rand(batch) - 1))).round().long().clamp(1, steps)
    lengths[0] = steps
    return lengths


def batches(num_batches: int, num_rounds: int) -> dict[str, Any]:
    """Measure tokens per second of training by how batches are made."""
    recipe = yaml.safe_load(recipe_paths()["bilstm_sst2"].read_text(encoding="utf-8"))
    data = SST2(**recipe["data"]["init_args"])
    data.setup()
    (x, y, lengths), rows = data.splits["train"]
    assert lengths is not None
    loader, batch_size = data.train_dataloader(), data.batch_size
    widths = {"pad to max_length": data.max_length, "pad to the longest": int(lengths.max()), "pad each batch": None}
    systems = {
        name: RNNClassifier(data.input_shape, 2, data.vocab_size, **recipe["model"]["init_args"]) for name in ("zoo", *widths)
    }
    optimizers = {name: torch.optim.AdamW(system.parameters(), fused=True) for name, system in systems.items()}

    def train(name: str, epoch: int) -> int:
        """Train for one round and return the number of tokens."""
        if name == "zoo":
            loader.sampler.set_epoch(epoch)
            served = (batch for batch, _ in zip(loader, range(num_batches), strict=False))
        else:
            order = rows[torch.randperm(len(rows))].split(batch_size)[:num_batches]
            served = (_padded(x, y, lengths, chosen, widths[name]) for chosen in order)
        num_tokens = 0
        for batch in served:
            num_tokens += int(batch.lengths.sum())
            logits = systems[name].net(batch.x, batch.lengths if name == "zoo" else None)
            nn.functional.cross_entropy(logits, batch.y).backward()
            optimizers[name].step()
            optimizers[name].zero_grad()
        return num_tokens

    rates: dict[str, list[float]] = {name: [] for name in systems}
    for number in range(num_rounds + 1):
        for name in systems:
            start = time.perf_counter()
            num_tokens = train(name, epoch=number)
            rates[name].append(num_tokens / (time.perf_counter() - start))
    rates = {name: values[1:] for name, values in rates.items()}
    return {
        "work": f"training bilstm_sst2, {num_rounds} rounds of {num_batches} batches of {batch_size}; widths {widths}",
        "tokens_per_second": {name: round(statistics.median(values)) for name, values in rates.items()},
        **{f"zoo_to_{name.replace(' ', '_')}": compare(rates, name, "zoo") for name in widths},
    }


def _padded(x: Tensor, y: Tensor, lengths: Tensor, rows: Tensor, width: int | None) -> SequenceBatch:
    length = lengths[rows]
    return SequenceBatch(x[rows, : width or int(length.max())].long(), length, y[rows], rows)


if __name__ == "__main__":
    arguments = parse_arguments(__file__, __doc__, batches=40, rounds=10)
    keep_memory()
    machine = hardware(Trainer(accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False))
    measured = [scans(size, arguments.rounds) for size in SIZES]
    measured += [ways(share, arguments.rounds) for share in SHARES]
    measured += [batches(arguments.batches, arguments.rounds)]
    about = {"hardware": machine, "threads": torch.get_num_threads()}
    keep([{**result, **about} for result in measured], __file__, arguments.output)
