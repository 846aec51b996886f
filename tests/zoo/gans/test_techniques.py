"""What each technique promises: bounded weights, unit spectral norms, a batch seen as a whole, a look ahead."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from lightning import Trainer
from torch import Tensor, nn

from datamodules import Digits, GaussianMixture
from datamodules.core.batch import Batch
from zoo.gans.minibatch_gan import MinibatchDiscrimination, MinibatchGAN
from zoo.gans.sngan import SNGAN
from zoo.gans.unrolled_gan import UnrolledGAN
from zoo.gans.wgan import WGAN
from zoo.gans.wgan_gp import WGANGP

Fit = Callable[..., Trainer]


def test_a_critics_weights_stay_within_the_clip(fit: Fit) -> None:
    system = WGAN((1, 8, 8), widths=(8, 8), game={"weight_clip": 0.03})
    fit(system, Digits(normalize=False, batch_size=100), max_steps=3)
    largest = max(p.abs().max().item() for p in system.discriminator.parameters())
    assert largest == pytest.approx(0.03)


def test_the_penalty_draws_a_critics_gradient_to_one(fit: Fit) -> None:
    """Without it the critic of the same game is steeper by far."""
    slopes = []
    for weight in (10.0, 1e-6):
        torch.manual_seed(0)
        system = WGANGP((2,), "mlp", 4, (64,), lr=2e-3, game={"penalty_weight": weight})
        fit(system, GaussianMixture(num_samples=10_000, batch_size=500), max_epochs=10, limit_val_batches=0)
        x = torch.randn(200, 2).requires_grad_()
        (gradient,) = torch.autograd.grad(system.discriminator(x).sum(), x)
        slopes.append(gradient.norm(dim=1).mean().item())
    assert slopes[0] == pytest.approx(1, abs=0.3)
    assert slopes[1] > 2 * slopes[0]


@pytest.mark.parametrize("architecture", ["mlp", "conv"])
def test_every_layer_keeps_spectral_norm_one(fit: Fit, architecture: Any) -> None:
    """By singular values, where the weights that are learned have others."""
    system = SNGAN((1, 8, 8), architecture, widths=(8, 16), lr=2e-4)
    fit(system, Digits(normalize=False, batch_size=64), max_epochs=5)
    system.eval()
    layers = [m for m in system.discriminator.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert len(layers) == 3
    learned = [layer.parametrizations.weight.original.flatten(1) for layer in layers]  # type: ignore[union-attr]
    assert any(abs(torch.linalg.matrix_norm(weight, ord=2).item() - 1) > 0.05 for weight in learned)
    for layer in layers:
        assert torch.linalg.matrix_norm(layer.weight.flatten(1), ord=2).item() == pytest.approx(1, abs=0.05)


def test_the_discriminator_learns_faster_by_default() -> None:
    assert SNGAN((2,), "mlp", lr=1e-4).game["d_lr"] == pytest.approx(4e-4)
    assert SNGAN((2,), "mlp", lr=1e-4, game={"d_lr": 1e-4}).game["d_lr"] == 1e-4


def test_closeness_is_counted_over_all_pairs() -> None:
    torch.manual_seed(0)
    layer, x = MinibatchDiscrimination(6, 4, 3), torch.randn(5, 6)
    out = layer(x)
    assert torch.equal(out[:, :6], x)
    kernels = layer.to_kernels(x).view(5, 4, 3)
    for sample in range(5):
        for kernel in range(4):
            others = (o for o in range(5) if o != sample)
            closeness = sum(torch.exp(-(kernels[sample, kernel] - kernels[o, kernel]).abs().sum()).item() for o in others)
            assert out[sample, 6 + kernel].item() == pytest.approx(closeness, rel=1e-4)


def test_a_collapsed_batch_is_as_close_as_can_be() -> None:
    layer = MinibatchDiscrimination(6, 4, 3)
    assert torch.equal(layer(torch.ones(7, 6))[:, 6:], torch.full((7, 4), 6.0))


def test_the_discriminator_sees_the_batch() -> None:
    system = MinibatchGAN((2,), "mlp", widths=(8,), num_kernels=3, kernel_dim=2)
    x = torch.randn(4, 2)
    alone, beside = system.discriminator(x[:1]), system.discriminator(x)[:1]
    assert not torch.allclose(alone, beside)


class Multiplies(nn.Module):
    """One parameter, and no class."""

    def __init__(self, weight: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(weight, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        return self.weight * x.flatten()


@pytest.mark.parametrize("unroll", [0, 1, 2, 5])
def test_the_unrolled_gradient_is_that_of_the_game_written_out(unroll: int) -> None:
    """One parameter each: g(z) = g z, d(x) = d x. The discriminator's step is d - rate d(loss)/dd, written out by hand."""
    system = UnrolledGAN((1,), latent_dim=1, widths=(2,), unroll=unroll, unroll_lr=0.3)
    system.generator, system.discriminator = Multiplies(0.7), Multiplies(-0.4)
    z, x = torch.randn(6, 1, dtype=torch.float64), torch.randn(6, 1, dtype=torch.float64)
    system.noise = lambda num: z  # type: ignore[method-assign]
    loss, _ = system.g_step(Batch(x, torch.zeros(6), torch.arange(6)), torch.tensor(0.5))
    loss.backward()
    (mine,) = (p.grad for p in system.generator.parameters())

    g = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    d = torch.tensor(-0.4, dtype=torch.float64)
    real, fake = x.flatten(), g * z.flatten()
    for _ in range(unroll):
        slope = (-torch.sigmoid(-d * real) * real).mean() + (torch.sigmoid(d * fake) * fake).mean()
        d = d - 0.3 * slope
    F.softplus(-d * fake).mean().backward()
    assert mine is not None
    assert g.grad is not None
    torch.testing.assert_close(mine, g.grad, atol=1e-6, rtol=0)


def test_looking_ahead_leaves_the_discriminator_as_it_was() -> None:
    system = UnrolledGAN((2,), widths=(8,))
    before = {name: p.clone() for name, p in system.discriminator.named_parameters()}
    system.g_step(Batch(torch.randn(4, 2), torch.zeros(4), torch.arange(4)), torch.tensor(0.5))[0].backward()
    for name, p in system.discriminator.named_parameters():
        assert torch.equal(p, before[name])
        assert p.grad is None


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: UnrolledGAN((2,), unroll=-1), "unroll must be 0 or more, got -1"),
        (lambda: UnrolledGAN((2,), unroll_lr=0.0), "unroll_lr must be positive, got 0.0"),
        (lambda: UnrolledGAN((2,), game={"penalty": "r1"}), "the steps ahead know no game.penalty, got r1"),
        (lambda: UnrolledGAN((2,), game={"weight_clip": 0.1}), "the steps ahead know no game.weight_clip, got 0.1"),
        (lambda: MinibatchGAN((2,), "mlp", num_kernels=0), "num_kernels and kernel_dim must be at least 1, got 0 and 8"),
    ],
)
def test_what_cannot_work_is_refused(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
