"""`zoo show RECIPE --batch`: show a training batch as the model receives it."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from matplotlib.backend_bases import FigureCanvasBase
from matplotlib.figure import Figure
from torch import Tensor

from datamodules.core.batch import SequenceBatch
from zoo.cli.configuration import Configuration
from zoo.cli.context import choose_directory
from zoo.errors import UsageError
from zoo.nn.cells import valid_steps
from zoo.tasks.drawing import grid, shorten
from zoo.training.facts import facts_of


def show_batch(recipe: Path, overrides: list[str], output: Path | None = None, num_images: int = 32) -> int:
    """Draw the first training batch of the first epoch, transformed as in training, with its class names.

    Images and series are drawn to `output` (default: runs/<recipe>/<time>/batch.png). Texts are printed.

    Raises:
        UsageError: if the data are neither images, series nor texts, or `output` is not the name of an image file.
    """
    if output is not None and output.suffix[1:].lower() not in FigureCanvasBase.get_supported_filetypes():
        raise UsageError(f"{output} is not the name of an image file: end it in .png")
    data: Any = Configuration([recipe], overrides).build_data()
    data.setup("fit")
    batch = data.transform(next(iter(data.train_dataloader())), 0, True)
    if isinstance(batch, SequenceBatch) and not batch.x.is_floating_point():
        if output is not None:
            raise UsageError(f"the data of {recipe.stem} are texts, which are printed: leave --output out")
        print("\n".join(token_lines(batch, data)))
        return 0
    if isinstance(batch, SequenceBatch):
        figure, values = series_figure(batch, data.class_names), batch.x[valid_steps(batch.x, batch.lengths)]
    elif len(data.input_shape) == 3:
        shown = batch.x[:num_images]
        if batch.y.ndim == 4:  # Targets are images of another domain: draw each input next to its target.
            shown = torch.stack([batch.x, batch.y], dim=1).flatten(0, 1)[:num_images]
            captions = ["xy"[place % 2] for place in range(len(shown))]
        else:
            captions = captions_of(batch.y[:num_images], data.class_names) if data.class_names else [""] * len(shown)
        images = [as_pixels(x, data.mean, data.std).numpy() for x in shown]
        figure, values = grid(images, captions, [False] * len(images)), batch.x
    else:
        raise UsageError(
            f"{recipe.stem} has inputs of shape {tuple(data.input_shape)}: only images, texts and series are shown"
        )
    output = output or choose_directory(None, recipe.stem).path / "batch.png"
    output.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(output)
    low, high = values.aminmax()
    mean, deviation = values.mean().item(), values.std().item()
    print(f"{tuple(batch.x.shape)}, values {low:.2f} to {high:.2f}, mean {mean:.2f}, deviation {deviation:.2f}")
    print(f"wrote {output}")
    return 0


def token_lines(batch: SequenceBatch, data: Any, most: int = 8) -> list[str]:
    """Return class, number of tokens and tokens of the first samples; without a tokenizer, the token ids."""
    tokenizer = facts_of(data).tokenizer
    word: Callable[[int], str | None] = str if tokenizer is None else tokenizer.id_to_token
    lines = [f"{tuple(batch.x.shape)}, tokens {batch.x.min()} to {batch.x.max()}"]
    for x, length, caption in zip(batch.x, batch.lengths.tolist(), captions_of(batch.y[:most], data.class_names), strict=False):
        # Taken from the batch instead of the text, so that augmentation is visible.
        tokens = " ".join(word(token) or "" for token in x[:length].tolist())
        lines.append(f"{caption} ({length} token{'s' * (length > 1)}): {tokens}")
    return lines


def series_figure(batch: SequenceBatch, class_names: Sequence[str], most: int = 8) -> Figure:
    """Draw the first series with class or target, one line per channel, without padding."""
    captions = captions_of(batch.y[:most], class_names)
    columns = min(2, len(captions))
    rows = -(-len(captions) // columns)
    figure = Figure(figsize=(4.5 * columns, 0.6 + 1.6 * rows), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    for axes, series, length, caption in zip(panels.flat, batch.x.cpu(), batch.lengths.tolist(), captions, strict=False):
        axes.plot(series[:length].numpy(), linewidth=0.9)
        axes.set_title(shorten(caption, 60), fontsize=9, parse_math=False)
        axes.grid(alpha=0.3)
    for axes in panels.flat[len(captions) :]:
        axes.axis("off")
    figure.supxlabel("step", fontsize=9)
    return figure


def captions_of(y: Tensor, class_names: Sequence[str], most: int = 4) -> list[str]:
    """Return captions: class names for labels (B,) or for probabilities of classes (B, K), numbers for targets (B, ...)."""
    if class_names and y.is_floating_point():
        return [_shares(row, class_names) for row in y]
    if class_names:
        return [class_names[label] for label in y.tolist()]
    rows = y.reshape(len(y), -1).tolist()
    return [", ".join([f"{value:.3g}" for value in row[:most]] + ["…"] * (len(row) > most)) for row in rows]


def _shares(probabilities: Tensor, class_names: Sequence[str]) -> str:
    """Return the names of the two most probable classes (K,), with percentages if there are two."""
    values, classes = probabilities.topk(2)
    if values[1] < 0.005:
        return class_names[int(classes[0])]
    first, second = (f"{value:.0%} {class_names[number]}" for value, number in zip(values, classes.tolist(), strict=True))
    return f"{first} ({second})"


def as_pixels(x: Tensor, mean: tuple[float, ...], std: tuple[float, ...]) -> Tensor:
    """Undo the normalisation of an image (C, H, W); returns values in [0, 1] as (H, W) or (H, W, 3)."""
    pixels = (x * torch.tensor(std).view(-1, 1, 1) + torch.tensor(mean).view(-1, 1, 1)).clamp(0, 1)
    return pixels[0] if len(pixels) == 1 else pixels.movedim(0, -1)
