"""Pictures and scores of translations: what is drawn, what judges say of good and of idle translators."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from lightning import Trainer
from PIL import Image
from torch import Tensor, nn

from datamodules import Digits
from datamodules.core.base import Arrays
from datamodules.images.unpaired_images import Domain, Part, Unpaired, UnpairedSets
from zoo.gans.cyclegan import CycleGAN
from zoo.gans.gan import GAN
from zoo.gans.pix2pix import Pix2Pix
from zoo.tasks.translation.pictures import Translations
from zoo.tasks.translation.scores import CycleScores, PairScores

Fit = Callable[..., Trainer]


class Negatives(Unpaired):
    """Digits of scikit-learn in A, the negatives of others in B."""

    def __init__(self, batch_size: int = 50) -> None:
        super().__init__((1, 8, 8), flip=False, batch_size=batch_size, val_fraction=0.1, seed=0, split_seed=0)

    def domain(self, name: Domain, part: Part) -> Arrays:
        x, y, _ = Digits(normalize=False).load("train")
        mine = torch.arange(len(y)) % 2 == (name == "B")
        x, y = (255 - x[mine] if name == "B" else x[mine]), y[mine]
        return Arrays(x[:700], y[:700]) if part == "train" else Arrays(x[700:], y[700:])


class Negative(nn.Module):
    """What a perfect translator does: between the players white is 1 and black is -1."""

    def forward(self, x: Tensor) -> Tensor:
        return -x


def cycle(**arguments: Any) -> CycleGAN:
    return CycleGAN((1, 8, 8), width=4, num_halvings=1, num_blocks=1, d_widths=[4, 4], **arguments)


def scores(system: Any, data: Any, callback: Any, tmp_path: Path, **limits: int) -> dict[str, float]:
    trainer = Trainer(
        accelerator="cpu", devices=1, logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, callbacks=[callback], default_root_dir=tmp_path,
    )  # fmt: skip
    return dict(trainer.test(system, data, verbose=False)[0])


def test_a_perfect_translator_is_told_from_an_idle_one(tmp_path: Path) -> None:
    system = cycle()
    system.generator.to_b, system.generator.to_a = Negative(), Negative()
    perfect = scores(system, Negatives(), CycleScores(epochs=20), tmp_path)
    assert perfect["test/probe_acc"] > 0.98
    assert perfect["test/called_b"] > 0.98
    assert perfect["test/called_a"] > 0.98
    assert perfect["test/class_probe_acc"] > 0.85
    assert perfect["test/kept_b"] == pytest.approx(perfect["test/class_probe_acc"], abs=0.07)  # other digits, as good
    assert perfect["test/cycle_l1"] == pytest.approx(0, abs=1e-6)
    # and the identity map, of which the same judges speak
    assert perfect["test/called_b_identity"] < 0.02
    assert perfect["test/called_a_identity"] < 0.02
    assert perfect["test/kept_b_identity"] < 0.5
    system.generator.to_b, system.generator.to_a = nn.Identity(), nn.Identity()
    idle = scores(system, Negatives(), CycleScores(epochs=20), tmp_path)
    for name in ("called_a", "called_b", "kept_b"):
        assert idle[f"test/{name}"] == idle[f"test/{name}_identity"] == perfect[f"test/{name}_identity"]


@pytest.mark.usefixtures("mirror")
def test_published_weights_judge_by_their_name(tmp_path: Path) -> None:
    """A classifier of MNIST is all but right about MNIST, and less so about USPS."""
    system = CycleGAN((1, 28, 28), width=4, num_halvings=1, num_blocks=1, d_widths=[4, 4])
    system.generator.to_b, system.generator.to_a = nn.Identity(), nn.Identity()
    judge = CycleScores("simple_cnn_mnist", epochs=1)
    found = scores(system, UnpairedSets(batch_size=100), judge, tmp_path, limit_test_batches=4, limit_train_batches=2)
    assert found["test/kept_b_simple_cnn_mnist"] == found["test/kept_b_simple_cnn_mnist_identity"] > 0.97
    assert 0.4 < found["test/kept_a_simple_cnn_mnist_identity"] < 0.97
    with pytest.raises(ValueError, match="no published weights 'nobody'"):
        scores(cycle(), Negatives(), CycleScores("nobody"), tmp_path)


class Copies(Negatives):
    """Pairs: y is the negative of x."""

    def loader(self, split: str) -> Any:
        loader = super().loader(split)
        served = loader._batches

        def paired() -> Iterator[Any]:
            for batch in served():
                yield batch._replace(y=255 - batch.x)

        loader._batches = paired  # type: ignore[method-assign]
        return loader


def test_pairs_are_compared_with_their_targets_and_the_mean_target(tmp_path: Path) -> None:
    system = Pix2Pix((1, 8, 8), widths=[4, 4], d_widths=[4])
    system.generator = Negative()
    data = Copies()
    found = scores(system, data, PairScores("simple_cnn_mnist"), tmp_path)
    assert found["test/l1"] == pytest.approx(0, abs=1e-6)
    assert found["test/fd_simple_cnn_mnist_translations"] == pytest.approx(0, abs=0.01)
    assert found["test/fd_simple_cnn_mnist_real"] > 0.1
    assert found["test/kd_simple_cnn_mnist_translations"] < found["test/kd_simple_cnn_mnist_real"] + 0.01
    train = torch.cat([data.transform(batch, 0, False).y for batch in data.loader("train")])
    test = torch.cat([data.transform(batch, 0, False).y for batch in data.loader("test")])
    assert found["test/l1_mean_image"] == pytest.approx((test - train.mean(0)).abs().mean().item(), rel=1e-4)
    system.generator = nn.Identity()
    idle = scores(system, data, PairScores("simple_cnn_mnist"), tmp_path)
    assert idle["test/l1"] > found["test/l1_mean_image"]
    assert idle["test/fd_simple_cnn_mnist_translations"] > 3 * found["test/fd_simple_cnn_mnist_real"]


@pytest.mark.parametrize("callback", [PairScores("simple_cnn_mnist"), CycleScores()])
def test_a_system_that_translates_nothing_is_refused(callback: Any, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"{type(callback).__name__} is for systems with .*GAN has none"):
        scores(GAN((1, 8, 8)), Digits(normalize=False), callback, tmp_path)


@pytest.mark.parametrize("name", ["num_images", "num_train", "epochs"])
def test_counts_are_at_least_one(name: Literal["num_images", "num_train", "epochs"]) -> None:
    with pytest.raises(ValueError, match=f"{name} must be at least 1, got 0"):
        CycleScores(**{name: 0})


@pytest.mark.parametrize("batch_size", [50, 2])
def test_strips_are_drawn_at_validation_and_in_the_test(fit: Fit, tmp_path: Path, batch_size: int) -> None:
    """Of as many images as are wanted, however few a batch has."""
    system, data = cycle(), Negatives(batch_size)
    trainer = fit(
        system, data, callbacks=[Translations(tmp_path, num_images=5)], limit_train_batches=1, default_root_dir=tmp_path
    )
    for name in ("a_to_b_to_a", "b_to_a_to_b"):
        sheet = np.asarray(Image.open(tmp_path / "pictures" / f"{name}.png").convert("L"))
        cells = sheet[:: sheet.shape[0] // 44, :: sheet.shape[1] // 26][:44, :26]  # five rows of three 8x8 tiles, lines between
        batches = [data.transform(batch, 0, False) for batch, _ in zip(data.loader("val"), range(3), strict=False)]
        first = torch.cat([batch.x if name == "a_to_b_to_a" else batch.y for batch in batches])[:5, 0]
        shown = np.stack([cells[9 * row : 9 * row + 8, :8] for row in range(5)])
        assert np.abs(shown - (255 * first).round().numpy()).max() <= 1
    trainer.test(system, data, verbose=False)
    assert (tmp_path / "pictures" / "test_a_to_b_to_a.png").exists()


def test_predictions_are_pictures(tmp_path: Path) -> None:
    system, data = cycle().eval(), Negatives()
    trainer = Trainer(
        accelerator="cpu", devices=1, logger=False, enable_checkpointing=False, enable_progress_bar=False,
        callbacks=[Translations(tmp_path)], limit_predict_batches=1,
    )  # fmt: skip
    trainer.predict(system, data, return_predictions=False)
    paths = sorted((tmp_path / "predictions" / "translations").glob("*.png"))
    assert len(paths) == 50
    batch = data.transform(next(iter(data.loader("test"))), 0, False)
    with torch.no_grad():
        expected = (255 * system(batch.x[:1])).round()[0, 0]
    assert np.abs(np.asarray(Image.open(paths[0]).convert("L")) - expected.numpy()).max() <= 1
