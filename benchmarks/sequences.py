"""Tokens per second: our scan against `nn.LSTM`, and batches of about one length, packed, against padding to the longest.

python benchmarks/sequences.py    two minutes on two CPU cores; needs ZOO_DATA; appends to benchmarks/sequences.results.jsonl

Scan: one layer, forward and backward, by `zoo.nn.recurrent.scan` with either backend and by `torch.nn.LSTM` with the same
weights, on batches of one length; they take turns. Ratios are medians over rounds, above 1 where ours is the faster.

Batches: training steps (forward, backward, optimizer) of the recipe bilstm_sst2's network on SST-2's sentences: served as the
zoo does (sorted by length within pools; masked, or packed where much is padded) and as a plain loop does (random order), padded
to the recipe's `max_length`, to the longest sentence of the set, or of each batch, unpacked. They take turns, so many batches
each, and a token counts once, padding never.
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

from datamodules import SST2
from datamodules.core.batch import SequenceBatch
from zoo import RNNClassifier
from zoo.cli.names import recipe_paths
from zoo.nn.recurrent import LSTMCell, scan
from zoo.training.memory import keep_memory
from zoo.training.provenance import hardware

SIZES = ((32, 20, 100, 128), (64, 28, 28, 128), (32, 200, 100, 128))  # batch, steps, inputs, hidden values


def per_call(functions: dict[str, Callable[[], None]], num_rounds: int) -> dict[str, list[float]]:
    """Seconds of each call, in turns; the first round warms up."""
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(num_rounds + 1):
        for name, function in functions.items():
            start = time.perf_counter()
            function()
            seconds[name].append(time.perf_counter() - start)
    return {name: values[1:] for name, values in seconds.items()}


def compare(seconds: dict[str, list[float]], ours: str, peer: str) -> float:
    """How many times as fast ours is."""
    return round(statistics.median(b / a for a, b in zip(seconds[ours], seconds[peer], strict=True)), 3)


def scans(size: tuple[int, int, int, int], num_rounds: int) -> dict[str, Any]:
    """Tokens per second of one layer, forward and backward."""
    batch, steps, inputs, hidden = size
    x = torch.randn(batch, steps, inputs, requires_grad=True)
    theirs, cell = nn.LSTM(inputs, hidden, batch_first=True), LSTMCell(inputs, hidden)
    cell.load_state_dict({name.removesuffix("_l0"): value for name, value in theirs.state_dict().items()})

    def run(forward: Callable[[Tensor], tuple[Tensor, Any]]) -> None:
        forward(x)[0].square().mean().backward()

    functions = {
        "nn.LSTM": partial(run, theirs),
        "scan, torch": partial(run, lambda x: scan(cell, x, backend="torch")),
        "scan, loop": partial(run, lambda x: scan(cell, x, backend="loop")),
    }
    seconds = per_call(functions, num_rounds)
    return {
        "work": f"LSTM forward and backward, batch {batch}, {steps} steps, {inputs} to {hidden} values, {num_rounds} rounds",
        "tokens_per_second": {name: round(batch * steps / statistics.median(values)) for name, values in seconds.items()},
        "scan_torch_to_nn_lstm": compare(seconds, "scan, torch", "nn.LSTM"),
        "scan_loop_to_nn_lstm": compare(seconds, "scan, loop", "nn.LSTM"),
    }


def batches(num_batches: int, num_rounds: int) -> dict[str, Any]:
    """Tokens per second of training, by how sentences are put together."""
    recipe = yaml.safe_load(recipe_paths()["bilstm_sst2"].read_text())
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
        """Returns how many tokens."""
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
    measured = [scans(size, arguments.rounds) for size in SIZES] + [batches(arguments.batches, arguments.rounds)]
    keep([{**result, "hardware": machine} for result in measured], __file__, arguments.output)
