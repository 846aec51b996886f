"""Losses equal closed forms, and penalties equal the known values of simple critics."""

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.nn.adversarial import (
    check_loss,
    check_penalty,
    clip_weights,
    d_cross_entropy,
    d_hinge,
    d_least_squares,
    d_outputs,
    d_wasserstein,
    discriminator_loss,
    g_hinge,
    g_least_squares,
    g_minimax,
    g_non_saturating,
    g_wasserstein,
    generator_loss,
    gradient_penalty,
    r1_penalty,
)

REAL, FAKE = torch.tensor([0.5, 2.0, -1.0]), torch.tensor([-0.5, 1.5, 0.0])


@pytest.mark.parametrize("loss", ["minimax", "non_saturating"])
def test_cross_entropy_equals_torchs(loss: Any) -> None:
    ones, zeros = torch.ones(3), torch.zeros(3)
    oracle = F.binary_cross_entropy(REAL.sigmoid(), ones) + F.binary_cross_entropy(FAKE.sigmoid(), zeros)
    torch.testing.assert_close(discriminator_loss(loss, REAL, FAKE), oracle)
    log_p = torch.log(1 - FAKE.sigmoid()) if loss == "minimax" else -torch.log(FAKE.sigmoid())
    torch.testing.assert_close(generator_loss(loss, FAKE), log_p.mean())


def test_the_other_losses_by_hand() -> None:
    hinge = ((0.5 + 0 + 2) + (0.5 + 2.5 + 1)) / 3
    assert discriminator_loss("hinge", REAL, FAKE).item() == pytest.approx(hinge)
    squares = 0.5 * ((0.25 + 1 + 4) + (0.25 + 2.25 + 0)) / 3
    assert discriminator_loss("least_squares", REAL, FAKE).item() == pytest.approx(squares)
    assert generator_loss("least_squares", FAKE).item() == pytest.approx(0.5 * (2.25 + 0.25 + 1) / 3)
    assert discriminator_loss("wasserstein", REAL, FAKE).item() == pytest.approx(1 / 3 - 0.5)
    assert generator_loss("hinge", FAKE).item() == generator_loss("wasserstein", FAKE).item() == pytest.approx(-1 / 3)


def test_the_minimax_gradient_vanishes_for_a_confident_discriminator() -> None:
    """At logit -20 the gradient of minimax is 0, and that of the non-saturating loss is at its maximum of 1."""
    slope = {}
    for loss in ("minimax", "non_saturating"):
        logit = torch.tensor([-20.0], requires_grad=True)
        generator_loss(loss, logit).backward()  # type: ignore[arg-type]  # a literal in a loop
        assert logit.grad is not None
        slope[loss] = logit.grad.item()
    assert abs(slope["minimax"]) < 1e-8
    assert slope["non_saturating"] == pytest.approx(-1, abs=1e-6)


def test_an_undecided_discriminator_has_a_loss_of_two_bits() -> None:
    even = torch.zeros(4)
    assert discriminator_loss("non_saturating", even, even).item() == pytest.approx(2 * math.log(2))


def linear(weight: Tensor) -> Any:
    return lambda x: x.flatten(1) @ weight


def test_penalties_of_a_linear_critic_equal_closed_forms() -> None:
    weight = torch.randn(12, generator=torch.Generator().manual_seed(0))
    real, fake = torch.rand(5, 3, 2, 2), torch.rand(5, 3, 2, 2)
    length = weight.norm()
    torch.testing.assert_close(gradient_penalty(linear(weight), real, fake), (length - 1) ** 2, atol=1e-5, rtol=0)
    torch.testing.assert_close(r1_penalty(linear(weight), real), 0.5 * length**2, atol=1e-5, rtol=0)


def test_penalties_are_computed_between_samples_or_at_real_ones() -> None:
    """The critic records the points at which its gradient is computed."""
    seen: list[Tensor] = []

    def critic(x: Tensor) -> Tensor:
        seen.append(x.detach())
        return 0.5 * x.square().sum(1)

    real, fake = torch.zeros(64, 1), torch.ones(64, 1)
    gradient_penalty(critic, real, fake)
    assert 0 < seen[0].min() < 0.2 < 0.8 < seen[0].max() < 1
    assert seen[0].unique().numel() > 50  # each sample has its own random point
    r1_penalty(critic, fake)
    assert torch.equal(seen[1], fake)


