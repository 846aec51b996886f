"""Picture of a recurrent network's states over one sequence."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, cast

import torch
from lightning import Callback, LightningModule, Trainer
from matplotlib.figure import Figure
from torch import Tensor

from zoo.nn.modes import evaluating
from zoo.tasks.drawing import shorten
from zoo.training.facts import Facts
from zoo.training.reporting import facts, log_picture, writes

MAX_STEPS, MAX_UNITS = 60, 64
TARGET_STEPS = 30  # enough to see a state build up, few enough to read the words


class ReadsSequences(Protocol):
    """A network whose states can be drawn."""

    def states(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Return the states at every step (B, T, H) and the final ones, for inputs x and their lengths (B,)."""
        ...

    def __call__(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Return the predictions (B, K)."""
        ...


class HiddenStates(Callback):
    """Draws the states over one validation sequence into `folder`/hidden_states.png when training ends, and sends it to W&B.

    For systems whose net is a `ReadsSequences`. The sequence is the one whose length is closest to 30 steps. The first one of
    the split would be the shortest, often a single word, because evaluation sorts by length.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._example: Any = None  # a batch of one

    def on_validation_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        if trainer.sanity_checking:
            return
        distance = (batch.lengths - TARGET_STEPS).abs()  # lengths are on the CPU, so nothing waits for a device
        row = int(distance.argmin())
        if self._example is None or distance[row] < (self._example.lengths - TARGET_STEPS).abs():
            fields = {name: value[row : row + 1] for name, value in batch._asdict().items()}
            self._example = batch._replace(**{**fields, "x": fields["x"][:, : int(fields["lengths"])].clone()})

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        example, self._example = self._example, None
        if example is None:
            return
        net = cast(ReadsSequences, pl_module.net)
        with evaluating(pl_module), torch.no_grad():
            states, _ = net.states(example.x, example.lengths)
            preds = net(example.x, example.lengths)
        if not writes(trainer):
            return
        words, title = describe(facts(trainer), example, preds.float().cpu())
        path = self.folder / "hidden_states.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        states_figure(states[0].float().cpu(), words, title).savefig(path, dpi=120)
        log_picture(trainer, "val/hidden_states", path)


def describe(data: Facts, example: Any, preds: Tensor) -> tuple[list[str] | None, str]:
    """Return the words of a batch with one sequence, or None, and a title with text, class and prediction."""
    position, names = int(example.position), data.class_names
    words = data.tokens_of(position) if data.tokens_of is not None else None
    text = data.texts[position] if data.texts else " ".join(words or [])
    lines = [" ".join(text.split())] if text else []
    if names and example.y.ndim == 1:
        confidence, predicted = preds[0].softmax(0).max(0)
        lines.append(f"{names[int(example.y)]}, predicted {names[int(predicted)]} ({confidence.item():.0%})")
    return words, "\n".join(lines)


def states_figure(states: Tensor, words: Sequence[str] | None = None, title: str = "") -> Figure:
    """Draw states (T, H) as a heat map with one column per step: at most 60 steps, and the 64 units that vary most."""
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
        labels = [shorten(word, 16) for word in words[:num_steps]]
        axes.set_xticks(range(num_steps), labels, rotation=90, fontsize=7, parse_math=False)
    truncated = "" if num_steps == len(states) else f", the first {num_steps} of {len(states)}"
    axes.set_xlabel(f"step{truncated}")
    axes.set_ylabel("unit" if num_units == states.shape[1] else f"the {num_units} of {states.shape[1]} units that vary most")
    axes.set_yticks(range(0, num_units, 8), [str(unit) for unit in units[::8].tolist()])
    axes.set_title(
        "\n".join(shorten(line, int(11 * width)) for line in title.splitlines()), fontsize=9, loc="left", parse_math=False
    )
    return figure
