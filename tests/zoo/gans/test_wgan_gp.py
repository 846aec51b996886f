"""The critic's gradient is pulled towards length 1; a distance is estimated."""

from collections.abc import Callable

import pytest
import torch
from lightning import Trainer

from datamodules import GaussianMixture
from datamodules.core.batch import Batch
from zoo.gans.wgan_gp import WGANGP

Fit = Callable[..., Trainer]


def test_the_penalty_draws_a_critics_gradient_to_one(fit: Fit) -> None:
    """Without it the critic of the same GAN is much steeper."""
    slopes = []
    for weight in (10.0, 1e-6):
        torch.manual_seed(0)
        system = WGANGP((2,), "mlp", 4, (64,), lr=2e-3, penalty_weight=weight)
        fit(system, GaussianMixture(num_samples=10_000, batch_size=500), max_epochs=10, limit_val_batches=0)
        x = torch.randn(200, 2).requires_grad_()
        (gradient,) = torch.autograd.grad(system.discriminator(x).sum(), x)
        slopes.append(gradient.norm(dim=1).mean().item())
    assert slopes[0] == pytest.approx(1, abs=0.3)
    assert slopes[1] > 2 * slopes[0]


def test_the_steps_are_those_of_the_paper() -> None:
    """Algorithm 1, written out with the generated samples and interpolation points of the same seed."""
    system = WGANGP((2,), "mlp", 3, (8,), penalty_weight=3.0)
    batch = Batch(torch.randn(6, 2), torch.zeros(6), torch.arange(6))
    torch.manual_seed(1)
    loss, outputs = system.d_step(batch, torch.tensor(0.5))
    torch.manual_seed(1)
    fake = system.generator(torch.randn(6, 3)).detach()
    between = torch.lerp(batch.x, fake, torch.rand(6, 1)).requires_grad_()
    (gradient,) = torch.autograd.grad(system.discriminator(between).sum(), between)
    penalty = (gradient.norm(dim=1) - 1).square().mean()
    difference = system.discriminator(fake).mean() - system.discriminator(batch.x).mean()
    torch.testing.assert_close(loss, difference + 3 * penalty)
    torch.testing.assert_close(outputs["penalty"], penalty)
    torch.manual_seed(2)
    loss, _ = system.g_step(batch, torch.tensor(0.5))
    torch.manual_seed(2)
    torch.testing.assert_close(loss, -system.discriminator(system.generator(torch.randn(6, 3))).mean())


def test_evaluation_and_a_weight_of_zero_leave_the_penalty_out() -> None:
    batch = Batch(torch.randn(6, 2), torch.zeros(6), torch.arange(6))
    for system in (WGANGP((2,), "mlp", 3, (8,)).eval(), WGANGP((2,), "mlp", 3, (8,), penalty_weight=0.0)):
        assert "penalty" not in system.d_step(batch, torch.tensor(0.5))[1]


def test_a_negative_weight_is_refused() -> None:
    with pytest.raises(ValueError, match=r"penalty_weight must be 0 or more, got -1\.0"):
        WGANGP((2,), "mlp", penalty_weight=-1.0)
