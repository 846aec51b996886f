"""What two players want of each other: losses of GANs by name, and what keeps a critic smooth.

Shapes: B batch. Logits are what a discriminator says of images, larger for real: (B,), or of patches (B, 1, H, W).
"""

from collections.abc import Callable
from contextlib import nullcontext
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.errors import check_choice

Loss = Literal["minimax", "non_saturating", "hinge", "least_squares", "wasserstein"]
Penalty = Literal["gradient", "r1"]
Judge = Callable[[Tensor], Tensor]  # samples to logits


def check_loss(loss: str) -> None:
    """Refuse the name of no loss.

    Raises:
        ZooError: naming those there are.
    """
    check_choice("loss", loss, get_args(Loss))


def discriminator_loss(loss: Loss, real: Tensor, fake: Tensor) -> Tensor:
    """What the discriminator minimises, 0-d, given logits of real and of fake samples.

    "minimax" and "non_saturating" (Goodfellow et al., 2014, arXiv:1406.2661): cross-entropy; "hinge" (Lim & Ye, 2017,
    arXiv:1705.02894); "least_squares" with targets 1 and 0 (Mao et al., 2017, arXiv:1611.04076); "wasserstein": the
    difference of means, for a critic that something keeps Lipschitz (Arjovsky et al., 2017, arXiv:1701.07875).
    """
    real, fake = _exact(real), _exact(fake)
    match loss:
        case "minimax" | "non_saturating":
            return F.softplus(-real).mean() + F.softplus(fake).mean()
        case "hinge":
            return F.relu(1 - real).mean() + F.relu(1 + fake).mean()
        case "least_squares":
            return 0.5 * ((real - 1).square().mean() + fake.square().mean())
        case "wasserstein":
            return fake.mean() - real.mean()


def generator_loss(loss: Loss, fake: Tensor) -> Tensor:
    """What the generator minimises, 0-d, given logits of its samples.

    "minimax" is log(1 - D), whose gradient vanishes where the discriminator is sure; "non_saturating" is -log D.
    """
    fake = _exact(fake)
    match loss:
        case "minimax":
            return -F.softplus(fake).mean()
        case "non_saturating":
            return F.softplus(-fake).mean()
        case "least_squares":
            return 0.5 * (fake - 1).square().mean()
        case "hinge" | "wasserstein":
            return -fake.mean()


def gradient_penalty(judge: Judge, real: Tensor, fake: Tensor) -> Tensor:
    """Mean of (|gradient| - 1)^2 at points between real and fake samples, 0-d (Gulrajani et al., 2017, arXiv:1704.00028)."""
    share = torch.rand(len(real), *[1] * (real.ndim - 1), device=real.device)
    between = torch.lerp(real.float(), fake.float(), share)
    return (_gradient(judge, between).norm(dim=1) - 1).square().mean()


def r1_penalty(judge: Judge, real: Tensor) -> Tensor:
    """Half the mean of |gradient|^2 at real samples, 0-d (Mescheder, Geiger & Nowozin, 2018, arXiv:1801.04406)."""
    return 0.5 * _gradient(judge, real.float()).square().sum(1).mean()


@torch.no_grad()
def clip_weights(critic: nn.Module, bound: float) -> None:
    """Bring every parameter into [-bound, bound], in place (Arjovsky et al., 2017, algorithm 1)."""
    for parameter in critic.parameters():
        parameter.clamp_(-bound, bound)


def _gradient(judge: Judge, x: Tensor) -> Tensor:
    """Of each sample's mean logit with respect to it: (B, everything else), which a backward pass can go through.

    Its square would underflow in half precision, so that it is computed without.
    """
    device = x.device.type
    full_precision = torch.autocast(device, enabled=False) if torch.amp.is_autocast_available(device) else nullcontext()
    with torch.enable_grad(), full_precision:
        x = x.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(judge(x).reshape(len(x), -1).mean(1).sum(), x, create_graph=True)
    return gradient.flatten(1)


def _exact(logits: Tensor) -> Tensor:
    """Of autocast's half precision none is left: a difference of large means would drown in it."""
    return logits.to(torch.promote_types(logits.dtype, torch.float32))
