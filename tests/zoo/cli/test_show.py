"""`zoo show RECIPE --batch`: what is drawn is what the network is fed."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from datamodules import Digits
from datamodules.batch import Batch
from datamodules.images import ImageTransform
from zoo.callbacks.images import grid
from zoo.cli.main import main
from zoo.cli.show import as_pixels


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        assert picture.format == "PNG"
        return np.asarray(picture.convert("RGB")).astype(int)


@pytest.mark.parametrize("num_channels", [1, 3])
def test_as_pixels_undoes_the_normalisation(num_channels: int) -> None:
    mean, std = (0.2, 0.5, 0.7)[:num_channels], (0.1, 0.3, 0.5)[:num_channels]
    x = torch.randint(256, (4, num_channels, 5, 6), dtype=torch.uint8)
    batch = ImageTransform(mean, std)(Batch(x, torch.zeros(4), torch.arange(4)), 0, False)
    for before, after in zip(x, batch.x, strict=True):
        shown = as_pixels(after, mean, std)
        expected = before[0] if num_channels == 1 else before.movedim(0, -1)
        torch.testing.assert_close(shown, expected / 255, atol=1e-6, rtol=0)


def test_the_first_batch_is_drawn_under_its_classes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", "mlp_digits", "--batch", "--data.batch_size", "12", "-o", str(tmp_path / "new" / "b.png")]) == 0
    data = Digits(batch_size=12)
    data.setup()
    batch = next(iter(data.train_dataloader()))
    grid([x[0].numpy() / 255 for x in batch.x], [str(y) for y in batch.y.tolist()], [False] * 12).savefig(tmp_path / "a.png")
    assert np.abs(pixels(tmp_path / "new" / "b.png") - pixels(tmp_path / "a.png")).max() <= 2  # a level's rounding
    out = capsys.readouterr().out
    assert "(12, 1, 8, 8), values -0.81 to 1.85" in out  # ink from 0 to 1, less 0.3053, by 0.3759
    assert out.endswith(f"wrote {tmp_path}/new/b.png\n")


def test_it_is_written_where_one_stands_and_shows_no_more_than_four_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["show", "mlp_digits", "--batch"]) == 0
    assert pixels(tmp_path / "mlp_digits_batch.png").shape == (4 * 180, 8 * 160, 3)
    assert [path.name for path in tmp_path.iterdir()] == ["mlp_digits_batch.png"]  # no run directory


def test_augmentation_shows(tmp_path: Path) -> None:
    shown = []
    for shift in "02":
        path = tmp_path / f"{shift}.png"
        assert main(["show", "mlp_digits", "--batch", "--data.shift", shift, "-o", str(path)]) == 0
        shown.append(pixels(path))
    assert shown[0].shape == shown[1].shape
    assert (shown[0] != shown[1]).mean() > 0.05


@pytest.mark.parametrize(
    ("arguments", "code", "hint"),
    [
        (["mlp_wine", "--batch"], 2, "mlp_wine has inputs of shape (13,), which are no pictures"),
        (["mlp_digits", "--batch", "--data.shift", "-1"], 1, "shift must be 0 or more pixels"),
        (["mlp_digits", "--batch", "--data.shft", "1"], 2, "no setting data.shft: did you mean 'shift'?"),
        (["mlp_digit", "--batch"], 2, "did you mean 'mlp_digits'?"),
        (["mlp_digits", "--data.shift", "1"], 2, "show does not take '--data.shift'"),
        (["mlp_digits"], 2, "--output is for --batch"),
    ],
    ids=["a table", "a bad value", "no such setting", "no such recipe", "settings without --batch", "-o without --batch"],
)
def test_what_cannot_be_drawn_leaves_nothing(
    arguments: list[str], code: int, hint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["show", *arguments, "-o", str(tmp_path / "folder" / "b.png")]) == code
    assert hint in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["batch.txt", "batch"])
def test_a_file_of_no_picture_format_is_refused(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", "mlp_digits", "--batch", "-o", str(tmp_path / name)]) == 2
    assert f"{tmp_path / name} names no format of pictures" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_mirrored_pictures_are_seen_mirrored(colours: Path, tmp_path: Path) -> None:
    """Pictures that are bright on their left, 16 in two rows."""
    for i in range(40):
        half = np.zeros((16, 16), dtype=np.uint8)
        half[:, :8] = 255
        path = tmp_path / "pictures" / "ab"[i % 2] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(half).save(path)

    def bright_on_the_left(flip: str) -> set[bool]:
        data = ["--data.root", str(tmp_path / "pictures"), "--data.batch_size", "16", "--data.flip", flip]
        assert main(["show", str(colours), "--batch", "-o", str(tmp_path / "batch.png"), *data]) == 0
        cells = [cell for row in np.split(pixels(tmp_path / "batch.png"), 2) for cell in np.split(row, 8, axis=1)]
        return {bool(cell[:, :80].mean() > cell[:, 80:].mean()) for cell in cells}

    assert bright_on_the_left("false") == {True}
    assert bright_on_the_left("true") == {True, False}


def test_workers_decode_the_same_batch(colours: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in "02":
        arguments = ["--data.num_workers", number, "-o", str(tmp_path / f"{number}.png")]
        assert main(["show", str(colours), "--batch", *arguments]) == 0
        assert "(8, 3, 16, 16), values" in capsys.readouterr().out
    assert np.array_equal(pixels(tmp_path / "0.png"), pixels(tmp_path / "2.png"))
