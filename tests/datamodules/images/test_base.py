"""Reading one picture: which part of it, in whatever form it is stored, and how a bad one is named."""

import io
import re
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import ExifTags, Image
from torch import Tensor

from datamodules.core.batch import Batch
from datamodules.core.loader import BatchOrder, WorkerLoader
from datamodules.images.base import PictureData, Reader, check_readable, open_picture
from datamodules.images.image_folder import Paths
from datamodules.images.transform import ImageTransform

NOISE = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
WIDTH, HEIGHT = 250, 200
# red is the column and green the row, so that pixels tell where they come from
MAP = np.stack(
    [np.tile(np.arange(WIDTH), (HEIGHT, 1)), np.tile(np.arange(HEIGHT)[:, None], (1, WIDTH)), np.zeros((HEIGHT, WIDTH))], axis=2
).astype(np.uint8)


def saved(picture: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


class Copies:
    """One encoded picture at many positions."""

    def __init__(self, content: bytes, num: int = 1) -> None:
        self.content, self.num = content, num

    def __len__(self) -> int:
        return self.num

    def name(self, position: int) -> str:
        return f"copy {position}"

    def encoded(self, position: int) -> bytes:
        return self.content


def reader(
    content: bytes, size: int, crop: float = 1.0, rgb: bool = True, min_area: float = 1.0, seed: int = 0, num: int = 1
) -> Reader:
    return Reader(Copies(content, num), torch.arange(num), size, crop, rgb, seed, min_area=min_area)


def read(content: bytes, size: int, crop: float = 1.0, rgb: bool = True) -> Tensor:
    return reader(content, size, crop, rgb).read(epoch=0, position=0).x


def test_evaluation_resizes_and_cuts_out_the_centre() -> None:
    picture = Image.fromarray(NOISE)
    by_hand = picture.resize((30, 20), Image.Resampling.BILINEAR).crop((7, 2, 23, 18))  # 20 = 16 / 0.8
    x = read(saved(picture), size=16, crop=0.8)
    assert (x.dtype, x.shape) == (torch.uint8, (3, 16, 16))
    assert torch.equal(x, torch.from_numpy(np.array(by_hand)).permute(2, 0, 1))


def test_squeezing_shows_the_whole_picture_whatever_its_crop() -> None:
    halves = np.zeros((48, 96, 3), dtype=np.uint8)
    halves[:, 48:] = 255
    x = Reader(Copies(saved(Image.fromarray(halves))), torch.zeros(1), 4, 0.5, True, 0, squeeze=True).read(0, 0).x
    assert x[0, 0].tolist()[::3] == [0, 255]
    by_hand = Image.fromarray(NOISE).resize((16, 16), Image.Resampling.BILINEAR)
    reader_of_noise = Reader(Copies(saved(Image.fromarray(NOISE))), torch.zeros(1), 16, 0.5, True, 0, squeeze=True)
    assert torch.equal(reader_of_noise.read(0, 0).x, torch.from_numpy(np.array(by_hand)).permute(2, 0, 1))


def test_a_picture_of_the_right_size_is_left_as_it_is() -> None:
    pixels = NOISE[:, :40]
    assert torch.equal(read(saved(Image.fromarray(pixels)), size=40), torch.from_numpy(pixels.copy()).permute(2, 0, 1))


def boxes(seed: int, epoch: int, num: int, min_area: float = 0.35, size: int = 32) -> Tensor:
    """Left, top, width and height (num, 4) of what training saw, told by the pixels of the map."""
    parts = reader(saved(Image.fromarray(MAP)), size, min_area=min_area, seed=seed, num=num)
    x = torch.stack([parts.read(epoch, position).x for position in range(num)]).double()
    columns, rows = x[:, 0].mean(1), x[:, 1].mean(2)
    found = []
    for line in (columns, rows):  # pixels at the edge of the picture are means of less, those in between lie on a line
        step = (line[:, -3] - line[:, 2]) / (size - 5)
        found.append((line[:, 2] + 0.5 - 2.5 * step, step * size))
    (left, width), (top, height) = found
    return torch.stack([left, top, width, height], dim=1)


def test_training_sees_parts_of_the_stated_area_and_shape() -> None:
    left, top, width, height = boxes(seed=0, epoch=0, num=400).T
    assert min(left.min(), top.min()) > -1
    assert (left + width).max() < WIDTH + 1
    assert (top + height).max() < HEIGHT + 1
    area, shape = width * height / (WIDTH * HEIGHT), (width / height).log()
    limit = np.log(4 / 3)
    assert 0.34 < area.min() < 0.37
    assert 0.93 < area.max() < 1.01
    assert -limit - 0.02 < shape.min() < -limit + 0.03
    assert limit - 0.03 < shape.max() < limit + 0.02
    right, down = left / (WIDTH - width).clamp(min=1), top / (HEIGHT - height).clamp(min=1)
    roomy = area < 0.6
    for place in (right[roomy], down[roomy]):  # anywhere, as often: quartiles of the uniform distribution
        assert place.quantile(torch.tensor([0.25, 0.5, 0.75], dtype=torch.double)).tolist() == pytest.approx(
            [0.25, 0.5, 0.75], abs=0.12
        )


def test_the_part_is_the_seeds_epochs_and_positions_own() -> None:
    first = boxes(seed=0, epoch=0, num=20)
    torch.rand(7)  # whoever drew before has no say
    np.random.default_rng().random()
    assert torch.equal(boxes(seed=0, epoch=0, num=20), first)
    assert len(first.round().unique(dim=0)) == 20
    for other in (boxes(seed=1, epoch=0, num=20), boxes(seed=0, epoch=1, num=20)):
        assert (other - first).abs().amax(1).gt(1).sum() >= 19


def test_the_part_and_the_mirroring_are_separate_draws() -> None:
    num = 600
    transform = ImageTransform((0.0,), (1.0,), normalize=False, flip=True, seed=0)
    sides = torch.tensor([0, 255], dtype=torch.uint8).expand(num, 1, 1, 2)
    mirrored = transform(Batch(sides, torch.zeros(num), torch.arange(num)), 0, True).x[:, 0, 0, 0].double()
    assert 0.4 < mirrored.mean() < 0.6
    left, top, width, height = boxes(seed=0, epoch=0, num=num).T
    facts = torch.stack([mirrored, left / (WIDTH - width), top / (HEIGHT - height), width * height, width / height])
    roomy = (WIDTH - width > 5) & (HEIGHT - height > 5)  # elsewhere the place says nothing
    assert roomy.sum() > 300
    assert facts[:, roomy].corrcoef()[0, 1:].abs().max() < 0.25  # four standard errors


def test_the_number_of_workers_changes_nothing() -> None:
    parts = reader(saved(Image.fromarray(MAP)), 16, min_area=0.35, seed=3, num=12)
    loaders = [WorkerLoader(parts, torch.arange(12), BatchOrder(12, 4, shuffle=True), workers) for workers in (0, 2)]
    for epoch in (0, 1):
        for loader in loaders:
            loader.sampler.set_epoch(epoch)
        for here, there in zip(*loaders, strict=True):
            assert all(map(torch.equal, here, there))


def with_palette(colours: list[int]) -> Image.Image:
    picture = Image.new("P", (8, 8), 1)
    picture.putpalette(colours)
    return picture


GREY_OF_COLOUR = (200 * 299 + 50 * 587 + 100 * 114) // 1000  # ITU-R 601-2
ON_WHITE = (227, 150, 176)  # (200, 50, 100) at an opacity of 130 / 255
GREY_ON_WHITE = (227 * 299 + 150 * 587 + 176 * 114) // 1000


def pgm(value: int, largest: int) -> bytes:
    """A portable grey map of 16 bits per pixel."""
    return f"P5 8 8 {largest}\n".encode() + np.full((8, 8), value, dtype=">u2").tobytes()


@pytest.mark.parametrize(
    ("content", "colour", "grey"),
    [
        pytest.param(saved(Image.new("1", (8, 8), 1)), (255, 255, 255), 255, id="1"),
        pytest.param(saved(Image.new("L", (8, 8), 77)), (77, 77, 77), 77, id="L"),
        pytest.param(saved(Image.new("LA", (8, 8), (77, 255))), (77, 77, 77), 77, id="LA"),
        pytest.param(saved(Image.new("LA", (8, 8), (77, 0))), (255, 255, 255), 255, id="LA, transparent"),
        pytest.param(saved(Image.new("I;16", (8, 8), 40_000)), (156, 156, 156), 156, id="I;16"),  # 40,000 / 256
        pytest.param(pgm(40_000, 65_535), (156, 156, 156), 156, id="PGM of 16 bits"),
        pytest.param(pgm(511, 1023), (127, 127, 127), 127, id="PGM of 10 bits"),
        pytest.param(saved(Image.new("I;16", (8, 8), 40_000), "TIFF"), (156, 156, 156), 156, id="TIFF of 16 bits"),
        pytest.param(saved(with_palette([0, 0, 0, 200, 50, 100])), (200, 50, 100), GREY_OF_COLOUR, id="P"),
        pytest.param(
            saved(with_palette([0, 0, 0, 200, 50, 100]), transparency=bytes([0, 130])),
            ON_WHITE,
            GREY_ON_WHITE,
            id="P with transparency",
        ),
        pytest.param(saved(with_palette([0, 0, 0, 200, 50, 100]), "GIF"), (200, 50, 100), GREY_OF_COLOUR, id="GIF"),
        pytest.param(saved(Image.new("RGB", (8, 8), (200, 50, 100))), (200, 50, 100), GREY_OF_COLOUR, id="RGB"),
        pytest.param(
            saved(Image.new("RGB", (8, 8), (9, 9, 9)), transparency=(9, 9, 9)), (255,) * 3, 255, id="RGB, transparent"
        ),
        pytest.param(saved(Image.new("RGBA", (8, 8), (200, 50, 100, 130))), ON_WHITE, GREY_ON_WHITE, id="RGBA"),
        pytest.param(saved(Image.new("RGBA", (8, 8), (200, 50, 100, 0))), (255, 255, 255), 255, id="RGBA, hidden colour"),
        pytest.param(saved(Image.new("CMYK", (8, 8), (55, 205, 155, 0)), "TIFF"), (200, 50, 100), GREY_OF_COLOUR, id="CMYK"),
    ],
)
def test_every_mode_becomes_colour_or_grey(content: bytes, colour: tuple[int, ...], grey: int) -> None:
    expected = torch.tensor(colour, dtype=torch.uint8).view(3, 1, 1).expand(3, 4, 4)
    assert torch.equal(read(content, size=4), expected)
    x = read(content, size=4, rgb=False)
    assert x.shape == (1, 4, 4)
    assert ((x.int() - grey).abs() <= 1).all()


@pytest.mark.parametrize(
    ("content", "mode"),
    [
        pytest.param(saved(Image.fromarray(np.arange(64, dtype=np.int32).reshape(8, 8)), "TIFF"), "I", id="whole numbers"),
        pytest.param(
            saved(Image.fromarray(np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8)), "TIFF"), "F", id="fractions"
        ),
        pytest.param(saved(Image.new("LAB", (8, 8)), "TIFF"), "LAB", id="LAB"),
    ],
)
def test_pixels_without_a_known_range_are_refused_before_training_and_when_read(content: bytes, mode: str) -> None:
    for use in (lambda: check_readable(Copies(content)), lambda: read(content, size=4)):
        with pytest.raises(ValueError, match=rf"copy 0 .*its pixels are of Pillow's mode {mode}; expected .* 8 or 16 bits"):
            use()


