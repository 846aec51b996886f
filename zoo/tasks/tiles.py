"""Sheets of small images."""

from pathlib import Path

import torch
from PIL import Image
from torch import Tensor


def tiles(images: Tensor, gap: int = 1) -> Tensor:
    """Images (R, N, C, H, W) in [0, 1] as one of R rows and N columns with white lines between: (H', W', 3) uint8."""
    rows, columns, _, height, width = images.shape
    sheet = torch.ones(3, rows * (height + gap) - gap, columns * (width + gap) - gap)
    for row in range(rows):
        for column in range(columns):
            top, left = row * (height + gap), column * (width + gap)
            sheet[:, top : top + height, left : left + width] = images[row, column].expand(3, -1, -1)
    return (255 * sheet.clamp(0, 1)).round().to(torch.uint8).movedim(0, -1)


def save_tiles(images: Tensor, path: Path, least_width: int = 640) -> None:
    """Write `tiles` as a PNG, each pixel as often as it takes to be seen."""
    picture = Image.fromarray(tiles(images.float().cpu()).numpy())
    times = max(1, round(least_width / picture.width))
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.resize((picture.width * times, picture.height * times), Image.Resampling.NEAREST).save(path)
