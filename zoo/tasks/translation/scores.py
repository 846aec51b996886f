"""Scores of translations: distances from the targets of pairs, and classifications of unpaired images."""

from collections.abc import Iterable, Mapping
from typing import Any, Literal, cast

import torch
from lightning import Callback, LightningModule, Trainer
from torch import Tensor, nn

from zoo.metrics.generation import frechet_of_features, kernel_distance
from zoo.metrics.image_probe import image_probe, share_classified_as
from zoo.metrics.patches import PatchFeatures
from zoo.pretrained.features import build_extractor, distance_name
from zoo.tasks.abilities import TranslatesBack, require_ability
from zoo.tasks.evaluation import batches, check_counts
from zoo.tasks.translation.base import Translator
from zoo.training.reporting import gathered_batches


class PairScores(Callback):
    """Logs distances between translations of pairs and their targets, after validation and test.

    `test/fd_patches_translations` is the Frechet distance between patches of translations and of targets, see
    `zoo.metrics.patches`. It compares edges and textures, in the features of a small network that is trained on the training
    targets. It is low for sharp translations even if they differ from their targets. `test/fd_patches_real` is the distance of
    training targets, the reference. `test/l1_mean_image` is a baseline for `test/l1`: the mean absolute difference between the
    targets and the mean training target. Validations log the same scores as `val/...`.

    With an `extractor`, a test also logs distances of whole images in the features of this network:
    `test/fd_<extractor>_translations`, and the kernel distance `test/kd_<extractor>_translations`, which the number of images
    does not bias. With Inception they are called `fid` and `kid`. Names with `_real` are for training targets.

    Args:
        extractor: "inception", or the name of published weights of a classifier. None: leave these distances out.
        num_images: largest number of images of each kind. It biases Frechet distances, so compare only at the same number.
    """

    def __init__(self, extractor: str | None = None, num_images: int = 10_000) -> None:
        check_counts(num_images=num_images)
        self.extractor, self.num_images = extractor, num_images
        self._patches: PatchFeatures | None = None

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if stage in ("fit", "validate", "test"):
            require_ability(self, pl_module, Translator, "translate images")
            # Raises for an unknown name before training starts.
            self._network = None if self.extractor is None else build_extractor(self.extractor)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not trainer.sanity_checking:
            self._score(trainer, pl_module, "val")

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._score(trainer, pl_module, "test")

    def _score(self, trainer: Trainer, model: LightningModule, split: Literal["val", "test"]) -> None:
        num = self.num_images // trainer.world_size
        position, train = _of_all(trainer, ((batch.position, batch.y) for batch in batches(trainer, "train", num=num)))
        train = train[_first_of_each(position)]
        held_out = ((batch.position, batch.y, model(batch.x)) for batch in batches(trainer, split, num=num))
        position, targets, translations = _of_all(trainer, held_out)
        rows = _first_of_each(position)
        targets, translations = targets[rows], translations[rows]
        scores = {"l1_mean_image": (targets - train.mean(0)).abs().mean().item()}
        if min(len(targets), len(train)) > 1:  # one image, as in a `fast_dev_run`, has no distribution
            self._patches = self._patches or PatchFeatures(train)
            kinds, seen = {"translations": translations, "real": train}, self._patches(targets)
            scores |= {f"fd_patches_{kind}": frechet_of_features(seen, self._patches(x)) for kind, x in kinds.items()}
            if self._network is not None and split == "test":
                scores |= self._distances(self._network.to(model.device), targets, kinds)
        model.log_dict({f"{split}/{key}": value for key, value in scores.items()}, sync_dist=True)

    def _distances(self, network: nn.Module, targets: Tensor, kinds: Mapping[str, Tensor]) -> dict[str, float]:
        """Compute the distances of each kind of whole images from the targets, in the features of a network."""
        assert self.extractor is not None  # the network is the extractor's
        name, real = distance_name(self.extractor), apply_in_parts(network, targets).cpu()
        kernel_name = "kid" if name == "fid" else name.replace("fd_", "kd_", 1)
        scores = {}
        for kind, images in kinds.items():
            fake = apply_in_parts(network, images).cpu()
            scores[f"{name}_{kind}"] = frechet_of_features(real, fake)
            scores[f"{kernel_name}_{kind}"] = kernel_distance(real, fake)
        return scores


