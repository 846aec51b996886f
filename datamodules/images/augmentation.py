"""Settings of augmentation of training images, and their application to batches."""

from collections.abc import Callable, Sequence
from typing import Any, Literal, TypedDict, cast, get_args

import torch
from torch import Tensor

from datamodules.core.batch import Batch
from datamodules.core.randomness import uniform
from zoo.augment import colour
from zoo.augment.erasing import cutout, random_erasing
from zoo.augment.geometry import rotations, warp
from zoo.augment.mixing import cutmix_weights, mix, mixup_weights
from zoo.augment.policies import NUM_BINS, RandAugment, TrivialAugment
from zoo.errors import ZooError, check_choice

Policy = Literal["none", "rand_augment", "trivial_augment"]
ENOUGH = 1000  # training images from which "auto" changes them


class Augment(TypedDict, total=False):
    """Augmentation of training images, in the order of application. Comments end with the default."""

    policy: Policy  # random changes of shape and colour with published strengths; none
    num_ops: int  # rand_augment: changes per image; 2
    magnitude: int  # rand_augment: strength from 0 to 30; 9
    rotation: float  # largest rotation in degrees, in both directions; 0
    brightness: float  # largest change, as a share: factors are drawn from 1 - brightness to 1 + brightness; 0
    contrast: float  # as for brightness; 0
    saturation: float  # as for brightness; 0
    hue: float  # largest change, at most 0.5, which is half of the colour circle; 0
    cutout: int  # side in pixels of a square that is erased in every image; 0
    erase: float  # probability of random erasing; 0
    erase_area: float  # largest area of random erasing, as a share of the image; 1/3
    mixup: float  # alpha of Mixup, for example 0.2; 0 is off. With cutmix, each image draws one of the two; 0
    cutmix: float  # alpha of CutMix, for example 1; 0 is off; 0


AugmentChoice = Augment | Literal["auto"] | None  # "auto": as `suggested_augment` says


def suggested_augment(num_train: int) -> Augment | None:
    """Return the augmentation for a number of training images.

    Below 1,000 images it is None: then a pretrained network computes its features once, from images without augmentation (see
    `zoo.TransferClassifier`). With more, it is torchvision's for image classification except mixing, which needs more epochs
    than fine-tuning has (pytorch.org/blog/how-to-train-state-of-the-art-models-using-torchvision-latest-primitives).
    """
    return None if num_train < ENOUGH else {"policy": "trivial_augment", "erase": 0.1}


_DEFAULTS: Augment = {
    **{"policy": "none", "num_ops": 2, "magnitude": 9, "rotation": 0.0},
    **{"brightness": 0.0, "contrast": 0.0, "saturation": 0.0, "hue": 0.0},
    **{"cutout": 0, "erase": 0.0, "erase_area": 1 / 3, "mixup": 0.0, "cutmix": 0.0},
}
_LIMITS = {  # smallest and largest value of each number
    "num_ops": (1, 14),
    "magnitude": (0, NUM_BINS - 1),
    "rotation": (0, 180),
    **dict.fromkeys(("brightness", "contrast", "saturation"), (0, 1)),
    "hue": (0, 0.5),
    "erase": (0, 1),
    "erase_area": (0.02, 1),
    **dict.fromkeys(("mixup", "cutmix"), (0, 10)),
}


