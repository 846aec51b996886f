"""Evaluation uses the tokenizer of the checkpoint; resuming with another tokenizer is refused."""

import json
import random
from pathlib import Path

import pyarrow as pa
import pytest
from PIL import Image
from pyarrow import parquet

from zoo.cli.main import main

RECIPE = """\
model:
  class_path: zoo.RNNClassifier
  init_args: {{embed_dim: 8, hidden_dim: 8, pooling: max, lr: 0.03}}
data:
  class_path: datamodules.{data}
  init_args: {{source: '{source}', max_length: 9, vocab_size: 40, batch_size: 8}}
trainer: {{max_epochs: 1, precision: 32-true}}
"""


def reviews(number: int, common: list[str]) -> dict[str, list[str]]:
    """Make texts whose class depends on `great` or `dull` among more frequent words."""
    generator = random.Random(0)
    classes = [("blame", "praise")[i % 2] for i in range(number)]
    verdicts = [("dull", "great")[i % 2] for i in range(number)]
    return {"label": classes, "text": [" ".join([*generator.choices(common, k=6), verdict]) for verdict in verdicts]}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a recipe for reviews, mine.yaml, and a run of one epoch, run/."""
    folder = tmp_path_factory.mktemp("reviews")
    table = reviews(300, ["a", "film", "of", "the", "with", "no"])
    rows = zip(table["label"], table["text"], strict=True)
    (folder / "reviews.csv").write_text("label,text\n" + "".join(f"{label},{text}\n" for label, text in rows))
    (folder / "mine.yaml").write_text(RECIPE.format(data="TextFile", source=folder / "reviews.csv"))
    assert main(["fit", "-c", str(folder / "mine.yaml"), "--run_dir", str(folder / "run")]) == 0
    return folder


def test_texts_of_another_kind_are_read_with_the_checkpoints_tokenizer(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lightning restores data of the same class only. A new tokenizer would assign other ids to the words."""
    monkeypatch.setenv("ZOO_DATA", str(tmp_path))
    (tmp_path / "someone" / "animals").mkdir(parents=True)
    for part in ("train", "test"):
        table = pa.table(reviews(200, ["zebra", "yak", "xerus", "wolf"]))
        parquet.write_table(table, tmp_path / "someone" / "animals" / f"{part}.parquet")
    (tmp_path / "other.yaml").write_text(RECIPE.format(data="HubText", source="someone/animals"))
    best = str(trained / "run" / "checkpoints" / "best.ckpt")
    assert main(["test", "-c", str(tmp_path / "other.yaml"), "--ckpt_path", best, "--run_dir", str(tmp_path / "run")]) == 0
    (accuracy,) = [line.split()[1] for line in capsys.readouterr().out.splitlines() if line.startswith("test/acc ")]
    assert float(accuracy) == 1


