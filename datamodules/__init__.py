"""What the zoo learns from: one file per kind of data, one shared base, one shared loader."""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datamodules.cifar10 import CIFAR10 as CIFAR10
    from datamodules.digits import Digits as Digits
    from datamodules.fashion_mnist import FashionMNIST as FashionMNIST
    from datamodules.hub_images import HubImages as HubImages
    from datamodules.image_files import ImageFiles as ImageFiles
    from datamodules.image_folder import ImageFolder as ImageFolder
    from datamodules.mnist import MNIST as MNIST
    from datamodules.tabular import Tabular as Tabular
    from datamodules.usps import USPS as USPS

_HOMES = {
    "CIFAR10": "cifar10",
    "Digits": "digits",
    "FashionMNIST": "fashion_mnist",
    "HubImages": "hub_images",
    "ImageFiles": "image_files",
    "ImageFolder": "image_folder",
    "MNIST": "mnist",
    "Tabular": "tabular",
    "USPS": "usps",
}
__all__ = list(_HOMES)  # read by name below


def __getattr__(name: str) -> object:
    """Import a datamodule when it is first asked for: `import datamodules` stays instant."""
    if name not in _HOMES:
        raise AttributeError(f"datamodules has no {name!r}: it has {', '.join(_HOMES)}")
    return getattr(importlib.import_module(f"datamodules.{_HOMES[name]}"), name)
