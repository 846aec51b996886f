"""Any labelled set of texts on the Hugging Face hub, by its name."""

from pathlib import Path

from datamodules.core.labelled_sets import find_parts
from datamodules.core.sources import hub_file, hub_listing
from datamodules.text.base import Augment, TextData, Texts
from datamodules.text.labelled_texts import find_columns, read_class_names, read_texts
from datamodules.text.tokenization import TokenizerSettings
from zoo.errors import ZooError


class HubText(TextData):
    """Texts from parquet, JSON-lines or CSV files on the hub, or in a mirror of it under `ZOO_DATA`.

    The columns of texts and classes are found by the schema. Parts named train, validation and test are used as such. If only
    one part exists besides the training part, it is the test part. See `TextData` for the other arguments.

    The constructor lists the files and reads the schema of the first training file, which it fetches. If the schema does not
    name the classes, the constructor also reads the column of classes in all training files. `prepare_data` fetches the rest.

    Args:
        source: id of the set, such as SetFit/sst2.
        text: column of the texts, if the schema is ambiguous.
        label: column of the classes: whole numbers or words.
        config: which of a repository's sets, by its folder.
        revision: a branch, tag or commit.

    Raises:
        MissingFileError: if the files are not available.
        ZooError: if they have no such columns.
    """

    classes_by_name = True

    def __init__(
        self,
        source: str | None = None,
        text: str | None = None,
        label: str | None = None,
        config: str | None = None,
        revision: str = "main",
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
            raise ZooError("source is not given: name a set of texts on the hub (--data.source OWNER/NAME)")
        self.source, self.revision = source, revision
        self.parts = find_parts(source, hub_listing(source, revision), config, (".parquet", ".jsonl", ".csv", ".tsv"))
        self.columns = find_columns(self._path(self.parts["train"][0]), text, label)
        self.class_names = read_class_names([self._path(name) for name in self.parts["train"]], self.columns)
        self.num_classes = len(self.class_names)

    def prepare_data(self) -> None:
        self._paths()

    def read(self) -> Texts:
        return read_texts(self._paths(), self.columns, self.class_names, self.source)

    def _paths(self) -> dict[str, list[Path]]:
        return {part: list(map(self._path, names)) for part, names in self.parts.items()}

    def _path(self, name: str) -> Path:
        return hub_file(self.source, name, self.revision)
