"""How a game goes, in pictures: the same noise at every validation, and what the discriminator says."""

import shutil
from pathlib import Path
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from zoo.tasks.adversarial.base import Adversarial
from zoo.tasks.reconstruction.pictures import interpolations
from zoo.tasks.tiles import save_tiles
from zoo.training.reporting import log_film, log_pictures, writes

_ROWS, _COLUMNS = 4, 10
_POINTS = 1000
_MILLISECONDS = 150  # of a frame


class GamePictures(Callback):
    """Draws into `folder`, and sends to W&B, what two players do.

    At every validation `samples.png` of the same noise (points in the plane as a scatter over real ones), and `logits.png`,
    histograms of what the discriminator says of real and of drawn samples. `training.gif` shows the samples of all
    validations, of a resumed run's earlier ones too. After test, of images: `interpolation.png`, straight and on the sphere.

    Args:
        folder: of the run's pictures.
        most_frames: of the film; of more validations an even choice is shown.
    """

    def __init__(self, folder: Path, most_frames: int = 60) -> None:
        self.folder, self.most_frames = folder, most_frames

    def on_validation_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        if batch_idx or trainer.sanity_checking or not isinstance(pl_module, Adversarial) or pl_module.latent_dim is None:
            return
        model, num = pl_module, _ROWS * _COLUMNS if batch.x.ndim == 4 else _POINTS
        inputs = (value.to(model.device) for value in model.example_inputs(num))
        x = model(*inputs)  # in every process: a sharded network needs them all
        told = model.condition(batch)
        real = model.discriminator(model.real(batch), *told)
        fake = model.discriminator(model.fake(batch), *told)
        if not writes(trainer):
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        pictures = ["logits"]
        logits_figure(real.float().cpu().flatten(), fake.float().cpu().flatten()).savefig(self.folder / "logits.png", dpi=100)
        if x.ndim == 4 or x.shape[1] == 2:  # points of other spaces have no picture
            frame = self.folder / "frames" / f"{trainer.global_step:08d}.png"
            frame.parent.mkdir(exist_ok=True)
            if x.ndim == 4:
                save_tiles(x.unflatten(0, (_ROWS, _COLUMNS)), frame)
            else:
                points_figure(x.cpu(), batch.x.cpu()).savefig(frame, dpi=80)
            shutil.copyfile(frame, self.folder / "samples.png")
            pictures.append("samples")
        for name in pictures:
            log_pictures(trainer, f"val/{name}", [str(self.folder / f"{name}.png")])

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        frames = sorted((self.folder / "frames").glob("*.png"))
        if frames and isinstance(pl_module, Adversarial) and writes(trainer):
            path = self.folder / "training.gif"
            film(frames, path, self.most_frames)
            log_film(trainer, "val/film", str(path))

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        model: Any = pl_module
        if not isinstance(model, Adversarial) or model.latent_dim is None or len(model.hparams["input_shape"]) != 3:
            return
        z, *given = model.example_inputs(2 * _ROWS)
        with torch.no_grad():
            sheet = interpolations(model, z, given[0] if given else torch.zeros(len(z)))
        if not writes(trainer):
            return
        save_tiles(sheet, self.folder / "interpolation.png")
        log_pictures(trainer, "test/interpolation", [str(self.folder / "interpolation.png")])


def points_figure(drawn: Tensor, real: Tensor | None = None) -> Figure:
    """Points (N, 2), over real ones (M, 2) where there are some: then the frame is theirs."""
    figure = Figure(figsize=(4, 4), layout="constrained")
    axes = figure.subplots()
    if real is not None:
        axes.scatter(real[:, 0], real[:, 1], s=3, color="lightgrey", label="real")
    axes.scatter(drawn[:, 0], drawn[:, 1], s=3, color="C0", alpha=0.5, label="drawn")
    reach = 1.3 * (drawn if real is None else real).abs().max().item()
    axes.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")
    axes.legend(fontsize=7, loc="upper right")
    return figure


def logits_figure(real: Tensor, fake: Tensor) -> Figure:
    """Histograms of what the discriminator says: (N,) and (M,)."""
    figure = Figure(figsize=(4, 2.5), layout="constrained")
    axes = figure.subplots()
    low, high = torch.cat([real, fake]).aminmax()
    bins = torch.linspace(float(low), float(high) + 1e-6, 41).tolist()
    axes.hist(real.tolist(), bins=bins, alpha=0.6, label="real")
    axes.hist(fake.tolist(), bins=bins, alpha=0.6, label="drawn")
    axes.set_xlabel("logit")
    axes.legend(fontsize=7, loc="upper left")
    return figure


def film(frames: list[Path], path: Path, most: int) -> None:
    """A GIF of one or more pictures of one size, of `most` at most, the last for longer."""
    places = torch.linspace(0, len(frames) - 1, min(most, len(frames))).round().long().tolist()
    pictures = [Image.open(frames[place]).convert("P") for place in places]
    durations = [_MILLISECONDS] * (len(pictures) - 1) + [10 * _MILLISECONDS]
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=durations, loop=0)
