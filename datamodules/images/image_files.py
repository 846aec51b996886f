"""Images without classes, for predictions of a trained model."""

from collections.abc import Sequence
from pathlib import Path

import torch

from datamodules.images.base import Interpolation, PictureData
from datamodules.images.image_folder import Paths, other_files, picture_paths
from datamodules.images.transform import Binarize
from zoo.errors import MissingFileError, ZooError


class ImageFiles(PictureData):
    """The images in a folder and its subfolders, or one image, prepared as the training images of a model.

    Args:
        root: the folder or the file.
        class_names: names of the model's classes.
        binarize: as for the training images. See `PictureData` for the other arguments.

    Raises:
        MissingFileError: if there is no such folder, or no image in it.
        ZooError: in `setup`, naming the images that cannot be read.
    """

    def __init__(
        self,
        root: str | None = None,
        class_names: Sequence[str] = (),
        size: int = 224,
        rgb: bool = True,
        crop: float = 0.875,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        squeeze: bool = False,
        interpolation: Interpolation | None = None,
        binarize: Binarize | None = None,
        batch_size: int = 32,
        num_workers: int = 0,
    ) -> None:
        super().__init__(
            size=size,
            rgb=rgb,
            crop=crop,
            normalize=binarize is None,
            mean=mean,
            std=std,
            squeeze=squeeze,
            interpolation=interpolation,
            binarize=binarize,
            batch_size=batch_size,
            num_workers=num_workers,
        )
        if root is None:
            raise ZooError("root is not given: name a picture or a folder of pictures")
        folder = Path(root)
        paths = [folder] if folder.is_file() else picture_paths(folder) if folder.is_dir() else []
        self.notes += other_files(folder) if folder.is_dir() else []
        if not paths:
            raise MissingFileError(f"no pictures at {root}: name a picture, or a folder of pictures")
        self.serve(Paths(paths), torch.full((len(paths),), -1), class_names, {"test": torch.arange(len(paths))})
