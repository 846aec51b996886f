"""Pictures of an autoencoder's reconstructions, samples and codes."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch
from lightning import LightningModule, Trainer
from matplotlib.figure import Figure
from torch import Tensor

from zoo.nn.interpolation import both_ways
from zoo.tasks.abilities import Decodes, Generates, Reconstructs, classes_for
from zoo.tasks.drawing import save_tiles, scatter_by_class
from zoo.training.reporting import Draw, ValidationPictures, facts, gathered, log_picture, writes

_ROWS, _COLUMNS = 4, 10
_STEPS = 10


class LatentPictures(ValidationPictures):
    """Draws pictures of an autoencoder into `folder`, and sends them to W&B.

    At validations:

    - `reconstructions.png`: rows of images, of corrupted images if the system corrupts them, and of reconstructions. The images
      are the same every time.
    - `samples.png`, if the system generates: samples decoded from fixed codes.

    After test:

    - `interpolation.png`: interpolations between codes of test images, on a straight line and on the sphere.
    - `traversal.png`: a code that is changed in one dimension per row, starting with the dimension that varies most.
    - `manifold.png`, for two-dimensional codes: images decoded from a grid of codes.
    - `embedding.png`: codes of test images coloured by class, reduced to two principal components.

    Args:
        folder: folder of the pictures.
        num_codes: number of test images in the embedding.
    """

    def __init__(self, folder: Path, num_codes: int = 2000) -> None:
        super().__init__(folder)
        self.num_codes = num_codes
        self._codes: list[tuple[Tensor, Tensor]] = []  # codes, classes

    def on_validation_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        if batch_idx or trainer.sanity_checking:
            return
        model = cast(Reconstructs, pl_module)
        # Compute this at every validation, even if it is not drawn. A corruption advances the random state of later batches.
        sheets = {"reconstructions": reconstructions(model, model.inputs(batch)).float().cpu()}
        if isinstance(model, Generates):
            generator = torch.Generator().manual_seed(0)
            z = torch.randn(_ROWS * _COLUMNS, model.hparams["latent_dim"], generator=generator).to(model.device)
            samples = model.decode(z, *classes_for(model, len(z)))
            sheets["samples"] = samples.reshape(_ROWS, _COLUMNS, *samples.shape[1:]).float().cpu()
        pictures: dict[str, tuple[str, Draw]] = {
            f"val/{name}": (f"{name}.png", partial(save_tiles, sheet)) for name, sheet in sheets.items()
        }
        self.offer(trainer, pictures)

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._codes = []

    def on_test_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        if sum(len(z) for z, _ in self._codes) < self.num_codes:
            model = cast(Reconstructs, pl_module)
            self._codes.append((model.encode(*model.inputs(batch)).float().cpu(), batch.y.cpu()))

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        model = cast(Reconstructs, pl_module)
        parts, self._codes = gathered(trainer, self._codes), []
        if sum(len(z) for z, _ in parts) < 2:  # interpolation needs two images
            return
        z, y = (torch.cat(values)[: self.num_codes] for values in zip(*parts, strict=True))
        sheets = {"interpolation": interpolations(model, z, y), "traversal": traversals(model, z, y)}
        if z.shape[1] == 2:
            sheets["manifold"] = manifold(model)
        if not writes(trainer):
            return
        for name, sheet in sheets.items():
            save_tiles(sheet, self.folder / f"{name}.png")
        embedding_figure(z, y, facts(trainer).class_names).savefig(self.folder / "embedding.png", dpi=120)
        for name in (*sheets, "embedding"):
            log_picture(trainer, f"test/{name}", self.folder / f"{name}.png")


def reconstructions(model: Reconstructs, inputs: tuple[Tensor, ...]) -> Tensor:
    """Reconstruct images: rows of images, of corrupted images if they differ, and of reconstructions, (2 or 3, N, C, H, W)."""
    x, *others = (value[:_COLUMNS] for value in inputs)
    corrupted = model.corrupt(x)
    reconstructed = model(corrupted, *others).clamp(0, 1)
    return torch.stack([x, reconstructed] if corrupted is x else [x, corrupted, reconstructed])


def interpolations(model: Decodes, z: Tensor, y: Tensor, num_pairs: int = 4) -> Tensor:
    """Decode S steps between pairs of codes, a linear and a spherical row for each pair: (2 num_pairs, S, C, H, W).

    z (N, Z) holds codes and y (N,) their classes. A conditional model decodes both rows for the class of the first code.
    """
    num = 2 * min(num_pairs, len(z) // 2)
    rows = zip(both_ways(z[:num], _STEPS), y[0:num:2].repeat_interleave(2), strict=True)
    sheet = [model.decode(row.to(model.device), *classes_for(model, _STEPS, label)).clamp(0, 1) for row, label in rows]
    return torch.stack(sheet)


def traversals(model: Decodes, z: Tensor, y: Tensor, num_dims: int = 10) -> Tensor:
    """Move the first of codes z (N, Z) along each of the D dimensions that vary most, a row for each: (D, S, C, H, W)."""
    mean, std = z.mean(0), z.std(0)
    rows = []
    for dim in std.argsort(descending=True)[:num_dims].tolist():
        codes = z[0].repeat(_STEPS, 1)
        codes[:, dim] = mean[dim] + std[dim] * torch.linspace(-2.5, 2.5, _STEPS)
        rows.append(model.decode(codes.to(model.device), *classes_for(model, _STEPS, y[0])).clamp(0, 1))
    return torch.stack(rows)


def manifold(model: Decodes, num: int = 15) -> Tensor:
    """Decode two-dimensional codes at evenly spaced quantiles of N(0, I): (num, num, C, H, W).

    Kingma & Welling, 2014, arXiv:1312.6114, figure 4.
    """
    steps = torch.special.ndtri(torch.linspace(0.02, 0.98, num))
    codes = torch.cartesian_prod(-steps, steps).flip(1).to(model.device)
    images = model.decode(codes, *classes_for(model, len(codes))).clamp(0, 1)
    return images.reshape(num, num, *images.shape[1:])


def embedding_figure(z: Tensor, y: Tensor, class_names: Sequence[str]) -> Figure:
    """Draw codes (N, Z) in the plane, coloured by class; see `scatter_by_class`."""
    figure = Figure(figsize=(7, 6), layout="constrained")
    scatter_by_class(figure.subplots(), z, y, class_names)
    return figure
