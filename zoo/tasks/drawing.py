"""Sheets of small images: tiles, and images with captions."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from zoo.metrics.probe import principal_components
from zoo.nn.image_range import as_bytes

_COLUMNS = 8
_WIDTH, _LINE = 1.6, 0.16  # width of an image with margins, and height of a caption's line, in inches
_CAPTION = 28  # characters per line, as many as the width of an image holds
_MOST_NAMES, _NAME = 20, 24  # names in a legend, and characters of each
_SIDE, _MARGIN = 1.4, 0.04  # longer side of the image; space below the image and below the caption


def tiles(images: Tensor, gap: int = 1) -> Tensor:
    """Arrange images (R, N, C, H, W) in [0, 1] in R rows and N columns, separated by white lines: (H', W', 3) uint8."""
    rows, columns, _, height, width = images.shape
    sheet = torch.ones(3, rows * (height + gap) - gap, columns * (width + gap) - gap)
    for row in range(rows):
        for column in range(columns):
            top, left = row * (height + gap), column * (width + gap)
            sheet[:, top : top + height, left : left + width] = images[row, column].expand(3, -1, -1)
    return as_bytes(sheet).movedim(0, -1)


def save_tiles(images: Tensor, path: Path, width: int = 640) -> None:
    """Write `tiles` as a PNG, magnified by the whole factor that brings its width closest to `width` pixels."""
    picture = Image.fromarray(tiles(images.float().cpu()).numpy())
    times = max(1, round(width / picture.width))
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.resize((picture.width * times, picture.height * times), Image.Resampling.NEAREST).save(path)


def displayable(image: Tensor) -> np.ndarray:
    """Scale an image (C, H, W) of any range to [0, 1] by its minimum and maximum: (H, W, C), or (H, W) for one channel."""
    low, high = image.aminmax()
    image = (image - low) / (high - low).clamp(min=torch.finfo(image.dtype).tiny)
    return (image[0] if len(image) == 1 else image.movedim(0, -1)).numpy()


def grid(images: Sequence[np.ndarray], captions: Sequence[str], wrong: Sequence[bool]) -> Figure:
    """Draw images (H, W) or (H, W, 3) in rows of eight, each below its caption. Captions of `wrong` images are red.

    A parenthesis starts a new line. Captions have space for two lines, or for as many as the longest one has.
    """
    columns = min(_COLUMNS, len(images))
    rows = -(-len(images) // columns)
    broken = [caption.replace(" (", "\n(").splitlines() for caption in captions]
    row_height = _SIDE + 2 * _MARGIN + _LINE * max(2, *map(len, broken))
    figure = Figure(figsize=(_WIDTH * columns, row_height * rows))
    axes = figure.add_axes((0, 0, 1, 1))  # shared by all images, because one for each takes five times as long
    axes.set_axis_off()
    for place, (image, lines, is_wrong) in enumerate(zip(images, broken, wrong, strict=True)):
        row, column = divmod(place, columns)
        scale = _SIDE / max(image.shape[:2])
        height, width = scale * image.shape[0], scale * image.shape[1]
        middle, bottom = (column + 0.5) * _WIDTH, (row + 1) * row_height - _MARGIN
        axes.imshow(
            image,
            cmap="gray" if image.ndim == 2 else None,
            vmin=0,
            vmax=1,
            interpolation="nearest",
            extent=(middle - width / 2, middle + width / 2, bottom, bottom - height),
        )
        text = "\n".join(shorten(line, _CAPTION) for line in lines)
        colour = "firebrick" if is_wrong else "black"
        axes.text(middle, bottom - height - _MARGIN, text, fontsize=8, color=colour, ha="center", va="bottom", parse_math=False)
    axes.set(xlim=(0, _WIDTH * columns), ylim=(row_height * rows, 0), aspect="auto")
    return figure


def scatter_by_class(axes: Axes, z: Tensor, y: Tensor, class_names: Sequence[str]) -> None:
    """Draw points (N, Z) in the plane, coloured by class (N,); a legend names at most 20 classes.

    More than two dimensions are reduced to two principal components.
    """
    if z.shape[1] > 2:
        mean, directions = principal_components(z, 2)
        z = (z - mean) @ directions.T
    if z.shape[1] == 1:
        z = torch.cat([z, torch.zeros_like(z)], dim=1)
    present = torch.unique(y).tolist()
    for label in present:
        points = z[y == label]
        axes.scatter(points[:, 0], points[:, 1], s=6, color=f"C{label % 10}")
    if len(present) <= _MOST_NAMES:
        names = [shorten(class_names[label], _NAME) if class_names else str(label) for label in present]
        for text in axes.legend(axes.collections, names, fontsize=7, markerscale=2).get_texts():
            text.set_parse_math(False)


def shorten(text: str, most: int) -> str:
    """Shorten a text to at most `most` characters. The last one is an ellipsis if the text was shortened."""
    return text if len(text) <= most else text[: most - 1] + "…"
