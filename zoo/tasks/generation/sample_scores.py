"""Scores of the quality and diversity of samples, and a picture of the training images nearest to them."""

from pathlib import Path
from typing import NamedTuple, cast

import torch
from lightning import Callback, LightningModule, Trainer
from torch import Tensor

from zoo.errors import ZooError
from zoo.metrics.generation import (
    classifier_score,
    combined,
    count_modes,
    density_coverage,
    divergence,
    kernel_distance,
    modes_of_points,
    nearest,
    overlap,
    precision_recall,
    shares,
)
from zoo.nn.image_range import as_bytes
from zoo.pretrained.features import INCEPTION, build_extractor
from zoo.tasks.abilities import Generates, require_ability
from zoo.tasks.drawing import save_tiles
from zoo.tasks.evaluation import batches, check_counts, has_training_samples, samples
from zoo.tasks.generation.base import ImageScores, Split
from zoo.training.reporting import facts, gathered, gathered_batches, log_picture, writes

_COLUMNS = 10
_NEIGHBOURS = 3


class SampleScores(ImageScores):
    """Logs scores of a system's samples, computed from the features and classes of a named network.

    Scores of features, see `zoo.metrics.generation`: precision, recall, density, coverage, kernel distance `kd` and classifier
    score `cs`. They are logged as `test/<score>_<network>_samples`, and as `test/<score>_<network>_real` for training images,
    the reference. With Inception the last two are called `kid` and `is`, and the name of the network is left out.

    Scores of classes, except with Inception: `test/modes` is the number of classes with at least 40 % of an equal share of the
    samples. `test/least_share` is the share of the rarest class. `test/class_kl` is the KL divergence of the classes of samples
    from those of test images, in nats. `test/modes_real`, `test/least_share_real` and `test/class_kl_real` are the same for
    training images.

    Stacked images combine the classes of their channels. Their classifier score is computed on single channels. Their
    `class_kl` compares with the product of the channels' shares, because the test images do not contain every combination.

    Validations log the scores of samples as `val/...`. `docs/metrics.md` shows how each score reacts to damaged real images.

    `neighbours.png` shows samples in the first row, and below each the training images with the nearest features. A test
    draws it.

    Args:
        extractor: "inception", or the name of published weights of a classifier.
        num_images: number of images of each kind in a test, over all processes; at most the number of test images.
        num_val_images: the same for a validation. 0: no scores at validations.
    """

    ability = Generates, "draw samples"

    def load(self) -> None:
        self._network = build_extractor(self.extractor)

    def score(self, trainer: Trainer, pl_module: LightningModule, split: Split, num: int) -> None:
        self._network.to(pl_module.device)
        images = {
            "samples": samples(cast(Generates, pl_module), trainer, num),
            "held_out": (batch.x for batch in batches(trainer, split, num=num)),
        }
        if split == "test" and has_training_samples(trainer):
            images["real"] = (batch.x for batch in batches(trainer, "train", num=num))
        stacked = facts(trainer).stacked
        seen = {
            kind: _Seen(*gathered_batches(trainer, (self._extract(x, stacked) for x in given)))
            for kind, given in images.items()
        }
        held_out = seen.pop("held_out")
        inception = self.extractor == INCEPTION
        scores: dict[str, float] = {}
        for kind, found in seen.items():
            for name, value in _compare_features(held_out, found, ("kid", "is") if inception else ("kd", "cs")).items():
                scores[f"{name}_{kind}" if inception else f"{name}_{self.extractor}_{kind}"] = value
            if not inception:  # Inception's classes are not those of the data
                suffix = "_real" if kind == "real" else ""
                scores |= {f"{name}{suffix}": value for name, value in _compare_classes(held_out, found).items()}
        pl_module.log_dict({f"{split}/{key}": value for key, value in scores.items()}, sync_dist=True)
        if "real" in seen and writes(trainer):
            path = Path(trainer.default_root_dir) / "pictures" / "neighbours.png"
            _draw_neighbours(seen["samples"], seen["real"], path)
            log_picture(trainer, "test/neighbours", path)

    def _extract(self, x: Tensor, stacked: bool) -> "_Seen":
        """Apply the network to images, or to each channel of stacked ones."""
        parts = [self._network(channel[:, None]) for channel in x.unbind(1)] if stacked else [self._network(x)]
        logits = torch.stack([self._network.last(part) for part in parts], dim=1)
        return _Seen(torch.cat(parts, dim=1), logits, as_bytes(x))


