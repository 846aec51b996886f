"""Data sets for training: one file per kind of data, in rooms for images, texts, series and tables."""

import importlib
import os
from typing import TYPE_CHECKING

# Set before torch is imported: idle OpenMP threads sleep instead of spinning, unless the user's environment says otherwise.
# Spinning makes training 10 to 50 times slower beside another busy process (https://gcc.gnu.org/onlinedocs/libgomp/OMP_005fWAIT_005fPOLICY.html).
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

if TYPE_CHECKING:
    from datamodules.images.cifar10 import CIFAR10 as CIFAR10
    from datamodules.images.colour_mnist import ColourMNIST as ColourMNIST
    from datamodules.images.digits import Digits as Digits
    from datamodules.images.fashion_mnist import FashionMNIST as FashionMNIST
    from datamodules.images.hub_images import HubImages as HubImages
    from datamodules.images.image_files import ImageFiles as ImageFiles
    from datamodules.images.image_folder import ImageFolder as ImageFolder
    from datamodules.images.mnist import MNIST as MNIST
    from datamodules.images.omniglot import Omniglot as Omniglot
    from datamodules.images.paired_images import PairedImages as PairedImages
    from datamodules.images.rows import DigitRows as DigitRows
    from datamodules.images.rows import FashionMNISTRows as FashionMNISTRows
    from datamodules.images.stacked_fashion_mnist import StackedFashionMNIST as StackedFashionMNIST
    from datamodules.images.unpaired_images import UnpairedImages as UnpairedImages
    from datamodules.images.unpaired_images import UnpairedSets as UnpairedSets
    from datamodules.images.usps import USPS as USPS
    from datamodules.series.adding import Adding as Adding
    from datamodules.series.series import Series as Series
    from datamodules.series.ucr import UCR as UCR
    from datamodules.tables.gaussian_mixture import GaussianMixture as GaussianMixture
    from datamodules.tables.tabular import Tabular as Tabular
    from datamodules.text.ag_news import AGNews as AGNews
    from datamodules.text.char_text import CharText as CharText
    from datamodules.text.hub_text import HubText as HubText
    from datamodules.text.imdb import IMDb as IMDb
    from datamodules.text.names import Names as Names
    from datamodules.text.python_manual import PythonManual as PythonManual
    from datamodules.text.sms_spam import SMSSpam as SMSSpam
    from datamodules.text.sst2 import SST2 as SST2
    from datamodules.text.text_file import TextFile as TextFile
    from datamodules.text.text_lines import TextLines as TextLines
    from datamodules.text.trec import TREC as TREC

HOMES = {
    "AGNews": "text.ag_news",
    "Adding": "series.adding",
    "CIFAR10": "images.cifar10",
    "CharText": "text.char_text",
    "ColourMNIST": "images.colour_mnist",
    "DigitRows": "images.rows",
    "Digits": "images.digits",
    "FashionMNIST": "images.fashion_mnist",
    "FashionMNISTRows": "images.rows",
    "GaussianMixture": "tables.gaussian_mixture",
    "HubImages": "images.hub_images",
    "HubText": "text.hub_text",
    "IMDb": "text.imdb",
    "ImageFiles": "images.image_files",
    "ImageFolder": "images.image_folder",
    "MNIST": "images.mnist",
    "Names": "text.names",
    "Omniglot": "images.omniglot",
    "PairedImages": "images.paired_images",
    "PythonManual": "text.python_manual",
    "SMSSpam": "text.sms_spam",
    "SST2": "text.sst2",
    "Series": "series.series",
    "StackedFashionMNIST": "images.stacked_fashion_mnist",
    "TREC": "text.trec",
    "Tabular": "tables.tabular",
    "TextFile": "text.text_file",
    "TextLines": "text.text_lines",
    "UCR": "series.ucr",
    "USPS": "images.usps",
    "UnpairedImages": "images.unpaired_images",
    "UnpairedSets": "images.unpaired_images",
}
__all__ = list(HOMES)  # `__getattr__` imports these names on demand.


def __getattr__(name: str) -> object:
    """Import a datamodule on first use, so that `import datamodules` stays fast."""
    if name not in HOMES:
        raise AttributeError(f"datamodules has no {name!r}: it has {', '.join(HOMES)}")
    return getattr(importlib.import_module(f"datamodules.{HOMES[name]}"), name)
