"""Decoding and augmenting images, each against the slow way by hand."""

import gzip
import io
import struct
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from torch import Tensor

from datamodules.core.batch import Batch
from datamodules.core.cache import cached
from datamodules.core.loader import BatchOrder, WorkerLoader
from datamodules.core.randomness import uniform
from datamodules.images.transform import ImageTransform, read_idx, read_parquet, statistics

IMAGES = torch.randint(1, 256, (64, 2, 5, 6), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))  # no black inside
MEAN, STD = (0.5, 0.25), (0.25, 0.5)


def batch_of(position: Tensor) -> Batch:
    return Batch(IMAGES[position % 64], position % 10, position)


def augmenting(flip: bool = True, shift: int = 2, seed: int = 3) -> ImageTransform:
    return ImageTransform(MEAN, STD, normalize=False, flip=flip, shift=shift, seed=seed)


def by_hand(image: list, height: int, width: int, mirrored: bool, down: int, right: int) -> list:
    """The pixel that lands at (i, j), one at a time: mirrored in place, then read `down` and `right` of there."""
    moved = [[[0] * width for _ in range(height)] for _ in image]
    for channel, rows in enumerate(image):
        for i in range(height):
            for j in range(width):
                row, column = i + down, (width - 1 - j if mirrored else j) + right
                if 0 <= row < height and 0 <= column < width:
                    moved[channel][i][j] = rows[row][column]
    return moved


class Augmented:
    """Samples augmented one at a time, wherever they are read."""

    def read(self, epoch: int, position: int) -> Batch:
        torch.rand(3)  # the worker's own generator has no say
        augmented = augmenting()(batch_of(torch.tensor([position])), epoch, True)
        return Batch(augmented.x[0], augmented.y[0], augmented.position[0])


def test_scales_to_the_unit_interval() -> None:
    x = torch.arange(256, dtype=torch.uint8).view(1, 2, 8, 16)
    out = ImageTransform(MEAN, STD, normalize=False)(Batch(x, torch.zeros(1), torch.zeros(1)), 0, False).x
    assert (out.dtype, out.min(), out.max()) == (torch.float32, 0.0, 1.0)
    torch.testing.assert_close(out, x / 255)


def test_normalises_each_channel_by_its_own_mean_and_deviation() -> None:
    batch = batch_of(torch.arange(4))
    out = ImageTransform(MEAN, STD)(batch, 0, False)
    for channel in range(2):
        torch.testing.assert_close(out.x[:, channel], (batch.x[:, channel] / 255 - MEAN[channel]) / STD[channel])
    assert torch.equal(out.y, batch.y)
    assert torch.equal(out.position, batch.position)


@pytest.mark.parametrize(("flip", "shift"), [(True, 0), (False, 1), (True, 2), (False, 7)])
def test_augmentation_equals_the_slow_way(flip: bool, shift: int) -> None:
    position = torch.arange(40, 104)
    batch = batch_of(position)
    draws = uniform(position, seed=3, epoch=5, num_draws=3).tolist()
    expected = [
        by_hand(image, 5, 6, flip and mirror < 0.5, int(down * (2 * shift + 1)) - shift, int(right * (2 * shift + 1)) - shift)
        for image, (mirror, down, right) in zip(batch.x.tolist(), draws, strict=True)
    ]
    before = batch.x.clone()
    out = augmenting(flip, shift)(batch, epoch=5, train=True).x
    assert torch.equal((out * 255).round().long(), torch.tensor(expected))
    assert torch.equal(batch.x, before)  # the data set itself is not touched


def test_augmentation_comes_before_normalising() -> None:
    batch = batch_of(torch.arange(64))
    plain = augmenting()(batch, 0, True).x
    normalised = ImageTransform(MEAN, STD, flip=True, shift=2, seed=3)(batch, 0, True).x
    torch.testing.assert_close(normalised, (plain - torch.tensor(MEAN).view(2, 1, 1)) / torch.tensor(STD).view(2, 1, 1))


