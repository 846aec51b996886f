"""What the zoo learns from: one file per kind of data, one shared base, one shared loader."""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datamodules.adding import Adding as Adding
    from datamodules.ag_news import AGNews as AGNews
    from datamodules.char_text import CharText as CharText
    from datamodules.cifar10 import CIFAR10 as CIFAR10
    from datamodules.colour_mnist import ColourMNIST as ColourMNIST
    from datamodules.digits import Digits as Digits
    from datamodules.fashion_mnist import FashionMNIST as FashionMNIST
    from datamodules.gaussian_mixture import GaussianMixture as GaussianMixture
    from datamodules.hub_images import HubImages as HubImages
    from datamodules.hub_text import HubText as HubText
    from datamodules.image_files import ImageFiles as ImageFiles
    from datamodules.image_folder import ImageFolder as ImageFolder
    from datamodules.imdb import IMDb as IMDb
    from datamodules.mnist import MNIST as MNIST
    from datamodules.names import Names as Names
    from datamodules.paired_images import PairedImages as PairedImages
    from datamodules.python_manual import PythonManual as PythonManual
    from datamodules.rows import DigitRows as DigitRows
    from datamodules.rows import FashionMNISTRows as FashionMNISTRows
    from datamodules.series import Series as Series
    from datamodules.sms_spam import SMSSpam as SMSSpam
    from datamodules.sst2 import SST2 as SST2
    from datamodules.stacked_fashion_mnist import StackedFashionMNIST as StackedFashionMNIST
    from datamodules.tabular import Tabular as Tabular
    from datamodules.text_file import TextFile as TextFile
    from datamodules.text_lines import TextLines as TextLines
    from datamodules.trec import TREC as TREC
    from datamodules.ucr import UCR as UCR
    from datamodules.unpaired_images import UnpairedImages as UnpairedImages
    from datamodules.unpaired_images import UnpairedSets as UnpairedSets
    from datamodules.usps import USPS as USPS

_HOMES = {
    "AGNews": "ag_news",
    "Adding": "adding",
    "CIFAR10": "cifar10",
    "CharText": "char_text",
    "ColourMNIST": "colour_mnist",
    "DigitRows": "rows",
    "Digits": "digits",
    "FashionMNIST": "fashion_mnist",
    "FashionMNISTRows": "rows",
    "GaussianMixture": "gaussian_mixture",
    "HubImages": "hub_images",
    "HubText": "hub_text",
    "IMDb": "imdb",
    "ImageFiles": "image_files",
    "ImageFolder": "image_folder",
    "MNIST": "mnist",
    "Names": "names",
    "PairedImages": "paired_images",
    "PythonManual": "python_manual",
    "SMSSpam": "sms_spam",
    "SST2": "sst2",
    "Series": "series",
    "StackedFashionMNIST": "stacked_fashion_mnist",
    "TREC": "trec",
    "Tabular": "tabular",
    "TextFile": "text_file",
    "TextLines": "text_lines",
    "UCR": "ucr",
    "USPS": "usps",
    "UnpairedImages": "unpaired_images",
    "UnpairedSets": "unpaired_images",
}
__all__ = list(_HOMES)  # read by name below


def __getattr__(name: str) -> object:
    """Import a datamodule when it is first asked for: `import datamodules` stays instant."""
    if name not in _HOMES:
        raise AttributeError(f"datamodules has no {name!r}: it has {', '.join(_HOMES)}")
    return getattr(importlib.import_module(f"datamodules.{_HOMES[name]}"), name)
