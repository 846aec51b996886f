"""Pictures of a GAN's training."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning import Trainer
from PIL import Image
from torch.utils.data import DataLoader

from datamodules import Digits, GaussianMixture
from datamodules.core.batch import Batch
from zoo.gans.conditional_gan import ConditionalGAN
from zoo.gans.dcgan import DCGAN
from zoo.gans.gan import GAN
from zoo.tasks.adversarial.base import Adversarial
from zoo.tasks.adversarial.pictures import GANPictures, save_gif

Fit = Callable[..., Trainer]
Scores = Callable[..., dict[str, Any]]
SHAPE, NETWORK, CLOTHES = (1, 8, 8), "simple_cnn_digits", "simple_cnn_fashion_mnist"


def digits() -> Digits:
    return Digits(normalize=False, batch_size=64, seed=0)


@pytest.mark.parametrize("system", [lambda: DCGAN(SHAPE, 4, (4, 4)), lambda: ConditionalGAN(SHAPE, 10, "conv", 4, (4, 4))])
def test_pictures_of_images_are_drawn(scores: Scores, tmp_path: Path, system: Callable[[], Adversarial]) -> None:
    pictures = GANPictures(tmp_path)
    scores(system(), digits(), pictures, max_epochs=3)
    assert {path.name for path in tmp_path.glob("*.*")} == {"samples.png", "logits.png", "training.gif", "interpolation.png"}
    for name in ("samples", "logits", "interpolation"):
        assert np.asarray(Image.open(tmp_path / f"{name}.png").convert("L")).std() > 5
    with Image.open(tmp_path / "training.gif") as gif:
        assert gif.n_frames == 3
    first, *_, last = sorted((tmp_path / "frames").glob("*.png"))
    assert last.read_bytes() == (tmp_path / "samples.png").read_bytes() != first.read_bytes()


def test_pictures_of_points_are_drawn(scores: Scores, tmp_path: Path) -> None:
    scores(GAN((2,), 4, [8]), GaussianMixture(num_samples=800), GANPictures(tmp_path), max_epochs=1)
    assert {path.name for path in tmp_path.glob("*.*")} == {"samples.png", "logits.png", "training.gif"}


def test_only_logits_are_drawn_for_points_in_three_dimensions(fit: Fit, tmp_path: Path) -> None:
    loader = DataLoader([Batch(torch.randn(3), torch.tensor(0), torch.tensor(0)) for _ in range(40)], batch_size=20)
    system = GAN((3,), 4, [8])
    fit(system, None, loader, loader, callbacks=[GANPictures(tmp_path)])
    assert [path.name for path in tmp_path.glob("*.*")] == ["logits.png"]


def test_samples_are_drawn_from_the_same_noise_every_time(fit: Fit, tmp_path: Path) -> None:
    """With a learning rate near 0 the frames are equal."""
    system = GAN(SHAPE, 4, [8], lr=1e-30)
    fit(system, digits(), callbacks=[GANPictures(tmp_path)], max_epochs=2)
    first, last = sorted((tmp_path / "frames").glob("*.png"))
    assert first.read_bytes() == last.read_bytes()


def test_a_gif_shows_evenly_spaced_frames(tmp_path: Path) -> None:
    frames = []
    for shade in range(100):
        frames.append(tmp_path / f"{shade:03d}.png")
        Image.new("L", (4, 4), shade * 2).save(frames[-1])
    save_gif(frames, tmp_path / "training.gif", most=5)
    with Image.open(tmp_path / "training.gif") as gif:
        shades = []
        for frame in range(gif.n_frames):
            gif.seek(frame)
            shades.append(gif.convert("L").getpixel((0, 0)))
    assert shades == pytest.approx([0, 50, 100, 148, 198], abs=4)
