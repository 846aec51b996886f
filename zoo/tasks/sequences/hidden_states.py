"""What a recurrent network holds in its state while it reads one sequence."""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer
from matplotlib.figure import Figure
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule, register_fsdp_forward_method

from zoo.training.reporting import log_pictures, writes

MAX_STEPS, MAX_UNITS = 60, 64
GOOD_STEPS = 30  # enough to see a state build up, few enough to read the words


class HiddenStates(Callback):
    """Draws the states over one validation sequence into `folder`/hidden_states.png when training ends, and to W&B.

    For systems whose net has `states(x, lengths)`. It is the first of about 30 steps: evaluation goes by length, so the very
    first is the shortest, often a single word.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._example: Any = None  # a batch of one

    def on_validation_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        if trainer.sanity_checking or not hasattr(batch, "lengths") or not hasattr(getattr(pl_module, "net", None), "states"):
            return
        distance = (batch.lengths - GOOD_STEPS).abs()  # on the CPU: nothing waits for a device
        row = int(distance.argmin())
        if self._example is None or distance[row] < (self._example.lengths - GOOD_STEPS).abs():
            one = {name: value[row : row + 1] for name, value in batch._asdict().items()}
            self._example = batch._replace(**{**one, "x": one["x"][:, : int(one["lengths"])].clone()})

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        example, self._example = self._example, None
        if example is None:
            return
        net: Any = pl_module.net
        if isinstance(pl_module.net, FSDPModule):  # its weights are gathered for `forward` only, unless told
            register_fsdp_forward_method(net, "states")
        with evaluating(pl_module), torch.no_grad():
            states, _ = net.states(example.x, example.lengths)
            preds = net(example.x, example.lengths)
        if not writes(trainer):
            return
        words, title = describe(getattr(trainer, "datamodule", None), example, preds.float().cpu())
        path = self.folder / "hidden_states.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Glyph")  # the font lacks a text's rarer signs, and draws boxes
            states_figure(states[0].float().cpu(), words, title).savefig(path, dpi=120)
        log_pictures(trainer, "val/hidden_states", [str(path)])


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Evaluation mode for a while; every part gets its own mode back, also one that is frozen."""
    training = [part for part in module.modules() if part.training]
    module.eval()
    try:
        yield
    finally:
        for part in training:
            part.training = True


def describe(data: Any, example: Any, preds: Tensor) -> tuple[list[str] | None, str]:
    """The words of a batch of one, where there are words, and a title: how the text starts, its class, the prediction."""
    position, names = int(example.position), getattr(data, "class_names", ())
    words = data.tokens_of(position) if hasattr(data, "tokens_of") else None
    text = data.texts[position] if hasattr(data, "texts") else " ".join(words or [])
    lines = [" ".join(text.split())] if text else []
    if names and example.y.ndim == 1:
        confidence, predicted = preds[0].softmax(0).max(0)
        lines.append(f"{names[int(example.y)]}, predicted {names[int(predicted)]} ({confidence.item():.0%})")
    return words, "\n".join(lines)


def states_figure(states: Tensor, words: Sequence[str] | None = None, title: str = "") -> Figure:
    """States (T, H) as a heat map, a column per step under its word: 60 steps at most, and the 64 units that vary most."""
    shown = states[:MAX_STEPS]
    units = shown.var(0, correction=0).argsort(descending=True)[:MAX_UNITS].sort().values
    num_steps, num_units = len(shown), len(units)
    width, height = max(6.0, 2.0 + 0.19 * num_steps), 1.8 + 0.075 * max(num_units, 16)
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots()
    limit = max(shown[:, units].abs().max().item(), 1e-12)
    image = axes.imshow(
        shown[:, units].T.numpy(), cmap="RdBu_r", vmin=-limit, vmax=limit, aspect="auto", interpolation="nearest"
    )
    figure.colorbar(image, ax=axes, label="state", pad=0.01)
    if words is not None:
        labels = [cut(word, 16) for word in words[:num_steps]]
        axes.set_xticks(range(num_steps), labels, rotation=90, fontsize=7, parse_math=False)
    most = "" if num_steps == len(states) else f", the first {num_steps} of {len(states)}"
    axes.set_xlabel(f"step{most}")
    axes.set_ylabel("unit" if num_units == states.shape[1] else f"the {num_units} of {states.shape[1]} units that vary most")
    axes.set_yticks(range(0, num_units, 8), [str(unit) for unit in units[::8].tolist()])
    axes.set_title(
        "\n".join(cut(line, int(11 * width)) for line in title.splitlines()), fontsize=9, loc="left", parse_math=False
    )
    return figure


def cut(text: str, most: int) -> str:
    """The start of a text, with an ellipsis where something is missing."""
    return text if len(text) <= most else text[: most - 1] + "…"