def test_augmentation_is_the_samples_own() -> None:
    position = torch.randperm(64, generator=torch.Generator().manual_seed(1))
    augment = augmenting()
    together = augment(batch_of(position), 1, True).x
    by_threes = torch.cat([augment(batch_of(part), 1, True).x for part in position.split(3)])
    assert torch.equal(together, by_threes)
    loader = WorkerLoader(Augmented(), position, BatchOrder(64, 16), num_workers=2)
    loader.sampler.set_epoch(1)
    assert torch.equal(together, torch.cat([batch.x for batch in loader]))  # in two other processes


def test_augmentation_changes_with_epoch_and_seed() -> None:
    batch = batch_of(torch.arange(64))
    first = augmenting()(batch, 0, True).x
    assert torch.equal(first, augmenting()(batch, 0, True).x)
    for other in (augmenting()(batch, 1, True).x, augmenting(seed=4)(batch, 0, True).x):
        assert (first != other).flatten(1).any(1).float().mean() > 0.8  # 1 in 50 moves alike by chance


def test_every_move_is_as_likely() -> None:
    """A lone white pixel in the middle tells where its image went: 9 places, 2 sides."""
    x = torch.zeros(9000, 1, 7, 7, dtype=torch.uint8)
    x[:, :, 3, 3], x[:, :, 3, 4] = 255, 100
    batch = Batch(x, torch.zeros(9000), torch.arange(9000))
    out = (ImageTransform((0.0,), (1.0,), normalize=False, flip=True, shift=1)(batch, 0, True).x[:, 0] * 255).round().long()
    _, row, column = (out == 255).nonzero().T
    right = (out == 100).nonzero()[:, 2] > column
    counts = torch.bincount((row - 2) * 6 + (column - 2) * 2 + right, minlength=18)
    assert ((counts - 500) ** 2 / 500).sum() < 41  # chi-square, 17 degrees of freedom, 1 in 1,000


def test_evaluation_never_augments() -> None:
    batch = batch_of(torch.arange(64))
    assert torch.equal(augmenting()(batch, 3, train=False).x, batch.x / 255)
    assert not torch.equal(augmenting()(batch, 3, train=True).x, batch.x / 255)


def test_augmenting_leaves_the_global_generator_alone() -> None:
    before = torch.get_rng_state()
    augmenting()(batch_of(torch.arange(8)), 0, True)
    assert torch.equal(torch.get_rng_state(), before)


def grey(value: int, num: int = 200) -> Batch:
    return Batch(torch.full((num, 1, 8, 8), value, dtype=torch.uint8), torch.zeros(num).long(), torch.arange(num))


@pytest.mark.parametrize(("value", "threshold"), [(0, 0), (60, 0), (127, 0), (128, 1), (200, 1), (255, 1)])
def test_binary_pixels_are_on_as_often_as_they_are_bright(value: int, threshold: int) -> None:
    stochastic = ImageTransform((0.0,), (1.0,), normalize=False, binarize="stochastic")
    x = stochastic(grey(value), 0, True).x
    assert set(x.unique().tolist()) <= {0.0, 1.0}
    assert x.mean().item() == pytest.approx(value / 255, abs=0.02)
    hard = ImageTransform((0.0,), (1.0,), normalize=False, binarize="threshold")
    assert (hard(grey(value), 0, True).x == threshold).all()


