"""Pictures of embeddings: a projection to the plane, and queries with their nearest neighbours."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning import Callback, LightningModule, Trainer
from matplotlib.figure import Figure
from torch import Tensor

from zoo.metrics.retrieval import nearest_samples
from zoo.tasks.drawing import displayable, grid, scatter_by_class
from zoo.training.reporting import facts, gathered_batches, log_picture, writes

_MOST_VALUES = 50_000_000  # of pixels that a process keeps for the sheet of neighbours
_NUM_CLASSES = 10  # in the projection, since there are no more colours
_ROWS, _NUM_NEIGHBOURS = 6, 7


class RetrievalPictures(Callback):
    """Draws pictures of the test embeddings into `folder` after test, and sends them to W&B.

    - `embedding.png`: the embeddings of ten classes, spread evenly over all, by their two principal components.
    - `neighbours.png`: a row for each of six queries, with its seven nearest neighbours under their classes. Neighbours of
      another class are red. Three queries are spread evenly over the split. The other three have a wrong nearest neighbour, if
      there are such.

    The sheet shows neighbours among the first samples of the split, as many as have 50 million pixel values.

    Args:
        folder: folder of the pictures.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._parts: list[tuple[Tensor, Tensor]] = []  # embeddings, classes
        self._images: list[Tensor] = []  # uint8

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._parts, self._images = [], []

    def on_test_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        self._parts.append((outputs["embedding"].float().cpu(), batch.y.cpu()))
        if sum(images.numel() for images in self._images) < _MOST_VALUES:
            self._images.append(torch.stack([as_bytes(image) for image in batch.x.float().cpu()]))

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        z, y = gathered_batches(trainer, self._parts)
        # A rank has images of its first batches only, so embeddings of the same batches are gathered with them.
        shown = [(*part, images) for part, images in zip(self._parts, self._images, strict=False)]
        z_shown, y_shown, images = gathered_batches(trainer, shown)
        self._parts, self._images = [], []
        if not writes(trainer) or len(z) < 2:
            return
        names = facts(trainer).class_names
        self.folder.mkdir(parents=True, exist_ok=True)
        figures = {"embedding": embedding_figure(z, y, names), "neighbours": neighbour_sheet(z_shown, y_shown, images, names)}
        for name, figure in figures.items():
            path = self.folder / f"{name}.png"
            figure.savefig(path, dpi=120)
            log_picture(trainer, f"test/{name}", path)


def as_bytes(image: Tensor) -> Tensor:
    """Scale an image (C, H, W) of any range to 0..255 by its minimum and maximum: (C, H, W) uint8."""
    low, high = image.aminmax()
    return ((image - low) / (high - low).clamp(min=1e-12) * 255).round().to(torch.uint8)


def spread_evenly(num: int, most: int) -> Tensor:
    """Return at most `most` different places in 0..num - 1, the first one included."""
    return torch.linspace(0, num - 1, min(num, most)).round().long()


def name_of(label: int, class_names: Sequence[str]) -> str:
    """Return the name of a class, or its number if the data do not name classes."""
    return class_names[label] if class_names else str(label)


def embedding_figure(z: Tensor, y: Tensor, class_names: Sequence[str]) -> Figure:
    """Draw embeddings (N, D) of at most ten classes in the plane, coloured by class (N,)."""
    present = torch.unique(y)
    chosen = present[spread_evenly(len(present), _NUM_CLASSES)]
    shown = torch.isin(y, chosen)
    names = [name_of(int(label), class_names) for label in chosen]
    figure = Figure(figsize=(7, 6), layout="constrained")
    axes = figure.subplots()
    scatter_by_class(axes, z[shown], torch.searchsorted(chosen, y[shown]), names)  # Numbered anew, each has its own colour.
    axes.set_title(f"{len(chosen)} of {len(present)} classes, two principal components", fontsize=9)
    return figure


def choose_queries(right: Tensor, num: int) -> Tensor:
    """Choose rows of at most `num` queries: half spread evenly, and half whose nearest neighbour is wrong, (N,) bool."""
    typical = spread_evenly(len(right), (num + 1) // 2)
    wrong = (~right).nonzero()[:, 0]
    wrong = wrong[~torch.isin(wrong, typical)]
    return torch.cat([typical, wrong[spread_evenly(len(wrong), num - len(typical))]])


def neighbour_sheet(z: Tensor, y: Tensor, images: Tensor, class_names: Sequence[str]) -> Figure:
    """Draw queries, each with its nearest neighbours: embeddings (N, D), classes (N,), images (N, C, H, W) uint8."""
    found = torch.cat([neighbours for _, neighbours in nearest_samples(z, y, _NUM_NEIGHBOURS)])
    shown: list[np.ndarray] = []
    captions: list[str] = []
    wrong: list[bool] = []
    for query in choose_queries(y[found[:, 0]] == y, _ROWS).tolist():
        for row in [query, *found[query].tolist()]:
            name = name_of(int(y[row]), class_names).replace("/", "/\n")
            shown.append(displayable(images[row].float()))
            captions.append(f"query: {name}" if row == query else name)
            wrong.append(bool(y[row] != y[query]))
    return grid(shown, captions, wrong)
