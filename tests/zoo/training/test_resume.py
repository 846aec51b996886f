"""A run that was stopped and resumed ends with bit-identical weights to an uninterrupted one."""

import functools
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from zoo.cli.main import main
from zoo.training import randomness
from zoo.training.checkpoint import read_checkpoint

# 20 batches per epoch: step 12 lies within the first epoch, step 20 at its end, step 33 within the second
FIT = ["fit", "-c", "mlp_digits", "--trainer.max_epochs", "3", "--trainer.log_every_n_steps", "7", "--data.shift", "1"]

EVERY_EPOCH = (
    "{class_path: lightning.pytorch.callbacks.ModelCheckpoint, init_args: {dirpath: DIR, filename: '{epoch}', save_top_k: -1}}"
)


def weights(run: Path) -> dict[str, torch.Tensor]:
    """Return the weights; with an EMA, the average and the raw weights."""
    checkpoint = read_checkpoint(run / "checkpoints" / "last.ckpt")
    raw = checkpoint["ema"]["weights"] if "ema" in checkpoint else {}
    return {**checkpoint["state_dict"], **{f"raw.{name}": value for name, value in raw.items()}}


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def fit(run: Path, *more: str) -> Path:
    assert main([*FIT, "--run_dir", str(run), *more]) == 0
    return run


def resume_from(checkpoint: Path) -> None:
    """Resume a run from a checkpoint."""
    assert main(["fit", "--resume", str(checkpoint)]) == 0


VARIANTS = {
    "plain": (),
    "accumulating": ("--trainer.accumulate_grad_batches", "3"),
    "ema": ("--ema", "0.97"),
    "plateau": ("--model.optim.schedule", "plateau", "--model.optim.patience", "0", "--model.optim.warmup_steps", "0"),
}


@pytest.mark.parametrize("more", VARIANTS.values(), ids=VARIANTS)
def test_resumed_weights_are_bit_equal(tmp_path: Path, more: tuple[str, ...]) -> None:
    """Resumes within an epoch and at its end. Later resumptions start from checkpoints that a resumed run has written."""
    run = fit(tmp_path / "run", "--checkpoint_every_n_steps", "4", *more)
    uninterrupted = weights(run)
    steps = sorted(int(path.stem.split("=")[1]) for path in (run / "checkpoints").glob("step=*.ckpt"))
    per_epoch = 7 if "--trainer.accumulate_grad_batches" in more else 20
    within = [step for step in steps if step % per_epoch]
    at_end = [step for step in steps if step % per_epoch == 0 and step < 3 * per_epoch]
    for step in (within[0], at_end[-1], within[-1]) if at_end else (within[0], within[-1]):
        (run / "checkpoints" / "last.ckpt").unlink()
        resume_from(run / "checkpoints" / f"step={step}.ckpt")
        assert same(weights(run), uninterrupted), f"resumed at step {step}"


def test_resumes_from_a_checkpoint_of_an_earlier_validation(tmp_path: Path) -> None:
    checkpoints = tmp_path / "run" / "checkpoints"
    run = fit(tmp_path / "run", "--trainer.callbacks+", EVERY_EPOCH.replace("DIR", str(checkpoints)))
    uninterrupted = weights(run)
    for epoch in (0, 1):
        resume_from(checkpoints / f"epoch={epoch}.ckpt")
        assert same(weights(run), uninterrupted), f"resumed after epoch {epoch}"


LONG = ("--trainer.max_epochs", "15", "--checkpoint_every_n_steps", "9")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, torch.Tensor]:
    """The weights of a long run that nothing stopped."""
    return weights(fit(tmp_path_factory.mktemp("whole") / "run", *LONG))


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT], ids=["killed", "interrupted"])
def test_a_stopped_run_continues(whole: dict[str, torch.Tensor], tmp_path: Path, end: signal.Signals) -> None:
    run = tmp_path / "stopped"
    command = [sys.executable, "-m", "zoo", *FIT, *LONG, "--run_dir", str(run)]
    # If the tests run as a background job of a shell, they and their children ignore interrupts.
    heed = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, preexec_fn=heed)
    deadline = time.monotonic() + 120
    while not (run / "checkpoints" / "step=54.ckpt").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(end)
    out, _ = process.communicate()
    if end == signal.SIGINT:
        assert process.returncode == 130
        assert out.splitlines()[-1] == f"stopped: go on with zoo fit --resume {run}"
    assert not (run / "predictions").exists()  # it was stopped before its test
    assert main(["fit", "--resume", str(run)]) == 0
    assert same(weights(run), whole)


def test_the_last_step_is_saved_when_training_ends_within_an_epoch(tmp_path: Path) -> None:
    run = fit(tmp_path / "run", "--trainer.max_steps", "47")
    assert read_checkpoint(run / "checkpoints" / "last.ckpt")["global_step"] == 47


def test_without_the_random_state_the_weights_differ(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = fit(tmp_path / "run", "--checkpoint_every_n_steps", "12")
    uninterrupted = weights(run)
    monkeypatch.setattr(randomness.Randomness, "on_load_checkpoint", lambda *args: None)
    resume_from(run / "checkpoints" / "step=12.ckpt")
    assert not same(weights(run), uninterrupted)  # dropout masks differ


def test_validating_more_often_does_not_change_the_weights(tmp_path: Path) -> None:
    once = weights(fit(tmp_path / "once"))
    often = weights(fit(tmp_path / "often", "--trainer.val_check_interval", "5", "--trainer.num_sanity_val_steps", "0"))
    assert same(once, often)


def test_a_moved_run_keeps_its_best_checkpoint(tmp_path: Path) -> None:
    """Lightning forgets the best score if the path of the folder differs."""
    run = fit(tmp_path / "before")
    before = state_of_best(run / "checkpoints" / "last.ckpt")
    assert before["best_model_score"] == state_of_best(run / "checkpoints" / "best.ckpt")["best_model_score"]
    moved = run.rename(tmp_path / "after")
    assert main(["fit", "--resume", str(moved), "--trainer.max_epochs", "4"]) == 0
    after = state_of_best(moved / "checkpoints" / "last.ckpt")
    assert after["best_model_score"] >= before["best_model_score"]
    assert after["best_model_path"] == str(moved / "checkpoints" / "best.ckpt")
    assert not run.exists()


def state_of_best(checkpoint: Path) -> dict[str, Any]:
    states = read_checkpoint(checkpoint)["callbacks"]
    (state,) = [value for name, value in states.items() if name.startswith("BestCheckpoint")]
    return state


def test_resuming_with_another_order_of_samples_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = fit(tmp_path / "run", "--checkpoint_every_n_steps", "12")
    checkpoint = str(run / "checkpoints" / "step=12.ckpt")
    assert main(["fit", "--resume", checkpoint, "--data.batch_size", "32"]) == 1
    assert "cannot go on with other data settings: batch_size is 32, was 64" in capsys.readouterr().err
