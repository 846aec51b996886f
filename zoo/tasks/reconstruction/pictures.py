"""What an autoencoder makes of images and of codes, in pictures."""

from pathlib import Path
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer
from matplotlib.figure import Figure
from torch import Tensor

from zoo.metrics.probe import principal_components
from zoo.nn.interpolation import both_ways
from zoo.tasks.tiles import save_tiles, tiles
from zoo.training.reporting import gathered, log_pictures, writes

_COLUMNS = 10
_STEPS = 10


class LatentPictures(Callback):
    """Draws into `folder`, and sends to W&B, what systems with `encode` and `decode` learned.

    At every validation `val/reconstructions` of the same images, and `val/samples` of the same codes where the system can
    `sample`; the files hold the last. After test: `interpolation.png`, pairs of test images by the straight way and on the
    sphere; `traversal.png`, a code changed one dimension at a time, the widest first; `manifold.png` of two-dimensional
    codes; `embedding.png`, codes by class, by their first two principal components where they have more.

    Reconstructions are rows of images, what the system saw of them where it damages them (`corrupt`), and its answers.

    Args:
        folder: of the run's pictures.
        num_codes: test images in the embedding.
    """

    def __init__(self, folder: Path, num_codes: int = 2000) -> None:
        self.folder, self.num_codes = folder, num_codes
        self._codes: list[tuple[Tensor, Tensor]] = []  # codes, classes

    def on_validation_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        model: Any = pl_module
        if batch_idx or trainer.sanity_checking or not _draws(model):
            return
        rows = reconstructions(model, model.inputs(batch))
        sheets = {"reconstructions": rows}
        if hasattr(model, "sample"):
            generator = torch.Generator().manual_seed(0)
            z = torch.randn(4 * _COLUMNS, model.net.latent_dim, generator=generator).to(model.device)
            sheets["samples"] = model.decode(z, *_classes(model, len(z))).unflatten(0, (4, _COLUMNS))
        if writes(trainer):
            for name, sheet in sheets.items():
                save_tiles(sheet, self.folder / f"{name}.png")
                log_pictures(trainer, f"val/{name}", [tiles(sheet.float().cpu()).numpy()])

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._codes = []

    def on_test_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        model: Any = pl_module
        if _draws(model) and sum(len(z) for z, _ in self._codes) < self.num_codes:
            self._codes.append((model.encode(*model.inputs(batch)).float().cpu(), batch.y.cpu()))

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        model: Any = pl_module
        parts, self._codes = gathered(trainer, self._codes), []
        if sum(len(z) for z, _ in parts) < 2:  # nothing lies between one image
            return
        z, y = (torch.cat(values)[: self.num_codes] for values in zip(*parts, strict=True))
        sheets = {"interpolation": interpolations(model, z, y), "traversal": traversals(model, z, y)}
        if z.shape[1] == 2:
            sheets["manifold"] = manifold(model)
        if not writes(trainer):
            return
        for name, sheet in sheets.items():
            save_tiles(sheet, self.folder / f"{name}.png")
        names = getattr(trainer.datamodule, "class_names", ())  # type: ignore[attr-defined]
        embedding_figure(z, y, names).savefig(self.folder / "embedding.png", dpi=120)
        for name in (*sheets, "embedding"):
            log_pictures(trainer, f"test/{name}", [str(self.folder / f"{name}.png")])


def reconstructions(model: Any, inputs: tuple[Tensor, ...]) -> Tensor:
    """Rows of images, of what the model saw of them if that differs, and of its answers: (2 or 3, N, C, H, W)."""
    x, *others = (value[:_COLUMNS] for value in inputs)
    seen = model.corrupt(x) if hasattr(model, "corrupt") else x
    answers = model(seen, *others).clamp(0, 1)
    return torch.stack([x, answers] if seen is x else [x, seen, answers])


def interpolations(model: Any, z: Tensor, y: Tensor, num_pairs: int = 4) -> Tensor:
    """Two rows for each pair of codes, straight and on the sphere: (2 num_pairs, S, C, H, W). The first one's class counts."""
    num = 2 * min(num_pairs, len(z) // 2)
    rows = zip(both_ways(z[:num], _STEPS), y[0:num:2].repeat_interleave(2), strict=True)
    return torch.stack([model.decode(row.to(model.device), *_classes(model, _STEPS, label)).clamp(0, 1) for row, label in rows])


def traversals(model: Any, z: Tensor, y: Tensor, num_dims: int = 10) -> Tensor:
    """A row for each of the dimensions that vary most, the first code moved through its range: (D, S, C, H, W)."""
    mean, std = z.mean(0), z.std(0)
    rows = []
    for dim in std.argsort(descending=True)[:num_dims].tolist():
        codes = z[0].repeat(_STEPS, 1)
        codes[:, dim] = mean[dim] + std[dim] * torch.linspace(-2.5, 2.5, _STEPS)
        rows.append(model.decode(codes.to(model.device), *_classes(model, _STEPS, y[0])).clamp(0, 1))
    return torch.stack(rows)


def manifold(model: Any, num: int = 15) -> Tensor:
    """Codes of two dimensions at evenly spaced quantiles of N(0, I): (num, num, C, H, W) (Kingma & Welling, figure 4)."""
    steps = torch.special.ndtri(torch.linspace(0.02, 0.98, num))
    codes = torch.cartesian_prod(-steps, steps).flip(1).to(model.device)
    return model.decode(codes, *_classes(model, len(codes))).clamp(0, 1).unflatten(0, (num, num))


def embedding_figure(z: Tensor, y: Tensor, class_names: tuple[str, ...]) -> Figure:
    """Codes (N, Z) in the plane, coloured by class."""
    if z.shape[1] > 2:
        mean, directions = principal_components(z, 2)
        z = (z - mean) @ directions.T
    if z.shape[1] == 1:
        z = torch.cat([z, torch.zeros_like(z)], dim=1)
    figure = Figure(figsize=(7, 6), layout="constrained")
    axes = figure.subplots()
    names = class_names or tuple(map(str, range(int(y.max()) + 1)))
    for label, name in enumerate(names):
        of_class = z[y == label]
        axes.scatter(of_class[:, 0], of_class[:, 1], s=6, label=name, color=f"C{label % 10}")
    axes.legend(fontsize=7, markerscale=2)
    return figure


def _draws(model: Any) -> bool:
    return hasattr(model, "encode") and hasattr(model, "decode")


def _classes(model: Any, num: int, y: Tensor | None = None) -> tuple[Tensor, ...]:
    """What a conditional model wants beside codes: the class y, or all in turn."""
    if not getattr(model, "conditional", False):
        return ()
    if y is not None:
        return (y.expand(num).to(model.device),)
    return (torch.arange(num, device=model.device) % model.hparams["num_classes"],)
