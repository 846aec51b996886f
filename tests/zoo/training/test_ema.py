"""An EMA of the weights is what is validated, saved and tested; training goes on from the raw weights."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import Tensor

from datamodules.core.base import DataModule
from zoo.cli.main import main
from zoo.errors import ZooError
from zoo.gans.gan import GAN
from zoo.mlp.mlp import MLPClassifier
from zoo.nn.average import Average
from zoo.training.checkpoint import load_system, read_checkpoint
from zoo.training.ema import EMA

Fit = Callable[..., Trainer]
Weights = dict[str, Tensor]


def weights_of(module: torch.nn.Module) -> Weights:
    return copy.deepcopy(dict(module.state_dict()))


def same(a: Weights, b: Weights) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def model() -> MLPClassifier:
    torch.manual_seed(0)
    return MLPClassifier((4,), 3, hidden_dims=(8,), norm="batch", lr=0.01)


class Watch(Callback):
    """Keeps the raw weights after each step, and the weights that reports see after each validation."""

    def __init__(self) -> None:
        self.raw: list[Weights] = []
        self.validated: list[Weights] = []

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        if trainer.global_step > len(self.raw):
            self.raw.append(weights_of(pl_module))

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.validated.append(weights_of(pl_module))


@pytest.fixture
def trained(fit: Fit, blobs: Callable[..., DataModule], tmp_path: Path) -> tuple[MLPClassifier, Watch, Path]:
    """A model of two epochs of 10 batches, 5 steps each, with validations within the epochs."""
    system, watch = model(), Watch()
    trainer = fit(
        system,
        blobs(),
        max_epochs=2,
        accumulate_grad_batches=2,
        val_check_interval=4,
        callbacks=[EMA(0.8), watch, ModelCheckpoint(tmp_path, "last", save_on_train_epoch_end=True)],
        enable_checkpointing=True,
    )
    assert trainer.global_step == 10
    return system, watch, tmp_path / "last.ckpt"


def test_the_average_of_each_step_is_validated_saved_and_kept(trained: tuple[MLPClassifier, Watch, Path]) -> None:
    system, watch, path = trained
    averages, by_hand = [], weights_of(model())
    for number, raw in enumerate(watch.raw):
        decay = min(0.8, (1 + number) / (10 + number))
        for name, value in raw.items():  # BatchNorm's statistics like the weights; its counter is copied
            by_hand[name] = decay * by_hand[name] + (1 - decay) * value if value.is_floating_point() else value
        averages.append(dict(by_hand))
    for validated, step in zip(watch.validated, (2, 4, 7, 9), strict=True):
        torch.testing.assert_close(validated, averages[step - 1])
    checkpoint = read_checkpoint(path)
    torch.testing.assert_close(dict(checkpoint["state_dict"]), averages[-1])
    assert same(checkpoint["ema"]["weights"], watch.raw[-1])
    assert checkpoint["ema"]["num_updates"] == 10
    assert same(weights_of(system), checkpoint["state_dict"])
    assert same(weights_of(load_system(path)), checkpoint["state_dict"])


def test_the_raw_weights_are_those_without_an_average(
    trained: tuple[MLPClassifier, Watch, Path], fit: Fit, blobs: Callable[..., DataModule]
) -> None:
    watch = Watch()
    fit(model(), blobs(), max_epochs=2, accumulate_grad_batches=2, val_check_interval=4, callbacks=[watch])
    assert all(same(a, b) for a, b in zip(trained[1].raw, watch.raw, strict=True))


def test_a_checkpoint_after_an_error_in_a_validation_is_right(
    fit: Fit, blobs: Callable[..., DataModule], tmp_path: Path
) -> None:
    """Lightning's callback would save the two sets of weights exchanged (lightning issue 21724)."""

    class Fails(Callback):
        def on_validation_batch_start(self, *_: Any) -> None:
            raise RuntimeError("in a validation")

        def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
            trainer.save_checkpoint(tmp_path / "error.ckpt")

    watch = Watch()
    with pytest.raises(RuntimeError, match="in a validation"):
        fit(model(), blobs(), callbacks=[EMA(0.9), watch, Fails()])
    checkpoint = read_checkpoint(tmp_path / "error.ckpt")
    assert same(checkpoint["ema"]["weights"], watch.raw[-1])
    assert not same(checkpoint["state_dict"], watch.raw[-1])


def test_training_without_an_update_is_an_error(fit: Fit, blobs: Callable[..., DataModule], monkeypatch: Any) -> None:
    monkeypatch.setattr(Trainer, "global_step", property(lambda trainer: 0))  # as with a raw optimizer of a user's module
    with pytest.raises(ZooError, match=r"^ema was never updated"):
        fit(model(), blobs(), callbacks=[EMA(0.9)])


def test_is_refused_where_it_does_not_fit(fit: Fit, blobs: Callable[..., DataModule], tmp_path: Path) -> None:
    with pytest.raises(ZooError, match=r"^ema must lie between 0 and 1, got 1\.0"):
        EMA(1.0)
    with pytest.raises(ZooError, match=r"^ema does not fit a GAN, .*: set model.ema"):
        fit(GAN((2,), widths=(8,)), blobs(), callbacks=[EMA(0.9)])
    partial = ModelCheckpoint(tmp_path, save_weights_only=True)
    with pytest.raises(ZooError, match=r"^ema needs whole checkpoints"):
        fit(model(), blobs(), callbacks=[EMA(0.9), partial], enable_checkpointing=True)


def test_the_command_line_option(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The score of the run, of `zoo test` and of an export are those of the average. A resume cannot drop it silently."""
    run = tmp_path / "run"
    assert main(["fit", "-c", "mlp_digits", "--ema", "0.97", "--trainer.max_epochs", "2", "--run_dir", str(run)]) == 0
    shown = capsys.readouterr().out
    assert main(["test", "--ckpt_path", str(run / "checkpoints" / "best.ckpt")]) == 0
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("test/loss"))
    assert line.split()[1] == next(line for line in shown.splitlines() if "test/loss" in line).split()[1]
    checkpoint = read_checkpoint(run / "checkpoints" / "last.ckpt")
    assert checkpoint["ema"]["num_updates"] == 40
    assert not same(checkpoint["state_dict"], checkpoint["ema"]["weights"])
    assert main(["fit", "--resume", str(run), "--trainer.max_epochs", "3", "--ema", "null"]) == 1
    assert "was trained with ema: resume it with ema" in capsys.readouterr().err
    assert main(["fit", "-c", "gan_ring", "--ema", "0.9", "--run_dir", str(tmp_path / "gan")]) == 1
    assert capsys.readouterr().err == "zoo: ema does not fit a GAN, which averages its generator itself: set model.ema\n"
    assert not (tmp_path / "gan").exists()


def test_the_copy_holds_no_trainer(fit: Fit, blobs: Callable[..., DataModule]) -> None:
    system = model()
    trainer = fit(system, blobs())
    assert system._trainer is trainer
    assert Average(system, 0.9).module._trainer is None
