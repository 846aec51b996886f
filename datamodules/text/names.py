"""Names: surnames, labelled by their language, one of 18 (Robertson, 2017, a PyTorch tutorial)."""

from pathlib import Path

from datamodules.core.sources import mirror, mirrored
from datamodules.text.text_set import TextSet
from zoo.errors import MissingFileError


class Names(TextSet):
    """20,050 surnames without an official split, 47 % of them Russian. Use a tokenizer of kind "char".

    `test_fraction` is held out by class, then `val_fraction` of the rest. Some names belong to several languages, so no model
    can classify all of them.
    """

    repo = "names"
    paths = (("train", "data/train-00000-of-00001.parquet"),)
    class_names = (
        *("Arabic", "Chinese", "Czech", "Dutch", "English", "French", "German", "Greek", "Irish"),
        *("Italian", "Japanese", "Korean", "Polish", "Portuguese", "Russian", "Scottish", "Spanish", "Vietnamese"),
    )
    num_classes = 18

    def path(self, part: str, filename: str) -> Path:
        path = mirrored(self.repo, filename)
        if path is None:
            raise MissingFileError(
                f"no {self.repo}/{filename} under ZOO_DATA ({mirror() or 'not set'}): the hub has no such set; make it from "
                "https://download.pytorch.org/tutorial/data.zip, with the columns text and label"
            )
        return path
