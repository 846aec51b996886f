"""Bound on the likelihood of test images, and the latent dimensions that a model uses."""

from pathlib import Path
from typing import Any, cast

import torch
from lightning import Callback, LightningModule, Trainer
from matplotlib.figure import Figure
from torch import Tensor

from zoo.metrics.latent import active_units, importance_weighted_bound
from zoo.tasks.abilities import BoundsLikelihood, require_ability
from zoo.tasks.evaluation import check_counts
from zoo.training.files import write_csv
from zoo.training.reporting import gathered, log_means, log_picture, log_table, writes


class LikelihoodBound(Callback):
    """Reports the importance-weighted bound on the likelihood of test images, active units, and the KL of each dimension.

    For latent variable models (`BoundsLikelihood`). After test it logs `test/nll_iwae_<K>`, the bound on the negative
    log-likelihood in nats per image, and `test/active_units`. It writes predictions/kl_per_dim.csv and pictures/kl_per_dim.png.

    Args:
        num_samples: values of K. The bound is tighter for larger K.
        num_images: least number of images to average over, taken evenly from all test batches, because the first images of the
            split may be easier than the rest.
        at_once: number of samples of an image that are decoded at once.
    """

    def __init__(self, num_samples: tuple[int, ...] = (1, 50), num_images: int = 1000, at_once: int = 100) -> None:
        check_counts(num_samples=min(num_samples), num_images=num_images, at_once=at_once)
        self.num_samples, self.num_images, self.at_once = num_samples, num_images, at_once
        self._means: list[Tensor] = []
        self._kl: list[Tensor] = []

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        require_ability(self, pl_module, BoundsLikelihood, "bound the likelihood of their inputs")

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._means, self._kl = [], []
        num_batches = trainer.num_test_batches[0] * trainer.world_size
        self._images_per_batch = -(-self.num_images // num_batches)

    def on_test_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        model = cast(BoundsLikelihood, pl_module)
        inputs = model.inputs(batch)
        posterior = model.infer(*inputs)
        self._means.append(posterior.mu.float().cpu())
        self._kl.append(posterior.kl().float().cpu())
        first = [value[: self._images_per_batch] for value in inputs]
        for k in self.num_samples:
            bound = importance_weighted_bound(lambda k: model.log_weights(k, *first), k, self.at_once)
            log_means(pl_module, {f"test/nll_iwae_{k}": -bound.mean()}, len(bound))

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        means = torch.cat(gathered(trainer, self._means))
        pl_module.log("test/active_units", float(active_units(means)), sync_dist=True)

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        kl = torch.cat(gathered(trainer, self._kl)).mean(0).tolist()
        if not writes(trainer):
            return
        folder = Path(trainer.default_root_dir)
        header, rows = ["dimension", "kl"], [[dim, round(value, 4)] for dim, value in enumerate(kl)]
        write_csv(folder / "predictions" / "kl_per_dim.csv", header, rows)
        log_table(trainer, "test/kl_per_dim", header, rows)
        path = folder / "pictures" / "kl_per_dim.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        kl_figure(kl).savefig(path, dpi=120)
        log_picture(trainer, "test/kl_per_dim", path)


def kl_figure(kl: list[float]) -> Figure:
    """Draw the KL divergence of each latent dimension in nats, in descending order."""
    figure = Figure(figsize=(6, 2.5), layout="constrained")
    axes = figure.subplots()
    axes.bar(range(len(kl)), sorted(kl, reverse=True), color="steelblue")
    axes.set_xlabel("latent dimension, by its KL")
    axes.set_ylabel("KL in nats")
    return figure
