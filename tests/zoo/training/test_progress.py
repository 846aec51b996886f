"""Progress is printed as plain lines."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from lightning import Callback, LightningModule, Trainer

from datamodules.core.base import DataModule
from zoo.mlp.mlp import MLPClassifier
from zoo.training.progress import LineProgress

Fit = Callable[..., Trainer]
Blobs = Callable[..., DataModule]
Captured = pytest.CaptureFixture[str]


@pytest.fixture
def lines(fit: Fit, blobs: Blobs, capsys: Captured) -> Callable[..., tuple[list[str], Trainer]]:
    def run(progress: LineProgress, **arguments: Any) -> tuple[list[str], Trainer]:
        trainer = fit(MLPClassifier((4,), 3), blobs(), callbacks=[progress], enable_progress_bar=True, **arguments)
        return capsys.readouterr().out.splitlines(), trainer

    return run


def test_one_line_per_validation_shows_its_scores(lines: Callable[..., Any]) -> None:
    shown, trainer = lines(LineProgress(), max_epochs=2, num_sanity_val_steps=2)
    assert len(shown) == 2
    number = r"\d[\d.e-]*"
    for epoch, line in enumerate(shown, start=1):
        names = "  ".join(f"{name} {number}" for name in ("train/loss", "val/acc", "val/loss"))
        assert re.fullmatch(rf"epoch {epoch}/2  {names}  \d+\.\d s", line)
    # The last line shows this validation, not the previous one.
    assert f"val/loss {float(trainer.callback_metrics['val/loss']):.4g}  " in shown[-1]


@pytest.mark.parametrize("accumulate", [1, 4])
def test_the_training_loss_is_the_mean_of_the_epoch(fit: Fit, blobs: Blobs, capsys: Captured, accumulate: int) -> None:
    class Losses(Callback):
        def on_train_batch_end(
            self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
        ) -> None:
            losses.append(float(outputs["loss"]) * accumulate)

    losses: list[float] = []
    model = MLPClassifier((4,), 3, lr=0.1)
    callbacks = [LineProgress(), Losses()]
    fit(model, blobs(), callbacks=callbacks, enable_progress_bar=True, max_epochs=2, accumulate_grad_batches=accumulate)
    shown = re.findall(r"train/loss (\S+)", capsys.readouterr().out)
    assert [float(loss) for loss in shown] == [pytest.approx(sum(part) / 10, rel=1e-3) for part in (losses[:10], losses[10:])]


def test_lines_contain_no_control_characters(fit: Fit, blobs: Blobs, capsys: Captured) -> None:
    fit(MLPClassifier((4,), 3), blobs(), callbacks=[LineProgress()], enable_progress_bar=True)
    assert not set("\r\x1b\b\t") & set(capsys.readouterr().out)


def test_long_epochs_print_the_batch(lines: Callable[..., Any]) -> None:
    shown, _ = lines(LineProgress(seconds_between_lines=0), limit_val_batches=0)
    assert [line.split("  ")[0] for line in shown] == [f"epoch 1/1 {batch}/10" for batch in range(1, 11)]


def test_short_epochs_do_not_print_the_batch(lines: Callable[..., Any]) -> None:
    assert lines(LineProgress(), limit_val_batches=0)[0] == []


def test_a_run_limited_by_steps_shows_no_last_epoch(lines: Callable[..., Any]) -> None:
    shown, _ = lines(LineProgress(), max_epochs=-1, max_steps=20)
    assert [line.split("  ")[0] for line in shown] == ["epoch 1", "epoch 2"]


def test_progress_can_be_disabled_and_enabled(lines: Callable[..., Any]) -> None:
    progress = LineProgress()
    progress.disable()
    assert lines(progress)[0] == []
    progress.enable()
    assert len(lines(progress)[0]) == 1
