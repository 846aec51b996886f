"""Omniglot: the real images, and that no class is in two splits."""

import io
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from datamodules import Omniglot
from datamodules.images.omniglot import ALPHABETS, BACKGROUND, EVALUATION


@pytest.fixture
def omniglot(mirror: Path) -> Omniglot:
    data = Omniglot()
    data.setup()
    return data


def test_names_and_numbers_of_classes_are_those_in_the_files(mirror: Path) -> None:
    first = 0
    for part, num_alphabets in (("background", 30), ("evaluation", 20)):
        table = pq.read_table(
            mirror / f"omniglot/data/{part}-00000-of-00001.parquet", columns=["alphabet", "character", "label"]
        )
        rows = set(zip(*(table[name].to_pylist() for name in ("alphabet", "character", "label")), strict=True))
        for alphabet, character, label in rows:
            assert Omniglot.class_names[first + label] == character
            assert Omniglot.alphabets[Omniglot.alphabet[first + label]] == alphabet
        assert len({alphabet for alphabet, _, _ in rows}) == num_alphabets
        first += len(rows)
    assert first == Omniglot.num_classes == len(set(Omniglot.class_names)) == 1623
    assert (sum(BACKGROUND.values()), sum(EVALUATION.values()), len(ALPHABETS)) == (964, 659, 50)


def test_every_class_has_twenty_images_in_one_split(omniglot: Omniglot) -> None:
    classes = {}
    for split, (arrays, rows) in omniglot.splits.items():
        counts = torch.bincount(arrays.y[rows], minlength=1623)
        assert set(counts.tolist()) == {0, 20}
        classes[split] = set(counts.nonzero()[:, 0].tolist())
    assert [len(classes["test"]), len(classes["train"]) + len(classes["val"])] == [659, 964]
    assert not classes["train"] & classes["val"]
    assert not classes["test"] & (classes["train"] | classes["val"])


def test_whole_alphabets_validate(omniglot: Omniglot) -> None:
    alphabets = {split: set(omniglot.alphabet[arrays.y[rows]].tolist()) for split, (arrays, rows) in omniglot.splits.items()}
    assert [len(alphabets[split]) for split in ("train", "val", "test")] == [25, 5, 20]
    assert alphabets["train"] | alphabets["val"] == set(range(30))
    (note,) = omniglot.notes
    assert all(omniglot.alphabets[place] in note for place in alphabets["val"])


def test_the_split_depends_on_its_own_seed(mirror: Path, omniglot: Omniglot) -> None:
    def validating(**arguments: int) -> set[int]:
        data = Omniglot(**arguments)
        data.setup()
        return set(data.alphabet[data.splits["val"].arrays.y[data.splits["val"].rows]].tolist())

    usual = validating()
    assert usual == validating(seed=7)
    assert usual != validating(split_seed=1)
    assert len(validating(val_alphabets=2)) == 2
    assert Omniglot(val_alphabets=2).state_dict()["split"] == {"split_seed": 0, "val_alphabets": 2}


def test_images_are_inverted_and_resized_as_pillow_does(mirror: Path, omniglot: Omniglot) -> None:
    table = pq.read_table(mirror / "omniglot/data/evaluation-00000-of-00001.parquet", columns=["image"])
    for row in (0, 999, 13_179):
        picture = Image.open(io.BytesIO(table["image"][row].as_py()["bytes"])).convert("L")
        small = Image.eval(picture, lambda value: 255 - value).resize((28, 28), Image.Resampling.BILINEAR)
        x = omniglot.splits["test"].arrays.x[row, 0]
        assert (x.int() - torch.from_numpy(np.array(small)).int()).abs().max() <= 1


def test_mean_and_deviation_are_those_of_the_background(omniglot: Omniglot) -> None:
    x = omniglot.splits["train"].arrays.x.double() / 255
    assert x.mean().item() == pytest.approx(omniglot.mean[0], abs=1e-4)
    assert x.std(correction=0).item() == pytest.approx(omniglot.std[0], abs=1e-4)


def test_rotated_characters_are_classes_of_their_own(mirror: Path, omniglot: Omniglot) -> None:
    data = Omniglot(rotated_classes=True)
    data.setup()
    (x, y, _), rows = data.splits["train"]
    plain = omniglot.splits["train"]
    num = len(plain.rows)
    assert (len(rows), len(rows.unique()), data.num_classes) == (4 * num, 4 * num, 4 * 1623)
    for times in range(4):
        part = rows[times * num : (times + 1) * num]
        assert y[part].equal(plain.arrays.y[plain.rows] + 1623 * times)
        assert x[part].equal(torch.rot90(plain.arrays.x[plain.rows], times, (2, 3)))
    assert data.class_names[1623 * 2 + 5] == f"{omniglot.class_names[5]} (180 degrees)"
    assert data.alphabet.equal(omniglot.alphabet.repeat(4))
    for split in ("val", "test"):  # only training is extended
        assert data.splits[split].rows.equal(omniglot.splits[split].rows)
        assert data.splits[split].arrays.y.equal(omniglot.splits[split].arrays.y)


def test_without_a_mirror_the_way_out_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ZOO_DATA", raising=False)
    with pytest.raises(FileNotFoundError, match=r"no omniglot/data/background-.*the hub has no such set; make it from"):
        Omniglot().prepare_data()


@pytest.mark.parametrize("num", [0, 30])
def test_refuses_a_split_without_training_or_validation(num: int) -> None:
    with pytest.raises(ValueError, match=rf"val_alphabets must lie in 1..29, got {num}"):
        Omniglot(val_alphabets=num)
