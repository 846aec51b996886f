"""`zoo show RECIPE --batch` draws the inputs of the network."""

import re
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
import yaml
from matplotlib.figure import Figure
from PIL import Image
from tokenizers import Tokenizer
from tokenizers.models import WordLevel

from datamodules import Digits
from datamodules.core.base import Arrays, DataModule
from datamodules.core.batch import Batch, SequenceBatch
from datamodules.images.transform import ImageTransform
from zoo.cli.main import main
from zoo.cli.show import as_pixels, captions_of, series_figure
from zoo.tasks.drawing import grid


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


def test_it_is_written_into_a_directory_of_its_own_and_shows_no_more_than_four_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["show", "mlp_digits", "--batch"]) == 0
    (path,) = (path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file())
    assert path.match("runs/mlp_digits/*/batch.png")
    assert pixels(path).shape == (4 * 180, 8 * 160, 3)
    assert capsys.readouterr().out.endswith(f"wrote {path}\n")


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
        (["mlp_wine", "--batch"], 2, "mlp_wine has inputs of shape (13,): only images, texts and series are shown"),
        (["mlp_digits", "--batch", "--data.shift", "-1"], 1, "shift must be 0 or more pixels"),
        (["mlp_digits", "--batch", "--data.shft", "1"], 2, "no setting data.shft: did you mean 'shift'?"),
        (["mlp_digit", "--batch"], 2, "did you mean 'mlp_digits'?"),
        (["mlp_digits", "--data.shift", "1"], 2, "show does not take '--data.shift'"),
        (["mlp_digits"], 2, "--output needs --batch"),
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
    assert f"{tmp_path / name} is not the name of an image file" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_mirrored_pictures_are_seen_mirrored(colours: Path, tmp_path: Path) -> None:
    """Images that are bright on the left, 16 in two rows."""
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


@pytest.mark.parametrize(("recipe", "num"), [("pix2pix_facades", 8), ("cyclegan_mnist_usps", 8)])
@pytest.mark.usefixtures("mirror")
def test_two_domains_stand_side_by_side(recipe: str, num: int, tmp_path: Path) -> None:
    """Four inputs and four targets in one row; x and y differ."""
    assert main(["show", recipe, "--batch", "-o", str(tmp_path / "batch.png"), "--data.batch_size", "4"]) == 0
    cells = np.split(pixels(tmp_path / "batch.png"), num, axis=1)
    assert cells[0].shape[1] == 160
    assert all(np.abs(x - y).mean() > 5 for x, y in zip(cells[::2], cells[1::2], strict=True))


def test_workers_decode_the_same_batch(colours: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in "02":
        arguments = ["--data.num_workers", number, "-o", str(tmp_path / f"{number}.png")]
        assert main(["show", str(colours), "--batch", *arguments]) == 0
        assert "(8, 3, 16, 16), values" in capsys.readouterr().out
    assert np.array_equal(pixels(tmp_path / "0.png"), pixels(tmp_path / "2.png"))


class Shouts(DataModule):
    """Texts of one to five words; training puts the first word in capitals."""

    input_shape, num_classes, class_names, vocab_size = (5,), 2, ("calm", "angry"), 12

    def __init__(self, tokenizer: bool = True) -> None:
        super().__init__(batch_size=20, test_fraction=0.2)
        if tokenizer:
            words = ["<pad>", *(f"word{token}" for token in range(1, 11)), "HEY"]
            self.tokenizer = Tokenizer(WordLevel({word: token for token, word in enumerate(words)}, unk_token="<pad>"))

    def load(self, part: Literal["train", "test"]) -> Arrays:
        lengths = torch.arange(50) % 5 + 1
        x = torch.randint(1, 11, (50, 5), generator=torch.Generator().manual_seed(0))
        return Arrays(x * (torch.arange(5) < lengths[:, None]), torch.arange(50) % 2, lengths)

    def transform(self, batch: SequenceBatch, epoch: int, train: bool) -> SequenceBatch:
        return batch._replace(x=torch.cat([torch.full_like(batch.x[:, :1], 11), batch.x[:, 1:]], 1)) if train else batch


class Waves(DataModule):
    """Series of up to 40 steps in two channels, with classes, or with `num_targets` numbers as targets."""

    input_shape = (40, 2)

    def __init__(self, num_targets: int | None = None) -> None:
        super().__init__(batch_size=10, test_fraction=0.2)
        self.num_targets = num_targets
        if num_targets is None:
            self.num_classes, self.class_names = 2, ("slow", "fast")

    def load(self, part: Literal["train", "test"]) -> Arrays:
        y = torch.arange(50) % 2
        lengths = 20 + torch.arange(50) % 21
        step = torch.arange(40)[None, :, None]
        x = torch.sin((0.2 + 0.6 * y[:, None, None]) * step + torch.tensor([0.0, 1.0])) * (step < lengths[:, None, None])
        return Arrays(x, y if self.num_targets is None else torch.arange(50 * self.num_targets).view(50, -1) / 4, lengths)

    def transform(self, batch: SequenceBatch, epoch: int, train: bool) -> SequenceBatch:
        return batch._replace(x=10 * batch.x) if train else batch


def recipe(folder: Path, monkeypatch: pytest.MonkeyPatch, data: type[DataModule], **arguments: object) -> str:
    """Write a recipe for the classes in this file."""
    monkeypatch.setenv("ZOO_IMPORTS", __name__)
    model = "zoo.rnn.rnn.RNNRegressor" if arguments.get("num_targets") else "zoo.rnn.rnn.RNNClassifier"
    settings = {"model": {"class_path": model}, "data": {"class_path": f"{__name__}.{data.__name__}", "init_args": arguments}}
    (folder / "mine.yaml").write_text(yaml.safe_dump({**settings, "trainer": {"precision": "32-true"}}))
    return str(folder / "mine.yaml")


def first_batch(data: DataModule) -> SequenceBatch:
    data.setup()
    return data.transform(next(iter(data.train_dataloader())), 0, True)


@pytest.mark.parametrize("tokenizer", [True, False], ids=["words", "numbers"])
def test_texts_are_printed_token_by_token_as_they_are_trained_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tokenizer: bool
) -> None:
    shown = recipe(tmp_path, monkeypatch, Shouts, tokenizer=tokenizer)
    assert main(["show", shown, "--batch", "-o", str(tmp_path / "folder" / "b.png")]) == 2
    assert "are texts, which are printed: leave --output out" in capsys.readouterr().err
    assert main(["show", shown, "--batch"]) == 0
    lines = capsys.readouterr().out.splitlines()
    batch = first_batch(Shouts(tokenizer))
    assert lines[0] == f"(20, {batch.x.shape[1]}), tokens 0 to 11"
    assert len(lines) == 9
    for line, x, length, y in zip(lines[1:], batch.x, batch.lengths.tolist(), batch.y.tolist(), strict=False):
        tokens = x[:length].tolist()
        words = ["HEY" if tokenizer else "11", *(f"word{token}" if tokenizer else str(token) for token in tokens[1:])]
        count = "1 token" if length == 1 else f"{length} tokens"
        assert line == f"{('calm', 'angry')[y]} ({count}): {' '.join(words)}"
    assert [path.name for path in tmp_path.iterdir()] == ["mine.yaml"]  # nothing is drawn


