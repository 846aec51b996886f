"""Pairs side by side: which half is which, both moved as one, split without a leak, refused where they are none."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from datamodules import PairedImages


def write(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels.astype(np.uint8)).save(path)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Noise to the left, half as light to the right; of 20 to learn from and 5 to test."""
    rng = np.random.default_rng(0)
    for part, num in (("train", 20), ("test", 5)):
        for number in range(num):
            x = 2 * rng.integers(0, 128, (8, 8, 3))
            write(tmp_path / part / f"{number:02d}.png", np.hstack([x, x // 2]))
    return tmp_path


def module(root: Path, **arguments: Any) -> PairedImages:
    data = PairedImages(str(root), **{"size": 8, "batch_size": 5, "seed": 0, **arguments})
    data.setup()
    return data


def batch(data: PairedImages, split: str = "train", epoch: int = 0, train: bool = True) -> Any:
    return data.transform(next(iter(data.loader(split))), epoch, train)


def halved(x: Tensor) -> Tensor:
    return (255 * x).round() // 2


@pytest.mark.parametrize("arguments", [{"flip": False}, {"flip": True}, {"flip": True, "jitter": 4}])
def test_both_move_as_one(root: Path, arguments: dict[str, Any]) -> None:
    """Whatever is cut and mirrored, y is still half of x, but for the rounding of a resize."""
    data = module(root, **arguments)
    for epoch in range(3):
        found = batch(data, epoch=epoch)
        assert found.x.shape == found.y.shape == (5, 3, 8, 8)
        assert ((255 * found.y).round() - halved(found.x)).abs().max() <= 1


def test_direction_says_which_half_is_x(root: Path) -> None:
    there, back = (batch(module(root, direction=way), "test", train=False) for way in ("left_to_right", "right_to_left"))
    assert torch.equal(there.x, back.y)
    assert torch.equal(there.y, back.x)
    assert there.x.mean() > 1.5 * there.y.mean()


def test_half_are_mirrored_and_it_is_a_function_of_seed_epoch_and_place(root: Path) -> None:
    data, plain = module(root, batch_size=20), module(root, batch_size=20, flip=False)
    mirrored = []
    for epoch in range(20):
        x, still = batch(data, epoch=epoch).x, batch(plain, epoch=epoch).x
        one_by_one = [data.transform(type(b)(*b), epoch, True).x for b in parts(data)]
        assert torch.equal(torch.cat(one_by_one), x)  # the same in batches of one
        same = (x == still).flatten(1).all(1)
        assert torch.equal(x[~same], still[~same].flip(3))
        mirrored.append((~same).float().mean())
    assert torch.stack(mirrored).mean() == pytest.approx(0.5, abs=0.1)
    other = module(root, batch_size=20, seed=1)
    served, its = next(iter(data.loader("train"))), other.transform
    assert not torch.equal(its(served, 0, True).x, data.transform(served, 0, True).x)


def parts(data: PairedImages) -> list[Any]:
    whole = next(iter(data.loader("train")))
    return [type(whole)(*(value[row : row + 1] for value in whole)) for row in range(len(whole.x))]


def test_evaluation_moves_nothing(root: Path) -> None:
    data = module(root, jitter=4)
    for split in ("val", "test"):
        first, second = (batch(data, split, epoch=epoch, train=False) for epoch in (0, 1))
        assert torch.equal(first.x, second.x)
    x = np.asarray(Image.open(root / "test" / "00.png"))[:, :8]
    assert torch.equal((255 * first.x[0]).round().byte(), torch.from_numpy(x.copy()).movedim(-1, 0))
    larger = data.transform(next(iter(data.loader("train"))), 0, False)  # what callbacks see of the training part
    assert larger.x.shape[2:] == (8, 8)
    smaller = module(root, size=4, jitter=4, flip=False)  # whole 8x8 pictures, each pixel of 4x4 the mean of about four
    seen = batch(smaller, train=False)
    whole = smaller.splits["train"].arrays.x[seen.position].float() / 255
    torch.testing.assert_close(seen.x.mean((2, 3)), whole.mean((2, 3)), rtol=0, atol=0.04)


def test_validation_is_held_out(root: Path) -> None:
    data = module(root, val_fraction=0.25)
    train, val = data.splits["train"].rows.tolist(), data.splits["val"].rows.tolist()
    assert (len(train), len(val)) == (15, 5)
    assert sorted(train + val) == list(range(20))
    assert len(data.splits["test"].rows) == 5


def test_three_parts_are_used_as_named(root: Path) -> None:
    (root / "val").mkdir()
    (root / "train" / "00.png").rename(root / "val" / "00.png")
    assert {name: len(split.rows) for name, split in module(root).splits.items()} == {"train": 19, "val": 1, "test": 5}


def test_a_lone_validation_part_is_the_test(root: Path) -> None:
    (root / "test").rename(root / "val")
    assert {name: len(split.rows) for name, split in module(root).splits.items()} == {"train": 18, "val": 2, "test": 5}


def test_grey_and_resized(root: Path) -> None:
    data = module(root, size=4, rgb=False)
    assert batch(data).x.shape == (5, 1, 4, 4)
    assert data.input_shape == (1, 4, 4)


def test_a_file_of_odd_width_is_named(root: Path) -> None:
    write(root / "test" / "odd.png", np.zeros((8, 15, 3)))
    with pytest.raises(ValueError, match=r"odd.png is 15 pixels wide, which cannot be cut into two equal halves"):
        module(root)


def test_a_part_without_pictures_is_named(root: Path) -> None:
    for path in (root / "test").iterdir():
        path.unlink()
    with pytest.raises(ValueError, match="test holds no pictures: fill it"):
        module(root)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"direction": "up"}, "unknown direction 'up': choose one of left_to_right, right_to_left"),
        ({"size": 0}, "size must be at least 1 pixel and jitter at least 0, got 0 and 0"),
        ({"jitter": -1}, "jitter at least 0, got 8 and -1"),
        ({"root": None}, "root is not given"),
    ],
)
def test_bad_arguments_are_refused(root: Path, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PairedImages(**{"root": str(root), "size": 8, **arguments})


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"data.root has to hold train/ and test/ with pairs of pictures"):
        PairedImages(str(tmp_path / "nowhere"))
    with pytest.raises(ValueError, match="holds no part: expected train/ and test/, or train/ and val/"):
        PairedImages(str(tmp_path))


def test_what_is_left_out_is_reported(root: Path) -> None:
    (root / "extra").mkdir()
    (root / "train" / "a.heic").touch()
    data = module(root)
    assert data.report() == [
        "PairedImages: 18 train, 2 val, 5 test samples",
        f"left out of {root}: folders whose names are not those of a part: extra",
        f"left out of {root / 'train'}: files that Pillow does not read, by their endings: .heic (1)",
    ]
