"""Units that are on are counted over the whole split, and PCA equals scikit-learn's."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning import Trainer
from sklearn.decomposition import PCA

from datamodules import Digits
from zoo.autoencoders.sparse_autoencoder import SparseAutoencoder
from zoo.tasks.reconstruction.probe import LinearProbe
from zoo.tasks.reconstruction.sparsity import CodeSparsity


def test_dead_units_units_that_are_on_and_the_error_of_pca(scores: Callable[..., dict[str, Any]]) -> None:
    """Each of the first 60 units reads one pixel. The last four are off."""
    system = SparseAutoencoder((1, 8, 8), penalty="l1", widths=[], latent_dim=64)
    encoder: Any = system.net.encoder[-2]
    with torch.no_grad():
        encoder.weight.copy_(torch.eye(64))
        encoder.bias[60:] = -2.0
    data = Digits(normalize=False, batch_size=647, seed=0)  # the training images are two full batches
    found = scores(system, data, CodeSparsity())
    splits = {}
    for name in ("train", "test"):
        (images, *_), rows = data.splits[name]
        splits[name] = (images[rows].flatten(1).double() / 255).numpy()
    on = splits["test"][:, :60] > 0
    assert found["test/l0"] == pytest.approx(on.sum(1).mean(), rel=1e-5)
    assert found["test/dead_units"] == pytest.approx(1 - on.any(0).sum() / 64)
    pca = PCA(round(on.sum(1).mean())).fit(splits["train"])
    rebuilt = pca.inverse_transform(pca.transform(splits["test"])).clip(0, 1)
    assert found["test/mse_pca"] == pytest.approx(np.square(rebuilt - splits["test"]).mean(), rel=1e-3)


@pytest.mark.parametrize(("penalty", "threshold"), [("l1", 0.0), ("kl", 0.1)])
def test_a_sparse_autoencoder_reports_it(penalty: str, threshold: float, tmp_path: Path) -> None:
    """A sigmoid is never exactly 0, so with "kl" a unit is on above 0.1."""
    reports = SparseAutoencoder((1, 8, 8), penalty=penalty).reports(tmp_path)  # type: ignore[arg-type]
    assert [report.threshold for report in reports if isinstance(report, CodeSparsity)] == [threshold]


def test_new_data_have_no_principal_components(fit: Callable[..., Trainer]) -> None:
    """Data that are new to the tested checkpoint have a test part only."""
    data, system = Digits(normalize=False), SparseAutoencoder((1, 8, 8), penalty="l1", widths=[8], latent_dim=4)
    trainer = fit(system, data, max_epochs=0, callbacks=[CodeSparsity(), LinearProbe()])
    data.splits = {"test": data.splits["test"]}
    (found,) = trainer.test(system, datamodule=data, verbose=False)
    assert "test/l0" in found
    assert not {"test/mse_pca", "test/probe_acc"} & found.keys()
