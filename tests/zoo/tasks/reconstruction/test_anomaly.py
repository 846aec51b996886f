"""Images of another data set have higher anomaly scores."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning import Trainer

from datamodules import Digits
from zoo.autoencoders.autoencoder import Autoencoder
from zoo.tasks.reconstruction.anomaly import AnomalyDetection, _ranks

Fit = Callable[..., Trainer]
Scores = Callable[..., dict[str, Any]]
SHAPE = (1, 8, 8)


def digits() -> Digits:
    return Digits(normalize=False, batch_size=32, seed=0)


@pytest.mark.usefixtures("mirror")
def test_images_of_another_set_have_higher_scores(fit: Fit, tmp_path: Path) -> None:
    from datamodules import FashionMNIST

    torch.manual_seed(0)
    data, system = FashionMNIST(normalize=False), Autoencoder((1, 28, 28), latent_dim=16)
    found = fit(system, data, max_steps=100, limit_val_batches=0, callbacks=[AnomalyDetection()], max_epochs=1)
    (result,) = found.test(system, datamodule=data, verbose=False)
    assert result["test/auroc_mse_MNIST"] > 0.8


def test_ranks_keep_the_order_of_any_scores() -> None:
    scores = torch.tensor([1e30, -5.0, 400.0, 400.0, 401.0])
    ranks = _ranks(scores)
    assert ranks.argsort(stable=True).tolist() == [1, 2, 3, 4, 0]
    assert ranks[2] == ranks[3]
    assert 0 < ranks.min() < ranks.max() < 1


def test_a_set_with_images_of_another_shape_is_refused(scores: Scores) -> None:
    with pytest.raises(ValueError, match=r"MNIST has images of shape \(1, 28, 28\), but the model takes \(1, 8, 8\)"):
        scores(Autoencoder(SHAPE), digits(), AnomalyDetection())
