"""Mixin for GANs that draw samples from noise: the generator's input, sampling, and the pictures of a run."""

from pathlib import Path
from typing import Any

import torch
from lightning import Callback
from torch import Tensor, nn

from zoo.nn.average import Average
from zoo.nn.image_range import as_images
from zoo.tasks.adversarial.pictures import GANPictures
from zoo.training.system import System


class FromNoise(System):
    """The generator of a GAN maps noise (B, Z), followed by `condition(batch)`, to samples. Stands before `Adversarial`.

    Samples are images, in [-1, 1] between the networks and in [0, 1] for users, or points of any range.
    """

    conditional = False
    generator: nn.Module
    average: Average | None

    def forward(self, *inputs: Tensor) -> Tensor:
        """Map noise (B, Z) and conditioning inputs to samples: images in [0, 1]."""
        return as_images(self.net(*inputs))

    def decode(self, *inputs: Tensor) -> Tensor:
        return self(*inputs)

    def sample(self, num: int, *condition: Tensor) -> Tensor:
        """Draw samples (num, ...): images in [0, 1]. A conditional GAN takes their classes (num,)."""
        return self(self.noise(num), *condition)

    def noise(self, num: int) -> Tensor:
        """Draw the generator's input (num, Z) from N(0, 1)."""
        return torch.randn(num, self.hparams["latent_dim"], device=self.device)

    def condition(self, batch: Any) -> tuple[Tensor, ...]:
        """Conditioning inputs passed to both networks (for example labels)."""
        return ()

    def fake(self, batch: Any) -> Tensor:
        """Generate as many samples as the batch has: images in [-1, 1]. In evaluation the average generates them."""
        generator = self.generator if self.training else self.net
        return generator(self.noise(len(batch.x)), *self.condition(batch))

    def example_inputs(self, batch_size: int) -> tuple[Tensor, ...]:
        return (torch.randn(batch_size, self.hparams["latent_dim"], generator=torch.Generator().manual_seed(0)),)

    def refresh_statistics(self) -> None:
        """Recompute the average's BatchNorm statistics from a fixed set of 2,560 noise inputs."""
        if self.average is not None:
            inputs = (torch.split(value.to(self.device), 128) for value in self.example_inputs(2560))
            self.average.refresh_statistics(zip(*inputs, strict=True))

    def reports(self, folder: Path) -> list[Callback]:
        return [*super().reports(folder), GANPictures(folder / "pictures")]
