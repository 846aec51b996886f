"""Pictures of a GAN's training: samples from fixed noise, and the discriminator's logits."""

import shutil
from functools import partial
from pathlib import Path
from typing import Any, Protocol, cast

import torch
from lightning import LightningModule, Trainer
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor, nn

from zoo.tasks.abilities import Generates
from zoo.tasks.drawing import save_tiles
from zoo.tasks.reconstruction.pictures import interpolations
from zoo.training.reporting import Draw, ValidationPictures, log_gif, log_picture, writes

_ROWS, _COLUMNS = 4, 10
_POINTS = 1000
_MILLISECONDS = 150  # for each frame of the GIF


class NoiseGAN(Protocol):
    """The attributes of a GAN that the pictures use, in addition to those of `Generates`."""

    discriminator: nn.Module

    def real(self, batch: Any) -> Tensor:
        """Return the real samples of a batch as the discriminator sees them."""
        ...

    def fake(self, batch: Any) -> Tensor:
        """Generate as many samples as the batch has, as the discriminator sees them."""
        ...

    def condition(self, batch: Any) -> tuple[Tensor, ...]:
        """Return the conditioning inputs passed to both networks."""
        ...


class GANPictures(ValidationPictures):
    """Draws pictures of a GAN's training into `folder`, and sends them to W&B.

    - `samples.png`, at validations: samples from fixed noise. Points in the plane are drawn over real ones.
    - `logits.png`, at validations: histograms of the discriminator's logits for real and for generated samples.
    - `training.gif`, after training: the samples of all validations, including those before the run was resumed.
    - `interpolation.png`, after test, for images: interpolations between codes on a straight line and on the sphere.

    Args:
        folder: folder of the pictures.
        most_frames: largest number of frames in the GIF. If there are more validations, evenly spaced ones are shown.
    """

    def __init__(self, folder: Path, most_frames: int = 60) -> None:
        super().__init__(folder)
        self.most_frames = most_frames

    def on_validation_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        if batch_idx or trainer.sanity_checking:
            return
        model, gan = cast(Generates, pl_module), cast(NoiseGAN, pl_module)
        shape = model.hparams["input_shape"]
        are_images, are_points = len(shape) == 3, tuple(shape) == (2,)
        inputs = (value.to(model.device) for value in model.example_inputs(_ROWS * _COLUMNS if are_images else _POINTS))
        samples = model(*inputs)  # in every process, because a sharded network needs all of them
        condition = gan.condition(batch)
        real, fake = (gan.discriminator(x, *condition).float().flatten() for x in (gan.real(batch), gan.fake(batch)))
        if not writes(trainer):
            return
        pictures: dict[str, tuple[str, Draw]] = {"val/logits": ("logits.png", partial(save_logits, real.cpu(), fake.cpu()))}
        if are_images or are_points:  # points of other dimensions cannot be drawn
            frame = self.folder / "frames" / f"{trainer.global_step:08d}.png"
            frame.parent.mkdir(parents=True, exist_ok=True)
            if are_images:
                save_tiles(samples.view(_ROWS, _COLUMNS, *samples.shape[1:]), frame)
            else:
                points_figure(samples.cpu(), batch.x.cpu()).savefig(frame, dpi=80)
            pictures["val/samples"] = ("samples.png", partial(shutil.copyfile, frame))
        self.offer(trainer, pictures)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_train_end(trainer, pl_module)
        frames = sorted((self.folder / "frames").glob("*.png"))
        if frames and writes(trainer):
            path = self.folder / "training.gif"
            save_gif(frames, path, self.most_frames)
            log_gif(trainer, "val/film", path)

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        model = cast(Generates, pl_module)
        if len(model.hparams["input_shape"]) != 3:
            return
        z, *condition = model.example_inputs(2 * _ROWS)
        with torch.no_grad():
            sheet = interpolations(model, z, condition[0] if condition else torch.zeros(len(z)))
        if not writes(trainer):
            return
        save_tiles(sheet, self.folder / "interpolation.png")
        log_picture(trainer, "test/interpolation", self.folder / "interpolation.png")


def points_figure(drawn: Tensor, real: Tensor | None = None) -> Figure:
    """Draw generated points (N, 2). Real points (M, 2), if given, are drawn below them and set the limits of the axes."""
    figure = Figure(figsize=(4, 4), layout="constrained")
    axes = figure.subplots()
    if real is not None:
        axes.scatter(real[:, 0], real[:, 1], s=3, color="lightgrey", label="real")
    axes.scatter(drawn[:, 0], drawn[:, 1], s=3, color="C0", alpha=0.5, label="drawn")
    reach = 1.3 * (drawn if real is None else real).abs().max().item()
    axes.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")
    axes.legend(fontsize=7, loc="upper right")
    return figure


def save_logits(real: Tensor, fake: Tensor, path: Path) -> None:
    """Draw histograms of the discriminator's logits for real (N,) and generated samples (M,) into a file."""
    figure = Figure(figsize=(4, 2.5), layout="constrained")
    axes = figure.subplots()
    low, high = torch.cat([real, fake]).aminmax()
    bins = torch.linspace(float(low), float(high) + 1e-6, 41).tolist()
    axes.hist(real.tolist(), bins=bins, alpha=0.6, label="real")
    axes.hist(fake.tolist(), bins=bins, alpha=0.6, label="drawn")
    axes.set_xlabel("logit")
    axes.legend(fontsize=7, loc="upper left")
    figure.savefig(path, dpi=100)


def save_gif(frames: list[Path], path: Path, most: int) -> None:
    """Write a GIF of at most `most` evenly spaced frames of the same size. The last one is shown longer."""
    chosen = torch.linspace(0, len(frames) - 1, min(most, len(frames))).round().long().tolist()
    pictures = [Image.open(frames[index]).convert("P") for index in chosen]
    durations = [_MILLISECONDS] * (len(pictures) - 1) + [10 * _MILLISECONDS]
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=durations, loop=0)
