"""Any set of texts with classes on the Hugging Face hub, by its name."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import torch

from datamodules.core.tables import class_names_of, classes, column, fetch_parts, read_table, texts_of
from datamodules.text import tokenization
from datamodules.text.base import Augment, TextData, Texts
from zoo.errors import ZooError


class HubText(TextData):
    """Texts from parquet, JSON-lines or CSV files on the hub, or in a mirror of it under `ZOO_DATA`.

    The columns are found from the schema: the one of strings, and the one of classes. Parts named train, validation and
    test are used as such; where only two exist, the one that is not for training is the test part. See `TextData` for the rest.

    Args:
        source: the set's id, such as SetFit/sst2.
        text: the column with the texts, where the schema does not tell.
        label: the column with the classes: whole numbers or words.
        config: which of a repository's sets, by its folder.
        revision: a branch, tag or commit.

    Raises:
        MissingFileError: if the files can't be had.
        ZooError: if they hold no such columns.
    """

    def __init__(
        self,
        source: str | None = None,
        text: str | None = None,
        label: str | None = None,
        config: str | None = None,
        revision: str = "main",
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
            raise ZooError("source is not given: name a set of texts on the hub (--data.source OWNER/NAME)")
        paths = fetch_parts(source, revision, config, (".parquet", ".jsonl", ".csv", ".tsv"))
        self._found, names = read_parts(paths, text, label, source)
        self.class_names, self.num_classes = tuple(names), len(names)

    def read(self) -> Texts:
        return self._found


def read_parts(
    paths: Mapping[str, Sequence[Path]], text: str | None, label: str | None, source: str
) -> tuple[Texts, list[str]]:
    """All texts in the files of each part, and the names of their classes.

    Raises:
        ZooError: naming a column that is not there, an empty cell, or a class that no training text has.
    """
    texts: list[str] = []
    labels: list[object] = []
    places: list[str] = []
    parts = {}
    first_path = paths["train"][0]
    tables = {path: read_table(path) for files in paths.values() for path in files}
    text, label = find_text_columns(tables[first_path], first_path, text, label)
    for part, files in paths.items():
        first = len(texts)
        for path in files:
            cells = texts_of(tables[path], text, path)
            labels += column(tables[path], label, path).to_pylist()
            texts += cells
            places += [f"row {row} of {path.name}" for row in range(len(cells))]
        parts[part] = torch.arange(first, len(texts))
    if not len(parts["train"]):
        raise ZooError(f"{source} has no text for training: {first_path.name} has a header at most")
    names = class_names_of(first_path, label) if first_path.suffix == ".parquet" else []
    y, found = classes(labels, names, label, places.__getitem__)
    if unseen := set(y.tolist()) - set(y[parts["train"]].tolist()):
        where = places[(y == min(unseen)).nonzero()[0, 0]]
        raise ZooError(f"{label} {found[min(unseen)]!r} of {where} is in no training text: mend it, or leave the row out")
    return Texts(texts, y, parts, source), _worded(tables[first_path], label, found)


def find_text_columns(table: pa.Table, path: Path, text: str | None, label: str | None) -> tuple[str, str]:
    """The columns of texts and of classes, by name and type where they are not given.

    Raises:
        ZooError: if there are none, or several.
    """
    names = table.column_names
    if label is None:
        usual = [name for name in ("label", "labels", "class", "target", "category") if name in names]
        label = _only(usual, "label", names, path)
    if text is None:
        kinds = {name: table.schema.field(name).type for name in names if name not in (label, f"{label}_text")}
        strings = [name for name, kind in kinds.items() if pa.types.is_string(kind) or pa.types.is_large_string(kind)]
        text = "text" if "text" in strings else _only(strings, "text", names, path)
    for name in (text, label):
        column(table, name, path)
    return text, label


def _only(candidates: list[str], kind: str, names: list[str], path: Path) -> str:
    if len(candidates) != 1:
        raise ZooError(
            f"{path.name} has {len(candidates)} columns that could be the {kind}: choose one by data.{kind}, "
            f"it has {', '.join(names)}"
        )
    return candidates[0]


def _worded(table: pa.Table, label: str, found: list[str]) -> list[str]:
    """The words for numbered classes, where a column such as label_text has them."""
    if f"{label}_text" not in table.column_names:
        return found
    numbers, words = (table[name].to_pylist() for name in (label, f"{label}_text"))
    pairs = {str(number): str(word) for number, word in zip(numbers, words, strict=True)}
    return [pairs.get(name, name) for name in found] if len(set(pairs.values())) == len(found) else found
