"""`zoo lr` prints a suggestion and writes a table and a picture."""

import csv
from pathlib import Path

import pytest

from zoo.cli.main import main


def test_it_prints_a_suggestion_and_writes_the_curve(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    settings = ["--data.batch_size", "200", "--trainer.gradient_clip_val", "1.0"]
    assert main(["lr", "mlp_digits", "--steps", "30", "--lowest", "1e-5", "--run_dir", str(run), *settings]) == 0
    printed = capsys.readouterr().out
    rows = list(csv.DictReader((run / "lr.csv").read_text().splitlines()))
    assert f"tried {len(rows)} learning rates from 1e-05 to " in printed
    assert [*rows[0]] == ["lr", "loss", "smoothed"]
    suggestion = float(printed.split("suggested lr")[1].split()[0])
    assert 1e-4 < suggestion < 0.1
    assert "recipe's lr   0.003" in printed
    assert {path.name for path in run.iterdir()} == {"lr.csv", "lr.png"}


def test_a_loss_that_diverges_at_once_and_a_gan_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    sgd = ["--model.optim", "{name: sgd}", "--lowest", "1e12", "--highest", "1e20", "--run_dir", str(run)]
    assert main(["lr", "mlp_diabetes", *sgd]) == 1
    assert "from a learning rate of 1e+12 on: choose a lower --lowest" in capsys.readouterr().err
    assert main(["lr", "gan_ring", "--run_dir", str(run)]) == 1
    assert "which a GAN is not" in capsys.readouterr().err
    assert not run.exists()
