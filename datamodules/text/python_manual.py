"""Sentences of Python's own manual, labelled by topic: the default text set, which needs no network."""

import torch

from datamodules.text.base import TextData, Texts
from datamodules.text.manual import CLASS_NAMES, sentences


class PythonManual(TextData):
    """About 1,500 sentences of the manual that comes with Python: `test_fraction` is held out, then `val_fraction`.

    The wording changes a little with every version of Python, so compare only scores of the same version.
    """

    class_names = CLASS_NAMES
    num_classes = len(CLASS_NAMES)

    def read(self) -> Texts:
        texts, names = sentences()
        y = torch.tensor([CLASS_NAMES.index(name) for name in names])
        return Texts(texts, y, {"train": torch.arange(len(texts))}, type(self).__name__)
