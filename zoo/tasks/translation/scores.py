"""Scores of translations: of pairs against their targets, and of unpaired images by classifiers."""

from typing import Any, cast

import torch
from lightning import Callback, LightningModule, Trainer
from torch import Tensor, nn

from zoo.metrics.generation import kernel_distance
from zoo.metrics.image_probe import image_probe, share_called
from zoo.pretrained.features import build_extractor, distance_name, frechet_distance
from zoo.tasks.abilities import TranslatesBack, require_ability
from zoo.tasks.evaluation import batches, check_counts
from zoo.tasks.translation.base import Translator


class PairScores(Callback):
    """Logs distances between translations of pairs and their targets after test.

    `test/<distance>_translations` is the Frechet distance of translations from the targets in the features of a named network;
    with `kd_` instead of `fd_` (`kid` for Inception) it is the kernel distance, which the number of images does not bias.
    `..._real` is the same for training targets, the floor. `test/l1_mean_image` is a baseline: the mean absolute difference of
    the targets from the mean training target.

    Args:
        extractor: "inception", or the name of published weights of a classifier.
        num_images: of each kind, at most. The Frechet distance is biased in it: compare at the same number only.
    """

    def __init__(self, extractor: str, num_images: int = 10_000) -> None:
        check_counts(num_images=num_images)
        self.extractor, self.num_images = extractor, num_images

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if stage in ("fit", "test"):
            require_ability(self, pl_module, Translator, "translate images")
            self._metric = frechet_distance(self.extractor)  # before training, so that an unknown name costs no run

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        model, num = pl_module, self.num_images // trainer.world_size
        train = torch.cat([batch.y for batch in batches(trainer, "train", num=num)])
        test = list(batches(trainer, "test", num=num))
        targets, translations = torch.cat([batch.y for batch in test]), torch.cat([model(batch.x) for batch in test])
        scores = {"l1_mean_image": (targets - train.mean(0)).abs().mean().item()}
        if min(len(targets), len(train)) == 1:  # in a `fast_dev_run`: one image has no distribution
            model.log_dict({f"test/{key}": value for key, value in scores.items()}, sync_dist=True)
            return
        metric = self._metric.to(model.device)
        network = metric.inception
        seen = in_parts(network, targets)
        name = distance_name(self.extractor)
        kernel_name = "kid" if name == "fid" else name.replace("fd_", "kd_", 1)
        for kind, images in (("translations", translations), ("real", train)):
            metric.reset()
            for real, x in ((True, targets), (False, images)):
                for row in range(0, len(x), 500):
                    metric.update(x[row : row + 500], real=real)
            scores[f"{name}_{kind}"] = metric.compute().item()
            scores[f"{kernel_name}_{kind}"] = kernel_distance(seen.cpu(), in_parts(network, images).cpu())
        model.log_dict({f"test/{key}": value for key, value in scores.items()}, sync_dist=True)


class CycleScores(Callback):
    """Logs how classifiers see translations between unpaired domains A and B after test.

    The probes are small networks, trained when the test ends on training images of both domains. `test/called_b` is the share
    of A's test images that a probe of domains classifies as B after translation, `called_a` the same for the other direction,
    and `probe_acc` its accuracy on real test images. If the domains have classes, `kept_b` is the share of A's images whose
    class a probe of B's classes finds in the translation, and `class_probe_acc` its accuracy on real images of B.
    `kept_a_<classifier>` and `kept_b_<classifier>` are the same by published weights.

    Each score with the suffix `_identity` is the same for untranslated images, the baseline: a good translation is classified
    as the other domain and keeps its class, while an untranslated image does one of the two only.

    Args:
        classifier: the name of published weights with the domains' classes; None leaves these scores out.
        num_images: test images of each domain, at most as many as the smaller domain has.
        num_train: training images of each domain for the probes, at most as many as the smaller domain has.
        epochs: of training the probes.
    """

    def __init__(
        self, classifier: str | None = None, num_images: int = 2000, num_train: int = 10_000, epochs: int = 10
    ) -> None:
        check_counts(num_images=num_images, num_train=num_train, epochs=epochs)
        self.classifier, self.num_images, self.num_train, self.epochs = classifier, num_images, num_train, epochs

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if stage in ("fit", "test"):
            require_ability(self, pl_module, TranslatesBack, "translate in both directions")
            self._named = _Classes(self.classifier) if self.classifier else None

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        model = cast(TranslatesBack, pl_module)
        x, y, label, y_label = self._read(trainer, "train", self.num_train)
        domain = image_probe(torch.cat([x, y]), torch.cat([torch.zeros_like(label), torch.ones_like(y_label)]), 2, self.epochs)
        num_classes = int(y_label.max()) + 1
        classes = image_probe(y, y_label, num_classes, self.epochs) if num_classes else None
        x, y, label, y_label = self._read(trainer, "test", self.num_images)
        to_b, to_a = in_parts(model, x), in_parts(model.back, y)
        right = share_called(domain, torch.cat([x, y]), torch.cat([torch.zeros_like(label), torch.ones_like(y_label)]))
        scores = {
            "probe_acc": right,
            "called_b": share_called(domain, to_b, 1),
            "called_b_identity": share_called(domain, x, 1),
            "called_a": share_called(domain, to_a, 0),
            "called_a_identity": share_called(domain, y, 0),
        }
        if classes is not None:
            scores["class_probe_acc"] = share_called(classes, y, y_label)
            scores |= {"kept_b": share_called(classes, to_b, label), "kept_b_identity": share_called(classes, x, label)}
        if self._named is not None and num_classes:
            named = self._named.to(model.device)
            for way, there, stays, truth in (("a", to_a, y, y_label), ("b", to_b, x, label)):
                scores[f"kept_{way}_{self.classifier}"] = share_called(named, there, truth)
                scores[f"kept_{way}_{self.classifier}_identity"] = share_called(named, stays, truth)
        model.log_dict({f"test/{key}": value for key, value in scores.items()}, sync_dist=True)

    def _read(self, trainer: Trainer, split: str, num: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Read images of A, as many of B, and the classes of each.

        Every image is read once, although the smaller domain is served repeatedly. Both domains have the same number of images,
        because a probe prefers the domain that it has seen more of.
        """
        found = list(batches(trainer, split, num=num // trainer.world_size))
        x, y, position, y_position, label, y_label = (torch.cat(parts) for parts in zip(*found, strict=True))
        first_x, first_y = _first_of_each(position), _first_of_each(y_position)
        num = min(len(first_x), len(first_y))
        first_x, first_y = first_x[:num], first_y[:num]
        return x[first_x], y[first_y], label[first_x], y_label[first_y]


class _Classes(nn.Module):
    """Published weights as a classifier of images in [0, 1]."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.features = build_extractor(name)

    def forward(self, x: Tensor) -> Tensor:
        return self.features.last(self.features(x))


def in_parts(network: Any, x: Tensor, at_once: int = 50) -> Tensor:
    """Apply a network to many images, `at_once` at a time."""
    with torch.no_grad():
        return torch.cat([network(x[row : row + at_once]) for row in range(0, len(x), at_once)])


def _first_of_each(position: Tensor) -> Tensor:
    """Return the rows (M,) at which each of the positions (N,) occurs first."""
    seen: dict[int, int] = {}
    for row, place in enumerate(position.tolist()):
        seen.setdefault(place, row)
    return torch.tensor(list(seen.values()), device=position.device)
