"""Any labelled set of images on the Hugging Face hub, by its name."""

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import torch

from datamodules.core.labelled_sets import (
    class_names_of,
    features,
    find_parts,
    number_classes,
    only_column,
    read_labels,
    sorted_classes,
)
from datamodules.core.sources import hub_file, hub_listing
from datamodules.core.table_files import check_columns, read_table, schema
from datamodules.images.augmentation import AugmentChoice
from datamodules.images.base import Interpolation, PictureData
from zoo.errors import ZooError


class Rows:
    """Encoded images in a column of tables in memory, named by file and row."""

    def __init__(self, tables: Sequence[tuple[str, pa.ChunkedArray]]) -> None:
        self.tables = list(tables)

    def __len__(self) -> int:
        return sum(len(column) for _, column in self.tables)

    def name(self, position: int) -> str:
        file, row, _ = self._find(position)
        return f"row {row} of {file}"

    def encoded(self, position: int) -> bytes:
        _, row, column = self._find(position)
        cell = column[row].as_py()
        return (cell["bytes"] if isinstance(cell, dict) else cell) or b""

    def _find(self, position: int) -> tuple[str, int, pa.ChunkedArray]:
        row = position
        for file, column in self.tables:
            if row < len(column):
                return file, row, column
            row -= len(column)
        raise IndexError(f"there is no picture {position}")


class HubImages(PictureData):
    """Images of any size from parquet files on the hub, or in a mirror of it under `ZOO_DATA`, kept in memory encoded.

    The columns of images and classes are found by the schema. Parts named train, validation and test are used as such. If only
    one part exists besides the training part, it is the test part. See `PictureData` for the other arguments.

    The constructor lists the files and reads the schema of the first training file, which it fetches. If the schema does not
    name the classes, the constructor also reads the column of classes in all training files. `prepare_data` fetches the rest.

    Args:
        source: id of the set, such as uoft-cs/cifar10.
        image: column of the images, if the schema is ambiguous.
        label: column of the classes: whole numbers or words.
        config: which of a repository's sets, by its folder.
        revision: a branch, tag or commit; most sets without parquet files of their own have them at refs/convert/parquet.

    Raises:
        MissingFileError: if the files are not available.
        ZooError: if they have no such columns.
    """

    def __init__(
        self,
        source: str | None = None,
        size: int | None = None,
        image: str | None = None,
        label: str | None = None,
        config: str | None = None,
        revision: str = "main",
        rgb: bool = True,
        crop: float | None = None,
        interpolation: Interpolation | None = None,
        normalize: bool = True,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        batch_size: int = 32,
        num_workers: int = 2,
        min_area: float = 0.35,
        flip: bool = True,
        balance: bool = False,
        val_fraction: float = 0.1,
        test_fraction: float = 0.2,
        seed: int | None = None,
        split_seed: int = 0,
        augment: AugmentChoice = None,
    ) -> None:
        super().__init__(
            size=size,
            rgb=rgb,
            crop=crop,
            interpolation=interpolation,
            normalize=normalize,
            mean=mean,
            std=std,
            batch_size=batch_size,
            num_workers=num_workers,
            min_area=min_area,
            flip=flip,
            balance=balance,
            val_fraction=val_fraction,
            test_fraction=test_fraction,
            seed=seed,
            split_seed=split_seed,
            augment=augment,
        )
        if source is None:
            raise ZooError("source is not given: name a set of pictures on the hub (--data.source OWNER/NAME)")
        self.source, self.revision = source, revision
        self.parts = find_parts(source, hub_listing(source, revision), config)
        first = self._path(self.parts["train"][0])
        self.image, self.label = find_columns(first, image, label)
        self._stated = class_names_of(first, self.label)
        self.class_names = tuple(self._stated) or sorted_classes(self._labels(self.parts["train"]))
        self.num_classes = len(self.class_names)

    def prepare_data(self) -> None:
        for name in (name for names in self.parts.values() for name in names):
            self._path(name)

    def setup(self, stage: str | None = None) -> None:
        if not self.splits:
            self.read()
            super().setup(stage)

    def read(self) -> None:
        """Read the encoded images and the classes of all parts into memory.

        Raises:
            ZooError: naming a missing column, a cell without a class, or a class that no training image has.
        """
        tables, rows, first = [], {}, 0
        labels: list[str] = []
        for part, names in self.parts.items():
            for path in map(self._path, names):
                tables.append((path.name, read_table(path, [self.image])[self.image]))
            labels += self._labels(names)
            rows[part], first = torch.arange(first, len(labels)), len(labels)
        files = Rows(tables)
        if unseen := set(labels) - set(self.class_names):
            raise ZooError(
                f"{self.label} {min(unseen)} is in no training picture: some sets hide the labels of their test part"
            )
        self.serve(files, number_classes(labels, self.class_names), list(self.class_names), rows)

    def _path(self, name: str) -> Path:
        return hub_file(self.source, name, self.revision)

    def _labels(self, names: Sequence[str]) -> list[str]:
        """Read the classes in files of the set, without their images. Each file's own schema names its classes."""
        return [label for path in map(self._path, names) for label in read_labels(path, self.label, self._stated)]


def find_columns(path: Path, image: str | None, label: str | None) -> tuple[str, str]:
    """Find the columns of images and of classes by the schema if they are not given.

    Raises:
        ZooError: if there is no such column, or if several qualify.
    """
    columns, types = schema(path), {name: feature.get("_type") for name, feature in features(path).items()}
    wanted = {
        "image": [name for name in columns.names if types.get(name) == "Image" or _holds_bytes(columns, name)],
        "label": [name for name in columns.names if types.get(name) == "ClassLabel"],
    }
    if not wanted["label"]:
        wanted["label"] = [name for name in ("label", "labels", "class", "target") if name in columns.names]
    chosen = []
    for kind, given in {"image": image, "label": label}.items():
        if given is not None:
            check_columns(columns.names, [given], path)
        chosen.append(only_column(wanted[kind], kind, columns.names, path) if given is None else given)
    return chosen[0], chosen[1]


def _holds_bytes(schema: pa.Schema, name: str) -> bool:
    kind = schema.field(name).type
    return pa.types.is_binary(kind) or (pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0)
