"""Loose pictures: a folder, a folder of folders, one file."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from datamodules import ImageFiles, ImageFolder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Five pictures in nested folders, beside what is none."""
    pixels = np.random.default_rng(0).integers(0, 256, (5, 9, 12, 3), dtype=np.uint8)
    for name, picture in zip(("b", "a", "deep/er/c", "deep/d", "z"), pixels, strict=True):
        path = tmp_path / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(path)
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / ".hidden.png").write_bytes(b"no picture")
    (tmp_path / ".thumbnails").mkdir()
    (tmp_path / ".thumbnails" / "a.png").write_bytes(b"no picture")
    return tmp_path


def test_every_picture_is_served_once_in_order(folder: Path) -> None:
    data = ImageFiles(str(folder), class_names=("cat", "dog"), size=4, batch_size=2)
    assert (data.class_names, data.num_classes, data.input_shape) == (("cat", "dog"), 2, (3, 4, 4))
    data.setup()
    served = list(data.predict_dataloader())
    assert [len(batch.y) for batch in served] == [2, 2, 1]
    names = [data.files.name(place) for batch in served for place in batch.position.tolist()]
    assert names == [str(folder / f"{name}.png") for name in ("a", "b", "deep/d", "deep/er/c", "z")]
    assert {label for batch in served for label in batch.y.tolist()} == {-1}  # nobody knows


def test_one_file_whatever_its_ending(folder: Path) -> None:
    path = (folder / "a.png").rename(folder / "upload")
    data = ImageFiles(str(path), size=4)
    data.setup()
    assert [data.files.name(place) for place in range(len(data.files))] == [str(path)]


def test_pictures_are_prepared_as_for_evaluation(folder: Path) -> None:
    arguments = {"size": 6, "crop": 0.7, "rgb": False, "mean": [0.3], "std": [0.2], "num_workers": 0}
    for part in ("train", "val", "test"):
        for name in ("cats", "dogs"):
            (folder / "sorted" / part / name).mkdir(parents=True)
            shutil.copy(folder / "a.png", folder / "sorted" / part / name)
    known, loose = ImageFolder(str(folder / "sorted"), **arguments), ImageFiles(str(folder / "a.png"), **arguments)
    pictures = []
    for data in (known, loose):
        data.setup()
        batch = next(iter(data.test_dataloader()))
        pictures.append(data.transform(batch, 0, False).x[0])
    assert torch.equal(*pictures)


def test_pictures_are_made_binary_as_in_the_training(folder: Path) -> None:
    path = folder / "grey.png"
    Image.fromarray(np.array([[0, 127], [128, 255]], dtype=np.uint8)).save(path)
    data = ImageFiles(str(path), size=2, rgb=False, crop=1.0, mean=[0.0], std=[1.0], binarize="threshold")
    data.setup()
    assert data.transform(next(iter(data.predict_dataloader())), 0, False).x.flatten().tolist() == [0, 0, 1, 1]


def test_what_is_not_there_is_named(folder: Path) -> None:
    with pytest.raises(ValueError, match="root is not given: name a picture or a folder"):
        ImageFiles()
    for root in (folder / "none", folder / "notes", folder / ".thumbnails" / "none"):
        with pytest.raises(FileNotFoundError, match=f"no pictures at {root}: name a picture"):
            ImageFiles(str(root))
    (folder / "empty").mkdir()
    (folder / "empty" / "notes.txt").write_text("no picture")
    with pytest.raises(FileNotFoundError, match=r"no pictures at .*/empty"):
        ImageFiles(str(folder / "empty"))


def test_what_is_no_picture_is_named(folder: Path) -> None:
    data = ImageFiles(str(folder / "notes.txt"), size=4)
    with pytest.raises(
        ValueError, match=r"^\S+/notes\.txt holds no readable picture \(it is not an image\): repair or remove it$"
    ):
        data.setup()
