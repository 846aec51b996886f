"""Which settings are refused, and which losses FSDP cannot compute."""

from typing import Any

import pytest

from zoo.gans.gan import GAN
from zoo.gans.unrolled_gan import UnrolledGAN
from zoo.gans.wgan_gp import WGANGP
from zoo.strategies import FSDP2
from zoo.tasks.adversarial.rhythm import prepare_strategy


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_critic": 0}, "n_critic must be at least 1, got 0"),
        ({"accumulate": 0}, "accumulate must be at least 1, got 0"),
        ({"ema": 1.0}, r"ema must lie in \[0, 1\), got 1.0"),
        ({"d_lr": 0.0}, "d_lr must be positive, got 0.0"),
        ({"clip": -0.1}, "clip must be positive, got -0.1"),
        ({"optim": {"name": "adam", "schedule": "plateau"}}, "schedule 'plateau' waits for a loss to stop falling, but"),
    ],
)
def test_invalid_settings_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        GAN((2,), latent_dim=3, widths=[8], **arguments)


def test_gradients_of_gradients_are_refused_under_fsdp() -> None:
    with_penalty, without = (WGANGP((2,), "mlp", 3, [8], penalty_weight=weight) for weight in (10.0, 0.0))
    ahead, plain = (UnrolledGAN((2,), "mlp", 3, [8], unroll=steps) for steps in (2, 0))
    assert [system.second_order for system in (with_penalty, without, ahead, plain)] == [True, False, True, False]
    prepare_strategy(FSDP2(), without.second_order)
    with pytest.raises(ValueError, match=r"FSDP cannot compute gradients of gradients.*use trainer/ddp"):
        prepare_strategy(FSDP2(), ahead.second_order)