@pytest.mark.parametrize("num_targets", [None, 6])
def test_series_are_drawn_as_they_are_trained_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, num_targets: int | None
) -> None:
    shown = recipe(tmp_path, monkeypatch, Waves, num_targets=num_targets)
    assert main(["show", shown, "--batch", "-o", str(tmp_path / "b.png")]) == 0
    data = Waves(num_targets)
    batch = first_batch(data)
    series_figure(batch, data.class_names).savefig(tmp_path / "a.png")
    assert np.abs(pixels(tmp_path / "b.png") - pixels(tmp_path / "a.png")).max() <= 2
    counted = torch.cat([x[:length] for x, length in zip(batch.x, batch.lengths.tolist(), strict=True)])  # not the padding
    out = capsys.readouterr().out.splitlines()
    assert out[0].startswith(f"{tuple(batch.x.shape)}, values {counted.min():.2f} to {counted.max():.2f}")
    assert out[0].endswith(f"mean {counted.mean():.2f}, deviation {counted.std():.2f}")


def test_a_panel_per_series_and_a_line_per_channel(tmp_path: Path) -> None:
    batch = first_batch(Waves())
    figure = series_figure(batch, ("slow", "fast"), most=7)
    assert [axes.axison for axes in figure.axes] == [*[True] * 7, False]
    for axes, x, length, y in zip(figure.axes, batch.x, batch.lengths.tolist(), batch.y.tolist(), strict=False):
        if axes.axison:
            assert axes.get_title() == ("slow", "fast")[y]
            assert [np.array_equal(line.get_ydata(), x[:length, c]) for c, line in enumerate(axes.lines)] == [True, True]
    series_figure(batch, ("$5%$", "$x_{$")).savefig(tmp_path / "formulas.png")  # names are text, not formulas
    alone = series_figure(SequenceBatch(*(value[:1] for value in batch)), ("slow", "fast"))
    assert len(alone.axes) == 1


def test_targets_are_numbers_and_long_ones_are_cut() -> None:
    assert captions_of(torch.tensor([[0.123456, 2.0], [3000.0, -1.5]]), ()) == ["0.123, 2", "3e+03, -1.5"]
    assert captions_of(torch.arange(12.0).view(2, 3, 2), ()) == ["0, 1, 2, 3, …", "6, 7, 8, 9, …"]
    assert captions_of(torch.tensor([1, 0]), ("a", "b")) == ["b", "a"]


def test_mixed_images_show_the_share_of_each_class(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    captions: list[str] = []

    def keep(images: list[np.ndarray], texts: list[str], wrong: list[bool]) -> Figure:
        captions.extend(texts)
        return Figure()

    monkeypatch.setattr("zoo.cli.show.grid", keep)
    arguments = ["show", "simple_cnn_digits", "--batch", "-o", str(tmp_path / "batch.png")]
    assert main([*arguments, "--data.augment.cutmix", "1.0", "--data.augment.cutout", "2"]) == 0
    assert len(captions) == 32
    assert all(re.fullmatch(r"\d|\d+% \d \(\d+% \d\)", caption) for caption in captions)
    assert sum("%" in caption for caption in captions) > 20
