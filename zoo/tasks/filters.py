"""What the first convolution of a network has learned to look for."""

from pathlib import Path

import numpy as np
from lightning import Callback, LightningModule, Trainer
from matplotlib.figure import Figure
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from zoo.training.reporting import log_pictures, writes


class FirstFilters(Callback):
    """Draws the first convolution's filters into `folder`/filters.png when training ends, and sends them to W&B.

    Filters of one or three channels only: those are pictures themselves.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        net = getattr(pl_module, "net", None)
        first = next((m for m in net.modules() if isinstance(m, nn.Conv2d)), None) if isinstance(net, nn.Module) else None
        if first is None or first.weight.shape[1] not in (1, 3) or min(first.kernel_size) == 1:
            return
        weight = first.weight.detach()
        if isinstance(weight, DTensor):
            weight = weight.full_tensor()  # every process has to take part
        if not writes(trainer):
            return
        path = self.folder / "filters.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        filters_figure(weight.float().cpu()).savefig(path)
        log_pictures(trainer, "train/filters", [str(path)])


def filters_figure(weight: Tensor, most: int = 64) -> Figure:
    """Filters (O, 1 or 3, H, W) as pictures: grey, or a neutral grey plus the colour they ask for; 0 is mid-grey in each.

    Each is scaled by its own largest weight, the strongest filters come first.
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
