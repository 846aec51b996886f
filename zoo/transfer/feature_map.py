"""Report of transfer learning: what fine-tuning does to the features of a backbone."""

from pathlib import Path

import torch
from lightning import Callback, LightningModule, Trainer
from matplotlib.figure import Figure
from torch import Tensor

from zoo.nn.modes import evaluating
from zoo.tasks.drawing import scatter_by_class
from zoo.tasks.evaluation import batches
from zoo.training.reporting import facts, gathered_batches, log_picture, writes
from zoo.transfer.feature_cache import HasFeatures


class FeatureMap(Callback):
    """Draws the features of validation samples before and after a fit into `folder`/features.png, and sends them to W&B.

    Both sides show their own two principal components, coloured by class. Nothing is drawn if the backbone does not train, or
    if the run was resumed and so has no features from before.

    Args:
        folder: folder of the picture.
        system: the system with the backbone.
        num_samples: number of samples over all processes.
    """

    def __init__(self, folder: Path, system: HasFeatures, num_samples: int = 500) -> None:
        self.folder, self.system, self.num_samples = folder, system, num_samples
        self._before: Tensor | None = None

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        trains = self.system.strategy != "feature_extraction"
        if trains and trainer.ckpt_path is None and facts(trainer).loader is not None:
            self._before, _ = self._compute(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._before is None:
            return
        after, y = self._compute(trainer)
        if not writes(trainer) or len(y) < 3:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / "features.png"
        figure = Figure(figsize=(13, 6), layout="constrained")
        for axes, title, z in zip(figure.subplots(1, 2), ("before", "after"), (self._before, after), strict=True):
            scatter_by_class(axes, z, y, facts(trainer).class_names)
            axes.set_title(title)
        figure.savefig(path, dpi=100)
        log_picture(trainer, "val/features", path)

    def _compute(self, trainer: Trainer) -> tuple[Tensor, Tensor]:
        """Gather features (N, F) and classes (N,) of validation samples."""
        num = -(-self.num_samples // trainer.world_size)
        with evaluating(trainer.lightning_module), torch.no_grad():
            found = ((self.system.features(batch).float(), batch.y) for batch in batches(trainer, "val", num=num))
            features, y = gathered_batches(trainer, found)
        return features, y
