"""The bound is tighter for more samples, and a random subset is corrected by the ELBO of the whole split."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning import Trainer
from torch import Tensor

from datamodules import Digits
from zoo.autoencoders.vae import VAE
from zoo.tasks.reconstruction.likelihood import LikelihoodBound

Fit = Callable[..., Trainer]
Scores = Callable[..., dict[str, Any]]
SHAPE = (1, 8, 8)


def digits() -> Digits:
    return Digits(normalize=False, batch_size=32, seed=0)


def test_the_bound_is_reported_for_every_number_of_samples(scores: Scores, tmp_path: Path) -> None:
    torch.manual_seed(0)
    found = scores(VAE(SHAPE, latent_dim=4), digits(), LikelihoodBound((1, 20), num_images=100), max_epochs=3)
    assert found["test/nll_iwae_20"] < found["test/nll_iwae_1"] == pytest.approx(found["test/negative_elbo"], rel=0.05)
    kl = [float(line.split(",")[1]) for line in (tmp_path / "predictions" / "kl_per_dim.csv").read_text().splitlines()[1:]]
    assert sum(kl) == pytest.approx(found["test/kl"], abs=0.01)
    assert 0 <= found["test/active_units"] <= 4


class Darkness(VAE):
    """A model whose ELBO is known: 100 nats less for a white image than for a black one; more samples add 3 nats."""

    def log_weights(self, num_samples: int, *inputs: Tensor) -> Tensor:
        elbo = -100 * inputs[0].flatten(1).mean(1)
        return elbo + (0 if num_samples == 10 else 3) + 0.1 * torch.randn(num_samples, len(elbo))


@pytest.mark.parametrize("conditional", [False, True])
def test_the_bound_of_a_subset_is_corrected_to_that_of_the_split(scores: Scores, conditional: bool) -> None:
    """The mean of the subset alone, or of the first images of every batch as before, differs by a nat or more."""
    data = digits()
    model = Darkness(SHAPE, latent_dim=2, num_classes=10, conditional=conditional)
    found = scores(model, data, LikelihoodBound((1, 20), num_images=24))
    (images, *_), rows = data.splits["test"]
    truth = 100 * (images[rows].float() / 255).mean().item()
    name = "test/conditional_nll_iwae" if conditional else "test/nll_iwae"
    assert found[f"{name}_1"] == pytest.approx(truth, abs=0.02)
    assert found[f"{name}_20"] == pytest.approx(truth - 3, abs=0.1)
    assert 0 < found[f"{name}_1_error"] < found[f"{name}_20_error"] < 0.05
    assert found[f"{name}_images"] == 24
    assert ("test/nll_iwae_1" in found) is not conditional  # a bound on log p(x|y) is not called one on log p(x)
    assert ("test/negative_elbo" in found) is not conditional


def test_the_report_changes_no_other_score(scores: Scores) -> None:
    torch.manual_seed(0)
    model = VAE(SHAPE, latent_dim=2)
    elbos = []
    for num_images in (10, 300):
        torch.manual_seed(1)
        elbos.append(scores(model, digits(), LikelihoodBound((20,), num_images))["test/negative_elbo"])
    assert elbos[0] == elbos[1]
