"""Normalisation of feature vectors and of maps, by name."""

from typing import Literal, get_args

from torch import nn

from zoo.errors import ZooError

Norm = Literal["none", "batch", "layer"]
MapNorm = Literal["none", "batch", "instance"]


def feature_norm(name: Norm, num_features: int) -> nn.Module:
    """A norm for (B, F): over the batch per feature (Ioffe & Szegedy, 2015) or over features per sample (Ba et al., 2016).

    Raises:
        ZooError: for an unknown name.
    """
    match name:
        case "none":
            return nn.Identity()
        case "batch":
            return nn.BatchNorm1d(num_features)
        case "layer":
            return nn.LayerNorm(num_features)
        case _:
            raise ZooError(f"unknown norm {name!r}: choose one of {', '.join(get_args(Norm))}")


def map_norm(name: MapNorm, num_channels: int) -> nn.Module:
    """A norm for maps (B, C, H, W): over batch and map (Ioffe & Szegedy, 2015), or over each map alone.

    The latter is instance normalisation without a scale of its own (Ulyanov, Vedaldi & Lempitsky, 2016, arXiv:1607.08022).

    Raises:
        ZooError: for an unknown name.
    """
    match name:
        case "none":
            return nn.Identity()
        case "batch":
            return nn.BatchNorm2d(num_channels)
        case "instance":
            return nn.InstanceNorm2d(num_channels)
        case _:
            raise ZooError(f"unknown norm {name!r}: choose one of {', '.join(get_args(MapNorm))}")
