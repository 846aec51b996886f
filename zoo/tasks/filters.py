"""Report that draws the filters of a network's first convolution."""

from pathlib import Path
from typing import Any

import numpy as np
from lightning import Callback, LightningModule, Trainer
from matplotlib.figure import Figure
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from zoo.training.reporting import log_picture, writes


def visible_convolution(net: nn.Module) -> nn.Conv2d | None:
    """Return the first convolution if its filters can be shown as images: one or three channels, and larger than 1x1."""
    first = next((module for module in net.modules() if isinstance(module, nn.Conv2d)), None)
    return None if first is None or first.weight.shape[1] not in (1, 3) or min(first.kernel_size) == 1 else first


def first_filters(net: nn.Module, folder: Path) -> list[Callback]:
    """Return the report on a network's first filters, or no report if they cannot be shown as images."""
    return [] if visible_convolution(net) is None else [FirstFilters(folder)]


class FirstFilters(Callback):
    """Draws the first convolution's filters into `folder`/filters.png when training ends, and sends them to W&B.

    For systems whose net has a `visible_convolution`. Frozen filters are not drawn: they are those of the pretrained weights.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        system: Any = pl_module
        first = visible_convolution(system.net)
        assert first is not None
        if not first.weight.requires_grad:
            return
        weight = first.weight.detach()
        if isinstance(weight, DTensor):
            weight = weight.full_tensor()  # every process must take part
        if not writes(trainer):
            return
        path = self.folder / "filters.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        filters_figure(weight.float().cpu()).savefig(path)
        log_picture(trainer, "train/filters", path)


def filters_figure(weight: Tensor, most: int = 64) -> Figure:
    """Draw at most `most` filters (O, 1 or 3, H, W), those with the largest norm first.

    Each is scaled by its largest absolute weight, so that 0 is mid-grey. Filters with three channels are shown as RGB.
    """
    chosen = weight[weight.flatten(1).norm(dim=1).argsort(descending=True)[:most]]
    scaled = (0.5 + 0.5 * chosen / chosen.abs().amax(dim=(1, 2, 3), keepdim=True).clamp(min=1e-12)).movedim(1, -1).numpy()
    columns = min(16, len(scaled))
    rows = -(-len(scaled) // columns)
    figure = Figure(figsize=(0.5 * columns, 0.5 * rows), layout="constrained")
    for axes, image in zip(figure.subplots(rows, columns, squeeze=False).flat, scaled, strict=False):
        axes.imshow(np.squeeze(image, -1) if image.shape[-1] == 1 else image, cmap="gray", vmin=0, vmax=1)
    for axes in figure.axes:
        axes.axis("off")
    return figure
