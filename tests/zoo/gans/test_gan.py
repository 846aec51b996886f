"""Dense networks: images and points, losses by name, and what is refused."""

from typing import Any

import pytest
import torch

from datamodules.core.batch import Batch
from zoo.gans.gan import GAN, MLPDiscriminator, MLPGenerator
from zoo.nn.adversarial import discriminator_loss, generator_loss


def test_points_have_any_range() -> None:
    generator = MLPGenerator(3, (2,), [8])
    with torch.no_grad():
        generator.layers[-3].bias.fill_(7.0)  # type: ignore[union-attr]  # a linear layer's
    assert generator(torch.zeros(1, 3)).min() > 1


def test_points_are_sampled_as_they_are() -> None:
    points, z = GAN((2,), 3, (4,)).eval(), torch.randn(6, 3)
    torch.testing.assert_close(points(z), points.generator(z))


@pytest.mark.parametrize("loss", ["non_saturating", "minimax", "hinge", "least_squares", "wasserstein"])
def test_the_losses_are_those_asked_for(loss: Any) -> None:
    system, batch = GAN((2,), 3, (4,), loss=loss), Batch(torch.randn(5, 2), torch.zeros(5), torch.arange(5))
    torch.manual_seed(1)
    fake = system.fake(batch)
    real_logits, fake_logits = system.discriminator(batch.x), system.discriminator(fake)
    torch.manual_seed(1)
    d_loss = system.d_step(batch, torch.tensor(0.5))[0]
    torch.manual_seed(1)
    g_loss = system.g_step(batch, torch.tensor(0.5))[0]
    torch.testing.assert_close(d_loss, discriminator_loss(loss, real_logits, fake_logits))
    torch.testing.assert_close(g_loss, generator_loss(loss, fake_logits))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: GAN((2,), latent_dim=0), "latent_dim must be at least 1, got 0"),
        (lambda: GAN((2,), widths=[]), r"widths must be one or more positive numbers, got \[\]"),
        (lambda: GAN(), "input_shape is not known"),
        (lambda: GAN((2,), loss="huber"), "unknown loss 'huber'"),  # type: ignore[arg-type]
        (lambda: MLPDiscriminator((2,), norm="batch"), "unknown norm 'batch' of a dense discriminator"),
        (lambda: MLPDiscriminator((2,))(torch.zeros(3, 5)), r"built for inputs of shape \(2,\), got \(5,\)"),
    ],
)
def test_what_cannot_be_built_is_refused(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
