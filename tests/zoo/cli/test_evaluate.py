"""Evaluation uses the tokenizer of the checkpoint; resuming with another tokenizer is refused."""

import random
from pathlib import Path

import pyarrow as pa
import pytest
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