UPRIGHT = {  # how the pixels are stored for each EXIF orientation -> what a viewer shows
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: np.rot90(a),
}


@pytest.mark.parametrize("orientation", UPRIGHT)
def test_pictures_are_turned_upright(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    pixels = NOISE[:40, :40]
    expected = torch.from_numpy(UPRIGHT[orientation](pixels).copy())
    assert torch.equal(read(saved(Image.fromarray(pixels), exif=exif), size=40), expected.permute(2, 0, 1))
    deep = Image.fromarray(pixels[:, :, 0].astype(np.uint16) << 8)
    assert torch.equal(read(saved(deep, exif=exif), size=40, rgb=False)[0], expected[:, :, 0])


def test_a_large_photo_is_read_coarsely_and_looks_the_same() -> None:
    picture = Image.fromarray(MAP).resize((1250, 1000), Image.Resampling.BICUBIC)
    coarse, fine = read(saved(picture, "JPEG", quality=95), size=32), read(saved(picture), size=32)
    assert (coarse.int() - fine.int()).abs().max() <= 5


@pytest.mark.parametrize(("crop", "min_area"), [(0.5, 1.0), (1.0, 0.25)])
def test_a_part_of_a_photo_is_read_no_coarser_than_its_own_pixels(crop: float, min_area: float) -> None:
    details = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8))
    photo = details.resize((512, 512), Image.Resampling.BICUBIC)
    contents = saved(photo, "JPEG", quality=95), saved(photo)
    for epoch in range(3):
        coarse, fine = (
            reader(content, 64, crop, rgb=False, min_area=min_area).read(epoch, position=0).x.double() for content in contents
        )
        assert (coarse - fine).abs().mean() < 5


