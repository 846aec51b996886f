"""Base class of image sets with images of any size: worker processes decode and resize each image when it is needed."""

import io
import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, TypeVar, get_args

import numpy as np
import torch
from PIL import ExifTags, Image, UnidentifiedImageError
from torch import Tensor

from datamodules.core.base import Arrays, DataModule, Split
from datamodules.core.batch import Batch
from datamodules.core.loader import Loader, WorkerLoader
from datamodules.core.randomness import uniform
from datamodules.core.seen import identities, thin
from datamodules.images.augmentation import Augment, Augmentation, AugmentChoice, augmentation_of, suggested_augment
from datamodules.images.transform import Binarize, ImageTransform, statistics
from zoo.errors import ZooError, check_choice

T = TypeVar("T")
Interpolation = Literal["bilinear", "bicubic"]
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # used by most pretrained networks
SIZE, CROP = 224, 0.875  # what most networks for ImageNet are evaluated with
INTERPOLATION: Interpolation = "bilinear"
_FIRST_DRAW = 3  # Earlier draws of a position belong to `ImageTransform`, which mirrors.
_ENDING = 256  # bytes at the end of an encoded image that tell it from others
_BOMBS = (Image.DecompressionBombError, Image.DecompressionBombWarning)
_UNREADABLE = (OSError, SyntaxError, RuntimeError, ValueError, *_BOMBS)  # raised by Pillow for damaged files
_TURNS = {  # by the EXIF orientation
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class Files(Protocol):
    """Encoded images by position."""

    def __len__(self) -> int: ...

    def name(self, position: int) -> str:
        """Return the name that errors and tables of predictions use."""

    def encoded(self, position: int) -> Path | bytes: ...


@dataclass(frozen=True)
class Reader:
    """Read one image as the network's input: (C, size, size) uint8.

    With `squeeze`, the whole image is resized to a square, as `pixels` does.

    Otherwise, for evaluation, the shorter side is resized to size / crop and the centre is cut out. For training with
    `min_area` below 1, a random box of the image is resized (Szegedy et al., 2015, arXiv:1409.4842). Its area is between
    `min_area` and 1 of the image, its aspect ratio between 3:4 and 4:3. The box is clipped to the image, so that elongated
    images give smaller boxes.
    """

    files: Files
    y: Tensor  # (N,) int64
    size: int
    crop: float
    rgb: bool
    seed: int
    min_area: float = 1.0
    squeeze: bool = False
    interpolation: Interpolation = "bilinear"

    def read(self, epoch: int, position: int) -> Batch:
        x = self._squeezed(position) if self.squeeze else self._cropped(epoch, position)
        return Batch(x, self.y[position], torch.tensor(position))

    def _squeezed(self, position: int) -> Tensor:
        return pixels(open_picture(self.files, position, FULL_SIZE), self.size, self.rgb, interpolation=self.interpolation)

    def _cropped(self, epoch: int, position: int) -> Tensor:
        picture = open_picture(self.files, position, smallest=self._needed_side())
        box = self._random_box(picture.size, epoch, position) if self.min_area < 1 else self._centre_box(picture.size)
        # `reducing_gap` makes a large reduction in two steps, the first one cheap. At 3 the result is nearly the same.
        picture = picture.convert("RGB" if self.rgb else "L")
        resampling = Image.Resampling[self.interpolation.upper()]
        picture = picture.resize((self.size, self.size), resampling, box=box, reducing_gap=3.0)
        return torch.from_numpy(np.array(picture)).view(self.size, self.size, -1).movedim(-1, 0)

    def _needed_side(self) -> int:
        return round(self.size / (self.min_area**0.5 if self.min_area < 1 else self.crop))

    def _centre_box(self, size: tuple[int, int]) -> tuple[float, float, float, float]:
        side = self.crop * min(size)
        left, top = (size[0] - side) / 2, (size[1] - side) / 2
        return left, top, left + side, top + side

    def _random_box(self, size: tuple[int, int], epoch: int, position: int) -> tuple[float, float, float, float]:
        draws = uniform(torch.tensor([position]), seed=self.seed, epoch=epoch, num_draws=_FIRST_DRAW + 4)
        share, shape, right, down = draws[0, _FIRST_DRAW:].tolist()
        area = size[0] * size[1] * (self.min_area + (1 - self.min_area) * share)
        ratio = (4 / 3) ** (2 * shape - 1)
        width, height = min(size[0], (area * ratio) ** 0.5), min(size[1], (area / ratio) ** 0.5)
        left, top = right * (size[0] - width), down * (size[1] - height)
        return left, top, left + width, top + height


FULL_SIZE = 1 << 16  # pixels, more than any side has: with it, `open_picture` decodes a JPEG at full resolution


def open_picture(files: Files, position: int, smallest: int) -> Image.Image:
    """Decode an image to 8 bits per channel and turn it upright. Transparent pixels get a white background.

    16-bit images are scaled by their range. A JPEG is decoded at a reduced size with at least `smallest` pixels per side.

    Raises:
        ZooError: naming the image, if it is empty, cut short, not an image, has more pixels than Pillow considers safe, or
            has pixel values of unknown range.
    """
    with _readable(files, position) as encoded:
        # Read it here: Pillow would keep a file open that is damaged or holds several images.
        content = encoded if isinstance(encoded, bytes) else encoded.read_bytes()
        picture: Image.Image = Image.open(io.BytesIO(content))
        deep = _has_16_bits(picture)
        picture.draft(None, (smallest, smallest))  # None keeps the mode.
        picture.load()
        picture = _upright(picture)
    if deep:  # Pillow's own conversion would clip 16 bits to 8.
        picture = Image.fromarray((np.asarray(picture) >> 8).astype(np.uint8))
    if picture.has_transparency_data:
        ground = Image.new("RGBA", picture.size, "white")
        ground.alpha_composite(picture.convert("RGBA"))
        picture = ground.convert("RGB")
    return picture


def _has_16_bits(picture: Image.Image) -> bool:
    """Return whether pixels lie in 0..65535. Raise a `ValueError` if their range or their colour space is unknown."""
    if picture.mode.startswith("I;16") or (picture.mode == "I" and picture.format == "PPM"):  # Pillow scales PGM to 16 bits.
        return True
    if picture.mode in ("I", "F", "LAB"):
        raise ValueError(f"its pixels are of Pillow's mode {picture.mode}; expected grey or RGB of 8 or 16 bits")
    return False


def pixels(
    picture: Image.Image,
    size: int,
    rgb: bool,
    box: tuple[int, int, int, int] | None = None,
    interpolation: Interpolation = "bilinear",
) -> Tensor:
    """Resize an image, or a box (left, top, right, bottom) of it, to a square (C, size, size) uint8."""
    # Crop first: resizing with a box also reads the pixels beside it, which belong to the other image.
    part = (picture.crop(box) if box else picture).convert("RGB" if rgb else "L")
    square = part.resize((size, size), Image.Resampling[interpolation.upper()])
    return torch.from_numpy(np.array(square)).view(size, size, -1).movedim(-1, 0)


@contextmanager
def _readable(files: Files, position: int) -> Iterator[Path | bytes]:
    """Yield an encoded image. Translate errors that Pillow raises within the block into a `ZooError` that names the image."""
    encoded = files.encoded(position)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            # Damaged camera metadata does no harm: PIL/TiffImagePlugin.py
            warnings.filterwarnings("ignore", module=r"PIL\.TiffImagePlugin")
            yield encoded
    except _UNREADABLE as error:
        raise ZooError(
            f"{files.name(position)} holds no readable picture ({_reason(encoded, error)}): repair or remove it"
        ) from error


def _upright(picture: Image.Image) -> Image.Image:
    """Rotate an image as its EXIF orientation says."""
    try:
        orientation = picture.getexif().get(ExifTags.Base.Orientation)
    except Exception:  # Damaged camera metadata raises almost anything; the pixels are intact.
        return picture
    return picture.transpose(_TURNS[orientation]) if orientation in _TURNS else picture


def _reason(encoded: Path | bytes, error: Exception) -> str:
    if not (len(encoded) if isinstance(encoded, bytes) else encoded.stat().st_size if encoded.is_file() else 1):
        return "it is empty"
    if isinstance(error, _BOMBS):
        return f"{str(error).split(',')[0]}, more than {Image.MAX_IMAGE_PIXELS:,}"
    return "it is not an image" if isinstance(error, UnidentifiedImageError) else str(error)


class PictureData(DataModule):
    """Images of any size in `files`, with their classes `y` (N,).

    A subclass calls `serve` with the images, their classes, and the positions of each part: "train", and "val" and "test" if
    the set has them. It does so at construction if a folder listing tells, otherwise in `setup`. Missing parts are held out
    from the training part, stratified by class: `test_fraction` for the test, then `val_fraction` of the rest for validation.

    Workers decode, crop and resize. Augmentation and normalisation are applied to batches on the device.

    Args:
        size: pixels per side of the network's input. None, here and for crop and interpolation: as pretrained weights expect,
            which the `zoo` command fills in, or else the default.
        num_workers: processes that decode; 0 decodes in the training process.
        rgb: whether images become RGB or grey.
        crop: share of the shorter side that evaluation sees.
        min_area: smallest share of an image's area that training sees; 1 means the same centre as in evaluation.
        flip: mirror half of the training images.
        normalize: to mean 0 and standard deviation 1 by `mean` and `std`; otherwise pixels stay in [0, 1].
        mean: mean per channel of pixels in [0, 1]; by default that of ImageNet.
        std: standard deviation per channel of pixels in [0, 1]; by default that of ImageNet.
        squeeze: resize whole images to squares, instead of cutting out a part.
        interpolation: of resizing.
        binarize: make pixels 0 or 1, as `ImageTransform` does; requires `normalize` to be false.
        balance: serve all classes equally often in training. See `BatchOrder`. None: the set does not offer it.
        augment: further changes of training images; see `Augment`. "auto": by the number of training images; see
            `suggested_augment`.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    crop: float
    squeeze: bool
    interpolation: Interpolation
    files: Files
    y: Tensor
    transform: ImageTransform

    def __init__(
        self,
        *,
        size: int | None = None,
        rgb: bool = True,
        crop: float | None = None,
        interpolation: Interpolation | None = None,
        normalize: bool = True,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        batch_size: int = 32,
        num_workers: int = 2,
        min_area: float = 1.0,
        flip: bool = False,
        squeeze: bool = False,
        binarize: Binarize | None = None,
        balance: bool | None = None,
        val_fraction: float = 0.1,
        test_fraction: float = 0.2,
        seed: int | None = None,
        split_seed: int = 0,
        augment: AugmentChoice = None,
    ) -> None:
        super().__init__(batch_size, val_fraction=val_fraction, test_fraction=test_fraction, seed=seed, split_seed=split_seed)
        size, crop = SIZE if size is None else size, CROP if crop is None else crop
        interpolation = INTERPOLATION if interpolation is None else interpolation
        check_choice("interpolation", interpolation, get_args(Interpolation))
        if size < 1 or num_workers < 0:
            raise ZooError(f"size must be at least 1 and num_workers at least 0, got {size} and {num_workers}")
        if not 0 < crop <= 1 or not 0 < min_area <= 1:
            raise ZooError(f"crop and min_area must lie in (0, 1], got {crop} and {min_area}")
        self.size, self.num_workers, self.rgb, self.crop, self.min_area = size, num_workers, rgb, crop, min_area
        self.interpolation = interpolation
        self.input_shape = (3 if rgb else 1, size, size)
        usual = (IMAGENET_MEAN, IMAGENET_STD) if rgb else ((sum(IMAGENET_MEAN) / 3,), (sum(IMAGENET_STD) / 3,))
        self.mean, self.std = statistics(self.input_shape[0], normalize, mean or usual[0], std or usual[1])
        self.squeeze, self.binarize, self.balance = squeeze, binarize, balance
        self._chooses_augmentation = augment == "auto"
        self.transform = ImageTransform(
            self.mean,
            self.std,
            normalize=normalize,
            flip=flip,
            seed=self.seed,
            binarize=binarize,
            augmentation=self._augmentation_of(None if augment == "auto" else augment),
        )

    def _augmentation_of(self, augment: Augment | None) -> Augmentation | None:
        return augmentation_of(augment, self.input_shape, self.seed, num_classes=None, has_colours=self.rgb)

    def serve(self, files: Files, y: Tensor, class_names: Sequence[str], parts: Mapping[str, Tensor]) -> None:
        """Set the images, their classes (N,), and the positions of each part."""
        self.files, self.y, self.class_names, self.num_classes = files, y, tuple(class_names), len(class_names)
        self._parts = dict(parts)
        if "train" in parts:
            shares = {"val": self.val_fraction, "test": self.test_fraction or 0.0}
            kept = math.prod(1 - share for part, share in shares.items() if part not in parts)
            self.num_train_expected = round(kept * len(parts["train"]))
            if self._chooses_augmentation:
                chosen = suggested_augment(self.num_train_expected)
                self.transform.augmentation = self._augmentation_of(chosen)
                settings = ", ".join(f"{name} {value}" for name, value in (chosen or {}).items())
                self.notes.append(f"augment auto: {settings or 'none'}, for about {self.num_train_expected:,} training images")
        if self.transform.augmentation is not None:
            self.transform.augmentation.num_classes = self.num_classes

    def setup(self, stage: str | None = None) -> None:
        if self.splits:
            return
        check_readable(self.files)
        arrays = Arrays(torch.empty(len(self.y), 0), self.y)  # Images are read from `files` when they are needed.
        parts = self.complete(self._parts, Split(arrays, torch.arange(len(self.y))))
        self.splits = {name: Split(arrays, rows) for name, rows in parts.items()}

    def identify(self, samples: Split, most: int | None = None) -> list[int]:
        """Return a number for each image with its class. Only the end of an encoded image is read."""
        rows = thin(samples.rows, most).tolist()
        return identities(f"{self.class_names[self.y[row]]} ".encode() + self._ending(row) for row in rows)

    def _ending(self, position: int) -> bytes:
        """Return the length of an encoded image and its last bytes, which differ between images."""
        encoded = self.files.encoded(position)
        if isinstance(encoded, bytes):
            return len(encoded).to_bytes(8) + encoded[-_ENDING:]
        with encoded.open("rb") as file:
            length = file.seek(0, io.SEEK_END)
            file.seek(-min(length, _ENDING), io.SEEK_END)
            return length.to_bytes(8) + file.read()

    def loader(self, split: str) -> Loader:
        """Return the batches of "train", "val" or "test" before the transform."""
        reader = Reader(
            self.files,
            self.y,
            self.size,
            self.crop,
            self.rgb,
            self.seed,
            min_area=self.min_area if split == "train" else 1.0,
            squeeze=self.squeeze,
            interpolation=self.interpolation,
        )
        return WorkerLoader(reader, self.splits[split].rows, self.order(split), self.num_workers)


def check_readable(files: Files) -> None:
    """Check the header of every image, to report early those that are empty, not images, too large or of unknown range.

    Images that are cut short are only found when they are decoded.

    Raises:
        ZooError: naming the first three of them and the number of the others.
    """

    def problem(position: int) -> str | None:
        try:
            with (
                _readable(files, position) as encoded,
                Image.open(io.BytesIO(encoded) if isinstance(encoded, bytes) else encoded) as picture,
            ):
                _has_16_bits(picture)
        except ZooError as error:
            return str(error)
        return None

    # Not in threads: `_readable` changes the filter of warnings, which all threads share.
    problems = [found for position in range(len(files)) if (found := problem(position))]
    if problems:
        more = f" (and {len(problems) - 3} more)" if len(problems) > 3 else ""
        raise ZooError("; ".join(problems[:3]) + more)