class CycleScores(Callback):
    """Logs how classifiers rate translations between unpaired domains A and B, after test.

    The classifiers are small networks, called probes, that are trained on training images when the test ends.

    - `test/called_b`: share of A's test images that a probe of the two domains classifies as B after translation.
      `test/called_a` is the same for the other direction. `test/probe_acc` is the probe's accuracy on real test images.
    - `test/kept_b`, if the domains have classes: share of A's test images whose class a probe of B's classes finds in the
      translation. `test/class_probe_acc` is this probe's accuracy on real test images of B.
    - `test/kept_a_<classifier>` and `test/kept_b_<classifier>`: the same as judged by published weights.

    Scores with the suffix `_identity` are the same for untranslated images, the baseline. A good translation is classified as
    the other domain and keeps its class. An untranslated image achieves only one of these.

    Args:
        classifier: name of published weights for the domains' classes. None: leave these scores out.
        num_images: number of test images of each domain, at most the size of the smaller domain.
        num_train: number of training images of each domain for the probes, at most the size of the smaller domain.
        epochs: training epochs of the probes.
    """

    def __init__(
        self, classifier: str | None = None, num_images: int = 2000, num_train: int = 10_000, epochs: int = 10
    ) -> None:
        check_counts(num_images=num_images, num_train=num_train, epochs=epochs)
        self.classifier, self.num_images, self.num_train, self.epochs = classifier, num_images, num_train, epochs

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if stage in ("fit", "test"):
            require_ability(self, pl_module, TranslatesBack, "translate in both directions")
            self._published = _PublishedClassifier(self.classifier) if self.classifier else None

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        model = cast(TranslatesBack, pl_module)
        x, y, label, y_label = self._read(trainer, "train", self.num_train)
        domain_probe = image_probe(
            torch.cat([x, y]), torch.cat([torch.zeros_like(label), torch.ones_like(y_label)]), 2, self.epochs
        )
        num_classes = int(y_label.max()) + 1
        class_probe = image_probe(y, y_label, num_classes, self.epochs) if num_classes else None
        x, y, label, y_label = self._read(trainer, "test", self.num_images)
        to_b, to_a = apply_in_parts(model, x), apply_in_parts(model.back, y)
        probe_acc = share_classified_as(
            domain_probe, torch.cat([x, y]), torch.cat([torch.zeros_like(label), torch.ones_like(y_label)])
        )
        scores = {
            "probe_acc": probe_acc,
            "called_b": share_classified_as(domain_probe, to_b, 1),
            "called_b_identity": share_classified_as(domain_probe, x, 1),
            "called_a": share_classified_as(domain_probe, to_a, 0),
            "called_a_identity": share_classified_as(domain_probe, y, 0),
        }
        if class_probe is not None:
            scores["class_probe_acc"] = share_classified_as(class_probe, y, y_label)
            scores |= {
                "kept_b": share_classified_as(class_probe, to_b, label),
                "kept_b_identity": share_classified_as(class_probe, x, label),
            }
        if self._published is not None and num_classes:
            published = self._published.to(model.device)
            for domain, translated, original, truth in (("a", to_a, y, y_label), ("b", to_b, x, label)):
                scores[f"kept_{domain}_{self.classifier}"] = share_classified_as(published, translated, truth)
                scores[f"kept_{domain}_{self.classifier}_identity"] = share_classified_as(published, original, truth)
        pl_module.log_dict({f"test/{key}": value for key, value in scores.items()}, sync_dist=True)

    def _read(self, trainer: Trainer, split: str, num: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Read images of A and B, and the classes of both.

        Each image is read once, although the smaller domain is served repeatedly. The same number is read from both domains,
        because a probe prefers the domain with more training images.
        """
        found = batches(trainer, split, num=num // trainer.world_size)
        x, y, position, y_position, label, y_label = _of_all(trainer, found)
        first_x, first_y = _first_of_each(position), _first_of_each(y_position)
        num = min(len(first_x), len(first_y))
        first_x, first_y = first_x[:num], first_y[:num]
        return x[first_x], y[first_y], label[first_x], y_label[first_y]


class _PublishedClassifier(nn.Module):
    """Published weights as a classifier of images in [0, 1]."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.features = build_extractor(name)

    def forward(self, x: Tensor) -> Tensor:
        return self.features.last(self.features(x))


def apply_in_parts(network: Any, x: Tensor, at_once: int = 50) -> Tensor:
    """Apply a network to many images, `at_once` at a time."""
    with torch.no_grad():
        return torch.cat([network(x[row : row + at_once]) for row in range(0, len(x), at_once)])


def _of_all(trainer: Trainer, parts: Iterable[tuple[Tensor, ...]]) -> list[Tensor]:
    """Concatenate the batches of all processes. Each compares all images, because a distance depends on their number."""
    return [tensor.to(trainer.strategy.root_device) for tensor in gathered_batches(trainer, parts)]


def _first_of_each(position: Tensor) -> Tensor:
    """Return the rows (M,) at which each of the positions (N,) occurs first, in the order of the positions."""
    seen: dict[int, int] = {}
    for row, place in enumerate(position.tolist()):
        seen.setdefault(place, row)
    return torch.tensor([seen[place] for place in sorted(seen)], device=position.device)
