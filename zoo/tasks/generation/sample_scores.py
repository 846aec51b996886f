"""How good samples are and how varied, and what of the training set they are close to."""

from pathlib import Path
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer
from torch import Tensor

from zoo.errors import ZooError
from zoo.metrics.generation import (
    classifier_score,
    combined,
    count_modes,
    divergence,
    kernel_distance,
    modes_of_points,
    nearest,
    precision_recall,
    shares,
)
from zoo.pretrained.features import INCEPTION, extractor_of
from zoo.tasks.evaluation import batches, binarized, check_counts, require_methods, samples
from zoo.tasks.tiles import save_tiles
from zoo.training.reporting import gathered, log_pictures, writes

_COLUMNS = 10
_NEIGHBOURS = 3


class SampleScores(Callback):
    """Logs after test what a named network finds in the samples of a system that has `sample(n)`.

    `test/precision`, `recall`, the kernel distance `kd` and the classifier score `cs`, each with the network's name and
    "samples", and beside it what real images reach, those of training: "real". With Inception they are called `kid` and `is`,
    without its name. `test/modes`: how many classes have 40 % of an even share of the samples or more; `test/least_share`:
    the rarest class's; `test/class_kl`: from the samples' classes to the test images', in nats; `test/modes_real` and so on
    are of training images. Stacked images have a class for each channel, and their classifier score is that of the channels;
    their `class_kl` is to what the channels' shares make of every combination, some of which no test image is.
    `neighbours.png`: samples, each above the training images whose features are nearest.

    Args:
        extractor: "inception", or the name of published weights of a classifier.
        num_images: of each kind and over all processes, but no more than were tested.
    """

    def __init__(self, extractor: str, num_images: int = 10_000) -> None:
        check_counts(num_images=num_images)
        self.extractor, self.num_images = extractor, num_images
        self._tested = 0

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if stage not in ("fit", "test"):
            return
        require_methods(self, pl_module, "sample")
        if binarized(trainer):
            raise ZooError("binary pixels and the grey means of samples differ in all features: leave SampleScores out")
        self._network = extractor_of(self.extractor)

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._tested = 0

    def on_test_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        self._tested += len(batch.x)

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        num = min(self._tested, self.num_images // trainer.world_size)
        self._network.to(pl_module.device)
        images = {
            "samples": samples(pl_module, trainer, num),
            "test": (batch.x for batch in batches(trainer, "test", num=num)),
            "train": (batch.x for batch in batches(trainer, "train", num=num)),
        }
        stacked = getattr(trainer.datamodule, "stacked", False)  # type: ignore[attr-defined]  # set while it runs
        features, labels, logits, pictures = {}, {}, {}, {}
        for kind, given in images.items():
            seen = [self._see(x, stacked) for x in given]
            features[kind], logits[kind], labels[kind], pictures[kind] = (
                torch.cat(gathered(trainer, list(parts))) for parts in zip(*seen, strict=True)
            )
        inception = self.extractor == INCEPTION
        names = ("precision", "recall", *(("kid", "is") if inception else ("kd", "cs")))
        scores: dict[str, float] = {}
        for kind, of in (("samples", "samples"), ("real", "train")):
            distance, varied = kernel_distance(features["test"], features[of]), classifier_score(logits[of].flatten(0, -2))
            for name, value in zip(names, (*precision_recall(features["test"], features[of]), distance, varied), strict=True):
                scores[f"{name}_{kind}" if inception else f"{name}_{self.extractor}_{kind}"] = value
        if not inception:  # whose classes are not ours
            parts = logits["test"].argmax(-1).reshape(len(labels["test"]), -1).T  # a class for each channel, if stacked
            of_test = combined(torch.stack([shares(part, logits["test"].shape[-1]) for part in parts]))
            for end, of in (("", "samples"), ("_real", "train")):
                share = shares(labels[of], len(of_test))
                scores |= {f"modes{end}": float(count_modes(share)), f"least_share{end}": share.min().item()}
                scores[f"class_kl{end}"] = divergence(share, of_test)
        pl_module.log_dict({f"test/{key}": value for key, value in scores.items()}, sync_dist=True)
        if writes(trainer):
            path = Path(trainer.default_root_dir) / "pictures" / "neighbours.png"
            places = nearest(features["samples"][:_COLUMNS], features["train"], _NEIGHBOURS)
            rows = [pictures["samples"][:_COLUMNS], *pictures["train"][places].unbind(1)]
            save_tiles(torch.stack(rows) / 255, path)
            log_pictures(trainer, "test/neighbours", [str(path)])

    def _see(self, x: Tensor, stacked: bool) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Features, logits and classes of images, and the images themselves, on the CPU."""
        if not stacked:
            features = self._network(x)
            logits = self._network.last(features)
            return features.cpu(), logits.cpu(), logits.argmax(1).cpu(), _as_bytes(x)
        parts = [self._network(channel[:, None]) for channel in x.unbind(1)]
        logits = torch.stack([self._network.last(part) for part in parts])  # (C, B, K)
        label = sum(channel.argmax(1) * logits.shape[2] ** place for place, channel in enumerate(logits))
        return torch.cat(parts, dim=1).cpu(), logits.transpose(0, 1).cpu(), torch.as_tensor(label).cpu(), _as_bytes(x)


def _as_bytes(x: Tensor) -> Tensor:
    """Images in [0, 1] as they are kept, on the CPU."""
    return (255 * x).round().byte().cpu()


class PointModes(Callback):
    """Logs how many of a mixture's Gaussians a system that has `sample(n)` draws from, at every validation and after test.

    `high_quality`: the share of samples within three deviations of any. Of those, `least_share` is what the rarest Gaussian
    has, and `modes` are those with at least 40 % of an even share.

    Args:
        num_samples: that are drawn, over all processes.
    """

    def __init__(self, num_samples: int = 10_000) -> None:
        check_counts(num_samples=num_samples)
        self.num_samples = num_samples

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        require_methods(self, pl_module, "sample")
        if not hasattr(trainer.datamodule, "centres"):  # type: ignore[attr-defined]
            data = type(trainer.datamodule).__name__  # type: ignore[attr-defined]
            raise ZooError(f"PointModes is for data with known centres, as GaussianMixture has, {data} has none: leave it out")

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._log(trainer, pl_module, "val")

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._log(trainer, pl_module, "test")

    def _log(self, trainer: Trainer, model: LightningModule, stage: str) -> None:
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        num = max(1, self.num_samples // trainer.world_size)
        x = torch.cat(gathered(trainer, [part.cpu() for part in samples(model, trainer, num, at_once=num)]))
        label = modes_of_points(x, data.centres, data.spread)
        share, high_quality = shares(label, len(data.centres)), (label >= 0).float().mean().item()
        found = {"modes": float(count_modes(share)), "least_share": share.min().item(), "high_quality": high_quality}
        model.log_dict({f"{stage}/{name}": value for name, value in found.items()}, sync_dist=True)
