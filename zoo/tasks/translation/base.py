"""What image-to-image systems share."""

from typing import Any

import torch
from torch import Tensor

from zoo.errors import ZooError
from zoo.nn.checks import check_range
from zoo.training.system import Outputs, System


class Translator(System):
    """A system that translates images: x of a batch are images of one domain, y of another, both (B, C, H, W) in [0, 1].

    Pixel scores are computed on images in [0, 1]. The weights of losses refer to images in [-1, 1], as in the papers.
    """

    def predict_step(self, batch: Any, batch_idx: int) -> Outputs:
        return {"preds": self(batch.x), "position": batch.position}

    def strips(self, batch: Any) -> dict[str, Tensor]:
        """Rows of pictures to look at, by name: (B, N, C, H, W) in [0, 1]; by default input, translation and target."""
        return {"translations": torch.stack([batch.x, self(batch.x), batch.y], dim=1)}

    def check_batch(self, batch: Any) -> None:
        if batch.y.ndim != 4:
            raise ZooError(
                f"{type(self).__name__} translates images to images, but y is of shape {tuple(batch.y.shape)}: "
                "choose data with two domains (PairedImages, UnpairedImages, UnpairedSets)"
            )
        check_range(batch.x)
        check_range(batch.y)

    def example_inputs(self, batch_size: int) -> tuple[Tensor, ...]:
        return System.example_inputs(self, batch_size)  # images, although a GAN's generator starts from noise
