"""Normalisation of feature vectors, by name."""

from typing import Literal, get_args

from torch import nn

Norm = Literal["none", "batch", "layer"]


def feature_norm(name: Norm, num_features: int) -> nn.Module:
    """A norm for (B, F): over the batch per feature (Ioffe & Szegedy, 2015) or over features per sample (Ba et al., 2016).

    Raises:
        ValueError: for an unknown name.
    """
    match name:
        case "none":
            return nn.Identity()
        case "batch":
            return nn.BatchNorm1d(num_features)
        case "layer":
            return nn.LayerNorm(num_features)
        case _:
            raise ValueError(f"unknown norm {name!r}: choose one of {', '.join(get_args(Norm))}")
