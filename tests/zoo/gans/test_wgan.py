"""The critic's weights are bounded."""

from collections.abc import Callable

import pytest
from lightning import Trainer

from datamodules import Digits
from zoo.gans.wgan import WGAN

Fit = Callable[..., Trainer]


def test_a_critics_weights_stay_within_the_clip(fit: Fit) -> None:
    system = WGAN((1, 8, 8), widths=(8, 8), weight_clip=0.03)
    fit(system, Digits(normalize=False, batch_size=100), max_steps=3)
    largest = max(p.abs().max().item() for p in system.discriminator.parameters())
    assert largest == pytest.approx(0.03)


def test_a_clip_that_is_not_positive_is_refused() -> None:
    with pytest.raises(ValueError, match=r"weight_clip must be positive, got -0\.1"):
        WGAN((1, 8, 8), weight_clip=-0.1)
    with pytest.raises(ValueError, match="warmup must be 0 or more updates, got -1"):
        WGAN((1, 8, 8), warmup=-1)


@pytest.mark.parametrize(("iteration", "num_updates"), [(0, 100), (24, 100), (25, 5), (499, 5), (500, 100), (1000, 100)])
def test_the_critic_warms_up_in_the_first_iterations_and_now_and_then(iteration: int, num_updates: int) -> None:
    assert len(WGAN((1, 8, 8), warmup=100).steps(list(range(5)), iteration)[0]) == num_updates


def test_warm_up_takes_the_parts_of_a_batch_in_turn(fit: Fit) -> None:
    system, sizes = WGAN((1, 8, 8), widths=(8, 8), n_critic=2, warmup=5), []
    d_step = system.d_step
    system.d_step = lambda batch, progress: sizes.append(len(batch.x)) or d_step(batch, progress)  # type: ignore[method-assign, func-returns-value]
    fit(system, Digits(normalize=False, batch_size=101), max_steps=1, limit_val_batches=0)
    assert sizes == [51, 50, 51, 50, 51]
