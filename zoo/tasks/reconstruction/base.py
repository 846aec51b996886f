"""Base class of autoencoders: images in [0, 1] to codes and back, scored by the reconstruction error."""

from pathlib import Path
from typing import Any, ClassVar

from lightning import Callback
from torch import Tensor

from zoo.metrics.reconstruction import reconstruction
from zoo.nn.checks import check_range
from zoo.tasks.filters import first_filters
from zoo.tasks.reconstruction.pictures import LatentPictures
from zoo.training.optim import Optim
from zoo.training.system import Outputs, System


class Reconstructor(System):
    """A system whose `net` has `encode(x)`, images (B, C, H, W) in [0, 1] to codes (B, Z), and `decode(z)` back.

    `net` has the methods `encode`, images (B, C, H, W) in [0, 1] to codes (B, Z), and `decode`, codes to images. `step` returns
    reconstructions as "preds" and the original images as "target". `predict_step` returns codes.
    """

    monitor = ("val/mse", "min")
    headline: ClassVar[str | tuple[str, ...]] = "test/mse"
    conditional = False

    def __init__(self, lr: float, optim: Optim | None) -> None:
        super().__init__(lr, optim, reconstruction())

    def encode(self, *inputs: Tensor) -> Tensor:
        """Encode images: codes (B, Z)."""
        return self.net.encode(*inputs)  # type: ignore[operator]  # every subclass builds a net with this method

    def decode(self, *inputs: Tensor) -> Tensor:
        """Decode codes: images (B, C, H, W) in [0, 1]."""
        return self.net.decode(*inputs)  # type: ignore[operator]

    def corrupt(self, x: Tensor) -> Tensor:
        """Damage images (B, C, H, W) as the network is to see them; by default they are left as they are."""
        return x

    def anomaly_scores(self, *inputs: Tensor) -> dict[str, Tensor]:
        """Compute the mean squared reconstruction error of each image, (B,), as the anomaly score "mse"."""
        x = inputs[0]
        return {"mse": (self(*inputs) - x).square().flatten(1).mean(1)}

    def predict_step(self, batch: Any, batch_idx: int) -> Outputs:
        return {"code": self.encode(*self.inputs(batch)), "position": batch.position}

    def check_batch(self, batch: Any) -> None:
        check_range(batch.x)

    def reports(self, folder: Path) -> list[Callback]:
        pictures = folder / "pictures"
        return [*super().reports(folder), *first_filters(self.net, pictures), LatentPictures(pictures)]
