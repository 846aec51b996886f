"""Folders of tiny pictures in the layouts of Pix2Pix's and CycleGAN's authors."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image


def write(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels.astype(np.uint8)).save(path)


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    """Light rectangles on black to the left, the same as dark ones on white to the right: 40 to learn from, 8 to test."""
    rng = np.random.default_rng(0)
    for part, num in (("train", 40), ("test", 8)):
        for number in range(num):
            x = np.zeros((16, 16))
            top, left = rng.integers(0, 10, 2)
            x[top : top + 6, left : left + 6] = rng.integers(100, 256)
            write(tmp_path / "pairs" / part / f"{number:02d}.png", np.hstack([x, 255 - x]))
    return tmp_path / "pairs"


@pytest.fixture
def domains(tmp_path: Path) -> Path:
    """Light rectangles on black in A, dark ones on white in B; twice as many in A."""
    rng = np.random.default_rng(0)
    for part, domain, num in (("train", "A", 24), ("train", "B", 12), ("test", "A", 6), ("test", "B", 3)):
        for number in range(num):
            x = np.zeros((8, 8))
            top, left = rng.integers(0, 5, 2)
            x[top : top + 3, left : left + 3] = 255
            write(tmp_path / "domains" / f"{part}{domain}" / f"{number:02d}.png", x if domain == "A" else 255 - x)
    return tmp_path / "domains"
