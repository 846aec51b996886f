"""Any set of labelled pictures on the Hugging Face hub, by its name."""

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import torch

from datamodules.core.tables import class_names_of, classes, features, fetch_parts, schema
from datamodules.images.base import PictureData
from zoo.errors import ZooError


class Rows:
    """Encoded pictures in the column of tables that lie in memory, named by file and row."""

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
    """Pictures of any size from parquet files on the hub, or in a mirror of it under `ZOO_DATA`; kept in memory encoded.

    The columns are found from the files' schema: the one of type image, and the one of classes. Parts named train,
    validation and test are used as such; where only two exist, the one that is not for training is the test part. See
    `PictureData` for the rest.

    Args:
        source: the set's id, such as uoft-cs/cifar10.
        image: the column with the pictures, where the schema does not tell.
        label: the column with the classes: whole numbers or words.
        config: which of a repository's sets, by its folder.
        revision: a branch, tag or commit; most sets without parquet files of their own have them at refs/convert/parquet.

    Raises:
        MissingFileError: if the files can't be had.
        ZooError: if they hold no such columns.
    """

    def __init__(
        self,
        source: str | None = None,
        size: int = 224,
        image: str | None = None,
        label: str | None = None,
        config: str | None = None,
        revision: str = "main",
        rgb: bool = True,
        crop: float = 0.875,
        normalize: bool = True,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        batch_size: int = 32,
        num_workers: int = 2,
        min_area: float = 0.35,
        flip: bool = True,
        val_fraction: float = 0.1,
        test_fraction: float = 0.2,
        seed: int | None = None,
        split_seed: int = 0,
    ) -> None:
        super().__init__(
            size=size,
            rgb=rgb,
            crop=crop,
            normalize=normalize,
            mean=mean,
            std=std,
            batch_size=batch_size,
            num_workers=num_workers,
            min_area=min_area,
            flip=flip,
            val_fraction=val_fraction,
            test_fraction=test_fraction,
            seed=seed,
            split_seed=split_seed,
        )
        if source is None:
            raise ZooError("source is not given: name a set of pictures on the hub (--data.source OWNER/NAME)")
        paths = fetch_parts(source, revision, config)
        image, label = find_columns(paths["train"][0], image, label)
        tables, labels, rows, first = [], [], {}, 0
        for part, files in paths.items():
            columns = [_read(path, image, label) for path in files]
            tables += [(path.name, table[image]) for path, table in zip(files, columns, strict=True)]
            labels += [value for table in columns for value in table[label].to_pylist()]
            rows[part], first = torch.arange(first, len(labels)), len(labels)
        pictures, named = Rows(tables), class_names_of(paths["train"][0], label)
        y, names = classes(labels, named, label, pictures.name)
        if not named and (unseen := set(y.tolist()) - set(y[rows["train"]].tolist())):
            raise ZooError(f"{label} {names[min(unseen)]} is in no training picture: some sets hide their test part's")
        self.serve(pictures, y, names, rows)


def find_columns(path: Path, image: str | None, label: str | None) -> tuple[str, str]:
    """The columns of pictures and of classes, by the schema where they are not given.

    Raises:
        ZooError: if there are none, or several.
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
        if given is not None and given not in columns.names:
            raise ZooError(f"{path.name} has no column {given!r}: it has {', '.join(columns.names)}")
        if given is None and len(wanted[kind]) != 1:
            raise ZooError(
                f"{path.name} has {len(wanted[kind])} columns that could be the {kind}: choose one by data.{kind}, "
                f"it has {', '.join(columns.names)}"
            )
        chosen.append(given or wanted[kind][0])
    return chosen[0], chosen[1]


def _read(path: Path, image: str, label: str) -> pa.Table:
    if missing := {image, label} - set(schema(path).names):
        raise ZooError(f"{path.name} has no column {missing.pop()!r}: every part of a set needs its columns {image}, {label}")
    return pq.read_table(path, columns=[image, label])


def _holds_bytes(schema: pa.Schema, name: str) -> bool:
    kind = schema.field(name).type
    return pa.types.is_binary(kind) or (pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0)
