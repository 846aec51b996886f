"""`zoo show RECIPE --batch`: a picture of what the model really sees."""

from pathlib import Path
from typing import Any

import torch
from matplotlib.backend_bases import FigureCanvasBase
from torch import Tensor

from zoo.callbacks.images import grid
from zoo.cli.names import UsageError
from zoo.cli.run import ZooCLI, allow_imports


def show_batch(recipe: Path, overrides: list[str], output: Path, num_images: int = 32) -> int:
    """Draw the first training batch of the first epoch, transformed as in training, under the names of its classes.

    Raises:
        UsageError: if the recipe's data are no pictures, or `output` is not to be one.
    """
    if output.suffix[1:].lower() not in FigureCanvasBase.get_supported_filetypes():
        raise UsageError(f"{output} names no format of pictures: end it in .png")
    allow_imports()
    data: Any = ZooCLI([f"--config={recipe}", *overrides]).datamodule
    data.setup("fit")
    if len(data.input_shape) != 3:
        raise UsageError(f"{recipe.stem} has inputs of shape {tuple(data.input_shape)}, which are no pictures")
    batch = data.transform(next(iter(data.train_dataloader())), 0, True)
    images = [as_pixels(x, data.mean, data.std) for x in batch.x[:num_images]]
    captions = [data.class_names[y] for y in batch.y[:num_images].tolist()] if data.class_names else [""] * len(images)
    output.parent.mkdir(parents=True, exist_ok=True)
    figure = grid([image.numpy() for image in images], captions, [False] * len(images))
    figure.savefig(output)
    low, high = batch.x.aminmax()
    mean, deviation = batch.x.mean().item(), batch.x.std().item()
    print(f"{tuple(batch.x.shape)}, values {low:.2f} to {high:.2f}, mean {mean:.2f}, deviation {deviation:.2f}")
    print(f"wrote {output}")
    return 0


def as_pixels(x: Tensor, mean: tuple[float, ...], std: tuple[float, ...]) -> Tensor:
    """A normalised image (C, H, W) back in [0, 1], as (H, W) or (H, W, 3)."""
    pixels = (x * torch.tensor(std).view(-1, 1, 1) + torch.tensor(mean).view(-1, 1, 1)).clamp(0, 1)
    return pixels[0] if len(pixels) == 1 else pixels.movedim(0, -1)
