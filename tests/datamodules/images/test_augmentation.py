"""Augmentation settings: what they refuse, and that each image's draws depend on (seed, epoch, position) alone."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from datamodules import MNIST, Digits, FashionMNIST, ImageFolder, StackedFashionMNIST
from datamodules.core.batch import Batch
from datamodules.images.augmentation import Augment, Augmentation
from datamodules.images.transform import ImageTransform
from zoo.augment.mixing import symmetric_beta

X = torch.randint(0, 256, (64, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
EVERYTHING: Augment = {
    **{"policy": "rand_augment", "num_ops": 1, "rotation": 20.0, "brightness": 0.4, "contrast": 0.4, "saturation": 0.4},
    **{"hue": 0.1, "cutout": 3, "erase": 0.5},
}


def transform_of(augment: Augment, seed: int = 0) -> ImageTransform:
    augmentation = Augmentation(augment, (3, 8, 8), seed, num_classes=10, has_colours=True)
    return ImageTransform((0.4, 0.5, 0.6), (0.2, 0.3, 0.4), flip=True, shift=1, seed=seed, augmentation=augmentation)


def batch_of(position: torch.Tensor) -> Batch:
    return Batch(X[position % 64], position % 10, position)


def test_an_image_is_changed_the_same_in_any_batch() -> None:
    position = torch.randperm(64)
    transform = transform_of(EVERYTHING)
    together = transform(batch_of(position), 3, True)
    alone = [transform(batch_of(position[i : i + 1]), 3, True).x for i in range(64)]
    torch.testing.assert_close(together.x, torch.cat(alone), atol=0.02, rtol=0)  # at most one level of 255, from rounding
    assert torch.equal(together.y, position % 10)
    other = [transform(batch_of(position), 4, True).x, transform_of(EVERYTHING, seed=1)(batch_of(position), 3, True).x]
    assert all((together.x != x).flatten(1).any(1).all() for x in other)
    assert torch.equal(transform(batch_of(position), 3, False).x, transform_of({"hue": 0.1})(batch_of(position), 3, False).x)


@pytest.mark.parametrize("name", sorted(set(EVERYTHING) - {"num_ops"} | {"mixup", "cutmix"}))
def test_each_setting_alone_changes_images(name: str) -> None:
    augment: Any = {"mixup": 1.0, "cutmix": 1.0, **EVERYTHING}
    changed, plain = (transform_of(settings)(batch_of(torch.arange(64)), 0, True).x for settings in ({name: augment[name]}, {}))
    share = (changed != plain).flatten(1).any(1).float().mean()
    assert 0.3 < share < 0.7 if name == "erase" else share > 0.8


def test_mixed_targets_are_of_the_image_and_the_one_before_it() -> None:
    position = torch.arange(64)
    batch = transform_of({"mixup": 0.4})(batch_of(position), 0, True)
    assert (batch.y.shape, batch.y.dtype) == ((64, 10), torch.float32)
    torch.testing.assert_close(batch.y.sum(1), torch.ones(64))
    own, partner = batch.y.gather(1, (position % 10)[:, None]), batch.y.gather(1, (position % 10).roll(1)[:, None])
    torch.testing.assert_close((own + partner)[:, 0], torch.ones(64))
    half = transform_of({"mixup": 0.4})(batch_of(position[:32]), 0, True)
    torch.testing.assert_close(half.y[1:], batch.y[1:32])  # without the first image, whose partner is the last one
    evaluated = transform_of({"mixup": 0.4})(batch_of(position), 0, False)
    assert torch.equal(evaluated.y, position % 10)


def test_with_both_each_image_draws_one() -> None:
    position = torch.arange(4000)
    white = Batch(torch.full((4000, 3, 8, 8), 255, dtype=torch.uint8), torch.arange(4000) % 2, position)
    white.x[::2] = 0
    transform = transform_of({"mixup": 1.0, "cutmix": 1.0})
    x = transform(white, 0, True).x[:, 0] * 0.2 + 0.4
    cut = ((x < 1e-4) | (x > 1 - 1e-4)).flatten(1).all(1).float().mean().item()
    assert cut == pytest.approx(0.5, abs=0.03)


def test_mixup_weights_over_a_set_are_beta() -> None:
    position = torch.arange(20_000)
    batch = Batch(torch.zeros(20_000, 3, 8, 8, dtype=torch.uint8), position % 2, position)
    kept = transform_of({"mixup": 0.4})(batch, 5, True).y.gather(1, (position % 2)[:, None])[:, 0].sort().values
    expected = symmetric_beta((position + 0.5) / 20_000, 0.4)
    assert (kept - expected).abs().max() < 0.03


def test_erased_pixels_are_the_mean_pixel() -> None:
    batch = transform_of({"cutout": 3})(batch_of(torch.arange(64)), 0, True)
    assert ((batch.x == 0).all(1).flatten(1).sum(1) >= 4).all()


@pytest.mark.parametrize(
    ("augment", "message"),
    [
        ({"mix": 0.2}, "augment has no 'mix': choose from policy,"),
        ({"policy": "auto"}, "unknown augment.policy 'auto'"),
        ({"mixup": -0.1}, r"augment.mixup must lie in 0..10, got -0.1"),
        ({"hue": 0.6}, r"augment.hue must lie in 0..0.5, got 0.6"),
        ({"policy": "rand_augment", "magnitude": 31}, r"augment.magnitude must lie in 0..30, got 31"),
        ({"magnitude": 5}, "augment.magnitude has no effect without augment.policy rand_augment: leave it out"),
        ({"policy": "trivial_augment", "num_ops": 2}, "augment.num_ops has no effect without augment.policy rand_augment"),
        ({"erase_area": 0.2}, "augment.erase_area has no effect without augment.erase"),
        ({"cutout": 8}, r"augment.cutout must lie in 0..7 pixels, below the image's side, got 8"),
        ({"saturation": 0.2}, "augment.saturation has no effect on images without colour: leave it out"),
        ({"hue": 0.2}, "augment.hue has no effect on images without colour: leave it out"),
    ],
)
def test_settings_out_of_range_or_without_effect_are_refused(augment: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Digits(augment=augment)


def test_grey_and_stacked_images_have_no_colour() -> None:
    for kind, rgb in ((MNIST, True), (StackedFashionMNIST, False)):
        with pytest.raises(ValueError, match="no effect on images without colour"):
            kind(augment={"saturation": 0.5}, rgb=rgb)


def test_mixup_and_binary_pixels_exclude_each_other() -> None:
    with pytest.raises(ValueError, match="makes pixels grey, which binarize makes 0 or 1"):
        FashionMNIST(augment={"mixup": 0.2}, normalize=False, binarize="threshold")


def test_folders_mix_the_classes_that_they_list(tmp_path: Path) -> None:
    for i in range(24):
        path = tmp_path / ("bee", "ant", "cat")[i % 3] / f"{i}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(np.full((8, 8, 3), 10 * i, dtype=np.uint8)).save(path)
    data = ImageFolder(str(tmp_path), size=8, batch_size=8, num_workers=0, augment={"cutmix": 1.0, "hue": 0.1})
    data.setup()
    batch = data.transform(next(iter(data.train_dataloader())), 0, True)
    assert batch.y.shape == (8, 3)
    torch.testing.assert_close(batch.y.sum(1), torch.ones(8))