def test_binary_pixels_are_drawn_anew_in_training_and_once_for_evaluation() -> None:
    first, other = (ImageTransform((0.0,), (1.0,), normalize=False, binarize="stochastic", seed=seed) for seed in (0, 1))
    batch = grey(100)
    assert torch.equal(first(batch, 3, True).x, first(batch, 3, True).x)
    assert not torch.equal(first(batch, 3, True).x, first(batch, 4, True).x)
    assert not torch.equal(first(batch, 3, True).x, other(batch, 3, True).x)
    seen = first(batch, 3, False).x
    assert torch.equal(seen, first(batch, 4, False).x)
    assert torch.equal(seen, other(batch, 4, False).x)  # a test is the same for every seed
    some = Batch(batch.x[50:60], batch.y[50:60], batch.position[50:60])
    assert torch.equal(first(some, 0, False).x, seen[50:60])  # and for every batch size


def test_refuses_to_binarise_in_an_unknown_way_or_what_is_normalised() -> None:
    with pytest.raises(ValueError, match="unknown binarize 'dither': choose one of threshold, stochastic"):
        ImageTransform((0.0,), (1.0,), normalize=False, binarize="dither")  # type: ignore[arg-type]  # wrong on purpose
    with pytest.raises(
        ValueError, match=r"binarize makes pixels 0 or 1, which normalize would change: set data\.normalize to false"
    ):
        ImageTransform((0.5,), (0.5,), binarize="threshold")


def test_refuses_a_negative_shift() -> None:
    with pytest.raises(ValueError, match="shift must be 0 or more pixels, got -1"):
        ImageTransform(MEAN, STD, shift=-1)


def test_statistics_are_what_is_given_or_nothing_at_all() -> None:
    assert statistics(2, True, [0.5, 0.25], [0.25, 0.5]) == (MEAN, STD)
    assert statistics(2, False, MEAN, STD) == ((0.0, 0.0), (1.0, 1.0))  # what a network then has to know of its inputs


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize(
    ("mean", "std", "message"),
    [
        ((0.5,), STD, r"expected a mean and a std for each of 2 channel\(s\), got \[0.5\] and \[0.25, 0.5\]"),
        (MEAN, (0.5, 0.5, 0.5), r"expected a mean and a std for each of 2 channel\(s\)"),
        (MEAN, (0.5, 0.0), r"std must be positive, got \[0.5, 0.0\]"),
        (MEAN, (-1.0, 0.5), r"std must be positive, got \[-1.0, 0.5\]"),
        (MEAN, (0.5, float("nan")), "std must be positive"),
    ],
)
def test_statistics_that_fit_no_channel_are_refused(
    mean: tuple[float, ...], std: tuple[float, ...], message: str, normalize: bool
) -> None:
    with pytest.raises(ValueError, match=message):
        statistics(2, normalize, mean, std)


def encoded(pixels: np.ndarray, mode: str | None = None) -> bytes:
    file = io.BytesIO()
    image = Image.fromarray(pixels)
    (image.convert(mode) if mode else image).save(file, "PNG")
    return file.getvalue()


def write_parquet(path: Path, cells: list[bytes | None], labels: list[int]) -> Path:
    struct_type = pa.struct({"bytes": pa.binary(), "path": pa.string()})  # as the hub's Image feature is stored
    images = [None if cell is None else {"bytes": cell, "path": None} for cell in cells]
    pq.write_table(pa.table({"image": pa.array(images, struct_type), "label": labels}), path)
    return path


@pytest.mark.parametrize("channels", [1, 3])
def test_parquet_decodes_to_the_pixels_that_were_written(tmp_path: Path, channels: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (4, 5, 6, channels), dtype=np.uint8)
    path = write_parquet(tmp_path / "set.parquet", [encoded(image.squeeze()) for image in pixels], [3, 1, 0, 2])
    decoded = read_parquet(path, image="image", label="label")
    assert decoded["x"].dtype == torch.uint8
    assert torch.equal(decoded["x"], torch.from_numpy(pixels).permute(0, 3, 1, 2))
    assert torch.equal(decoded["y"], torch.tensor([3, 1, 0, 2]))


