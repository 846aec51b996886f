"""How good translations are: those of pairs against their targets, those without pairs by what judges call them."""

from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer
from torch import Tensor, nn

from zoo.metrics.generation import kernel_distance
from zoo.metrics.image_probe import image_probe, share_called
from zoo.pretrained.features import distance_name, extractor_of, frechet_distance
from zoo.tasks.evaluation import batches, check_counts, require_methods


class PairScores(Callback):
    """Logs after test how translations of pairs are distributed, and what a single image for all would be off by.

    `test/<distance>_translations`: the Frechet distance of translations from the targets, by a named network; `kd_` in place
    of `fd_` (or `kid` for Inception) is the kernel distance, which the number of images does not bias. `..._real`: the same of
    training targets, the floor. `test/l1_mean_image`: mean absolute difference of the targets from the mean target of training.

    Args:
        extractor: "inception", or the name of published weights of a classifier.
        num_images: of each kind, at most. The Frechet distance is biased in it: compare at the same number only.
    """

    def __init__(self, extractor: str, num_images: int = 10_000) -> None:
        check_counts(num_images=num_images)
        self.extractor, self.num_images = extractor, num_images

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if stage in ("fit", "test"):
            require_methods(self, pl_module, "strips")
            self._metric = frechet_distance(self.extractor)  # before training, so that a name that is none costs no run

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        model, num = pl_module, self.num_images // trainer.world_size
        train = torch.cat([batch.y for batch in batches(trainer, "train", num=num)])
        test = list(batches(trainer, "test", num=num))
        targets, translations = torch.cat([batch.y for batch in test]), torch.cat([model(batch.x) for batch in test])
        scores = {"l1_mean_image": (targets - train.mean(0)).abs().mean().item()}
        if min(len(targets), len(train)) == 1:  # of a `fast_dev_run`: one image has no distribution
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
    """Logs after test what judges say of translations between domains without pairs, and of images left as they are.

    The judges are small networks, trained when the test ends on training images of both domains. `test/called_b`: the share of
    A's test images that are taken for B's after translation; `called_a` likewise; `probe_acc`: how often that judge is right
    about real test images. Where the domains have classes, `kept_b`: the share of A's images whose class a judge trained on B's
    classes finds in the translation; `class_probe_acc`: how often it is right about real ones of B. `kept_a_<classifier>` and
    `kept_b_<classifier>`: the same by published weights, trained on A or elsewhere. Each of these with `_identity` at its end
    is of the images untranslated: a good translation is taken for the target and has kept its class, they are one of both only.

    Args:
        classifier: the name of published weights, whose classes are those of the domains; none without one.
        num_images: of each domain's test images, at most: no more than the smaller one has.
        num_train: of each domain's training images that judges learn from, likewise.
        epochs: that they learn for.
    """

    def __init__(
        self, classifier: str | None = None, num_images: int = 2000, num_train: int = 10_000, epochs: int = 10
    ) -> None:
        check_counts(num_images=num_images, num_train=num_train, epochs=epochs)
        self.classifier, self.num_images, self.num_train, self.epochs = classifier, num_images, num_train, epochs

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if stage in ("fit", "test"):
            require_methods(self, pl_module, "back")
            self._named = _Classes(self.classifier) if self.classifier else None

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        model: Any = pl_module
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
        """Images of A, as many of B, and the classes of each.

        Every image once, although the smaller domain is served repeatedly; as many, since a judge of domains that has seen
        more of one leans to it.
        """
        found = list(batches(trainer, split, num=num // trainer.world_size))
        x, y, position, y_position, label, y_label = (torch.cat(parts) for parts in zip(*found, strict=True))
        first_x, first_y = _first_of_each(position), _first_of_each(y_position)
        num = min(len(first_x), len(first_y))
        first_x, first_y = first_x[:num], first_y[:num]
        return x[first_x], y[first_y], label[first_x], y_label[first_y]


class _Classes(nn.Module):
    """Images in [0, 1] to the logits of published weights."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.features = extractor_of(name)

    def forward(self, x: Tensor) -> Tensor:
        return self.features.last(self.features(x))


def in_parts(network: Any, x: Tensor, at_once: int = 50) -> Tensor:
    """A network's answer to many images, some at a time."""
    with torch.no_grad():
        return torch.cat([network(x[row : row + at_once]) for row in range(0, len(x), at_once)])


def _first_of_each(position: Tensor) -> Tensor:
    """Rows (M,) where each place of (N,) is met first."""
    seen: dict[int, int] = {}
    for row, place in enumerate(position.tolist()):
        seen.setdefault(place, row)
    return torch.tensor(list(seen.values()), device=position.device)
