"""Base class of the classic text sets: files, columns and classes are known, files come from the hub or a mirror of it."""

from pathlib import Path
from typing import ClassVar

import torch

from datamodules.core.labelled_sets import class_names_of, number_classes, read_labels
from datamodules.core.sources import hub_file, mirrored
from datamodules.core.table_files import read_table, texts_of
from datamodules.text.base import TextData, Texts
from zoo.errors import ZooError


class TextSet(TextData):
    """A text set whose facts a subclass states.

    These are `repo` and `paths` on the hub, `columns` of text and class, and `class_names`; also `revision` if the files are
    not on the main branch, and `local` if a mirror has the set under another name with columns text and label. If a file names
    its classes in another order than `class_names`, labels are renumbered to the order of `class_names`.
    """

    repo: ClassVar[str]
    paths: ClassVar[tuple[tuple[str, str], ...]]  # part, path in the repository
    columns: ClassVar[tuple[str, str]] = ("text", "label")
    revision: ClassVar[str] = "main"
    local: ClassVar[str | None] = None

    def prepare_data(self) -> None:
        for part, filename in self.paths:
            if self._local(part) is None:
                self.path(part, filename)

    def read(self) -> Texts:
        texts: list[str] = []
        labels: list[str] = []
        parts = {}
        for part, filename in self.paths:
            local = self._local(part)
            path, first = local or self.path(part, filename), len(texts)
            text, label = ("text", "label") if local else self.columns
            texts += texts_of(read_table(path), text, path)
            stated = class_names_of(path, label)
            if stated and set(stated) != set(self.class_names):
                raise ZooError(
                    f"{path} names the classes {', '.join(stated)}, but {type(self).__name__} has {', '.join(self.class_names)}"
                )
            labels += read_labels(path, label, self.class_names)
            parts[part] = torch.arange(first, len(texts))
        return Texts(texts, number_classes(labels, self.class_names), parts, type(self).__name__)

    def path(self, part: str, filename: str) -> Path:
        """Return a file of the repository, fetched if necessary."""
        return hub_file(self.repo, filename, self.revision)

    def _local(self, part: str) -> Path | None:
        return None if self.local is None else mirrored(self.local, f"data/{part}-00000-of-00001.parquet")
