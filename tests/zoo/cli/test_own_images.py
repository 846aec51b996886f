"""A user's images are prepared like the evaluation images of the training, for every image datamodule."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from datamodules import Digits, ImageFolder, PairedImages, UnpairedImages
from datamodules.core.base import DataModule
from zoo.cli.own_images import own_images

NOISE = np.random.default_rng(0).integers(0, 256, (48, 96, 3), dtype=np.uint8)


def write(path: Path, pixels: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def prepared(data: DataModule, image: Path) -> torch.Tensor:
    own = own_images(image, data.input_shape, data.describe())
    own.setup("predict")
    return own.transform(next(iter(own.predict_dataloader())), 0, False).x[0]


def evaluated(data: DataModule) -> Any:
    data.setup()
    return data.transform(next(iter(data.test_dataloader())), 0, False)


def test_halves_of_pairs_are_squeezed(tmp_path: Path) -> None:
    for part in ("train", "test"):
        for number in range(4):
            write(tmp_path / part / f"{number}.png", np.hstack([NOISE, NOISE // 2]))
    data = PairedImages(str(tmp_path), size=16)
    torch.testing.assert_close(prepared(data, write(tmp_path / "mine.png", NOISE)), evaluated(data).x[0])


def test_images_of_two_domains_are_squeezed(tmp_path: Path) -> None:
    for part in ("trainA", "trainB", "testA", "testB"):
        for number in range(4):
            write(tmp_path / part / f"{number}.png", NOISE)
    data = UnpairedImages(str(tmp_path), size=16)
    torch.testing.assert_close(prepared(data, tmp_path / "testA" / "0.png"), evaluated(data).x[0])


def test_the_centre_is_cut_out_and_normalised(tmp_path: Path) -> None:
    for name in ("cats", "dogs"):
        for number in range(10):
            write(tmp_path / name / f"{number}.png", NOISE)
    data = ImageFolder(str(tmp_path), size=16, crop=0.6, rgb=False, mean=[0.3], std=[0.2], num_workers=0)
    torch.testing.assert_close(prepared(data, tmp_path / "cats" / "0.png"), evaluated(data).x[0])


@pytest.mark.parametrize("arguments", [{"normalize": False, "binarize": "threshold"}, {"normalize": False}, {}])
def test_digits_are_binarized_or_normalised(tmp_path: Path, arguments: dict[str, Any]) -> None:
    data = Digits(**arguments)
    data.setup()
    arrays, rows = data.splits["test"]
    image = write(tmp_path / "digit.png", arrays.x[rows[0], 0].numpy())
    x = evaluated(data).x[0]
    torch.testing.assert_close(prepared(data, image), x)
    if "binarize" in arguments:
        assert set(x.unique().tolist()) == {0, 1}


def test_without_facts_the_centre_stays_as_it_is(tmp_path: Path) -> None:
    data = own_images(write(tmp_path / "mine.png", NOISE), (3, 48, 48), {})
    data.setup("predict")
    x = data.transform(next(iter(data.predict_dataloader())), 0, False).x[0]
    torch.testing.assert_close(x.movedim(0, -1), torch.from_numpy(NOISE[:, 24:72] / 255).float())