def test_training_on_the_penalty_gives_the_critic_slope_1() -> None:
    critic = nn.Linear(4, 1)
    with torch.no_grad():
        critic.weight.fill_(2.0)
    optimizer = torch.optim.SGD(critic.parameters(), lr=0.05)
    for _ in range(200):
        optimizer.zero_grad()
        gradient_penalty(critic, torch.rand(8, 4), torch.rand(8, 4)).backward()
        optimizer.step()
    assert critic.weight.norm().item() == pytest.approx(1, abs=1e-3)


def test_penalties_are_computed_in_float32_under_autocast() -> None:
    """The square of a gradient of 1e-5 underflows in half precision."""
    critic = nn.Linear(4, 1)
    with torch.no_grad():
        critic.weight.fill_(1e-5)
    with torch.autocast("cpu", dtype=torch.float16):
        penalty = r1_penalty(critic, torch.rand(8, 4).half())
    assert penalty.dtype == torch.float32
    assert penalty.item() == pytest.approx(0.5 * 4e-10, rel=1e-3)


@pytest.mark.parametrize("loss", ["minimax", "non_saturating", "hinge", "least_squares", "wasserstein"])
def test_losses_of_half_precision_logits_are_computed_in_float32(loss: Any) -> None:
    real, fake = REAL.bfloat16() + 300, FAKE.bfloat16() + 300
    torch.testing.assert_close(discriminator_loss(loss, real, fake), discriminator_loss(loss, real.float(), fake.float()))
    torch.testing.assert_close(generator_loss(loss, fake), generator_loss(loss, fake.float()))


def test_weight_clipping_bounds_every_parameter() -> None:
    critic = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))
    clip_weights(critic, 0.01)
    assert max(p.abs().max().item() for p in critic.parameters()) == pytest.approx(0.01)


def test_losses_by_name_equal_the_functions() -> None:
    pairs = {
        "minimax": (d_cross_entropy, g_minimax),
        "non_saturating": (d_cross_entropy, g_non_saturating),
        "hinge": (d_hinge, g_hinge),
        "least_squares": (d_least_squares, g_least_squares),
        "wasserstein": (d_wasserstein, g_wasserstein),
    }
    for name, (d_loss, g_loss) in pairs.items():
        assert torch.equal(discriminator_loss(name, REAL, FAKE), d_loss(REAL, FAKE))  # type: ignore[arg-type]
        assert torch.equal(generator_loss(name, FAKE), g_loss(FAKE))  # type: ignore[arg-type]


def test_outputs_are_the_loss_and_mean_logits() -> None:
    outputs = d_outputs(torch.tensor(3.0), REAL, FAKE)
    assert {name: value.item() for name, value in outputs.items()} == pytest.approx(
        {"d_loss": 3, "d_real": 0.5, "d_fake": 1 / 3}
    )


def test_invalid_penalty_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="penalty_weight must be 0 or more, got -1"):
        check_penalty(-1.0)
    with pytest.raises(ValueError, match="penalty_every must be at least 1, got 0"):
        check_penalty(1.0, 0)


def test_an_unknown_loss_is_named() -> None:
    with pytest.raises(ValueError, match="unknown loss 'huber': choose one of minimax, non_saturating, hinge"):
        check_loss("huber")


def test_penalties_of_patches_use_the_mean_logit() -> None:
    """The critic has 3 x 3 patches, and its mean logit has slope 1: the gradient penalty is 0, and R1 is 0.5."""
    critic = nn.Conv2d(1, 1, 2, stride=2, bias=False)
    nn.init.constant_(critic.weight, 9 / 6)  # 36 pixels with slope 1.5 / 9 each: norm 6 x 1.5 / 9 = 1
    x, y = torch.randn(5, 1, 6, 6), torch.randn(5, 1, 6, 6)
    assert gradient_penalty(critic, x, y).item() == pytest.approx(0, abs=1e-6)
    assert r1_penalty(critic, x).item() == pytest.approx(0.5)
