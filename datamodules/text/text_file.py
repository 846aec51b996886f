"""Texts with classes in a file of your own."""

from pathlib import Path

from datamodules.core.sources import mirror, nearby
from datamodules.text import tokenization
from datamodules.text.base import Augment, TextData, Texts
from datamodules.text.hub_text import read_parts
from zoo.errors import MissingFileError, ZooError


class TextFile(TextData):
    """A CSV, TSV, JSON-lines or parquet file with a column of texts and one of classes; the first three in UTF-8.

    `test_fraction` is held out, per class, then `val_fraction` of the rest, unless files of their own are given. See
    `TextData` for the rest.

    Args:
        source: the file.
        val_source: a file to validate on.
        test_source: a file to test on.
        text: the column with the texts; found by itself where there is only one of strings.
        label: the column with the classes: whole numbers or words; found by itself under the usual names.

    Raises:
        MissingFileError: if there is no such file.
        ZooError: if it can't be read, or holds no such columns.
    """

    def __init__(
        self,
        source: str | None = None,
        val_source: str | None = None,
        test_source: str | None = None,
        text: str | None = None,
        label: str | None = None,
        batch_size: int = 32,
        tokenizer: tokenization.Kind = "word",
        vocab_size: int = 10_000,
        max_length: int = 64,
        lowercase: bool = True,
        min_frequency: int = 2,
        tokenizer_file: str | None = None,
        augment: Augment | None = None,
        num_train: int | None = None,
        val_fraction: float = 0.1,
        test_fraction: float = 0.2,
        seed: int | None = None,
        split_seed: int = 0,
    ) -> None:
        super().__init__(
            batch_size=batch_size,
            tokenizer=tokenizer,
            vocab_size=vocab_size,
            max_length=max_length,
            lowercase=lowercase,
            min_frequency=min_frequency,
            tokenizer_file=tokenizer_file,
            augment=augment,
            num_train=num_train,
            val_fraction=val_fraction,
            test_fraction=test_fraction,
            seed=seed,
            split_seed=split_seed,
        )
        if source is None:
            raise ZooError("source is not given: name a file of texts with their classes (--data.source FILE)")
        given = {"train": source, "val": val_source, "test": test_source}
        paths = {part: [find_file(path)] for part, path in given.items() if path is not None}
        self._found, names = read_parts(paths, text, label, source)
        self.class_names, self.num_classes = tuple(names), len(names)

    def read(self) -> Texts:
        return self._found


def find_file(name: str) -> Path:
    """A file by its path, also relative to the folder that `ZOO_DATA` names.

    Raises:
        MissingFileError: if there is none.
    """
    if path := nearby(name):
        return path
    raise MissingFileError(f"no file {name}, here or under ZOO_DATA ({mirror() or 'not set'}): give one of texts and classes")
