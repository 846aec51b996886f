"""What the classic sets of texts share: known files, columns and classes, from the hub or a mirror of it."""

from pathlib import Path
from typing import ClassVar

import torch

from datamodules.core.sources import hub_file, mirrored
from datamodules.core.tables import class_names_of, classes, column, read_table, texts_of
from datamodules.text.base import TextData, Texts
from zoo.errors import ZooError


class TextSet(TextData):
    """A named set of texts; a subclass states its facts.

    A subclass states `repo` and `paths` on the hub, `columns` of text and class, and `class_names`; `revision` where the
    files do not stand on the main branch; `local` where a mirror holds the set under another name, in columns text and label.
    Where a file names its classes in another order than `class_names`, their numbers change to those of `class_names`.
    """

    repo: ClassVar[str]
    paths: ClassVar[tuple[tuple[str, str], ...]]  # part, path in the repository
    columns: ClassVar[tuple[str, str]] = ("text", "label")
    revision: ClassVar[str] = "main"
    local: ClassVar[str | None] = None

    def read(self) -> Texts:
        texts: list[str] = []
        parts, y = {}, []
        for part, filename in self.paths:
            local = None if self.local is None else mirrored(self.local, f"data/{part}-00000-of-00001.parquet")
            path, first = local or self._path(part, filename), len(texts)
            text, label = ("text", "label") if local else self.columns
            table = read_table(path)
            texts += texts_of(table, text, path)
            stated = class_names_of(path, label) if path.suffix == ".parquet" else []
            if stated and set(stated) != set(self.class_names):
                raise ZooError(
                    f"{path} names the classes {', '.join(stated)}, but {type(self).__name__} has {', '.join(self.class_names)}"
                )
            numbers, names = classes(
                column(table, label, path).to_pylist(), stated or self.class_names, label, f"row {{}} of {path.name}".format
            )
            y.append(torch.tensor([self.class_names.index(name) for name in names])[numbers])
            parts[part] = torch.arange(first, len(texts))
        return Texts(texts, torch.cat(y), parts, type(self).__name__)

    def _path(self, part: str, filename: str) -> Path:
        return hub_file(self.repo, filename, self.revision)
