"""What every system does around its step: progress, logging, metrics, checks, memory layout."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.loggers import CSVLogger
from torch import Tensor, nn

from datamodules import Digits
from datamodules.core.base import DataModule
from datamodules.core.batch import Batch
from zoo.cnn.simple_cnn import SimpleCNNClassifier
from zoo.mlp.mlp import MLPClassifier
from zoo.training.checkpoint import AtomicCheckpointIO, load_system, read_checkpoint
from zoo.training.system import Outputs, System, require

Fit = Callable[..., Trainer]
Blobs = Callable[..., DataModule]


class Recorder(MLPClassifier):
    """Records the arguments and losses of its steps. Real steps keep no state."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__((4,), 3, hidden_dims=(8,), **arguments)
        self.seen: list[tuple[bool, float]] = []
        self.losses: list[float] = []

    def step(self, batch: Batch, progress: Tensor) -> tuple[Tensor, Outputs]:
        assert progress.ndim == 0
        self.seen.append((self.training, progress.item()))
        loss, outputs = super().step(batch, progress)
        self.losses.append(loss.item())
        return loss, {**outputs, "twice": 2 * loss.detach()}

    def progress_values(self, training: bool) -> list[float]:
        return [progress for during, progress in self.seen if during is training]


def test_the_learning_rate_reaches_its_final_value(fit: Fit, blobs: Blobs) -> None:
    model = Recorder(lr=0.1, optim={"final": 0.25})
    trainer = fit(model, blobs(), max_epochs=2, accumulate_grad_batches=3)
    assert trainer.optimizers[0].param_groups[0]["lr"] == pytest.approx(0.025)


def test_progress_grows_from_0_to_1_in_training_and_is_1_in_evaluation(fit: Fit, blobs: Blobs) -> None:
    model = Recorder()
    fit(model, blobs(), max_epochs=2, accumulate_grad_batches=5)
    assert model.progress_values(training=True) == [0.0] * 5 + [0.25] * 5 + [0.5] * 5 + [0.75] * 5
    assert set(model.progress_values(training=False)) == {1.0}


def test_progress_does_not_exceed_1_after_resumption(fit: Fit, blobs: Blobs, tmp_path: Path) -> None:
    fit(model := Recorder(), blobs(), max_epochs=2).save_checkpoint(tmp_path / "last.ckpt")
    more = Recorder()
    trainer = Trainer(
        accelerator="cpu", max_epochs=2, max_steps=25, logger=False, enable_checkpointing=False, enable_progress_bar=False
    )
    trainer.fit(more, datamodule=blobs(), ckpt_path=tmp_path / "last.ckpt", weights_only=True)
    assert more.seen == []  # no steps were left
    assert max(model.progress_values(training=True)) < 1


def test_scores_over_uneven_batches_equal_those_of_all_samples_at_once(fit: Fit, blobs: Blobs) -> None:
    model, data = Recorder(), blobs(batch_size=10)  # 32 test samples: three batches of 10 and one of 2
    trainer = fit(model, data)
    (scores,) = trainer.test(model, datamodule=data, verbose=False)
    (x, y, _), rows = data.splits["test"]
    assert len(rows) % 10
    logits = model.eval()(x[rows])
    assert scores["test/loss"] == pytest.approx(torch.nn.functional.cross_entropy(logits, y[rows]).item(), rel=1e-5)
    assert scores["test/acc"] == pytest.approx((logits.argmax(1) == y[rows]).float().mean().item())
    assert scores["test/twice"] == pytest.approx(2 * scores["test/loss"])  # 0-d outputs are logged by their names
    assert set(scores) == {"test/loss", "test/acc", "test/twice"}


def test_steps_are_logged_every_n_steps_and_their_means_once_per_epoch(fit: Fit, blobs: Blobs, tmp_path: Path) -> None:
    model = Recorder(lr=0.1, optim={"schedule": "constant", "name": "momentum"})
    fit(model, blobs(), logger=CSVLogger(tmp_path, name="", version=""), log_every_n_steps=3, limit_val_batches=0)
    *rows, last = csv.DictReader((tmp_path / "metrics.csv").read_text().splitlines())
    assert [int(row["step"]) for row in rows] == [2, 5, 8]  # counted from 0: the third, sixth and ninth
    for row in rows:
        assert float(row["train/loss_step"]) == pytest.approx(model.losses[int(row["step"])], rel=1e-5)
        assert float(row["train/twice_step"]) == pytest.approx(2 * float(row["train/loss_step"]), rel=1e-5)
        assert float(row["train/lr"]) == pytest.approx(0.1)
        assert not row["train/loss"]
    assert int(last["step"]) == 9
    assert float(last["train/loss"]) == pytest.approx(sum(model.losses) / 10, rel=1e-5)
    assert float(last["train/twice"]) == pytest.approx(2 * float(last["train/loss"]), rel=1e-5)


def test_predictions_are_those_of_forward_with_positions(fit: Fit, blobs: Blobs) -> None:
    model, data = Recorder(), blobs()
    trainer = fit(model, data)
    parts: Any = trainer.predict(model, datamodule=data)
    (x, _, _), rows = data.splits["test"]
    assert torch.equal(torch.cat([part["position"] for part in parts]), rows)
    torch.testing.assert_close(torch.cat([part["preds"] for part in parts]), model(x[rows]))