class Augmentation:
    """Change batches of training images as a function of (seed, epoch, position).

    Args:
        augment: settings.
        input_shape: (C, H, W) of the images.
        seed: of the draws.
        num_classes: for mixing. Data that count their classes later set the attribute then.
        has_colours: whether the channels are the colours of one image.

    Raises:
        ZooError: if a setting is unknown, out of its range, or has no effect on these images.
    """

    def __init__(
        self, augment: Augment, input_shape: Sequence[int], seed: int, num_classes: int | None, has_colours: bool
    ) -> None:
        self.settings, self.seed, self.num_classes = _check(augment, input_shape, has_colours), seed, num_classes
        _, height, width = input_shape
        self._policy: RandAugment | TrivialAugment | None = None
        if self.settings["policy"] == "rand_augment":
            self._policy = RandAugment(height, width, self.settings["num_ops"], self.settings["magnitude"])
        elif self.settings["policy"] == "trivial_augment":
            self._policy = TrivialAugment(height, width)

    def change(self, x: Tensor, position: Tensor, epoch: int) -> Tensor:
        """Change shape and colour of images (B, C, H, W) uint8."""
        settings, draw = self.settings, self._draw(position, epoch)

        def between(name: str, largest: float) -> Tensor:
            return largest * (2 * draw(name, 1)[:, 0] - 1)

        if self._policy is not None:
            x = self._policy(x, draw("policy", self._policy.num_draws))
        if settings["rotation"]:
            x = warp(x, rotations(between("rotation", settings["rotation"])), "bilinear")
        if settings["brightness"]:
            x = colour.brightness(x, 1 + between("brightness", settings["brightness"]))
        if settings["contrast"]:
            x = colour.contrast(x, 1 + between("contrast", settings["contrast"]))
        if settings["saturation"]:
            x = colour.saturation(x, 1 + between("saturation", settings["saturation"]))
        return colour.hue(x, between("hue", settings["hue"])) if settings["hue"] else x

    def erase_and_mix(self, batch: Batch, epoch: int) -> Batch:
        """Erase parts of normalised images, then mix images and classes. Mixed classes are probabilities (B, K)."""
        settings, (x, y, position) = self.settings, batch
        draw = self._draw(position, epoch)
        if settings["cutout"]:
            x = cutout(x, draw("cutout", 2), settings["cutout"])
        if settings["erase"]:
            x = random_erasing(x, draw("erase", 5), settings["erase"], settings["erase_area"])
        weights = [mixup_weights(draw("mixup", 1)[:, 0], settings["mixup"])] if settings["mixup"] else []
        if settings["cutmix"]:
            weights.append(cutmix_weights(draw("cutmix", 3), settings["cutmix"], *x.shape[-2:]))
        if weights:
            assert self.num_classes is not None
            # With both, each image draws one of them.
            chosen = torch.where(draw("mixing", 1)[:, :, None, None] < 0.5, weights[0], weights[-1])
            x, y = mix(x, y, chosen, self.num_classes)
        return batch._replace(x=x, y=y)

    def _draw(self, position: Tensor, epoch: int) -> Callable[[str, int], Tensor]:
        """Return a function from a stream's name and a number of draws N to uniform numbers (B, N) in [0, 1)."""
        return lambda stream, num: uniform(position, seed=self.seed, epoch=epoch, num_draws=num, stream=stream)


def augmentation_of(
    augment: Augment | None, input_shape: Sequence[int], seed: int, num_classes: int | None, has_colours: bool
) -> Augmentation | None:
    """Build an `Augmentation`; None without settings."""
    return Augmentation(augment, input_shape, seed, num_classes, has_colours) if augment else None


def _check(augment: Augment, input_shape: Sequence[int], has_colours: bool) -> Augment:
    """Check settings and fill in their defaults."""
    given: dict[str, Any] = {**augment}
    if unknown := set(given) - set(_DEFAULTS):
        raise ZooError(f"augment has no {min(unknown)!r}: choose from {', '.join(_DEFAULTS)}")
    settings = cast(Augment, {**_DEFAULTS, **given})
    check_choice("augment.policy", settings["policy"], get_args(Policy))
    for name, (low, high) in _LIMITS.items():
        if not low <= settings[name] <= high:  # type: ignore[literal-required]
            raise ZooError(f"augment.{name} must lie in {low}..{high}, got {given[name]}")
    smallest = min(input_shape[1:])
    if not 0 <= settings["cutout"] < smallest:
        raise ZooError(f"augment.cutout must lie in 0..{smallest - 1} pixels, below the image's side, got {given['cutout']}")
    idle = {
        "num_ops": settings["policy"] != "rand_augment" and "without augment.policy rand_augment",
        "magnitude": settings["policy"] != "rand_augment" and "without augment.policy rand_augment",
        "erase_area": not settings["erase"] and "without augment.erase, its probability",
        "saturation": bool(settings["saturation"]) and not has_colours and "on images without colour",
        "hue": bool(settings["hue"]) and not has_colours and "on images without colour",
    }
    for name, reason in idle.items():
        if name in given and reason:
            raise ZooError(f"augment.{name} has no effect {reason}: leave it out")
    return settings