def test_a_file_that_lacks_a_class_is_tested(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its one class keeps the number that the checkpoint gives it."""
    (tmp_path / "other.csv").write_text("label,text\n" + "".join(f"praise,film {i} great\n" for i in range(20)))
    best = ["--ckpt_path", str(trained / "run" / "checkpoints" / "best.ckpt"), "--run_dir", str(tmp_path / "run")]
    assert main(["test", "-c", str(trained / "run" / "config.yaml"), *best, "--data.source", str(tmp_path / "other.csv")]) == 0
    (accuracy,) = [line.split()[1] for line in capsys.readouterr().out.splitlines() if line.startswith("test/acc ")]
    assert float(accuracy) == 1


def test_training_does_not_go_on_with_another_tokenizer(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    longer = ["fit", "--resume", str(trained / "run"), "--trainer.max_epochs", "2"]
    assert main([*longer, "--data.min_frequency", "120"]) == 1
    assert "the checkpoint's tokenizer is not the one that" in capsys.readouterr().err
    assert main(longer) == 0  # what was refused left the run as it was


TABLE = """\
model:
  class_path: zoo.MLPClassifier
  init_args: {{hidden_dims: [8], lr: 0.03}}
data:
  class_path: datamodules.Tabular
  init_args: {{source: '{source}', target: y, batch_size: 20}}
trainer: {{max_epochs: 12, precision: 32-true}}
"""


def write_table(path: Path, shift: float = 0.0, columns: str = "ab", num: int = 400, seed: int = 0) -> Path:
    """Write a table with a ~ N(10, 1) + shift, b ~ N(20, 1), and class y = a > 10."""
    generator = random.Random(seed)
    rows = [{"a": generator.gauss(10, 1) + shift, "b": generator.gauss(20, 1)} for _ in range(num)]
    lines = [",".join([*(f"{row[name]:.6f}" for name in columns), str(int(row["a"] > 10))]) for row in rows]
    path.write_text("\n".join([",".join([*columns, "y"]), *lines]) + "\n")
    return path


@pytest.fixture(scope="module")
def tabled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a table, a.csv, a run on it, run/, and the export of the run's best checkpoint."""
    folder = tmp_path_factory.mktemp("table")
    (folder / "mine.yaml").write_text(TABLE.format(source=write_table(folder / "a.csv")))
    assert main(["fit", "-c", str(folder / "mine.yaml"), "--run_dir", str(folder / "run")]) == 0
    best = str(folder / "run" / "checkpoints" / "best.ckpt")
    assert main(["export", best, "--format", "safetensors", "-o", str(folder / "mlp.safetensors")]) == 0
    return folder


def files_of(run: Path) -> tuple[list[str], list[str]]:
    """Return the checkpoint and the export of the run, as arguments."""
    config = ["-c", str(run / "run" / "config.yaml"), "--ckpt_path"]
    return [*config, str(run / "run" / "checkpoints" / "best.ckpt")], [*config, str(run / "mlp.safetensors")]


def scores_in(text: str) -> dict[str, str]:
    return dict(line.split() for line in text.splitlines() if line.startswith("test/"))


def test_an_export_scores_new_data_as_its_checkpoint_does(
    tabled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The whole file is tested, into its own place, and with the scale of the training."""
    monkeypatch.chdir(tmp_path)
    own = tabled / "run" / "predictions" / "test.csv"
    before, scores = own.read_bytes(), []
    shifted = write_table(tmp_path / "b.csv", shift=1.5, seed=1)
    for arguments in files_of(tabled):
        assert main(["test", *arguments, "--data.source", str(shifted)]) == 0
        out = capsys.readouterr().out
        assert "all 400 samples were tested, because the model was trained on others" in out
        scores.append(scores_in(out))
    assert main(["validate", *arguments, "--data.source", str(shifted)]) == 1
    assert "Tabular has no val split, because its data are new to the checkpoint" in capsys.readouterr().err
    assert [len(path.read_text().splitlines()) for path in Path("runs").rglob("test.csv")] == [401, 401]
    assert scores[0] == scores[1]
    assert float(scores[0]["test/acc"]) > 0.95
    assert own.read_bytes() == before


def test_an_export_refuses_what_its_checkpoint_refuses(
    tabled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    swapped = write_table(tmp_path / "swapped.csv", columns="ba")
    for arguments in files_of(tabled):
        assert main(["test", *arguments, "--data.source", str(swapped), "--run_dir", str(tmp_path / "run")]) == 1
        assert "has the columns a, b, but" in capsys.readouterr().err


def test_training_samples_are_not_tested(tabled: Path, trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("test", "predict"):
        for arguments in files_of(tabled):
            assert main([command, *arguments, "--data.split_seed", "7"]) == 1
            assert (
                "of the samples that the checkpoint was trained on, because split_seed is 7, was 0" in capsys.readouterr().err
            )
    best = ["--ckpt_path", str(trained / "run" / "checkpoints" / "best.ckpt")]
    assert main(["test", *best, "--data.test_fraction", "0.5"]) == 1
    assert "because test_fraction is 0.5, was 0.2" in capsys.readouterr().err
    assert main(["validate", *best, "--data.val_fraction", "0.3"]) == 1
    assert "the val split of TextFile holds" in capsys.readouterr().err


def test_settings_of_speed_and_of_other_splits_pass(tabled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (arguments, _), found = files_of(tabled), []
    for more in ([], ["--data.batch_size", "7"], ["--data.val_fraction", "0.4"]):
        assert main(["test", *arguments, *more]) == 0
        found.append(scores_in(capsys.readouterr().out)["test/acc"])
    assert len(set(found)) == 1


def test_a_file_that_has_grown_is_not_split_again(
    tabled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither under its old name nor under a new one. A copy of the file has the same split and passes."""
    monkeypatch.chdir(tmp_path)
    (arguments, _) = files_of(tabled)
    content = (tabled / "a.csv").read_text()
    (tmp_path / "copy.csv").write_text(content)
    assert main(["test", *arguments, "--data.source", "copy.csv"]) == 0
    (table,) = Path("runs").rglob("test.csv")
    assert len(table.read_text().splitlines()) == 81
    capsys.readouterr()
    for path in (tabled / "a.csv", tmp_path / "copy.csv"):
        path.write_text(content + "10.5,20.1,1\n9.5,20.1,0\n9.9,20.3,0\n")
        assert main(["test", *arguments, "--data.source", str(path)]) == 1
        assert "because the data have changed: use the data and the split of its run" in capsys.readouterr().err
    (tabled / "a.csv").write_text(content)


def test_results_of_another_checkpoint_do_not_replace_those_of_the_run(
    tabled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    own = tabled / "run" / "predictions" / "test.csv"
    before = own.stat().st_mtime_ns
    assert main(["test", "--ckpt_path", str(tabled / "run" / "checkpoints" / "last.ckpt")]) == 0
    assert own.stat().st_mtime_ns == before
    assert list(Path("runs").rglob("test.csv"))


def test_new_texts_and_pictures_are_tested_whole(
    trained: Path, painted: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    table = reviews(50, ["zebra", "yak"])
    rows = zip(table["label"], table["text"], strict=True)
    Path("new.csv").write_text("label,text\n" + "".join(f"{label},{text}\n" for label, text in rows))
    best = str(trained / "run" / "checkpoints" / "best.ckpt")
    assert main(["test", "--ckpt_path", best, "--data.source", "new.csv", "--run_dir", "texts"]) == 0
    assert len(Path("texts/predictions/test.csv").read_text().splitlines()) == 51
    for place, picture in enumerate(sorted(pictures.rglob("*.*"))):
        if place % 3 == 0:
            target = Path("new", picture.parent.name, f"{picture.stem}.png")
            target.parent.mkdir(parents=True, exist_ok=True)
            Image.open(picture).transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(target)
    best = str(painted / "checkpoints" / "best.ckpt")
    assert main(["test", "--ckpt_path", best, "--data.root", "new", "--run_dir", "images"]) == 0
    assert len(Path("images/predictions/test.csv").read_text().splitlines()) == 21
    assert main(["test", "--ckpt_path", best, "--data.split_seed", "3"]) == 1


def test_the_average_of_a_gan_is_tested_as_it_is_saved(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The scores at the end of a run are those of its checkpoint. Losses are left out, because they depend on random noise."""
    short = ["--trainer.max_epochs", "1", "--data.num_samples", "2000", "--trainer.accelerator", "cpu"]
    assert main(["fit", "-c", "gan_ring", *short, "--model.ema", "0.9", "--run_dir", str(tmp_path / "run")]) == 0
    closing = json.loads((tmp_path / "run" / "run.json").read_text())["results"]
    capsys.readouterr()
    last = str(tmp_path / "run" / "checkpoints" / "last.ckpt")
    assert main(["test", "--ckpt_path", last]) == 0
    found = {
        name: value for name, value in scores_in(capsys.readouterr().out).items() if name[:7] not in ("test/d_", "test/g_")
    }
    assert len(found) >= 2
    assert found == {name: f"{value:.4f}" for name, value in closing.items() if name in found}
