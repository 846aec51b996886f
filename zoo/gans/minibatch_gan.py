"""Minibatch discrimination: the discriminator sees how similar a batch is (Salimans et al., 2016, arXiv:1606.03498).

Shapes: B batch, F features, K kernels, D numbers per kernel.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from zoo.errors import ZooError
from zoo.gans.networks import build_networks
from zoo.gans.shared_fakes import check_redraw, share_fake
from zoo.nn.adversarial import d_cross_entropy, d_outputs, g_non_saturating
from zoo.nn.codecs import Architecture
from zoo.tasks.adversarial.base import Adversarial, Step
from zoo.tasks.adversarial.noise import FromNoise
from zoo.tasks.adversarial.rhythm import ADAM
from zoo.training.optim import Optim, merge_optim
from zoo.training.system import Outputs, require


class MinibatchDiscrimination(nn.Module):
    """Append to features (B, F) how close each sample is to the rest of the batch: (B, F + K) (section 3.2).

    Args:
        num_features: F.
        num_kernels: K.
        kernel_dim: D.

    Raises:
        ZooError: if a size is out of range.
    """

    def __init__(self, num_features: int, num_kernels: int, kernel_dim: int) -> None:
        super().__init__()
        if num_kernels < 1 or kernel_dim < 1:
            raise ZooError(f"num_kernels and kernel_dim must be at least 1, got {num_kernels} and {kernel_dim}")
        self.to_kernels = nn.Linear(num_features, num_kernels * kernel_dim, bias=False)
        self.unflatten = nn.Unflatten(1, (num_kernels, kernel_dim))

    def forward(self, features: Tensor) -> Tensor:
        kernels = self.unflatten(self.to_kernels(features)).float().transpose(0, 1)
        distances = torch.cdist(kernels, kernels, p=1)  # (K, B, B)
        closeness = torch.exp(-distances).sum(2).T - 1  # without the sample itself
        return torch.cat([features, closeness.to(features.dtype)], dim=1)


class MinibatchGAN(FromNoise, Adversarial):
    """A generator that draws the same sample again and again gives itself away, because the batch is too similar.

    Args:
        architecture: "conv" for DCGAN's networks, "mlp" for dense ones.
        widths: channels from the largest to the smallest feature map, or sizes of the hidden layers.
        num_kernels: number of ways in which samples can be similar.
        kernel_dim: numbers that each of them compares.
        redraw: whether the generator's update draws new samples. False reuses those of the last discriminator update.
        n_critic, accumulate, d_lr, ema, clip: as in `Adversarial`.
    """

    def __init__(
        self,
        input_shape: tuple[int, ...] | None = None,  # linked from the datamodule
        architecture: Architecture = "conv",
        latent_dim: int = 64,
        widths: Sequence[int] = (64, 128),
        num_kernels: int = 32,
        kernel_dim: int = 8,
        redraw: bool = True,
        lr: float = 2e-4,
        optim: Optim | None = None,
        n_critic: int = 1,
        accumulate: int = 1,
        d_lr: float | None = None,
        ema: float = 0.0,
        clip: float | None = None,
    ) -> None:
        check_redraw(redraw, accumulate)
        nets = build_networks(architecture, require("input_shape", input_shape), latent_dim, widths, norm="batch")
        num_features = nets.discriminator.num_features
        similarity = MinibatchDiscrimination(num_features, num_kernels, kernel_dim)
        nets.discriminator.head = nn.Sequential(similarity, nn.Linear(num_features + num_kernels, 1))
        super().__init__(
            generator=nets.generator,
            discriminator=nets.discriminator,
            lr=lr,
            optim=merge_optim(ADAM, optim),
            n_critic=n_critic,
            accumulate=accumulate,
            d_lr=d_lr,
            ema=ema,
            clip=clip,
        )
        self.save_hyperparameters(logger=False)
        self.redraw = redraw

    def d_step(self, batch: Any, progress: Tensor, fake: Tensor | None = None) -> tuple[Tensor, Outputs]:
        """Tell a batch of real samples from a batch of generated ones; `fake` are samples that were generated already."""
        fake = self.fake(batch) if fake is None else fake
        real_logits, fake_logits = self.discriminator(self.real(batch)), self.discriminator(fake.detach())
        loss = d_cross_entropy(real_logits, fake_logits)
        return loss, d_outputs(loss, real_logits, fake_logits)

    def g_step(self, batch: Any, progress: Tensor, fake: Tensor | None = None) -> tuple[Tensor, Outputs]:
        """Make the discriminator take generated samples for real ones; `fake` are samples that were generated already."""
        fake = self.fake(batch) if fake is None else fake
        loss = g_non_saturating(self.discriminator(fake))
        return loss, {"g_loss": loss}

    def steps(self, parts: list[Any], iteration: int) -> tuple[list[Step], Step]:
        if self.redraw:
            return super().steps(parts, iteration)
        return share_fake(self.fake(parts[-1]), len(parts), self.d_step, self.g_step)
