"""Sparsity penalties against torch.distributions and by hand; training reaches sparse codes."""

from typing import Any

import pytest
import torch
from torch.distributions import Bernoulli, kl_divergence

from datamodules.core.batch import Batch
from zoo.autoencoders.sparse_autoencoder import SparseAutoencoder, kl_penalty


def test_the_penalty_is_the_divergence_of_coins() -> None:
    code = torch.rand(100, 7)
    oracle = kl_divergence(Bernoulli(0.05), Bernoulli(code.mean(0))).sum()
    torch.testing.assert_close(kl_penalty(code, 0.05), oracle)
    assert kl_penalty(torch.full((4, 3), 0.05), 0.05).item() == pytest.approx(0, abs=1e-6)


def test_a_unit_that_is_never_on_costs_a_finite_price() -> None:
    assert torch.isfinite(kl_penalty(torch.zeros(4, 3), 0.05))
    assert torch.isfinite(kl_penalty(torch.ones(4, 3), 0.05))


@pytest.mark.parametrize("penalty", ["kl", "l1"])
def test_the_loss_is_the_error_of_an_image_and_the_weighted_penalty(penalty: str) -> None:
    system = SparseAutoencoder((1, 8, 8), penalty=penalty, weight=0.7, latent_dim=20)  # type: ignore[arg-type]
    x = torch.rand(6, 1, 8, 8)
    loss, outputs = system.step(Batch(x, torch.zeros(6).long(), torch.arange(6)), torch.tensor(0.5))
    code = system.encode(x)
    price = kl_penalty(code, 0.05) if penalty == "kl" else code.abs().sum() / 6
    torch.testing.assert_close(loss, (outputs["preds"] - x).square().sum() / 6 + 0.7 * price)
    torch.testing.assert_close(outputs["activation"], code.mean())


@pytest.mark.parametrize("architecture", [{"widths": []}, {"widths": [7]}, {"architecture": "conv", "widths": [3]}])
def test_no_rescaling_lowers_the_l1_penalty_at_the_same_error(architecture: dict[str, Any]) -> None:
    """Before, a tenth of the code and ten times the decoder had the same error and a tenth of the penalty."""
    torch.manual_seed(0)
    system = SparseAutoencoder((1, 8, 8), penalty="l1", latent_dim=20, **architecture)
    batch = Batch(torch.rand(6, 1, 8, 8), torch.zeros(6).long(), torch.arange(6))
    loss, outputs = system.step(batch, torch.tensor(0.5))
    with torch.no_grad():
        for name, parameter in system.net.decoder.named_parameters():
            if "weight" in name:
                parameter.mul_(10)
    same, _ = system.step(batch, torch.tensor(0.5))
    torch.testing.assert_close(same, loss)  # the decoder has no scale
    encoder = system.net.encoder[-2]
    with torch.no_grad():
        for parameter in encoder.parameters():  # type: ignore[union-attr]
            parameter.div_(10)
    _, scaled = system.step(batch, torch.tensor(0.5))
    torch.testing.assert_close(scaled["penalty"], outputs["penalty"] / 10)
    assert not torch.allclose(scaled["preds"], outputs["preds"], atol=1e-3)


def test_every_l1_unit_is_on_for_some_image_at_the_start() -> None:
    torch.manual_seed(0)
    system = SparseAutoencoder((1, 8, 8), penalty="l1", widths=[], latent_dim=20)
    columns = system.net.decoder[0].weight
    torch.testing.assert_close(columns.norm(dim=0), torch.ones(20))  # type: ignore[operator, union-attr]
    torch.testing.assert_close(system.encode(torch.eye(64).view(64, 1, 8, 8)), columns.relu())  # type: ignore[operator, union-attr]


def test_active_counts_exact_zeros() -> None:
    system = SparseAutoencoder((1, 8, 8), penalty="l1", widths=[], latent_dim=20)
    with torch.no_grad():
        system.net.encoder[-2].weight.fill_(1e-6)  # type: ignore[union-attr, operator]
        system.net.encoder[-2].bias[:5] = -1.0  # type: ignore[index, union-attr]
    _, outputs = system.step(Batch(torch.ones(3, 1, 8, 8), torch.zeros(3).long(), torch.arange(3)), torch.tensor(0.5))
    assert outputs["active"].item() == pytest.approx(15 / 20)


def test_training_brings_units_to_rho() -> None:
    torch.manual_seed(0)
    system = SparseAutoencoder((1, 8, 8), rho=0.1, weight=20.0, widths=[], latent_dim=20)
    x = (torch.rand(64, 1, 8, 8) > 0.5).float()
    batch = Batch(x, torch.zeros(64).long(), torch.arange(64))
    optimizer = torch.optim.Adam(system.parameters(), lr=0.02)
    for _ in range(200):
        loss, outputs = system.step(batch, torch.tensor(0.5))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert outputs["activation"].item() == pytest.approx(0.1, rel=0.2)
    assert (system.encode(x).mean(0) - 0.1).abs().max() < 0.1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"penalty": "l0"}, "unknown penalty 'l0': choose one of kl, l1"),
        ({"rho": 0.0}, r"rho must lie in \(0, 1\), got 0.0"),
        ({"weight": -1.0}, "weight must be 0 or more, got -1.0"),
        ({"latent_dim": 0}, "latent_dim must be at least 1, got 0"),
    ],
)
def test_refuses_what_cannot_work(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SparseAutoencoder((1, 8, 8), **arguments)  # type: ignore[arg-type]  # wrong on purpose


def test_the_penalty_is_finite_in_half_precision() -> None:
    """In bfloat16 1 - 1e-6 rounds to 1, and the logarithm of its complement is infinite."""
    saturated = kl_penalty(torch.ones(4, 3).bfloat16(), 0.05)
    torch.testing.assert_close(saturated, kl_penalty(torch.ones(4, 3), 0.05))
    assert saturated.isfinite()