def test_colour_images_can_be_cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    pixels = np.random.default_rng(0).integers(0, 256, (3, 5, 6, 3), dtype=np.uint8)
    path = write_parquet(tmp_path / "set.parquet", [encoded(image) for image in pixels], [0, 1, 2])
    for _ in range(2):
        decoded = cached("colour", [path], lambda: read_parquet(path, image="image", label="label"))
        assert torch.equal(decoded["x"], torch.from_numpy(pixels).permute(0, 3, 1, 2))


GREY = np.full((4, 4), 9, dtype=np.uint8)


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        pytest.param(b"no picture", "holds no readable image", id="text"),
        pytest.param(b"", "holds no readable image", id="empty"),
        pytest.param(None, "holds no readable image", id="null"),
        pytest.param(encoded(GREY)[:50], "holds no readable image", id="cut short"),
        pytest.param(encoded(GREY[:3]), r"expected an image of shape \(1, 4, 4\), got \(1, 3, 4\)", id="smaller"),
        pytest.param(encoded(GREY, "RGB"), r"expected an image of shape \(1, 4, 4\), got \(3, 4, 4\)", id="coloured"),
        pytest.param(encoded(GREY, "P"), "expected a black-and-white, 8-bit grey or RGB image, got mode 'P'", id="palette"),
    ],
)
def test_parquet_names_the_file_and_the_row_at_fault(tmp_path: Path, cell: bytes | None, message: str) -> None:
    path = write_parquet(tmp_path / "set.parquet", [encoded(GREY), cell], [0, 1])
    with pytest.raises(ValueError, match=message) as caught:
        read_parquet(path, image="image", label="label")
    assert f"row 1 of {path}" in str(caught.value)


def test_parquet_names_the_file_that_is_none(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "set.parquet", [encoded(GREY)], [0])
    with pytest.raises(ValueError, match=r"set\.parquet has no column 'img': it has image, label"):
        read_parquet(path, image="img", label="label")
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ValueError, match=r"cannot read .*set.parquet as parquet"):
        read_parquet(path, image="image", label="label")


def idx(array: np.ndarray) -> bytes:
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


def test_idx_decodes_to_the_bytes_that_were_written(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (3, 4, 5), dtype=np.uint8)
    images, labels = tmp_path / "images.gz", tmp_path / "labels.gz"
    images.write_bytes(gzip.compress(idx(pixels)))
    labels.write_bytes(gzip.compress(idx(np.array([9, 0, 255], dtype=np.uint8))))
    decoded = read_idx(images, labels)
    assert torch.equal(decoded["x"], torch.from_numpy(pixels)[:, None])
    assert torch.equal(decoded["y"], torch.tensor([9, 0, 255]))


WHOLE = idx(np.zeros((3, 4, 5), dtype=np.uint8))


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(WHOLE, id="not compressed"),
        pytest.param(gzip.compress(WHOLE)[:-12], id="compressed, cut short"),
        pytest.param(gzip.compress(WHOLE)[:10] + b"\x07" + gzip.compress(WHOLE)[11:], id="compressed, damaged"),
        pytest.param(gzip.compress(b""), id="nothing"),
        pytest.param(gzip.compress(WHOLE[:10]), id="half a header"),
        pytest.param(gzip.compress(WHOLE[:-1]), id="a pixel short"),
        pytest.param(gzip.compress(WHOLE + b"\0"), id="a pixel long"),
        pytest.param(gzip.compress(WHOLE[:3] + b"\1" + WHOLE[4:]), id="labels"),
        pytest.param(gzip.compress(WHOLE[:2] + b"\x0d" + WHOLE[3:]), id="floats"),
    ],
)
def test_idx_names_the_file_that_is_none(tmp_path: Path, content: bytes) -> None:
    images, labels = tmp_path / "images.gz", tmp_path / "labels.gz"
    images.write_bytes(content)
    labels.write_bytes(gzip.compress(idx(np.zeros(3, dtype=np.uint8))))
    with pytest.raises(ValueError, match=r"images\.gz"):
        read_idx(images, labels)
