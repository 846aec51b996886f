"""`zoo predict --images` and `--text` prepare files exactly as the test split of the model."""

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning import Trainer
from PIL import Image

import zoo
from datamodules import Digits
from zoo.cli.main import main
from zoo.mlp.mlp import MLPClassifier
from zoo.pretrained.published import published
from zoo.training.checkpoint import AtomicCheckpointIO, read_checkpoint

COLOURS = {"blue": (70, 80, 180), "red": (180, 80, 70)}
# only the middle tells the class, so that a picture prepared in another way is another picture
RECIPE = """\
model:
  class_path: zoo.SimpleCNNClassifier
  init_args: {{widths: [8, 8], lr: 0.01}}
data:
  class_path: datamodules.ImageFolder
  init_args:
    {{root: '{root}', size: 32, crop: 0.5, mean: [0.3, 0.4, 0.5], std: [0.2, 0.3, 0.25], batch_size: 8, num_workers: 0,
     flip: false, min_area: 1.0}}
trainer: {{max_epochs: 3, precision: 32-true}}
"""


# read in no default way: capitals count, seven words do, and rare ones are unknown
REVIEWS = """\
model:
  class_path: zoo.RNNClassifier
  init_args: {{embed_dim: 8, hidden_dim: 8, pooling: max, lr: 0.03}}
data:
  class_path: datamodules.TextFile
  init_args:
    source: '{source}'
    tokenizer: {{lowercase: false, vocab_size: 40, min_frequency: 3}}
    max_length: 7
    batch_size: 4
trainer: {{max_epochs: 1, precision: 32-true}}
"""


def draw(path: Path, colour: str, generator: np.random.Generator) -> None:
    """Draw a noisy spot of one colour on the other colour, wider than high."""
    (other,) = COLOURS.keys() - {colour}
    pixels = np.full((48, 72, 3), COLOURS[other])
    pixels[10:38, 22:50] = COLOURS[colour]
    pixels = pixels + generator.integers(-60, 60, pixels.shape) + generator.integers(-40, 40, 3)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path)


def read(path: Path) -> dict[str, dict[str, str]]:
    """Read a table of predictions by file name."""
    return {Path(row["file"]).name: row for row in csv.DictReader(path.read_text().splitlines())}


