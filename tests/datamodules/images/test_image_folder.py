"""Folders of pictures: every layout, what is refused, and real ants and bees."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from datamodules import ImageFolder

Counts = dict[str, int]


def fill(folder: Path, counts: Counts, level: int = 0) -> Path:
    """So many small pictures per class, each of a grey of its own within the folder."""
    for name, num in counts.items():
        (folder / name).mkdir(parents=True)
        for i in range(num):
            Image.new("RGB", (6, 5), (level + i,) * 3).save(folder / name / f"{i:02}.png")
    return folder


def module(root: Path | str, **arguments: object) -> ImageFolder:
    return ImageFolder(**{"root": str(root), "size": 4, "num_workers": 0, "batch_size": 4, **arguments})


def parts(data: ImageFolder) -> dict[str, set[Path]]:
    """The files of each split; every one stands in a folder named as its class."""
    data.setup()
    found = {}
    for split, (_, rows) in data.splits.items():
        paths = [data.files.encoded(row) for row in rows.tolist()]
        assert [data.class_names[label] for label in data.y[rows].tolist()] == [path.parent.name for path in paths]
        found[split] = set(paths)
        assert len(found[split]) == len(paths)
    return found


def per_class(paths: set[Path]) -> Counts:
    names = [path.parent.name for path in paths]
    return {name: names.count(name) for name in sorted(set(names))}


def test_one_folder_is_split_per_class(tmp_path: Path) -> None:
    fill(tmp_path, {"dogs": 10, "cats": 20})
    data = module(tmp_path)
    assert (data.class_names, data.num_classes, data.input_shape) == (("cats", "dogs"), 2, (3, 4, 4))
    found = parts(data)
    assert {split: per_class(paths) for split, paths in found.items()} == {
        "train": {"cats": 14, "dogs": 7},
        "val": {"cats": 2, "dogs": 1},
        "test": {"cats": 4, "dogs": 2},
    }
    assert set.union(*found.values()) == set(tmp_path.rglob("*.png"))
    assert parts(module(tmp_path, seed=5)) == found
    assert parts(module(tmp_path, split_seed=5)) != found


@pytest.mark.parametrize(("train", "held"), [("train", "val"), ("train", "test"), ("training", "validation")])
def test_what_stands_beside_train_is_the_test_part(tmp_path: Path, train: str, held: str) -> None:
    fill(tmp_path / train, {"cats": 10, "dogs": 20})
    fill(tmp_path / held, {"cats": 3, "dogs": 4})
    found = parts(module(tmp_path, val_fraction=0.2))
    assert found["test"] == set((tmp_path / held).rglob("*.png"))
    assert found["train"] | found["val"] == set((tmp_path / train).rglob("*.png"))
    assert per_class(found["train"]) == {"cats": 8, "dogs": 16}
    assert per_class(found["val"]) == {"cats": 2, "dogs": 4}


def test_three_parts_are_what_their_names_say(tmp_path: Path) -> None:
    for part, num in {"train": 3, "valid": 2, "test": 1}.items():
        fill(tmp_path / part, {"cats": num, "dogs": num})
    found = parts(module(tmp_path))
    for part, folder in {"train": "train", "val": "valid", "test": "test"}.items():
        assert found[part] == set((tmp_path / folder).rglob("*.png"))


@pytest.mark.parametrize(
    ("train", "held"), [("Train", "Test"), ("TRAINING", "dev"), ("train", "Dev"), ("Train", "Testing"), ("train", "eval")]
)
def test_parts_are_known_by_their_usual_names_in_any_case(tmp_path: Path, train: str, held: str) -> None:
    fill(tmp_path / train, {"cats": 10, "dogs": 10})
    fill(tmp_path / held, {"cats": 3, "dogs": 3})
    data = module(tmp_path)
    assert data.class_names == ("cats", "dogs")
    assert parts(data)["test"] == set((tmp_path / held).rglob("*.png"))


def test_two_folders_for_one_part_are_refused(tmp_path: Path) -> None:
    for part in ("train", "dev", "val"):
        fill(tmp_path / part, {"cats": 2, "dogs": 2})
    with pytest.raises(ValueError, match=r"/dev and val both have a name of the val part: merge or rename them"):
        module(tmp_path)


def test_what_is_left_out_is_reported(tmp_path: Path) -> None:
    fill(tmp_path / "train", {"cats": 10, "dogs": 10})
    fill(tmp_path / "extra", {"cats": 1})
    for name in ("cats/a.heic", "cats/b.HEIC", "dogs/notes.txt", "dogs/.DS_Store"):
        (tmp_path / "train" / name).write_text("not for Pillow")
    data = module(tmp_path)
    data.setup()
    assert data.report() == [
        "ImageFolder: 14 train, 2 val, 4 test samples",
        "2 classes: cats (10), dogs (10)",
        f"left out of {tmp_path}: folders whose names are not those of a part: extra",
        f"left out of {tmp_path / 'train'}: files that Pillow does not read, by their endings: .heic (2), .txt (1)",
    ]


def test_the_report_is_short_whatever_is_left_out(tmp_path: Path) -> None:
    fill(tmp_path, {"cats": 2, "dogs": 2})
    for i in range(300):
        (tmp_path / "cats" / f"x.{i}").touch()
    (note,) = module(tmp_path).notes
    assert note.endswith(", ...")
    assert note.count("(1)") == 5


def test_a_class_whose_files_pillow_does_not_read_says_which(tmp_path: Path) -> None:
    fill(tmp_path, {"cats": 2, "dogs": 0})
    (tmp_path / "dogs" / "a.heic").touch()
    with pytest.raises(ValueError, match=r"/dogs holds no pictures: .*files that Pillow does not read.*: \.heic \(1\)"):
        module(tmp_path)


def test_names_that_are_not_utf8_are_escaped_and_read(tmp_path: Path) -> None:
    fill(tmp_path, {"cats": 4, "dogs": 4})
    (tmp_path / "cats").rename(tmp_path / os.fsdecode(b"caf\xe9"))
    data = module(tmp_path)
    assert data.class_names == ("caf\\xe9", "dogs")
    assert data.files.name(0) == f"{tmp_path}/caf\\xe9/00.png"
    data.setup()
    assert "\n".join(data.report()).encode("utf-8")
    assert len(list(data.train_dataloader())) == 1


def test_training_alone_is_split_like_one_folder(tmp_path: Path) -> None:
    fill(tmp_path / "train", {"cats": 10, "dogs": 10})
    assert {split: len(paths) for split, paths in parts(module(tmp_path)).items()} == {"train": 14, "val": 2, "test": 4}


def test_batches_hold_the_pictures_and_their_places(tmp_path: Path) -> None:
    fill(tmp_path / "train", {"cats": 4, "dogs": 4})
    fill(tmp_path / "test", {"cats": 3, "dogs": 3}, level=100)
    data = module(tmp_path, num_workers=2)
    data.setup()
    served = list(data.test_dataloader())
    x, y, position = (torch.cat(parts) for parts in zip(*served, strict=True))
    assert (x.dtype, x.shape) == (torch.uint8, (6, 3, 4, 4))
    assert x[:, 0, 0, 0].tolist() == [100, 101, 102, 100, 101, 102]
    assert y.tolist() == [0, 0, 0, 1, 1, 1]
    assert [data.files.name(place) for place in position.tolist()] == sorted(map(str, (tmp_path / "test").rglob("*.png")))


def test_training_sees_parts_in_every_epoch_others_and_evaluation_the_centre(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (2, 30, 20, 3), dtype=np.uint8)
    for name, picture in zip(("cats", "dogs"), pixels, strict=True):
        for part in ("train", "val", "test"):
            (tmp_path / part / name).mkdir(parents=True)
            Image.fromarray(picture).save(tmp_path / part / name / "0.png")
    data = module(tmp_path, num_workers=2, batch_size=2, size=8)
    data.setup()
    seen = []
    for epoch in (0, 1, 0):
        loader = data.train_dataloader()
        loader.sampler.set_epoch(epoch)
        batch = next(iter(loader))
        seen.append(batch.x[batch.y.argsort()])
    assert torch.equal(seen[0], seen[2])
    assert not torch.equal(seen[0], seen[1])
    val, test = next(iter(data.val_dataloader())).x, next(iter(data.test_dataloader())).x
    assert torch.equal(val, test)
    assert not torch.equal(seen[0], test)
    still = module(tmp_path, batch_size=2, size=8, min_area=1.0)
    still.setup()
    batch = next(iter(still.train_dataloader()))
    assert torch.equal(batch.x[batch.y.argsort()], test)


def test_folders_in_a_class_folder_belong_to_it_and_hidden_ones_to_none(tmp_path: Path) -> None:
    fill(tmp_path, {"cats/near/by": 2, "cats/far": 3, "dogs": 5, ".git": 2, "dogs/.ipynb_checkpoints": 2})
    (tmp_path / "dogs" / "._00.png").write_bytes(b"what macOS leaves")
    (tmp_path / "dogs" / "notes.txt").write_text("no picture, by its name")
    (tmp_path / "LICENSE").write_text("no folder")
    data = module(tmp_path)
    data.setup()
    assert data.class_names == ("cats", "dogs")
    assert torch.bincount(data.y).tolist() == [5, 5]
    assert not [row for row in range(len(data.files)) if "/." in str(data.files.encoded(row).relative_to(tmp_path))]


def test_a_data_set_in_a_hidden_folder_is_found(tmp_path: Path) -> None:
    data = module(fill(tmp_path / ".cache" / "pets", {"cats": 5, "dogs": 5}))
    assert len(data.files) == 10


def test_endings_may_be_of_any_case(tmp_path: Path) -> None:
    fill(tmp_path, {"cats": 2, "dogs": 2})
    (tmp_path / "cats" / "00.png").rename(tmp_path / "cats" / "00.PNG")
    Image.new("L", (3, 3)).save(tmp_path / "dogs" / "photo.JPG", "JPEG")
    assert torch.bincount(module(tmp_path).y).tolist() == [2, 3]


def test_a_root_may_be_relative_to_the_mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path / "mirror" / "pets", {"cats": 2, "dogs": 2})
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ZOO_DATA", str(tmp_path / "mirror"))
    assert len(module("pets").files) == 4
    fill(tmp_path / "pets", {"cats": 1, "dogs": 1})
    assert len(module("pets").files) == 2  # here comes first
    monkeypatch.delenv("ZOO_DATA")
    with pytest.raises(FileNotFoundError, match=r"no folder mirror/none, here or under ZOO_DATA \(not set\)"):
        module("mirror/none")


def test_a_root_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"root is not given: .*--data\.root FOLDER"):
        ImageFolder()
    with pytest.raises(FileNotFoundError, match=r"no folder .*/none, here or under ZOO_DATA .*: data\.root has to hold"):
        module(tmp_path / "none")


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        pytest.param({"cats": 2, "dogs": 0}, r"the class folder .*/dogs holds no pictures: fill or remove it", id="empty"),
        pytest.param({"cats": 2}, r"holds 1 class folder\(s\), expected two or more; .*zoo predict --images", id="one"),
        pytest.param({".cats": 2, "dogs": 2}, r"holds 1 class folder\(s\)", id="one and a hidden one"),
        pytest.param({}, r"holds 0 class folder\(s\)", id="none"),
        pytest.param({"train/cats": 2, "val/cats": 2}, r"/train holds 1 class folder\(s\)", id="one in two parts"),
        pytest.param(
            {"train/cats": 2, "train/dogs": 2, "val/cats": 2, "val/mice": 2},
            r"/val and .*/train hold other classes: dogs, mice is in one only",
            id="other classes",
        ),
        pytest.param(
            {"train/cats": 2, "train/dogs": 2, "val/cats": 2, "val/dogs": 2, "test/cats": 2, "test/dogs": 0},
            r"the class folder .*/test/dogs holds no pictures",
            id="empty in a part",
        ),
    ],
)
def test_refuses_folders_that_make_no_classes(tmp_path: Path, counts: Counts, message: str) -> None:
    fill(tmp_path, counts)
    with pytest.raises(ValueError, match=message):
        module(tmp_path)


def test_a_bad_picture_is_named_by_setup(tmp_path: Path) -> None:
    fill(tmp_path, {"cats": 3, "dogs": 3})
    (tmp_path / "dogs" / "01.png").write_bytes(b"")
    data = module(tmp_path)
    with pytest.raises(ValueError, match=r"^\S+/dogs/01\.png holds no readable picture \(it is empty\): repair or remove it$"):
        data.setup()


def test_too_few_pictures_to_split_are_refused(tmp_path: Path) -> None:
    data = module(fill(tmp_path, {"cats": 1, "dogs": 1}))
    with pytest.raises(ValueError, match="the class cats has 1 sample, too few for training and test and val"):
        data.setup()


def test_real_ants_and_bees(mirror: Path) -> None:
    data = ImageFolder(root="hymenoptera", num_workers=0)
    found = parts(data)
    assert data.class_names == ("ants", "bees")
    assert len(found["train"] | found["val"]) == len(found["train"]) + len(found["val"]) == 244
    assert len(found["test"]) == 153
    assert {path.relative_to(mirror / "hymenoptera").parts[0] for path in found["test"]} == {"val"}
    x = data.loader("test")
    batch = next(iter(x))
    assert (batch.x.shape, batch.x.dtype) == ((32, 3, 224, 224), torch.uint8)
    normalised = data.transform(batch, 0, False).x
    assert normalised.mean().abs() < 0.5  # pictures of the world, as ImageNet's are
    assert 0.7 < normalised.std() < 1.3


@pytest.mark.parametrize("name", ["val", "test"])
def test_a_held_out_folder_without_a_training_one_is_no_class(tmp_path: Path, name: str) -> None:
    for folder in ("cats", "dogs", name):
        (tmp_path / folder).mkdir()
        Image.new("RGB", (8, 8)).save(tmp_path / folder / "0.png")
    with pytest.raises(ValueError, match=rf"{name} stands without a folder train beside it"):
        ImageFolder(str(tmp_path))


def test_balanced_folders_are_served_equally_often(tmp_path: Path) -> None:
    fill(tmp_path, {"cats": 60, "dogs": 5})
    data = module(tmp_path, balance=True)
    data.setup()
    cats, dogs = torch.bincount(torch.cat([batch.y for batch in data.train_dataloader()])).tolist()
    assert cats + dogs == 44  # of 45 images, because the last batch of one is left out
    assert abs(cats - dogs) <= 2
    assert data.report()[2].endswith("training serves all classes equally often (data.balance)")


def test_a_class_with_too_few_images_for_every_part_is_named(tmp_path: Path) -> None:
    for name, num in {"ants": 20, "bees": 2}.items():
        (tmp_path / name).mkdir()
        for number in range(num):
            Image.new("RGB", (8, 8), (number, 0, 0)).save(tmp_path / name / f"{number}.png")
    with pytest.raises(ValueError, match=r"the class bees has 2 samples, too few for training and .*: add some"):
        ImageFolder(str(tmp_path), size=8).setup()


def test_the_number_of_training_images_is_known_before_they_are_read(tmp_path: Path) -> None:
    for name in ("ants", "bees"):
        (tmp_path / name).mkdir()
        for number in range(50):
            Image.new("RGB", (8, 8), (number, 0, 0)).save(tmp_path / name / f"{number}.png")
    data = ImageFolder(str(tmp_path), size=8, test_fraction=0.2, val_fraction=0.25)
    assert data.num_train_expected == 60
    data.setup()
    assert len(data.splits["train"].rows) == 60


@pytest.mark.parametrize("num", [10, 20])
def test_augmentation_may_follow_from_the_number_of_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, num: int) -> None:
    """With as many images as are enough, images change; with fewer, they do not. Settings override the rule."""
    monkeypatch.setattr("datamodules.images.augmentation.ENOUGH", 20)
    for part, size in {"train": num // 2, "val": 1, "test": 1}.items():
        fill(tmp_path / part, {"a": size, "b": size})
    data = module(tmp_path, augment="auto", flip=False, min_area=1.0)
    data.setup()
    batch = next(iter(data.loader("train")))
    changed = not torch.equal(data.transform(batch, 0, True).x, data.transform(batch, 0, False).x)
    assert changed == (num == 20)
    assert ("policy trivial_augment, erase 0.1" if changed else "augment auto: none") in "\n".join(data.report())
    chosen = module(tmp_path, augment={"erase": 1.0}).transform.augmentation
    assert chosen is not None
    assert (chosen.settings["erase"], chosen.settings["policy"]) == (1.0, "none")
    assert module(tmp_path).transform.augmentation is None