def png(width: int, height: int) -> bytes:
    """A picture that claims to be so large, and holds next to nothing."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")


def message_of(error: pytest.ExceptionInfo[ValueError]) -> str:
    message = str(error.value)
    assert "\n" not in message
    assert message.endswith("repair or remove it")
    return message


BAD_HEADS = [
    pytest.param(b"", r"\(it is empty\)", id="empty"),
    pytest.param(b"no picture at all", r"\(it is not an image\)", id="text"),
    pytest.param(saved(Image.fromarray(NOISE))[:20], r"\(.+\)", id="half a header"),
    pytest.param(png(60_000, 60_000), r"Image size \(3600000000 pixels\) exceeds limit", id="bomb"),
    pytest.param(png(12_000, 10_000), r"Image size \(120000000 pixels\) exceeds limit", id="small bomb"),
]


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")  # as outside of tests: an error by its own doing
@pytest.mark.parametrize(("content", "reason"), BAD_HEADS)
def test_a_bad_head_is_named_before_the_training(tmp_path: Path, content: bytes, reason: str) -> None:
    (tmp_path / "good.png").write_bytes(saved(Image.fromarray(NOISE)))
    (tmp_path / "bad.png").write_bytes(content)
    check_readable(Paths([tmp_path / "good.png"]))
    with pytest.raises(ValueError, match=reason) as error:
        check_readable(Paths([tmp_path / "good.png", tmp_path / "bad.png"]))
    assert message_of(error).startswith(f"{tmp_path / 'bad.png'} holds no readable picture (")


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")  # as outside of tests: an error by its own doing
def test_a_real_picture_above_pillows_limit_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "large.png").write_bytes(saved(Image.fromarray(NOISE)))
    files = Paths([tmp_path / "large.png"])
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 40 * 60)
    check_readable(files)
    for limit in (40 * 60 - 1, 1000):  # Pillow warns from the first, and refuses from twice the second
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
        with pytest.raises(ValueError, match=rf"large\.png .*\(2400 pixels\).* more than {limit:,}\)"):
            check_readable(files)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"gone\.png holds no readable picture .*No such file"):
        check_readable(Paths([tmp_path / "gone.png"]))


def test_the_first_three_bad_ones_are_named_and_the_others_counted(tmp_path: Path) -> None:
    paths = [tmp_path / f"{i}.png" for i in range(5)]
    for path in paths:
        path.touch()
    with pytest.raises(ValueError, match=r"0\.png .*1\.png .*2\.png .*\(and 2 more\)") as error:
        check_readable(Paths(paths))
    assert "3.png" not in str(error.value)


@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_a_picture_cut_short_is_named_also_from_a_worker(tmp_path: Path, kind: str, num_workers: int) -> None:
    whole = saved(Image.fromarray(NOISE), kind)
    (tmp_path / "whole").write_bytes(whole)
    (tmp_path / "short").write_bytes(whole[: len(whole) // 2])
    files = Paths([tmp_path / "whole"] * 3 + [tmp_path / "short"])
    check_readable(files)  # its head is sound
    samples = Reader(files, torch.zeros(4, dtype=torch.long), 8, 1.0, True, 0)
    loader = WorkerLoader(samples, torch.arange(4), BatchOrder(4, 2), num_workers)
    with pytest.raises(ValueError, match=rf"^{tmp_path / 'short'} holds no readable picture \(.+\): repair or remove it$"):
        list(loader)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "TIFF", "WEBP", "BMP"])
def test_whatever_is_damaged_is_named_or_read(kind: str) -> None:
    """Files cut and changed at random: nothing but a `ValueError` comes out."""
    exif = Image.Exif()
    exif[0x0112] = 6
    options = {} if kind in ("GIF", "BMP") else {"exif": exif}
    whole = saved(Image.fromarray(NOISE[:12, :10]), kind, **options)
    generator = np.random.default_rng(1)
    damaged = [whole[:length] for length in generator.integers(0, len(whole), 10)]
    for _ in range(20):
        content = bytearray(whole)
        for place in generator.random(3) ** 3 * len(whole):  # mostly in the head
            content[int(place)] = generator.integers(256)
        damaged.append(bytes(content))
    messages = []
    for content in damaged:
        try:
            assert read(content, size=4).shape == (3, 4, 4)
        except ValueError as error:
            messages.append(str(error))
    assert len(messages) > 5
    assert all(re.fullmatch(r"copy 0 holds no readable picture \(.+\): repair or remove it", message) for message in messages)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"size": 0}, "size must be at least 1 and num_workers at least 0, got 0 and 2"),
        ({"num_workers": -1}, "got 8 and -1"),
        ({"crop": 0.0}, r"crop and min_area must lie in \(0, 1\], got 0.0 and 1.0"),
        ({"crop": 1.5}, "got 1.5 and 1.0"),
        ({"min_area": 0.0}, "got 0.875 and 0.0"),
        ({"min_area": 2.0}, "got 0.875 and 2.0"),
        ({"mean": [0.5]}, r"a mean and a std for each of 3 channel\(s\), got \[0.5\]"),
        ({"rgb": False, "std": [1.0, 1.0, 1.0]}, r"for each of 1 channel\(s\)"),
        ({"batch_size": 0}, "batch_size must be at least 1"),
    ],
)
def test_refuses_settings_that_mean_nothing(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PictureData(**{"size": 8, **arguments})


def test_normalises_as_pretrained_networks_expect_unless_told() -> None:
    assert PictureData(size=8).mean == (0.485, 0.456, 0.406)
    assert PictureData(size=8).std == (0.229, 0.224, 0.225)
    assert PictureData(size=8, rgb=False).mean == pytest.approx(((0.485 + 0.456 + 0.406) / 3,))
    assert PictureData(size=8, rgb=False).input_shape == (1, 8, 8)
    assert PictureData(size=8, mean=[0.1, 0.2, 0.3]).mean == (0.1, 0.2, 0.3)
    plain = PictureData(size=8, normalize=False)
    assert (plain.mean, plain.std) == ((0.0,) * 3, (1.0,) * 3)
    x = torch.full((1, 3, 8, 8), 51, dtype=torch.uint8)
    batch = plain.transform(Batch(x, torch.zeros(1), torch.arange(1)), 0, False)
    assert torch.equal(batch.x, torch.full((1, 3, 8, 8), 0.2))


def test_damaged_notes_of_the_camera_leave_the_picture_as_it_is(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (20, 30, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    Image.fromarray(pixels).save(tmp_path / "sound.jpg", exif=exif)
    sound = (tmp_path / "sound.jpg").read_bytes()
    start = sound.index(b"Exif\0\0") + 6
    assert open_picture(Paths([tmp_path / "sound.jpg"]), 0, smallest=20).size == (20, 30)  # turned
    for place in range(start, start + 26):
        for value in (0, 9, 255):
            (tmp_path / "damaged.jpg").write_bytes(sound[:place] + bytes([value]) + sound[place + 1 :])
            assert open_picture(Paths([tmp_path / "damaged.jpg"]), 0, smallest=20).size in ((20, 30), (30, 20))