def answers(folder: Path) -> list[dict[str, str]]:
    """Read a table of predictions in its order."""
    limit = csv.field_size_limit(2**31 - 1)  # a text may be longer than the default of 131,072 characters
    try:
        with (folder / "predictions" / "predict.csv").open(newline="") as file:
            return list(csv.DictReader(file))
    finally:
        csv.field_size_limit(limit)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A run that learned to tell red from blue, and its images, which were moved afterwards."""
    folder, generator = tmp_path_factory.mktemp("red-and-blue"), np.random.default_rng(0)
    for number in range(30):
        for colour in COLOURS:
            draw(folder / "found" / colour / f"{colour}{number}.jpg", colour, generator)
    (folder / "mine.yaml").write_text(RECIPE.format(root=folder / "found"))
    assert main(["fit", "-c", str(folder / "mine.yaml"), "--run_dir", str(folder / "run")]) == 0
    (folder / "found").rename(folder / "pictures")
    return folder / "run", folder / "pictures"


@pytest.fixture
def best(trained: tuple[Path, Path]) -> str:
    return str(trained[0] / "checkpoints" / "best.ckpt")


@pytest.fixture
def pictures(trained: tuple[Path, Path]) -> Path:
    return trained[1]


def test_every_picture_of_all_folders_gets_its_class(best: str, pictures: Path, tmp_path: Path) -> None:
    assert main(["predict", "--ckpt_path", best, "--images", str(pictures), "--run_dir", str(tmp_path)]) == 0
    path = tmp_path / "predictions" / "predict.csv"
    assert path.read_text().splitlines()[0] == "file,position,prediction,confidence,p_blue,p_red"
    rows = read(path)
    assert len(rows) == 60
    assert all(row["prediction"] == name.strip("0123456789.jpg") for name, row in rows.items())
    assert all(Path(row["file"]).is_file() and 0.5 <= float(row["confidence"]) <= 1 for row in rows.values())


def test_pictures_are_prepared_as_those_of_the_test_split_were(trained: tuple[Path, Path], best: str, tmp_path: Path) -> None:
    """Size, crop, colour and normalisation come from the checkpoint: equal images get equal confidence."""
    run, pictures = trained
    assert main(["predict", "--ckpt_path", best, "--images", str(pictures), "--run_dir", str(tmp_path)]) == 0
    tested, predicted = read(run / "predictions" / "test.csv"), read(tmp_path / "predictions" / "predict.csv")
    assert len(tested) == 12
    assert len({row["confidence"] for row in tested.values()}) > 6  # not all are sure, or nothing would be seen
    for name, row in tested.items():
        assert predicted[name]["prediction"] == row["prediction"]
        assert float(predicted[name]["confidence"]) == pytest.approx(float(row["confidence"]), abs=2e-4)


def test_one_picture_will_do_and_its_answer_is_printed(
    trained: tuple[Path, Path], best: str, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = pictures / "red" / "red7.jpg"
    assert main(["predict", "--ckpt_path", best, "--images", str(one)]) == 0
    written = trained[0] / "predictions" / "predict.csv"  # beside what else is known of the run
    (row,) = read(written).values()
    lines = capsys.readouterr().out.splitlines()
    assert f"{one}  red  {float(row['confidence']):.1%}" in lines
    assert lines[-1] == f"predictions  {written}"


@pytest.mark.parametrize("share", [0.0, 0.02, 0.6])
def test_a_picture_that_cannot_be_read_is_named_and_leaves_no_table(
    share: float, best: str, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = (pictures / "red" / "red1.jpg").read_bytes()
    for name, part in {"a.jpg": 1.0, "cut.jpg": share, "z.jpg": 1.0}.items():
        path = tmp_path / "new" / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content[: int(part * len(content))])
    run = tmp_path / "run"
    assert main(["predict", "--ckpt_path", best, "--images", str(tmp_path / "new"), "--run_dir", str(run)]) == 1
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("zoo:")]
    assert f"{tmp_path}/new/cut.jpg holds no readable picture" in line
    assert not list(run.rglob("*.*"))


def test_what_is_left_out_is_said(best: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    draw(tmp_path / "mine" / "a.png", "red", np.random.default_rng(0))
    (tmp_path / "mine" / "b.heic").touch()
    arguments = ["--images", str(tmp_path / "mine"), "--run_dir", str(tmp_path)]
    assert main(["predict", "--ckpt_path", best, *arguments]) == 0
    assert "files that Pillow does not read, by their endings: .heic (1)\n" in capsys.readouterr().out


def test_a_folder_without_pictures_is_named(best: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for nowhere in (tmp_path, tmp_path / "lost"):
        assert main(["predict", "--ckpt_path", best, "--images", str(nowhere), "--run_dir", str(tmp_path / "run")]) == 1
        assert f"no pictures at {nowhere}:" in capsys.readouterr().err.splitlines()[-1]


def test_an_exported_file_says_the_same(best: str, pictures: Path, tmp_path: Path) -> None:
    exported = tmp_path / "model.safetensors"
    assert main(["export", best, "--format", "safetensors", "-o", str(exported)]) == 0
    for number, checkpoint in enumerate((best, str(exported))):
        run = str(tmp_path / str(number))
        assert main(["predict", "--ckpt_path", checkpoint, "--images", str(pictures / "red"), "--run_dir", run]) == 0
    first, second = (tmp_path / name / "predictions" / "predict.csv" for name in "01")
    assert first.read_text() == second.read_text()


@pytest.mark.parametrize("name", published())
def test_published_weights_answer_to_their_name(name: str, tmp_path: Path) -> None:
    facts = read_checkpoint(Path(zoo.__file__).parent / "pretrained" / "weights" / f"{name}.safetensors")["data"]
    if "tokenizer_json" in facts:
        option, path = "--text", tmp_path / "any.txt"
        path.write_text("WINNER! Claim your prize\n")
    else:
        option, path = "--images", tmp_path / "any.png"
        draw(path, "red", np.random.default_rng(0))  # turned grey, and as small as the network wants it
    assert main(["predict", "--ckpt_path", name, option, str(path), "--run_dir", str(tmp_path / "run")]) == 0
    (row,) = answers(tmp_path / "run")
    assert row["prediction"] in facts["class_names"]


@pytest.mark.parametrize("option", ["--images", "--text"])
@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        ([], "predict {} needs --ckpt_path"),
        (
            ["--ckpt_path", "a.ckpt", "--data.batch_size", "4"],
            "{} prepares its inputs as the checkpoint specifies: it does",
        ),
        (["--ckpt_path", "a.ckpt", "--data.batch_size", "4"], "it does not take '--data.batch_size'"),
        (["--ckpt_path", "a.ckpt", "-c", "mlp_digits"], "it does not take '-c'"),
    ],
    ids=["no checkpoint", "why", "a setting", "a recipe"],
)
def test_what_would_be_dropped_is_refused(
    option: str, arguments: list[str], hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["predict", option, "inputs", *arguments]) == 2
    assert hint.format(option) in capsys.readouterr().err


def test_pictures_or_texts_but_not_both(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", "--ckpt_path", "a.ckpt", "--images", "a.png", "--text", "a.txt"]) == 2
    assert "--text: not allowed with argument --images" in capsys.readouterr().err


def test_a_model_of_tables_sees_no_pictures(
    fit: Callable[..., Trainer],
    blobs: Callable[..., Any],
    pictures: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path, run = tmp_path / "table.ckpt", str(tmp_path / "run")
    fit(MLPClassifier((4,), 3, hidden_dims=(4,)), blobs(), max_steps=1, plugins=[AtomicCheckpointIO()]).save_checkpoint(path)
    assert main(["predict", "--ckpt_path", str(path), "--images", str(pictures), "--run_dir", run]) == 1
    assert f"{path} does not hold a classifier of square images: its inputs have the shape (4,)" in capsys.readouterr().err


def test_a_checkpoint_that_does_not_say_how_pictures_were_normalised(
    best: str, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    older = read_checkpoint(best)
    del older["data"]["mean"]
    torch.save(older, tmp_path / "older.ckpt")
    arguments = ["--images", str(pictures), "--run_dir", str(tmp_path / "run")]
    assert main(["predict", "--ckpt_path", str(tmp_path / "older.ckpt"), *arguments]) == 1
    assert "does not record how its images were normalised" in capsys.readouterr().err


def test_numbers_drawn_as_files_get_the_answers_of_the_test(run: Path, tmp_path: Path) -> None:
    """For a model of arrays, images are prepared in grey and without a crop; colour copies give the same numbers."""
    data = Digits()
    data.setup("test")
    (x, _, _), places = data.splits["test"]
    (tmp_path / "new").mkdir()
    for place in places.tolist():
        for kind in ("L", "RGB"):
            Image.fromarray(x[place, 0].numpy()).convert(kind).save(tmp_path / "new" / f"{kind}{place}.png")
    arguments = ["--images", str(tmp_path / "new"), "--run_dir", str(tmp_path / "run")]
    assert main(["predict", "--ckpt_path", str(run / "checkpoints" / "best.ckpt"), *arguments]) == 0
    predicted = read(tmp_path / "run" / "predictions" / "predict.csv")
    tested = list(csv.DictReader((run / "predictions" / "test.csv").read_text().splitlines()))
    assert len(predicted) == 2 * len(tested) == 718
    for row in tested:
        for kind in ("L", "RGB"):
            found = predicted[f"{kind}{row['position']}.png"]
            assert found["prediction"] == row["prediction"]
            assert float(found["confidence"]) == pytest.approx(float(row["confidence"]), abs=2e-4)


def test_files_get_the_embeddings_of_the_test_split(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small = ["--trainer.max_epochs", "1", "--trainer.limit_train_batches", "2"]
    assert main(["fit", "-c", "triplet_digits", *small, "--run_dir", str(tmp_path / "run")]) == 0
    checkpoint = ["--ckpt_path", str(tmp_path / "run" / "checkpoints" / "best.ckpt")]
    assert main(["predict", "-c", "triplet_digits", *checkpoint, "--run_dir", str(tmp_path / "split")]) == 0
    data = Digits()
    data.setup("test")
    (x, _, _), places = data.splits["test"]
    (tmp_path / "new").mkdir()
    for place in places[:12].tolist():
        Image.fromarray(x[place, 0].numpy()).save(tmp_path / "new" / f"{place}.png")
    capsys.readouterr()
    assert main(["predict", *checkpoint, "--images", str(tmp_path / "new"), "--run_dir", str(tmp_path / "files")]) == 0
    assert capsys.readouterr().out.splitlines()[-1].endswith("predict.csv (12 rows)")
    of_files = read(tmp_path / "files" / "predictions" / "predict.csv")
    table = (tmp_path / "split" / "predictions" / "predict.csv").read_text()
    of_split = {row["position"]: row for row in csv.DictReader(table.splitlines())}
    names = [f"embedding_{place}" for place in range(32)]
    for place in places[:12].tolist():
        found, expected = of_files[f"{place}.png"], of_split[str(place)]
        assert [float(found[name]) for name in names] == pytest.approx([float(expected[name]) for name in names], abs=1e-5)


def test_images_are_binarized_as_those_of_the_test_were(fit: Callable[..., Trainer], tmp_path: Path) -> None:
    system, data = MLPClassifier((1, 8, 8), 10, [16]), Digits(batch_size=64, normalize=False, binarize="threshold")
    trainer = fit(system, data, max_epochs=2, limit_val_batches=0, plugins=[AtomicCheckpointIO()])
    trainer.save_checkpoint(tmp_path / "model.ckpt")
    (x, _, _), places = data.splits["test"]
    (tmp_path / "new").mkdir()
    for place in places[:64].tolist():
        Image.fromarray(x[place, 0].numpy()).save(tmp_path / "new" / f"{place}.png")
    arguments = ["--ckpt_path", str(tmp_path / "model.ckpt"), "--images", str(tmp_path / "new"), "--run_dir", str(tmp_path)]
    assert main(["predict", *arguments]) == 0
    predicted = read(tmp_path / "predictions" / "predict.csv")
    with torch.no_grad():
        batch = data.transform(next(iter(data.test_dataloader())), 0, False)
        confidence, expected = system.eval()(batch.x).softmax(1).max(1)
    for place, sure, number in zip(batch.position.tolist(), confidence.tolist(), expected.tolist(), strict=True):
        assert predicted[f"{place}.png"]["prediction"] == str(number)
        assert float(predicted[f"{place}.png"]["confidence"]) == pytest.approx(sure, abs=2e-4)


@pytest.fixture(scope="module")
def read_reviews(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on a file of reviews, which was removed afterwards."""
    folder, generator = tmp_path_factory.mktemp("reviews"), np.random.default_rng(0)
    words = ["a", "film", "of", "the", "with", "no", "Great", "GREAT", "rare1", "rare2"]
    with (folder / "reviews.csv").open("w") as file:
        file.write("label,text\n")
        for i in range(300):
            verdict = ("dull", "great")[i % 2]
            some = [*generator.choice(words, generator.integers(0, 12)), f"unique{i}"]
            some.insert(generator.integers(0, min(6, len(some))), verdict)
            file.write(f"{('blame', 'praise')[i % 2]},{' '.join(some)}\n")
    (folder / "mine.yaml").write_text(REVIEWS.format(source=folder / "reviews.csv"))
    assert main(["fit", "-c", str(folder / "mine.yaml"), "--run_dir", str(folder / "run")]) == 0
    assert (
        main(["predict", "-c", str(folder / "mine.yaml"), "--ckpt_path", str(folder / "run" / "checkpoints" / "best.ckpt")])
        == 0
    )
    (folder / "reviews.csv").unlink()
    return folder / "run"


