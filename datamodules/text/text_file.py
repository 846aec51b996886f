"""Labelled texts in a file of your own."""

from pathlib import Path

from datamodules.core.sources import mirror, nearby
from datamodules.text.base import Augment, TextData, Texts
from datamodules.text.labelled_texts import find_columns, read_class_names, read_texts
from datamodules.text.tokenization import TokenizerSettings
from zoo.errors import MissingFileError, ZooError


class TextFile(TextData):
    """A CSV, TSV, JSON-lines or parquet file with a column of texts and one of classes. The first three are UTF-8.

    `test_fraction` is held out, stratified by class, then `val_fraction` of the rest, unless `test_source` or `val_source` is
    given. See `TextData` for the other arguments. The constructor reads the names and types of the columns and the column of
    classes of `source`, because the file has no other place that names the classes.

    Args:
        source: the file.
        val_source: a file for validation.
        test_source: a file for the test.
        text: column of the texts; detected automatically if only one column holds strings.
        label: column of the classes, whole numbers or words; detected automatically if it has a usual name.

    Raises:
        MissingFileError: if there is no such file.
        ZooError: if the file cannot be read, or has no such columns.
    """

    classes_by_name = True

    def __init__(
        self,
        source: str | None = None,
        val_source: str | None = None,
        test_source: str | None = None,
        text: str | None = None,
        label: str | None = None,
        batch_size: int = 32,
        tokenizer: TokenizerSettings | None = None,
        max_length: int = 64,
        augment: Augment | None = None,
        num_train: int | None = None,
        balance: bool = False,
        val_fraction: float = 0.1,
        test_fraction: float = 0.2,
        seed: int | None = None,
        split_seed: int = 0,
    ) -> None:
        super().__init__(
            batch_size=batch_size,
            tokenizer=tokenizer,
            max_length=max_length,
            augment=augment,
            num_train=num_train,
            balance=balance,
            val_fraction=val_fraction,
            test_fraction=test_fraction,
            seed=seed,
            split_seed=split_seed,
        )
        if source is None:
            raise ZooError("source is not given: name a file of texts with their classes (--data.source FILE)")
        given = {"train": source, "val": val_source, "test": test_source}
        self.source = source
        self.paths = {part: [find_file(path)] for part, path in given.items() if path is not None}
        self.columns = find_columns(self.paths["train"][0], text, label)
        self.class_names = read_class_names(self.paths["train"], self.columns)
        self.num_classes = len(self.class_names)

    def read(self) -> Texts:
        return read_texts(self.paths, self.columns, self.class_names, self.source)


def find_file(name: str) -> Path:
    """Return the file at a path, or at this path below the folder that `ZOO_DATA` names.

    Raises:
        MissingFileError: if neither exists.
    """
    if path := nearby(name):
        return path
    raise MissingFileError(f"no file {name}, here or under ZOO_DATA ({mirror() or 'not set'}): give one of texts and classes")
