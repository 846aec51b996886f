"""The generator faces the discriminator as it will be, which stays as it is."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from datamodules.core.batch import Batch
from zoo.gans.unrolled_gan import UnrolledGAN


class Multiplies(nn.Module):
    """A network with one parameter."""

    def __init__(self, weight: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(weight, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        return self.weight * x.flatten()


@pytest.mark.parametrize("unroll", [0, 1, 2, 5])
def test_the_unrolled_gradient_is_that_of_the_steps_written_out(unroll: int) -> None:
    """One parameter each: g(z) = g z, d(x) = d x. A step of the discriminator is d - rate d(loss)/dd, written out by hand."""
    system = UnrolledGAN((1,), latent_dim=1, widths=(2,), unroll=unroll, unroll_lr=0.3)
    system.generator = nn.Sequential(Multiplies(0.7), nn.Unflatten(0, (6, 1)))
    system.discriminator = Multiplies(-0.4)
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
    ("arguments", "message"),
    [
        ({"unroll": -1}, "unroll must be 0 or more, got -1"),
        ({"unroll_lr": 0.0}, "unroll_lr must be positive, got 0.0"),
    ],
)
def test_what_cannot_work_is_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        UnrolledGAN((2,), **arguments)
