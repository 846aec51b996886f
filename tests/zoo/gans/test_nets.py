"""Networks of every size: what they make and take, and what they refuse."""

from typing import Any

import pytest
import torch
from torch import nn

from zoo.gans.conditional_gan import ConditionalGAN
from zoo.gans.dcgan import DCGAN, DCDiscriminator, DCGenerator
from zoo.gans.gan import GAN, MLPDiscriminator, MLPGenerator
from zoo.gans.networks import build_networks


@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 28, 28), (3, 32, 32), (1, 27, 30)])
@pytest.mark.parametrize("architecture", ["mlp", "conv"])
def test_images_of_any_size_are_drawn_and_compared(architecture: Any, shape: tuple[int, int, int]) -> None:
    generator, discriminator = build_networks(architecture, shape, 5, (6, 7))
    x = generator(torch.randn(4, 5))
    assert x.shape == (4, *shape)
    assert -1 <= x.min() < x.max() <= 1
    assert discriminator(x).shape == (4,)


def test_points_have_any_range() -> None:
    generator = MLPGenerator(3, (2,), [8])
    with torch.no_grad():
        generator.layers[-3].bias.fill_(7.0)  # type: ignore[union-attr]  # a linear layer's
    assert generator(torch.zeros(1, 3)).min() > 1


def test_samples_are_images_in_0_to_1_and_points_as_they_are() -> None:
    images = DCGAN((1, 8, 8), 3, (4, 5)).eval()
    z = torch.randn(6, 3)
    torch.testing.assert_close(images(z), (images.generator(z) + 1) / 2)
    points = GAN((2,), 3, (4,)).eval()
    torch.testing.assert_close(points(z), points.generator(z))


def test_dcgan_is_made_as_its_authors_say() -> None:
    """BatchNorm in both but not at the discriminator's input or the generator's output, and weights from N(0, 0.02)."""
    generator, discriminator = DCGenerator(100, (3, 64, 64), (64, 128, 256)), DCDiscriminator((3, 64, 64), (64, 128, 256))
    kinds = [type(layer) for layer in discriminator.features]
    assert kinds[:2] == [nn.Conv2d, nn.LeakyReLU]
    assert kinds.count(nn.BatchNorm2d) == 2
    kinds = [type(layer) for layer in generator.layers]
    assert kinds[-2:] == [nn.ConvTranspose2d, nn.Tanh]
    assert kinds.count(nn.BatchNorm2d) == 3
    for module in (*generator.modules(), *discriminator.modules()):
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d) and module.weight.numel() > 10_000:
            assert module.weight.std().item() == pytest.approx(0.02, rel=0.05)


@pytest.mark.parametrize("architecture", ["mlp", "conv"])
def test_a_class_changes_what_is_drawn_and_what_is_said(architecture: Any) -> None:
    system = ConditionalGAN((1, 8, 8), 3, architecture, 5, (6, 7)).eval()
    z = torch.randn(1, 5).expand(3, 5)
    drawn = system(z, torch.arange(3))
    assert not torch.equal(drawn[0], drawn[1])
    x = drawn[:1].expand(3, 1, 8, 8)
    assert system.discriminator(x, torch.arange(3)).unique().numel() == 3


def test_classes_are_drawn_in_turn_or_as_asked() -> None:
    system = ConditionalGAN((1, 8, 8), 3, latent_dim=5, widths=(6, 7)).eval()
    torch.manual_seed(0)
    in_turn = system.sample(4)
    torch.manual_seed(0)
    torch.testing.assert_close(in_turn, system.sample(4, torch.tensor([0, 1, 2, 0])))
    with pytest.raises(ValueError, match="a conditional generator needs the classes to draw from"):
        system(torch.randn(2, 5))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: DCGAN((1, 8, 8), widths=(4, 4, 4, 4)), "4 widths halve an image 4 times, which needs 16x16 pixels or more"),
        (lambda: DCGAN((2,)), r"needs images \(C, H, W\), got \(2,\)"),
        (lambda: GAN((2,), latent_dim=0), "latent_dim must be at least 1, got 0"),
        (lambda: GAN((2,), widths=[]), r"widths must be one or more positive numbers, got \[\]"),
        (lambda: GAN(), "input_shape is not known"),
        (lambda: build_networks("rnn", (2,), 3, (4,)), "unknown architecture 'rnn': choose one of mlp, conv"),  # type: ignore[arg-type]
        (lambda: DCDiscriminator((1, 8, 8), norm="layer"), "unknown norm 'layer': choose one of batch, spectral, none"),  # type: ignore[arg-type]
        (lambda: MLPDiscriminator((2,), norm="batch"), "unknown norm 'batch' of a dense discriminator"),
        (lambda: MLPDiscriminator((2,))(torch.zeros(3, 5)), r"built for inputs of shape \(2,\), got \(5,\)"),
    ],
)
def test_what_cannot_be_built_is_refused(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