@pytest.mark.parametrize("stage", ["fit", "validate", "test"])
def test_the_first_batch_of_an_epoch_is_checked(stage: str, blobs: Blobs) -> None:
    data, model = blobs(), MLPClassifier((4,), 2)  # one class too few
    trainer = Trainer(accelerator="cpu", max_epochs=1, logger=False, enable_checkpointing=False, enable_progress_bar=False)
    with pytest.raises(ValueError, match=r"labels must lie in 0\.\.1, found 0\.\.2"):
        getattr(trainer, stage)(model, datamodule=data)


def test_a_checkpoint_stores_the_class_and_facts_of_the_data(fit: Fit, blobs: Blobs, tmp_path: Path) -> None:
    fit(MLPClassifier((4,), 3), blobs()).save_checkpoint(tmp_path / "last.ckpt")
    checkpoint = read_checkpoint(tmp_path / "last.ckpt")
    assert checkpoint["class_path"] == "zoo.MLPClassifier"
    assert checkpoint["data"]["class_names"] == ["ant", "bee", "cat"]


def test_example_inputs_fit_the_model_and_are_always_the_same() -> None:
    model = MLPClassifier((1, 2, 3), 4)
    x = model.example_inputs(5)[0]
    assert model(x).shape == (5, 4)
    assert torch.equal(model.example_inputs(5)[0], x)


def test_logging_more_often_changes_no_weights(fit: Fit, blobs: Blobs) -> None:
    def trained(**arguments: Any) -> LightningModule:
        torch.manual_seed(0)
        fit(model := MLPClassifier((4,), 3, dropout=0.5), blobs(), **arguments)
        return model

    rare, often = trained(log_every_n_steps=1000), trained(log_every_n_steps=1)
    for a, b in zip(rare.parameters(), often.parameters(), strict=True):
        assert torch.equal(a, b)


def channels_last(system: System) -> list[bool]:
    """Return for each convolution whether its weights are stored channels-last, according to the strides."""
    convolutions = [module for module in system.modules() if isinstance(module, nn.Conv2d)]
    return [module.weight.stride(1) == 1 and module.weight.stride(3) == module.in_channels for module in convolutions]


def test_convolutions_are_trained_channels_last_and_the_checkpoint_loads(fit: Fit, digits: Digits, tmp_path: Path) -> None:
    model = SimpleCNNClassifier((1, 8, 8), 10, widths=(4, 6, 8))
    assert not any(channels_last(model))
    trainer = fit(model, digits, max_steps=2, plugins=[AtomicCheckpointIO()])
    assert channels_last(model) == [True, True, True]
    trainer.save_checkpoint(tmp_path / "model.ckpt")
    loaded, x = load_system(tmp_path / "model.ckpt"), torch.randn(5, 1, 8, 8)
    assert all(torch.equal(value, loaded.state_dict()[name]) for name, value in model.state_dict().items())
    torch.testing.assert_close(loaded(x), model.eval()(x))


def test_a_network_without_convolutions_keeps_its_layout(fit: Fit, blobs: Blobs) -> None:
    model = MLPClassifier((4,), 3, hidden_dims=(8,))
    strides = {name: value.stride() for name, value in model.state_dict().items()}
    fit(model, blobs(), max_steps=1)
    assert {name: value.stride() for name, value in model.state_dict().items()} == strides


@pytest.mark.parametrize("stage", ["fit", "validate", "test", "predict"])
def test_every_stage_of_a_trainer_runs_channels_last(stage: str, digits: Digits) -> None:
    model, x = SimpleCNNClassifier((1, 8, 8), 10, widths=(4, 6, 8)).eval(), torch.randn(5, 1, 8, 8)
    before, weights = model(x), {name: value.clone() for name, value in model.state_dict().items()}
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}
    trainer = Trainer(accelerator="cpu", max_epochs=1, limit_train_batches=0, limit_test_batches=1, **quiet)
    getattr(trainer, stage)(model, datamodule=digits)
    assert channels_last(model) == [True, True, True]
    assert all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())  # weights have not changed
    torch.testing.assert_close(model.eval()(x), before)


def test_a_run_with_convolutions_resumes_from_its_checkpoint(fit: Fit, digits: Digits, tmp_path: Path) -> None:
    first, more = (SimpleCNNClassifier((1, 8, 8), 10, widths=(4, 6, 8)) for _ in range(2))
    fit(first, digits, max_steps=2).save_checkpoint(tmp_path / "last.ckpt")  # the optimizer's state is also channels-last
    trainer = Trainer(accelerator="cpu", max_steps=3, logger=False, enable_checkpointing=False, enable_progress_bar=False)
    trainer.fit(more, datamodule=digits, ckpt_path=tmp_path / "last.ckpt", weights_only=True)
    assert trainer.global_step == 3
    assert channels_last(more) == [True, True, True]


def test_a_missing_argument_that_the_data_determines_is_named() -> None:
    assert require("num_classes", 0) == 0
    with pytest.raises(ValueError, match=r"vocab_size is not known, because the data does not state it: set model.vocab_size"):
        require("vocab_size", None)


@pytest.mark.parametrize("lr", [0.0, -1e-3, float("nan")])
def test_refuses_a_rate_that_is_not_positive(lr: float) -> None:
    with pytest.raises(ValueError, match=f"lr must be positive, got {lr}"):
        System(lr, None)


def test_a_system_without_a_step_says_what_it_lacks() -> None:
    with pytest.raises(NotImplementedError, match=r"System has to define step\(batch, progress\)"):
        System(0.1, None).step(None, torch.zeros(()))
