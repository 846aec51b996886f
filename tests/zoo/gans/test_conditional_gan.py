"""The class decides what is generated, and what the discriminator thinks of it."""

from typing import Any

import pytest
import torch

from zoo.gans.conditional_gan import ConditionalGAN


@pytest.mark.parametrize("architecture", ["mlp", "conv"])
def test_a_class_changes_samples_and_logits(architecture: Any) -> None:
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