class _Seen(NamedTuple):
    """What a network sees in images: N images of S networks' outputs each (one per channel if stacked, else 1), K classes."""

    features: Tensor  # (N, F)
    logits: Tensor  # (N, S, K)
    images: Tensor  # (N, C, H, W) uint8

    def label(self) -> Tensor:
        """Return the class of each image (N,). Stacked images combine the classes of their channels."""
        num_classes = self.logits.shape[2]
        label: Tensor = (self.logits.argmax(2) * num_classes ** torch.arange(self.logits.shape[1])).sum(1)
        return label


def _compare_features(held_out: _Seen, found: _Seen, names: tuple[str, str]) -> dict[str, float]:
    """Compare features with those of held-out images. `names` are those of the kernel distance and the classifier score."""
    return {
        **precision_recall(held_out.features, found.features)._asdict(),
        **density_coverage(held_out.features, found.features)._asdict(),
        names[0]: kernel_distance(held_out.features, found.features),
        names[1]: classifier_score(found.logits.flatten(0, 1)),
    }


def _compare_classes(held_out: _Seen, found: _Seen) -> dict[str, float]:
    """Compare the shares of classes with those of held-out images, for stacked ones with the product of channels' shares."""
    num_classes = held_out.logits.shape[2]
    expected = combined(torch.stack([shares(row, num_classes) for row in held_out.logits.argmax(2).T]))
    share = shares(found.label(), len(expected))
    return {
        "modes": float(count_modes(share)),
        "least_share": share.min().item(),
        "class_kl": divergence(share, expected),
    }


def _draw_neighbours(samples: _Seen, real: _Seen, path: Path) -> None:
    """Draw samples in the first row, and below each the training images with the nearest features."""
    places = nearest(samples.features[:_COLUMNS], real.features, _NEIGHBOURS)
    rows = [samples.images[:_COLUMNS], *real.images[places].unbind(1)]
    save_tiles(torch.stack(rows) / 255, path)


class PointModes(Callback):
    """Logs how many Gaussians of a mixture the samples of a system cover, at every validation and after test.

    `high_quality` is the share of samples within three standard deviations of a Gaussian's centre. Among these samples,
    `least_share` is the share of the rarest Gaussian, and `modes` is the number of Gaussians with at least 40 % of an equal
    share. `overlap` needs both good samples and all Gaussians: each Gaussian adds its share of all samples, up to an equal
    share.

    Args:
        num_samples: number of samples to draw over all processes.
    """

    def __init__(self, num_samples: int = 10_000) -> None:
        check_counts(num_samples=num_samples)
        self.num_samples = num_samples

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        require_ability(self, pl_module, Generates, "draw samples")
        if facts(trainer).centres is None:
            data = type(trainer.datamodule).__name__  # type: ignore[attr-defined]
            raise ZooError(
                f"PointModes needs data with known centres, such as GaussianMixture, but {data} has none: leave the report out"
            )

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._log(trainer, pl_module, "val")

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._log(trainer, pl_module, "test")

    def _log(self, trainer: Trainer, model: LightningModule, stage: str) -> None:
        centres, spread = facts(trainer).centres, facts(trainer).spread
        assert spread is not None  # data with centres state it
        assert centres is not None  # checked in `setup`
        num = max(1, self.num_samples // trainer.world_size)
        x = torch.cat(gathered(trainer, [part.cpu() for part in samples(cast(Generates, model), trainer, num, at_once=num)]))
        label = modes_of_points(x, centres, spread)
        share, high_quality = shares(label, len(centres)), (label >= 0).float().mean().item()
        found = {"modes": float(count_modes(share)), "least_share": share.min().item(), "high_quality": high_quality}
        found["overlap"] = overlap(label, len(centres))
        model.log_dict({f"{stage}/{name}": value for name, value in found.items()}, sync_dist=True)
