"""Normalisation of features, maps and weights."""

from collections.abc import Sequence
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm
from torch.nn.utils.parametrize import register_parametrization

from zoo.errors import ZooError, check_choice

Norm = Literal["none", "batch", "layer", "group"]
MapNorm = Literal["none", "batch", "layer", "instance", "group"]
GROUPS = 8  # groups of a group norm if their number is not given


def feature_norm(name: Norm, num_features: int, num_groups: int | None = None) -> nn.Module:
    """Build a norm for features (B, F), with a learned scale and shift of each feature.

    - batch: normalises each feature over the batch (Ioffe & Szegedy, 2015, arXiv:1502.03167)
    - layer: normalises each sample over its features (Ba, Kiros & Hinton, 2016, arXiv:1607.06450)
    - group: normalises each sample over each of `num_groups` groups of neighbouring features (Wu & He, 2018, arXiv:1803.08494)

    Raises:
        ZooError: if the name is unknown, or the groups do not divide the features. Instance norm and groups of one feature are
            refused, because a feature that is normalised by itself is 0.
    """
    if str(name) == "instance":
        raise ZooError(
            "norm 'instance' normalises maps, and a feature is a single number: choose one of none, batch, layer, group"
        )
    check_norm(name, get_args(Norm), num_features, num_groups)
    if name == "group" and num_features == (num_groups or GROUPS):
        raise ZooError(
            f"{num_features} groups of one feature each leave 0: set norm_groups to fewer than the width {num_features}"
        )
    match name:
        case "batch":
            return nn.BatchNorm1d(num_features)
        case "layer":
            return nn.LayerNorm(num_features)
        case "group":
            return nn.GroupNorm(num_groups or GROUPS, num_features)
        case _:
            return nn.Identity()


def map_norm(name: MapNorm, num_channels: int, num_groups: int | None = None, dims: Literal[1, 2] = 2) -> nn.Module:
    """Build a norm for maps (B, C, H, W), or with `dims` 1 for series (B, C, T).

    - batch: normalises each channel over batch and map (Ioffe & Szegedy, 2015)
    - layer: normalises each sample over all channels and positions, which is a group norm with one group. Scale and shift are
      learned for each channel, so the size of the maps is free. (ConvNeXt normalises each position over its channels instead.)
    - instance: normalises each channel of each sample by itself, without learned scale and shift (Ulyanov, Vedaldi & Lempitsky,
      2016, arXiv:1607.08022)
    - group: normalises each sample over each of `num_groups` groups of neighbouring channels (Wu & He, 2018)

    Raises:
        ZooError: if the name is unknown, or the groups do not divide the channels.
    """
    check_norm(name, get_args(MapNorm), num_channels, num_groups)
    match name:
        case "batch":
            return nn.BatchNorm1d(num_channels) if dims == 1 else nn.BatchNorm2d(num_channels)
        case "layer":
            return nn.GroupNorm(1, num_channels)
        case "instance":
            return nn.InstanceNorm1d(num_channels) if dims == 1 else nn.InstanceNorm2d(num_channels)
        case "group":
            return nn.GroupNorm(num_groups or GROUPS, num_channels)
        case _:
            return nn.Identity()


def check_norm(name: str, names: Sequence[str], num_channels: int, num_groups: int | None) -> None:
    """Check that a norm is known, and that its groups divide the channels.

    Raises:
        ZooError: if not, or if `num_groups` is given for another norm.
    """
    check_choice("norm", name, names)
    if name != "group":
        if num_groups is not None:
            raise ZooError(f"norm_groups {num_groups} has no effect with norm {name!r}, only with group: leave it out")
    elif (num_groups := GROUPS if num_groups is None else num_groups) < 1 or num_channels % num_groups:
        raise ZooError(f"norm_groups must divide the width {num_channels}, got {num_groups}: choose another number or width")


def spectral(layer: nn.Module) -> nn.Module:
    """Divide a layer's weight by its largest singular value (Miyato et al., 2018, arXiv:1802.05957).

    Three power iterations per forward pass, because the paper's single one was measured to lag by up to 8 % in small layers.
    """
    return spectral_norm(layer, n_power_iterations=3)


class _UnitNorm(nn.Module):
    """Divide a weight by its norm over some dimensions."""

    def __init__(self, dims: tuple[int, ...]) -> None:
        super().__init__()
        self.dims = dims

    def forward(self, weight: Tensor) -> Tensor:
        return weight / torch.linalg.vector_norm(weight, dim=self.dims, keepdim=True).clamp(min=1e-12)


def unit_columns(network: nn.Module) -> None:
    """Constrain the outgoing weights of each input of each layer to norm 1, so that no layer can undo the scale of its inputs.

    Changes the linear layers and transposed convolutions of a network in place.
    """
    for layer in list(network.modules()):
        if isinstance(layer, nn.Linear | nn.ConvTranspose2d):
            dims = (0,) if isinstance(layer, nn.Linear) else (1, 2, 3)
            register_parametrization(layer, "weight", _UnitNorm(dims))
