"""Bound on the likelihood of test images, and the latent dimensions that a model uses."""

from functools import partial
from pathlib import Path
from typing import Any, cast

import torch
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.utilities.seed import isolate_rng
from matplotlib.figure import Figure
from torch import Tensor

from zoo.metrics.latent import active_units, importance_weighted_bound, split_mean
from zoo.tasks.abilities import BoundsLikelihood, require_ability
from zoo.tasks.evaluation import check_counts
from zoo.training.files import write_csv
from zoo.training.reporting import gathered, log_picture, log_table, writes

_DRAWS = 10  # of the ELBO of each image
_IMAGES_AT_ONCE = 16


class LikelihoodBound(Callback):
    """Reports the importance-weighted bound on the likelihood of the test split, active units, and the KL of each dimension.

    For latent variable models (`BoundsLikelihood`). After test it logs `test/nll_iwae_<K>`, the bound on the mean negative
    log-likelihood of the split in nats per image, its standard error `test/nll_iwae_<K>_error`, and `test/active_units`. A
    conditional model bounds log p(x|y), so its names are `test/conditional_nll_iwae_<K>`. It writes predictions/kl_per_dim.csv
    and pictures/kl_per_dim.png.

    The bound with K samples is computed for a random subset, always the same one, and corrected by the ELBO of all images (see
    `split_mean`). `test/nll_iwae_images` is the size of the subset.

    Args:
        num_samples: values of K. The bound is tighter for larger K.
        num_images: size of the subset.
        at_once: number of samples of an image that are decoded at once.
    """

    def __init__(self, num_samples: tuple[int, ...] = (1, 50), num_images: int = 1000, at_once: int = 100) -> None:
        check_counts(num_samples=min(num_samples), num_images=num_images, at_once=at_once)
        self.num_samples, self.num_images, self.at_once = num_samples, num_images, at_once
        self._means: list[Tensor] = []
        self._kl: list[Tensor] = []
        self._elbos: list[Tensor] = []  # (B, R) each

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        require_ability(self, pl_module, BoundsLikelihood, "bound the likelihood of their inputs")

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._means, self._kl, self._elbos = [], [], []
        self._subset = _Subset(max(1, self.num_images // trainer.world_size))

    def on_test_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        model = cast(BoundsLikelihood, pl_module)
        inputs = model.inputs(batch)
        posterior = model.infer(*inputs)
        self._means.append(posterior.mu.float().cpu())
        self._kl.append(posterior.kl().float().cpu())
        with isolate_rng():  # the draws neither depend on other reports nor change theirs
            torch.manual_seed(batch_idx * trainer.world_size + trainer.global_rank)
            self._elbos.append(model.log_weights(_DRAWS, *inputs).float().T.cpu())
        self._subset.offer(self._elbos[-1], *inputs)

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        means = torch.cat(gathered(trainer, self._means))
        pl_module.log("test/active_units", float(active_units(means)), sync_dist=True)
        model = cast(BoundsLikelihood, pl_module)
        elbos = torch.cat(gathered(trainer, self._elbos))
        subset = torch.cat(gathered(trainer, [self._subset.values[0].cpu()]))
        # With sharded parameters every process has to call the model equally often.
        num_chunks = -(-max(gathered(trainer, [len(self._subset.values[0])])) // _IMAGES_AT_ONCE)
        name = "test/conditional_nll_iwae" if model.conditional else "test/nll_iwae"
        for k in self.num_samples:
            chunks = [subset.mean(1)] if k == 1 else gathered(trainer, self._bounds(model, k, num_chunks, trainer.global_rank))
            found = split_mean(elbos, subset, torch.cat(chunks))
            pl_module.log(f"{name}_{k}", -found.mean, sync_dist=True)
            pl_module.log(f"{name}_{k}_error", found.error, sync_dist=True)
        pl_module.log(f"{name}_images", float(len(subset)), sync_dist=True)

    def _bounds(self, model: BoundsLikelihood, num_samples: int, num_chunks: int, rank: int) -> list[Tensor]:
        """Compute the bounds of this process's part of the subset, in chunks (B,)."""
        found = []
        with isolate_rng():
            torch.manual_seed(rank)
            for chunk in zip(*(value.tensor_split(num_chunks) for value in self._subset.values[1:]), strict=True):
                log_weights = partial(_log_weights, model, chunk)
                found.append(importance_weighted_bound(log_weights, num_samples, self.at_once).float().cpu())
        return found

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


def _log_weights(model: BoundsLikelihood, inputs: tuple[Tensor, ...], num_samples: int) -> Tensor:
    return model.log_weights(num_samples, *inputs)


class _Subset:
    """A random subset of a stream of samples. It depends on their order and number only, so every test keeps the same one."""

    def __init__(self, num: int) -> None:
        self.num = num
        self.values: list[Tensor] = []  # (num or fewer, ...) each
        self._generator = torch.Generator().manual_seed(0)
        self._keys = torch.empty(0)

    def offer(self, *values: Tensor) -> None:
        """Offer the next samples (B, ...). Each gets a random key, and those with the lowest keys are kept."""
        keys = torch.cat([self._keys, torch.rand(len(values[0]), generator=self._generator)])
        kept = keys.argsort()[: self.num]
        self._keys = keys[kept]
        joined = values if not self.values else [torch.cat(pair) for pair in zip(self.values, values, strict=True)]
        self.values = [value[kept.to(value.device)] for value in joined]


def kl_figure(kl: list[float]) -> Figure:
    """Draw the KL divergence of each latent dimension in nats, in descending order."""
    figure = Figure(figsize=(6, 2.5), layout="constrained")
    axes = figure.subplots()
    axes.bar(range(len(kl)), sorted(kl, reverse=True), color="steelblue")
    axes.set_xlabel("latent dimension, by its KL")
    axes.set_ylabel("KL in nats")
    return figure
