"""Losses of GANs as pure functions, and the penalties that keep a discriminator smooth.

Each loss is a pair: `d_NAME(real_logits, fake_logits)` for the discriminator, `g_NAME(fake_logits)` for the generator.
Shapes: B batch. Logits are (B,), or (B, 1, H, W) for patches; larger means "more likely real". All results are 0-d.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.errors import ZooError, check_choice
from zoo.nn.losses import full

Loss = Literal["minimax", "non_saturating", "hinge", "least_squares", "wasserstein"]
Discriminator = Callable[[Tensor], Tensor]  # samples (B, ...) to logits


def d_cross_entropy(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """Binary cross-entropy with real as 1 and fake as 0 (Goodfellow et al., 2014, arXiv:1406.2661)."""
    return F.softplus(-full(real_logits)).mean() + F.softplus(full(fake_logits)).mean()


def g_non_saturating(fake_logits: Tensor) -> Tensor:
    """-log D(fake), which keeps its gradient when the discriminator is sure (Goodfellow et al., 2014, section 3)."""
    return F.softplus(-full(fake_logits)).mean()


def g_minimax(fake_logits: Tensor) -> Tensor:
    """log(1 - D(fake)), whose gradient vanishes when the discriminator is sure (Goodfellow et al., 2014, equation 1)."""
    return -F.softplus(full(fake_logits)).mean()


def d_hinge(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """Hinge loss with margin 1 (Lim & Ye, 2017, arXiv:1705.02894)."""
    return F.relu(1 - full(real_logits)).mean() + F.relu(1 + full(fake_logits)).mean()


def g_hinge(fake_logits: Tensor) -> Tensor:
    """Negative mean logit (Lim & Ye, 2017)."""
    return -full(fake_logits).mean()


def d_least_squares(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """Half the squared distance from 1 for real and from 0 for fake samples (Mao et al., 2017, arXiv:1611.04076)."""
    return 0.5 * ((full(real_logits) - 1).square().mean() + full(fake_logits).square().mean())


def g_least_squares(fake_logits: Tensor) -> Tensor:
    """Half the squared distance of fake samples from 1 (Mao et al., 2017)."""
    return 0.5 * (full(fake_logits) - 1).square().mean()


def d_wasserstein(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """Minus the estimated Wasserstein distance, for a Lipschitz critic (Arjovsky et al., 2017, arXiv:1701.07875)."""
    return full(fake_logits).mean() - full(real_logits).mean()


def g_wasserstein(fake_logits: Tensor) -> Tensor:
    """Negative mean of the critic's output for fake samples (Arjovsky et al., 2017)."""
    return -full(fake_logits).mean()


def discriminator_loss(loss: Loss, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """Compute the discriminator's loss by name, for techniques that leave the choice to an argument."""
    match loss:
        case "minimax" | "non_saturating":
            return d_cross_entropy(real_logits, fake_logits)
        case "hinge":
            return d_hinge(real_logits, fake_logits)
        case "least_squares":
            return d_least_squares(real_logits, fake_logits)
        case "wasserstein":
            return d_wasserstein(real_logits, fake_logits)
        case _:
            raise ValueError(f"no loss {loss!r}")


def generator_loss(loss: Loss, fake_logits: Tensor) -> Tensor:
    """Compute the generator's loss by name, for techniques that leave the choice to an argument."""
    match loss:
        case "minimax":
            return g_minimax(fake_logits)
        case "non_saturating":
            return g_non_saturating(fake_logits)
        case "hinge":
            return g_hinge(fake_logits)
        case "least_squares":
            return g_least_squares(fake_logits)
        case "wasserstein":
            return g_wasserstein(fake_logits)
        case _:
            raise ValueError(f"no loss {loss!r}")


def d_outputs(loss: Tensor, real_logits: Tensor, fake_logits: Tensor) -> dict[str, Tensor]:
    """The discriminator's loss and mean logits, named as every GAN logs them."""
    return {"d_loss": loss, "d_real": real_logits.float().mean(), "d_fake": fake_logits.float().mean()}


def check_loss(loss: str) -> None:
    """Raise if `loss` is not a known loss.

    Raises:
        ZooError: naming the known losses.
    """
    check_choice("loss", loss, get_args(Loss))


def check_penalty(weight: float, every: int = 1, name: str = "penalty") -> None:
    """Raise if a penalty cannot have this weight, or be computed this often.

    Raises:
        ZooError: naming the setting, `name`_weight or `name`_every, and its value.
    """
    if not weight >= 0:
        raise ZooError(f"{name}_weight must be 0 or more, got {weight}")
    if every < 1:
        raise ZooError(f"{name}_every must be at least 1, got {every}")


def gradient_penalty(discriminator: Discriminator, real: Tensor, fake: Tensor) -> Tensor:
    """Compute the mean of (|gradient| - 1)^2 at random points between real and fake samples (B, ...).

    Gulrajani et al., 2017, arXiv:1704.00028, equation 3.
    """
    share = torch.rand(len(real), *[1] * (real.ndim - 1), device=real.device)
    between = torch.lerp(real.float(), fake.float(), share)
    return (input_gradient(discriminator, between).norm(dim=1) - 1).square().mean()


def r1_penalty(discriminator: Discriminator, real: Tensor) -> Tensor:
    """Compute half the mean of |gradient|^2 at real samples (B, ...).

    Mescheder, Geiger & Nowozin, 2018, arXiv:1801.04406, equation 9.
    """
    return 0.5 * input_gradient(discriminator, real.float()).square().sum(1).mean()


def full_precision(device: str) -> AbstractContextManager[Any]:
    """Return a context in which autocast is off on a kind of device, for example "cuda"."""
    return torch.autocast(device, enabled=False) if torch.amp.is_autocast_available(device) else nullcontext()


def input_gradient(discriminator: Discriminator, x: Tensor) -> Tensor:
    """Differentiate each sample's mean logit with respect to the sample: (B, ...) to (B, F), itself differentiable.

    Autocast is off here, because the square of a small gradient underflows in half precision.
    """
    with torch.enable_grad(), full_precision(x.device.type):
        x = x.detach().requires_grad_()
        logits = discriminator(x).reshape(len(x), -1).mean(1)
        (gradient,) = torch.autograd.grad(logits.sum(), x, create_graph=True)
    return gradient.flatten(1)


@torch.no_grad()
def clip_weights(critic: nn.Module, bound: float) -> None:
    """Clamp every parameter to [-bound, bound], in place (Arjovsky et al., 2017, algorithm 1)."""
    for parameter in critic.parameters():
        parameter.clamp_(-bound, bound)
