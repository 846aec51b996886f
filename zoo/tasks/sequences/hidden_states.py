"""The states of a recurrent network while it reads one sequence."""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, cast

import torch
from lightning import Callback, LightningModule, Trainer
from matplotlib.figure import Figure
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule, register_fsdp_forward_method

from zoo.training.facts import Facts
from zoo.training.reporting import facts, log_picture, writes

MAX_STEPS, MAX_UNITS = 60, 64
GOOD_STEPS = 30  # enough to see a state build up, few enough to read the words


class ReadsSequences(Protocol):
    """The network of a system whose states can be drawn."""

    def states(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Return the state at every step (B, T, H), and the final ones."""
        ...

    def __call__(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Return the predictions (B, K)."""
        ...


class HiddenStates(Callback):
    """Draws the states over one validation sequence into `folder`/hidden_states.png when training ends, and sends it to W&B.

    For systems whose net is a `ReadsSequences`. The sequence is the first of about 30 steps: evaluation sorts by length, so
    the very first one is the shortest, often a single word.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._example: Any = None  # a batch of one

    def on_validation_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        if trainer.sanity_checking:
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
        module = cast(nn.Module, pl_module.net)
        if isinstance(module, FSDPModule):  # its weights are gathered for `forward` only, unless told
            register_fsdp_forward_method(module, "states")
        net = cast(ReadsSequences, module)
        with evaluating(pl_module), torch.no_grad():
            states, _ = net.states(example.x, example.lengths)
            preds = net(example.x, example.lengths)
        if not writes(trainer):
            return
        words, title = describe(facts(trainer), example, preds.float().cpu())
        path = self.folder / "hidden_states.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        with warnings.catch_warnings():
            # the font lacks rarer characters and draws boxes: matplotlib/_text_helpers.py
            warnings.filterwarnings("ignore", "Glyph")
            states_figure(states[0].float().cpu(), words, title).savefig(path, dpi=120)
        log_picture(trainer, "val/hidden_states", path)


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Switch to evaluation mode for a while; every submodule gets its own mode back, frozen ones included."""
    training = [part for part in module.modules() if part.training]
    module.eval()
    try:
        yield
    finally:
        for part in training:
            part.training = True


def describe(data: Facts, example: Any, preds: Tensor) -> tuple[list[str] | None, str]:
    """Return the words of a batch of one, if it has words, and a title: the start of the text, its class, the prediction."""
    position, names = int(example.position), data.class_names
    words = data.tokens_of(position) if data.tokens_of is not None else None
    text = data.texts[position] if data.texts else " ".join(words or [])
    lines = [" ".join(text.split())] if text else []
    if names and example.y.ndim == 1:
        confidence, predicted = preds[0].softmax(0).max(0)
        lines.append(f"{names[int(example.y)]}, predicted {names[int(predicted)]} ({confidence.item():.0%})")
    return words, "\n".join(lines)


def states_figure(states: Tensor, words: Sequence[str] | None = None, title: str = "") -> Figure:
    """Draw states (T, H) as a heat map with a column per step: at most 60 steps, and the 64 units that vary most."""
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
    """Cut a text to `most` characters, the last of them an ellipsis if something is missing."""
    return text if len(text) <= most else text[: most - 1] + "…"
