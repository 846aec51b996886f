"""Images in folders, one folder per class."""

from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path

import torch
from PIL import Image

from datamodules.core.files import readable_name
from datamodules.core.sources import mirror, nearby
from datamodules.core.splits import without_lone_validation
from datamodules.images.augmentation import AugmentChoice
from datamodules.images.base import Interpolation, PictureData
from zoo.errors import MissingFileError, ZooError

_PARTS = {  # usual names of folders, in lower case
    "train": ("train", "training"),
    "val": ("val", "valid", "validation", "dev"),
    "test": ("test", "testing", "eval"),
}
_SHOWN = 5  # names that a line lists


class Paths:
    """Image files, named by their paths."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self.paths = list(paths)

    def __len__(self) -> int:
        return len(self.paths)

    def name(self, position: int) -> str:
        return readable_name(self.paths[position])

    def encoded(self, position: int) -> Path:
        return self.paths[position]


class ImageFolder(PictureData):
    """Images under `root`/<class>/, or under `root`/train/<class>/ and also `root`/test/<class>/ or `root`/val/<class>/.

    Parts may also be called training, valid, validation, dev, testing or eval, in any case. Three parts are used as their
    names say. If only one part exists beside `train`, it is the test part, and `val_fraction` of the training part is held out
    for validation, so that the test images choose nothing. See `PictureData` for the other arguments. The constructor lists the
    folders; images are opened in `setup` and later.

    Raises:
        MissingFileError: if there is no such folder.
        ZooError: if there are no class folders, if one of them holds no images, or if the parts have different classes.
    """

    def __init__(
        self,
        root: str | None = None,
        size: int | None = None,
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
        if root is None:
            raise ZooError("root is not given: name the folder with a folder of pictures per class (--data.root FOLDER)")
        folder = find_folder(root)
        parts = part_folders(folder)
        if parts and "train" not in parts:
            alone = next(iter(parts.values()))
            raise ZooError(f"{alone} stands without a folder train beside it: add one, or rename {alone.name}")
        parts = without_lone_validation(parts or {"train": folder})
        names = class_folders(parts["train"])
        paths: list[Path] = []
        labels: list[int] = []
        rows = {}
        for part, path in parts.items():
            if other := set(class_folders(path)) ^ set(names):
                raise ZooError(f"{path} and {parts['train']} hold other classes: {', '.join(sorted(other))} is in one only")
            first = len(paths)
            for label, name in enumerate(names):
                pictures = picture_paths(path / name)
                if not pictures:
                    reasons = "; ".join(["", *other_files(path / name)])
                    raise ZooError(f"the class folder {path / name} holds no pictures: fill or remove it{reasons}")
                paths += pictures
                labels += [label] * len(pictures)
            rows[part] = torch.arange(first, len(paths))
        self.notes += left_out(folder, parts.values())
        self.serve(Paths(paths), torch.tensor(labels), [readable_name(name) for name in names], rows)


def find_folder(root: str, holds: str = "class folders") -> Path:
    """Return the folder at a path, or at this path below the folder that `ZOO_DATA` names.

    Raises:
        MissingFileError: if neither exists, saying what the folder has to hold.
    """
    if folder := nearby(root, Path.is_dir):
        return folder
    raise MissingFileError(f"no folder {root}, here or under ZOO_DATA ({mirror() or 'not set'}): data.root has to hold {holds}")


def part_folders(folder: Path) -> dict[str, Path]:
    """Find the folders of "train", "val" and "test" in a folder, by their usual names in any case.

    Raises:
        ZooError: if two folders could be the same part.
    """
    parts: dict[str, Path] = {}
    for path in visible_folders(folder):
        for part in (part for part, names in _PARTS.items() if path.name.lower() in names):
            if part in parts:
                raise ZooError(f"{parts[part]} and {path.name} both have a name of the {part} part: merge or rename them")
            parts[part] = path
    return {part: parts[part] for part in _PARTS if part in parts}


def class_folders(folder: Path) -> list[str]:
    """Return the names of the folders in a folder, sorted, without hidden ones.

    Raises:
        ZooError: if there are fewer than two.
    """
    names = [path.name for path in visible_folders(folder)]
    if len(names) < 2:
        raise ZooError(
            f"{folder} holds {len(names)} class folder(s), expected two or more; "
            "for pictures without classes, zoo predict --images FOLDER"
        )
    return names


def visible_folders(folder: Path) -> list[Path]:
    """List the folders in a folder, sorted, without hidden ones."""
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def picture_paths(folder: Path) -> list[Path]:
    """List the images in a folder and its subfolders, sorted, by the endings that Pillow knows; hidden files are left out."""
    return [path for path in _visible_files(folder) if _is_picture(path)]


def other_files(folder: Path) -> list[str]:
    """Return a line about the files in a folder and its subfolders that Pillow cannot read by their endings, or no line."""
    endings = Counter(path.suffix.lower() or "no ending" for path in _visible_files(folder) if not _is_picture(path))
    if not endings:
        return []
    shown = ", ".join(f"{readable_name(ending)} ({num})" for ending, num in endings.most_common(_SHOWN))
    more = ", ..." if len(endings) > _SHOWN else ""
    return [f"left out of {readable_name(folder)}: files that Pillow does not read, by their endings: {shown}{more}"]


def left_out(folder: Path, parts: Collection[Path]) -> list[str]:
    """Describe what a folder holds that its `parts` do not use: other folders, and files that are not images."""
    unused = [path.name for path in visible_folders(folder) if path not in parts] if folder not in parts else []
    shown = ", ".join(map(readable_name, unused[:_SHOWN])) + (", ..." if len(unused) > _SHOWN else "")
    beside = [f"left out of {readable_name(folder)}: folders whose names are not those of a part: {shown}"] if unused else []
    return beside + [line for part in parts for line in other_files(part)]


def _visible_files(folder: Path) -> list[Path]:
    paths = (path for path in folder.rglob("*") if path.is_file())
    return sorted(path for path in paths if not any(part.startswith(".") for part in path.relative_to(folder).parts))


def _is_picture(path: Path) -> bool:
    Image.init()
    return path.suffix.lower() in Image.EXTENSION
