"""Image classifiers as they are deployed: from pixels to probabilities, without the zoo.

Shapes: B images, H height, W width, C channels, K classes.
"""

import json
import shutil
from pathlib import Path
from typing import Any, TypedDict

import torch
from torch import Tensor, nn

from zoo.errors import ZooError
from zoo.tasks.classification.base import Classifier
from zoo.training.files import atomic, write_text
from zoo.training.system import System

_SCRIPT = Path(__file__).with_name("predict_onnx.py")


class Preparation(TypedDict):
    """How an image of any size becomes the input: the arguments of `prepare` in predict_onnx.py."""

    size: int
    channels: int
    crop: float
    squeeze: bool
    interpolation: str  # bilinear or bicubic


def preparation_of(system: System, facts: dict[str, Any]) -> Preparation | None:
    """Return how images are prepared for a system, by the facts that its checkpoint records about its data.

    None unless it classifies square images, and the checkpoint records the classes and the normalisation.
    """
    shape = tuple(system.hparams.get("input_shape", ()))
    if not isinstance(system, Classifier) or len(shape) != 3 or shape[0] not in (1, 3) or shape[1] != shape[2]:
        return None
    if not facts.get("class_names") or "mean" not in facts or "std" not in facts:
        return None
    return Preparation(
        size=shape[1],
        channels=shape[0],
        crop=facts.get("crop", 1.0),
        squeeze=facts.get("squeeze", False),
        interpolation=facts.get("interpolation", "bilinear"),
    )


class PixelClassifier(nn.Module):
    """Maps images (B, H, W, C) uint8, in RGB or grey, to probabilities (B, K). The normalisation is part of it.

    Raises:
        ZooError: if pixels were made black or white at random.
    """

    def __init__(self, system: System, facts: dict[str, Any]) -> None:
        super().__init__()
        binarize = facts.get("binarize")
        if binarize == "stochastic":
            raise ZooError("data.binarize stochastic draws pixels, which an exported graph cannot do: export to safetensors")
        self.net, self.threshold = system, binarize == "threshold"
        mean, std = (torch.tensor(facts[name]).view(-1, 1, 1) for name in ("mean", "std"))
        self.register_buffer("scale", 1 / (255 * std))
        self.register_buffer("offset", -mean / std)
        self.scale: Tensor
        self.offset: Tensor

    def forward(self, images: Tensor) -> Tensor:
        x = images.movedim(-1, 1)
        x = (x > 127).float() if self.threshold else torch.addcmul(self.offset, x.float(), self.scale)
        return self.net.forward(x).softmax(1)

    def example_inputs(self, batch_size: int) -> tuple[Tensor, ...]:
        """Return random images, the same at every call."""
        channels, height, width = self.net.hparams["input_shape"]
        generator = torch.Generator().manual_seed(0)
        return (torch.randint(0, 256, (batch_size, height, width, channels), dtype=torch.uint8, generator=generator),)


def write_instructions(exported: Path, facts: dict[str, Any], prepare: Preparation) -> list[Path]:
    """Write MODEL.json beside an exported file, and for ONNX the script predict_onnx.py if there is none. Return the files."""
    size, channels = prepare["size"], prepare["channels"]
    about = {
        "model": exported.name,
        "classes": facts["class_names"],
        "input": f"images: uint8 (batch, {size}, {size}, {channels}), {'RGB' if channels == 3 else 'grey'}, 0 to 255",
        "output": f"probabilities: float32 (batch, {len(facts['class_names'])})",
        "prepare": prepare,
        "steps": _steps(prepare),
    }
    sidecar = exported.with_suffix(".json")
    write_text(sidecar, json.dumps(about, indent=1, ensure_ascii=False) + "\n")
    script = exported.with_name(_SCRIPT.name)
    if exported.suffix != ".onnx" or script.exists():
        return [sidecar]
    with atomic(script) as partial:
        shutil.copyfile(_SCRIPT, partial)
    return [sidecar, script]


def _steps(prepare: Preparation) -> list[str]:
    """Describe the preparation for programs that do not use predict_onnx.py."""
    size = prepare["size"]
    part = "the whole image" if prepare["squeeze"] else f"the centred square with {prepare['crop']} of the shorter side"
    return [
        "turn the image upright by its EXIF orientation",
        "put transparent pixels on white",
        f"convert to {'RGB' if prepare['channels'] == 3 else 'grey'}",
        f"resize {part} to {size}x{size} pixels, {prepare['interpolation']} with antialiasing",
    ]
