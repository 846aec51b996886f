"""Classify images with a model from `zoo export --format onnx`: python predict_onnx.py MODEL.onnx IMAGE ...

It needs onnxruntime, numpy and pillow only. MODEL.json, which the export writes, says how images are prepared.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from PIL import Image, ImageOps


def prepare(path: str, size: int, channels: int, crop: float, squeeze: bool, interpolation: str) -> np.ndarray:
    """Read an image as (size, size, channels) uint8: the whole image (`squeeze`), or a centred square of it."""
    image: Image.Image = Image.open(path)
    if image.mode[0] in "IF":
        raise ValueError(f"{path} has pixels of mode {image.mode}: convert it to 8 bits per channel")
    if not squeeze:
        image.draft(None, (round(size / crop), round(size / crop)))  # decodes a large JPEG at a reduced size
    image = ImageOps.exif_transpose(image)
    if image.has_transparency_data:
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA"))
    image = image.convert("RGB" if channels == 3 else "L")
    resampling = Image.Resampling[interpolation.upper()]
    if squeeze:
        image = image.resize((size, size), resampling)
    else:
        side = crop * min(image.size)
        left, top = (image.width - side) / 2, (image.height - side) / 2
        box = (left, top, left + side, top + side)
        image = image.resize((size, size), resampling, box=box, reducing_gap=3.0)
    return np.asarray(image).reshape(size, size, channels)


def predict(model: str, paths: list[str]) -> tuple[np.ndarray, list[str]]:
    """Return the probabilities (N, K) of N images, and the names of the K classes."""
    about: dict[str, Any] = json.loads(Path(model).with_suffix(".json").read_text(encoding="utf-8"))
    images = np.stack([prepare(path, **about["prepare"]) for path in paths])
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"images": images})[0]), about["classes"]


if __name__ == "__main__":
    probabilities, classes = predict(sys.argv[1], sys.argv[2:])
    for path, p in zip(sys.argv[2:], probabilities, strict=True):
        print(f"{path}  {classes[p.argmax()]}  {p.max():.4f}")