@pytest.fixture
def reader(read_reviews: Path) -> str:
    return str(read_reviews / "checkpoints" / "best.ckpt")


def test_every_line_gets_its_class(reader: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    texts = ["the great film", "größer, 😀", 'a "dull" film, yes', "great " * 30_000 + "end"]  # csv's limit is 131,072
    (tmp_path / "lines.txt").write_text("".join(f"{text}\n" for text in texts))
    assert main(["predict", "--ckpt_path", reader, "--text", str(tmp_path / "lines.txt"), "--run_dir", str(tmp_path)]) == 0
    rows = answers(tmp_path)
    assert list(rows[0]) == ["position", "prediction", "confidence", "text", "p_blame", "p_praise"]
    assert [(row["position"], row["text"]) for row in rows] == [(str(i), text) for i, text in enumerate(texts)]
    assert [rows[i]["prediction"] for i in (0, 2, 3)] == ["praise", "blame", "praise"]
    assert all(row["prediction"] in ("blame", "praise") and 0.5 <= float(row["confidence"]) <= 1 for row in rows)
    lines = capsys.readouterr().out.splitlines()
    printed = [f"{row['prediction']:<6}  {float(row['confidence']):6.1%}  {row['text'][:200]}" for row in rows]
    assert lines[-5:] == [*printed, f"predictions  {tmp_path}/predictions/predict.csv"]
    assert f"{tmp_path}/lines.txt: 4 texts of 5 tokens on average, 1 were longer than max_length 7 and cut" in lines


def test_texts_are_read_as_those_of_the_training_were(read_reviews: Path, reader: str, tmp_path: Path) -> None:
    """Case, length and vocabulary come from the checkpoint: equal texts get equal confidence."""
    known = answers(read_reviews)  # by `zoo predict -c`, of the test split
    assert len(known) == 60
    assert len({row["confidence"] for row in known}) > 10
    assert max(len(row["text"].split()) for row in known) > 7
    (tmp_path / "lines.txt").write_text("".join(row["text"] + "\n" for row in known))
    assert main(["predict", "--ckpt_path", reader, "--text", str(tmp_path / "lines.txt"), "--run_dir", str(tmp_path)]) == 0
    for row, again in zip(known, answers(tmp_path), strict=True):
        assert (again["text"], again["prediction"]) == (row["text"], row["prediction"])
        assert float(again["confidence"]) == pytest.approx(float(row["confidence"]), abs=2e-4)


def test_a_line_is_answered_alike_whoever_stands_beside_it(reader: str, tmp_path: Path) -> None:
    found = []
    for number, lines in enumerate((["a great film"], ["dull", "a great film", "with no no no no no film"])):
        (tmp_path / "lines.txt").write_text("\n".join(lines))
        run = tmp_path / str(number)
        assert main(["predict", "--ckpt_path", reader, "--text", str(tmp_path / "lines.txt"), "--run_dir", str(run)]) == 0
        found.append(next(row for row in answers(run) if row["text"] == "a great film"))
    assert found[0]["prediction"] == found[1]["prediction"] == "praise"
    assert float(found[0]["confidence"]) == pytest.approx(float(found[1]["confidence"]), abs=2e-4)


def test_texts_from_standard_input(
    reader: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"a great film\nso dull\n")))
    assert main(["predict", "--ckpt_path", reader, "--text", "-", "--run_dir", str(tmp_path)]) == 0
    assert [row["prediction"] for row in answers(tmp_path)] == ["praise", "blame"]
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"")))
    assert main(["predict", "--ckpt_path", reader, "--text", "-", "--run_dir", str(tmp_path)]) == 1
    assert "standard input is empty: give one text per line" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"fine\n\nfine\n", "line 2 of {} has no token: ''; leave it out"),
        (b"fine\n \n\t\n", "line 2 of {} has no token: ' ' (and 1 more); leave it out"),
        (b"fine\nna\xefve\n", "{} is not UTF-8: byte 0xef at offset 7; convert it (iconv -f latin1 -t utf8)"),
        (b"", "{} is empty: give one text per line"),
        (None, "no file {}: give a file with a text per line, or - for standard input"),
    ],
    ids=["empty line", "blank lines", "latin-1", "empty file", "no file"],
)
def test_texts_that_cannot_be_read_are_named_and_leave_no_table(
    reader: str, content: bytes | None, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, run = tmp_path / "lines.txt", tmp_path / "run"
    if content is not None:
        path.write_bytes(content)
    assert main(["predict", "--ckpt_path", reader, "--text", str(path), "--run_dir", str(run)]) == 1
    assert capsys.readouterr().err.splitlines()[-1] == f"zoo: {said.format(path)}"
    assert not list(run.rglob("*.csv"))


def test_an_exported_reader_says_the_same(reader: str, tmp_path: Path) -> None:
    exported = tmp_path / "model.safetensors"
    (tmp_path / "lines.txt").write_text("a great film\nGreat\nso dull with the rest of it all\n")
    assert main(["export", reader, "--format", "safetensors", "-o", str(exported)]) == 0
    for number, checkpoint in enumerate((reader, str(exported))):
        run = str(tmp_path / str(number))
        assert main(["predict", "--ckpt_path", checkpoint, "--text", str(tmp_path / "lines.txt"), "--run_dir", run]) == 0
    assert answers(tmp_path / "0") == answers(tmp_path / "1")


def test_what_a_model_is_not_for_it_refuses(
    best: str, reader: str, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "lines.txt").write_text("a great film\n")
    run = ["--run_dir", str(tmp_path / "run")]
    assert main(["predict", "--ckpt_path", best, "--text", str(tmp_path / "lines.txt"), *run]) == 1
    assert f"{best} does not hold a text classifier: it has no tokenizer" in capsys.readouterr().err
    assert main(["predict", "--ckpt_path", reader, "--images", str(pictures), *run]) == 1
    assert f"{reader} does not hold a classifier of square images: its inputs have the shape (7,)" in capsys.readouterr().err


def test_a_reader_without_classes_answers_no_question(reader: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The checkpoint of a language model has no classes."""
    (tmp_path / "lines.txt").write_text("a great film\n")
    without = read_checkpoint(reader)
    del without["data"]["class_names"]
    torch.save(without, tmp_path / "without.ckpt")
    arguments = ["--text", str(tmp_path / "lines.txt"), "--run_dir", str(tmp_path / "run")]
    assert main(["predict", "--ckpt_path", str(tmp_path / "without.ckpt"), *arguments]) == 1
    assert "without.ckpt does not hold a text classifier: it has no classes" in capsys.readouterr().err


def test_test_time_augmentation_averages_pictures_and_the_test_split_alike(
    trained: tuple[Path, Path], best: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The run keeps its own table: results with averages go to another directory."""
    run, pictures = trained
    monkeypatch.chdir(tmp_path)
    own = (run / "predictions" / "test.csv").read_text()
    assert main(["test", "--ckpt_path", best, "--tta", "five_crops", "--data.root", str(pictures)]) == 0
    assert (run / "predictions" / "test.csv").read_text() == own
    averaged = "averaged over 5 views of each image: centre, top left, top right, bottom left, bottom right (--tta five_crops)"
    assert f"views        {averaged}\n" in capsys.readouterr().out
    (path,) = Path("runs").rglob("test.csv")
    assert json.loads((path.parents[1] / "run.json").read_text())["tta"] == "five_crops"
    assert "tta" not in json.loads((run / "run.json").read_text())
    tested = read(path)
    assert main(["predict", "--ckpt_path", best, "--images", str(pictures), "--tta", "five_crops", "--run_dir", "mine"]) == 0
    assert f"views        {averaged}\n" in capsys.readouterr().out
    predicted = read(Path("mine/predictions/predict.csv"))
    assert len(tested) == 12
    for name, row in tested.items():
        assert predicted[name]["prediction"] == row["prediction"]
        assert float(predicted[name]["confidence"]) == pytest.approx(float(row["confidence"]), abs=2e-4)
    single = read(run / "predictions" / "test.csv")
    assert any(abs(float(row["confidence"]) - float(single[name]["confidence"])) > 1e-3 for name, row in tested.items())
    capsys.readouterr()
    assert main(["predict", "--ckpt_path", best, "--text", "-", "--tta", "flip"]) == 2
    assert "--tta averages over views of images: leave it out with --text" in capsys.readouterr().err
