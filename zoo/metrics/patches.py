"""Features of the patches of photographs, whose Frechet distance compares edges and textures.

Shapes: N photographs, P patches, C channels, H height, W width, F features.
"""

import torch
from torch import Tensor, nn

from zoo.metrics.image_probe import image_probe

_SIZE, _STRIDE = 16, 8
_NUM_TRAIN, _NUM_COMPARED = 5000, 10_000  # patches of each set of photographs


class PatchFeatures:
    """Patch features of a small network that is trained to predict how patches of given photographs are rotated.

    It learns to tell patches of 16 x 16 pixels from patches rotated by 90, 180 and 270 degrees, a task that needs no labels
    (Gidaris, Singh & Komodakis, 2018, arXiv:1803.07728). The network is trained on the fly, each time from the same initial
    weights. Distances are comparable only for the same photographs. The distance of other real photographs is their reference.

    Args:
        photos: (N, C, H, W) in [0, 1].
    """

    def __init__(self, photos: Tensor) -> None:
        upright = cut_patches(photos, _NUM_TRAIN)
        turned = torch.cat([upright.rot90(turns, (2, 3)) for turns in range(4)])
        probe = image_probe(turned, torch.arange(4, device=photos.device).repeat_interleave(len(upright)), 4)
        self.probe, self.net = probe, nn.Sequential(*probe[:-1])

    @torch.no_grad()
    def __call__(self, photos: Tensor) -> Tensor:
        """Compute the features of the photographs' patches: (N, C, H, W) to (P, F)."""
        return torch.cat([self.net(part) for part in torch.split(cut_patches(photos, _NUM_COMPARED), 1000)])


def cut_patches(photos: Tensor, most: int) -> Tensor:
    """Cut at most `most` overlapping squares out of photographs (N, C, H, W): (P, C, 16, 16). Each call chooses the same ones.

    Smaller photographs are cut to squares of their shorter side.
    """
    size = min(_SIZE, *photos.shape[2:])
    patches = photos.unfold(2, size, _STRIDE).unfold(3, size, _STRIDE).movedim(1, 3).flatten(0, 2)
    order = torch.randperm(len(patches), generator=torch.Generator().manual_seed(0))[:most]
    return patches[order.to(photos.device)]
