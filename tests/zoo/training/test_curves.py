"""The curves of a run hold what was logged, continue after a resumption, and need no validation."""

import csv
from pathlib import Path

import pytest
from PIL import Image

from zoo.cli.main import main
from zoo.gans.gan import GAN
from zoo.mlp.mlp import MLPClassifier
from zoo.rnn.char_lm import CharLM
from zoo.training.curves import choose_panels, curves_figure, read_history
from zoo.training.system import System

FIT = ["fit", "-c", "mlp_digits", "--trainer.log_every_n_steps", "5", "--run_dir"]


def write(folder: Path, session: str, rows: list[dict[str, float]]) -> None:
    path = folder / session / "metrics.csv"
    path.parent.mkdir(parents=True)
    with path.open("w", newline="") as file:
        table = csv.DictWriter(file, sorted({name for row in rows for name in row}))
        table.writeheader()
        table.writerows(rows)


def test_a_later_session_replaces_what_it_repeats(tmp_path: Path) -> None:
    """The second session starts at step 20, the third at step 40; the order of their names is not that of the alphabet."""
    write(tmp_path, "fit", [{"step": step - 1, "train/loss": step, "test/loss": 0.5} for step in (10, 20, 30)])
    write(tmp_path, "resume", [{"step": 19, "train/loss": -20}, {"step": 39, "train/loss": -40, "val/loss": -1}])
    write(tmp_path, "resume-10", [{"step": 49, "train/loss": 50}])
    write(tmp_path, "resume-2", [{"step": 39, "train/loss": 40}, {"step": 49, "train/loss": 7}])
    write(tmp_path, "test", [{"step": 5, "val/loss": 99}])
    assert read_history(tmp_path) == {"train/loss": {10: 10, 20: -20, 40: 40, 50: 50}, "val/loss": {40: -1}}


def history(*names: str) -> dict[str, dict[int, float]]:
    return {name: {1: 2.0, 2: float(len(name))} for name in names}


GAMES = ("train/loss", "train/d_loss", "train/g_loss", "train/lr", "train/d_lr")


@pytest.mark.parametrize(
    ("system", "logged", "panels"),
    [
        (MLPClassifier((2,), 2), (), {}),
        (
            MLPClassifier((2,), 2),
            ("train/loss", "train/loss_step", "val/loss", "train/acc", "val/acc", "val/f1", "train/lr"),
            {"loss": ["train/loss", "val/loss"], "acc": ["train/acc", "val/acc"], "learning rate": ["train/lr"]},
        ),
        (MLPClassifier((2,), 2), ("train/loss", "train/lr"), {"loss": ["train/loss"], "learning rate": ["train/lr"]}),
        (
            CharLM((5,), 4),
            ("train/loss", "val/bits_per_char"),
            {"loss": ["train/loss"], "bits_per_char": ["val/bits_per_char"]},
        ),
        (
            GAN((2,)),
            (*GAMES, "val/fd_pixels_samples"),
            {
                "loss": ["train/d_loss", "train/g_loss"],
                "fd_pixels_samples": ["val/fd_pixels_samples"],
                "learning rate": ["train/lr", "train/d_lr"],
            },
        ),
        (System(0.1, None), ("train/loss", "val/loss"), {"loss": ["train/loss", "val/loss"]}),
    ],
    ids=["nothing", "classifier", "without validation", "language model", "gan", "loss as headline"],
)
def test_losses_headline_and_learning_rates_are_drawn(
    system: System, logged: tuple[str, ...], panels: dict[str, list[str]]
) -> None:
    known = history(*logged)
    assert choose_panels(known, system) == panels
    if panels:
        lines = [line for axes in curves_figure(known, panels).axes for line in axes.get_lines()]
        drawn = [list(line.get_ydata()) for line in lines]  # type: ignore[arg-type]  # numpy's type is wider
        assert drawn == [[2.0, len(name)] for names in panels.values() for name in names]


def test_equal_rates_of_two_players_are_one_curve() -> None:
    known = {name: {1: 0.1} for name in ("train/lr", "train/d_lr")}
    assert choose_panels(known, GAN((2,))) == {"learning rate": ["train/lr"]}


def test_curves_continue_after_a_resumption(tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert main([*FIT, str(run), "--trainer.max_epochs", "2"]) == 0
    before = read_history(run / "logs")
    first = (run / "pictures" / "curves.png").read_bytes()
    assert main(["fit", "--resume", str(run), "--trainer.max_epochs", "3"]) == 0
    after = read_history(run / "logs")
    assert list(after["train/acc"]) == list(after["val/acc"]) == [20, 40, 60]
    assert list(after["train/lr"]) == list(range(5, 61, 5))
    for name in ("train/loss", "train/acc", "val/loss", "val/acc"):
        assert {step: after[name][step] for step in (20, 40)} == pytest.approx(before[name])
    assert (run / "pictures" / "curves.png").read_bytes() != first


def test_a_run_without_validation_has_curves(tmp_path: Path) -> None:
    short = ["--trainer.max_epochs", "1", "--trainer.limit_val_batches", "0", "--trainer.limit_test_batches", "0"]
    assert main([*FIT, str(tmp_path / "run"), *short]) == 0
    assert read_history(tmp_path / "run" / "logs").keys() >= {"train/loss", "train/acc", "train/lr"}
    with Image.open(tmp_path / "run" / "pictures" / "curves.png") as picture:
        assert picture.width == 3 * 504  # three panels


def test_a_run_without_a_csv_log_has_no_curves(tmp_path: Path) -> None:
    assert main([*FIT, str(tmp_path / "run"), "--trainer.max_epochs", "1", "--trainer.logger", "false"]) == 0
    assert not (tmp_path / "run" / "pictures" / "curves.png").exists()
