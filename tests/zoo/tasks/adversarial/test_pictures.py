"""What is reported of games, on real data: scores of samples, modes of points, pictures that can be told apart."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning import Callback, Trainer
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader

from datamodules import Digits, FashionMNIST, GaussianMixture, StackedFashionMNIST
from datamodules.core.batch import Batch
from zoo.autoencoders.autoencoder import Autoencoder
from zoo.gans.conditional_gan import ConditionalGAN
from zoo.gans.dcgan import DCGAN
from zoo.gans.gan import GAN
from zoo.tasks.adversarial.base import Adversarial
from zoo.tasks.adversarial.pictures import GamePictures, film
from zoo.tasks.generation.frechet import FrechetDistance
from zoo.tasks.generation.sample_scores import PointModes, SampleScores

Fit = Callable[..., Trainer]
SHAPE, NETWORK, CLOTHES = (1, 8, 8), "simple_cnn_mnist", "simple_cnn_fashion_mnist"


def digits() -> Digits:
    return Digits(normalize=False, batch_size=64, seed=0)


def scores(fit: Fit, system: Adversarial, data: Any, callback: Callback, folder: Path, max_epochs: int = 0) -> dict[str, Any]:
    trainer = fit(system, data, callbacks=[callback], max_epochs=max_epochs, default_root_dir=folder)
    (found,) = trainer.test(system, datamodule=data, verbose=False)
    return dict(found)


class Memory(DCGAN):
    """Samples are given images, again and again."""

    def remember(self, x: Tensor) -> "Memory":
        self.images, self.place = x, 0
        return self

    def sample(self, num: int, *given: Tensor) -> Tensor:
        places = (torch.arange(num) + self.place) % len(self.images)
        self.place += num
        return self.images[places]


def clothes() -> tuple[FashionMNIST, Tensor]:
    """Fashion-MNIST, and images of its training part."""
    data = FashionMNIST(normalize=False, batch_size=100, seed=0)
    data.setup()
    images, rows = data.splits["train"].arrays.x, data.splits["train"].rows
    return data, images[rows[:1000]].float() / 255


@pytest.mark.usefixtures("mirror")
def test_memory_has_the_scores_of_real_images_and_one_image_has_none(fit: Fit, tmp_path: Path) -> None:
    data, real = clothes()
    callback = SampleScores(CLOTHES, num_images=1000)
    memory = scores(fit, Memory((1, 28, 28), 4, (4, 4)).remember(real), data, callback, tmp_path)
    for name in ("precision", "recall", "kd", "cs"):
        assert memory[f"test/{name}_{CLOTHES}_samples"] == pytest.approx(
            memory[f"test/{name}_{CLOTHES}_real"], abs=0.05, rel=0.1
        )
    assert memory["test/modes"] == 10
    assert memory["test/class_kl"] < 0.05
    alone = scores(fit, Memory((1, 28, 28), 4, (4, 4)).remember(real[:1]), data, callback, tmp_path)
    assert (alone["test/modes"], alone["test/least_share"]) == (1, 0)
    assert alone[f"test/cs_{CLOTHES}_samples"] == pytest.approx(1, abs=1e-3)
    assert alone[f"test/recall_{CLOTHES}_samples"] < 0.05
    assert alone[f"test/kd_{CLOTHES}_samples"] > 10 * abs(memory[f"test/kd_{CLOTHES}_samples"])
    assert alone["test/class_kl"] == pytest.approx(math.log(10), abs=0.3)


@pytest.mark.usefixtures("mirror")
def test_stacked_images_have_three_classes_in_one_and_the_score_of_their_channels(fit: Fit, tmp_path: Path) -> None:
    data = StackedFashionMNIST(normalize=False, batch_size=100, seed=0)
    data.setup()
    images, rows = data.splits["train"].arrays.x, data.splits["train"].rows
    real, callback = images[rows[:600]].float() / 255, SampleScores(CLOTHES, num_images=600)
    found = scores(fit, Memory((3, 28, 28), 4, (4, 4)).remember(real), data, callback, tmp_path)
    expected = 1000 * (1 - 0.999**600)  # classes met by so many draws
    assert found["test/modes_real"] == pytest.approx(expected, rel=0.05)
    assert found["test/modes"] == pytest.approx(found["test/modes_real"], rel=0.1)
    assert found["test/class_kl"] == pytest.approx(found["test/class_kl_real"], rel=0.1)  # finite, though modes are missing
    assert found[f"test/cs_{CLOTHES}_real"] == pytest.approx(5.4, abs=0.3)  # as of single pictures
    alone = scores(fit, Memory((3, 28, 28), 4, (4, 4)).remember(real[:1]), data, callback, tmp_path)
    assert alone["test/modes"] == 1
    assert 1 < alone[f"test/cs_{CLOTHES}_samples"] <= 3.1  # of three channels


@pytest.mark.usefixtures("mirror")
def test_neighbours_of_remembered_images_are_themselves(fit: Fit, tmp_path: Path) -> None:
    """Of the training images that were looked at, which are as many as were tested."""
    data, _ = clothes()
    first = [batch.x.float() / 255 for batch, _ in zip(data.loader("train"), range(3), strict=False)]
    memory = Memory((1, 28, 28), 4, (4, 4)).remember(torch.cat(first))
    scores(fit, memory, data, SampleScores(CLOTHES, num_images=300), tmp_path)
    sheet = Image.open(tmp_path / "pictures" / "neighbours.png").convert("L")
    sheet = np.asarray(sheet.resize((10 * 29 - 1, 4 * 29 - 1), Image.Resampling.NEAREST)).astype(int)
    samples, nearest, second = (sheet[29 * row : 29 * row + 28] for row in range(3))
    assert np.array_equal(samples, nearest)
    assert not np.array_equal(samples, second)


def test_points_are_counted_by_their_gaussians(fit: Fit, tmp_path: Path) -> None:
    data = GaussianMixture("ring", 8, num_samples=800)

    class Ring(GAN):
        def sample(self, num: int, *given: Tensor) -> Tensor:
            return data.centres[torch.arange(num) % 6] + (torch.arange(num) % 2)[:, None] * 0.5

    found = scores(fit, Ring((2,), widths=[4]), data, PointModes(num_samples=1200), tmp_path)
    assert found["test/modes"] == 3  # of six centres the even ones, the others are 0.5 off
    assert found["test/high_quality"] == pytest.approx(0.5)
    assert found["test/least_share"] == 0


def test_the_distance_of_samples_has_no_reconstructions_beside_it(fit: Fit, tmp_path: Path) -> None:
    found = scores(fit, DCGAN(SHAPE, 4, (4, 4)), digits(), FrechetDistance(NETWORK, num_images=100), tmp_path)
    assert {name for name in found if "fd_" in name} == {f"test/fd_{NETWORK}_samples", f"test/fd_{NETWORK}_real"}


@pytest.mark.parametrize("system", [lambda: DCGAN(SHAPE, 4, (4, 4)), lambda: ConditionalGAN(SHAPE, 10, "conv", 4, (4, 4))])
def test_pictures_of_images_are_drawn(fit: Fit, tmp_path: Path, system: Callable[[], Adversarial]) -> None:
    pictures = GamePictures(tmp_path)
    scores(fit, system(), digits(), pictures, tmp_path, max_epochs=3)
    assert {path.name for path in tmp_path.glob("*.*")} == {"samples.png", "logits.png", "training.gif", "interpolation.png"}
    for name in ("samples", "logits", "interpolation"):
        assert np.asarray(Image.open(tmp_path / f"{name}.png").convert("L")).std() > 5
    with Image.open(tmp_path / "training.gif") as gif:
        assert gif.n_frames == 3
    first, *_, last = sorted((tmp_path / "frames").glob("*.png"))
    assert last.read_bytes() == (tmp_path / "samples.png").read_bytes() != first.read_bytes()


def test_pictures_of_points_are_drawn(fit: Fit, tmp_path: Path) -> None:
    scores(fit, GAN((2,), 4, [8]), GaussianMixture(num_samples=800), GamePictures(tmp_path), tmp_path, max_epochs=1)
    assert {path.name for path in tmp_path.glob("*.*")} == {"samples.png", "logits.png", "training.gif"}


def test_points_of_space_have_no_picture_but_logits(fit: Fit, tmp_path: Path) -> None:
    loader = DataLoader([Batch(torch.randn(3), torch.tensor(0), torch.tensor(0)) for _ in range(40)], batch_size=20)
    system = GAN((3,), 4, [8])
    fit(system, None, loader, loader, callbacks=[GamePictures(tmp_path)])
    assert [path.name for path in tmp_path.glob("*.*")] == ["logits.png"]


def test_the_same_noise_is_drawn_from_every_time(fit: Fit, tmp_path: Path) -> None:
    """At rate 0 nothing changes, and no frame does."""
    system = GAN(SHAPE, 4, [8], lr=1e-30)
    fit(system, digits(), callbacks=[GamePictures(tmp_path)], max_epochs=2)
    first, last = sorted((tmp_path / "frames").glob("*.png"))
    assert first.read_bytes() == last.read_bytes()


def test_a_film_shows_an_even_choice_of_frames(tmp_path: Path) -> None:
    frames = []
    for shade in range(100):
        frames.append(tmp_path / f"{shade:03d}.png")
        Image.new("L", (4, 4), shade * 2).save(frames[-1])
    film(frames, tmp_path / "film.gif", most=5)
    with Image.open(tmp_path / "film.gif") as gif:
        shades = []
        for frame in range(gif.n_frames):
            gif.seek(frame)
            shades.append(gif.convert("L").getpixel((0, 0)))
    assert shades == pytest.approx([0, 50, 100, 148, 198], abs=4)


def test_what_cannot_be_scored_is_refused_before_training(fit: Fit) -> None:
    with pytest.raises(ValueError, match=r"SampleScores is for systems with sample\(\), Autoencoder has none"):
        fit(Autoencoder(SHAPE), digits(), callbacks=[SampleScores(NETWORK)])
    with pytest.raises(ValueError, match="PointModes is for data with known centres, as GaussianMixture has, Digits has none"):
        fit(GAN(SHAPE), digits(), callbacks=[PointModes()])
    with pytest.raises(ValueError, match="num_images must be at least 1, got 0"):
        SampleScores(NETWORK, num_images=0)
    with pytest.raises(ValueError, match="no published weights 'nothing'"):
        fit(GAN(SHAPE), digits(), callbacks=[SampleScores("nothing")])
