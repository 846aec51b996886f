"""What every autoencoder shares: images in [0, 1] in and out, a code between them, judged by how close they come."""

from typing import Any

from torch import Tensor

from zoo.metrics.reconstruction import reconstruction
from zoo.nn.checks import check_range
from zoo.training.optim import Optim
from zoo.training.system import Outputs, System


class Reconstructor(System):
    """A system whose `net` has `encode(x)`, images (B, C, H, W) in [0, 1] to codes (B, Z), and `decode(z)` back.

    A subclass says in `step` what is learned; "preds" are its reconstructions, "target" the images they should be. Predicting
    gives codes, for whatever is learned from them next.
    """

    monitor = ("val/mse", "min")
    headline = "test/mse"

    def __init__(self, lr: float, optim: Optim | None) -> None:
        super().__init__(lr, optim, reconstruction())

    def encode(self, *inputs: Tensor) -> Tensor:
        """The code of each image: (B, Z)."""
        return self.net.encode(*inputs)  # type: ignore[operator]  # a subclass builds a net that has it

    def decode(self, *inputs: Tensor) -> Tensor:
        """The image of each code: (B, C, H, W) in [0, 1]."""
        return self.net.decode(*inputs)  # type: ignore[operator]

    def anomaly_scores(self, *inputs: Tensor) -> dict[str, Tensor]:
        """By how much each image is not like those learned: scores (B,) by name, larger where it is odder."""
        x = inputs[0]
        return {"mse": (self(*inputs) - x).square().flatten(1).mean(1)}

    def predict_step(self, batch: Any, batch_idx: int) -> Outputs:
        return {"code": self.encode(*self.inputs(batch)), "position": batch.position}

    def check_batch(self, batch: Any) -> None:
        check_range(batch.x)
