"""Small images from the hub: that each set is as it says, and what the options make of it."""

import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from datamodules import CIFAR10, MNIST, USPS, FashionMNIST
from datamodules.images.hub_set import HubSet
from zoo.training.facts import facts_of


@pytest.fixture
def usps(mirror: Path) -> USPS:
    data = USPS()
    data.setup()
    return data


@pytest.fixture(params=[CIFAR10, FashionMNIST, MNIST, USPS], ids=lambda kind: kind.__name__)
def each(request: pytest.FixtureRequest, mirror: Path) -> HubSet:
    data: HubSet = request.param()
    data.setup()
    return data


def test_mean_and_deviation_are_the_training_images(each: HubSet) -> None:
    for channel, (mean, std) in enumerate(zip(each.mean, each.std, strict=True)):
        counts = torch.bincount(each.splits["train"].arrays.x[:, channel].flatten(), minlength=256).double()
        share, level = counts / counts.sum(), torch.arange(256) / 255
        assert (share * level).sum().item() == pytest.approx(mean, abs=1e-4)
        assert (share * (level - mean) ** 2).sum().sqrt().item() == pytest.approx(std, abs=1e-4)


def test_splits_are_disjoint_complete_and_stratified(each: HubSet) -> None:
    y = each.splits["train"].arrays.y
    train, val = each.splits["train"].rows, each.splits["val"].rows
    assert torch.equal(torch.cat([train, val]).sort().values, torch.arange(len(y)))
    assert ((torch.bincount(y[val]) - 0.1 * torch.bincount(y)).abs() <= 1).all()


def test_normalised_images_have_mean_zero_and_deviation_one(usps: USPS) -> None:
    (x, y, _), rows = usps.splits["train"]
    batch = next(iter(usps.loader("train")))
    whole = usps.transform(batch._replace(x=x[rows], y=y[rows], position=rows), 0, True).x
    assert whole.mean().item() == pytest.approx(0, abs=0.01)
    assert whole.std().item() == pytest.approx(1, abs=0.01)


def test_grey_becomes_three_equal_channels(usps: USPS) -> None:
    data = USPS(rgb=True)
    data.setup()
    assert data.input_shape == (3, 16, 16)
    assert (data.mean, data.std) == (usps.mean * 3, usps.std * 3)
    grey, colour = (next(iter(module.test_dataloader())) for module in (usps, data))
    assert colour.x.shape == (128, 3, 16, 16)
    for channel in range(3):
        assert torch.equal(colour.x[:, channel], grey.x[:, 0])
        assert torch.equal(data.transform(colour, 0, False).x[:, channel], usps.transform(grey, 0, False).x[:, 0])
    assert (USPS.input_shape, USPS.mean) == ((1, 16, 16), (0.2545,))  # the class knows nothing of it


def test_colour_stays_colour() -> None:
    assert CIFAR10(rgb=True).input_shape == (3, 32, 32)
    assert CIFAR10(rgb=True).mean == CIFAR10.mean


@pytest.mark.parametrize("size", [8, 33])
def test_size_resizes_as_pillow_does(usps: USPS, size: int) -> None:
    data = USPS(size=size)
    assert data.input_shape == (1, size, size)
    data.setup()
    assert data.splits["train"].arrays.x.shape == (7291, 1, size, size)
    for row in (0, 1000, 2006):  # within the first thousand, and beyond
        picture = Image.fromarray(usps.splits["test"].arrays.x[row, 0].numpy())
        by_hand = torch.from_numpy(np.array(picture.resize((size, size), Image.Resampling.BILINEAR)))
        assert (data.splits["test"].arrays.x[row, 0].int() - by_hand.int()).abs().max() <= 1


def test_size_and_colour_together(mirror: Path) -> None:
    data = USPS(size=8, rgb=True)
    data.setup()
    assert data.splits["test"].arrays.x.shape == (2007, 3, 8, 8)


def test_mean_and_deviation_may_be_others() -> None:
    data = CIFAR10(mean=[0.1, 0.2, 0.3], std=[0.5, 0.5, 0.5])
    assert (data.mean, data.std) == ((0.1, 0.2, 0.3), (0.5, 0.5, 0.5))
    assert CIFAR10(mean=[0.1, 0.2, 0.3]).std == CIFAR10.std
    assert USPS(rgb=True, mean=[0.1, 0.2, 0.3]).mean == (0.1, 0.2, 0.3)
    plain = USPS(normalize=False)
    assert (plain.mean, plain.std) == ((0.0,), (1.0,))


@pytest.mark.parametrize("digits", [MNIST, USPS])
def test_digits_are_never_mirrored(digits: type[HubSet]) -> None:
    with pytest.raises(ValueError, match=rf"flip changes the meaning of {digits.__name__}'s images: leave it out"):
        digits(flip=True)


@pytest.mark.parametrize("pictures", [CIFAR10, FashionMNIST])
def test_pictures_may_be_mirrored(pictures: type[HubSet]) -> None:
    assert pictures(flip=True).transform.flip
    assert not pictures().transform.flip


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"mean": [0.5]}, r"expected a mean and a std for each of 3 channel\(s\), got \[0.5\] and"),
        ({"std": [0.5, 0.5]}, r"expected a mean and a std for each of 3 channel\(s\), got .* and \[0.5, 0.5\]"),
        ({"std": [0.5, 0.0, 0.5]}, r"std must be positive, got \[0.5, 0.0, 0.5\]"),
        ({"size": 0}, "size must be at least 1 pixel, got 0"),
        ({"shift": -1}, "shift must be 0 or more pixels, got -1"),
        ({"batch_size": 0}, "batch_size must be at least 1, got 0"),
    ],
)
def test_refuses_settings_that_mean_nothing(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CIFAR10(**arguments)


def test_one_mean_for_what_became_colour_is_refused() -> None:
    with pytest.raises(ValueError, match=r"for each of 3 channel\(s\), got \[0.5\]"):
        USPS(rgb=True, mean=[0.5])
    with pytest.raises(ValueError, match=r"for each of 1 channel\(s\)"):
        USPS(mean=[0.5, 0.5, 0.5])


def test_another_size_in_its_place_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = io.BytesIO()
    Image.new("L", (28, 28)).save(file, "PNG")
    path = tmp_path / "flwrlabs" / "usps" / "data" / "train-00000-of-00001.parquet"
    path.parent.mkdir(parents=True)
    pq.write_table(pa.table({"image": [{"bytes": file.getvalue(), "path": None}] * 3, "label": [0, 1, 2]}), path)
    monkeypatch.setenv("ZOO_DATA", str(tmp_path))
    with pytest.raises(ValueError, match=r"USPS \(train\): expected samples of shape \(1, 16, 16\), got \(1, 28, 28\)"):
        USPS().setup()


def test_training_on_few_images_holds_out_the_same_ones(usps: USPS) -> None:
    few = USPS(num_train=200)
    assert facts_of(few).num_train_expected == 200
    few.setup()
    y, rows = few.splits["train"].arrays.y, few.splits["train"].rows
    whole = usps.splits["train"].rows
    assert len(rows) == 200
    assert torch.isin(rows, whole).all()
    share = torch.bincount(y[whole]) * 200 / len(whole)
    assert ((torch.bincount(y[rows]) - share).abs() <= 1).all()
    for part in ("val", "test"):
        assert torch.equal(few.splits[part].rows, usps.splits[part].rows)
    with pytest.raises(ValueError, match=r"num_train must lie in 10\.\."):
        USPS(num_train=9).setup()
