"""last.ckpt is always the latest, whatever the scores."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lightning import Trainer

from datamodules.core.base import DataModule
from zoo.mlp.mlp import MLPClassifier
from zoo.training.checkpoint import read_checkpoint
from zoo.training.regular_checkpoint import RegularCheckpoint

Fit = Callable[..., Trainer]
Blobs = Callable[..., DataModule]


def write(fit: Fit, blobs: Blobs, folder: Path, every_n_steps: int | None = None, **arguments: Any) -> dict[str, int]:
    """Train with ten batches an epoch; the files written, each with its step."""
    fit(
        MLPClassifier((4,), 3),
        blobs(),
        callbacks=[RegularCheckpoint(folder, every_n_steps)],
        enable_checkpointing=True,
        **arguments,
    )
    return {path.name: read_checkpoint(path)["global_step"] for path in folder.glob("*.ckpt")}


def test_the_last_one_is_written_even_if_the_score_never_improves(fit: Fit, blobs: Blobs, tmp_path: Path) -> None:
    assert write(fit, blobs, tmp_path, max_epochs=2) == {"last.ckpt": 20}
    assert write(fit, blobs, tmp_path / "short", max_steps=7) == {"last.ckpt": 7}
    assert write(fit, blobs, tmp_path / "unvalidated", limit_val_batches=0) == {"last.ckpt": 10}


@pytest.mark.parametrize("more", [{}, {"val_check_interval": 4}])
def test_every_so_many_steps_one_is_kept(fit: Fit, blobs: Blobs, tmp_path: Path, more: dict[str, Any]) -> None:
    names = {f"step={step}.ckpt": step for step in (4, 8, 12, 16, 20)}
    assert write(fit, blobs, tmp_path, every_n_steps=4, max_epochs=2, **more) == {**names, "last.ckpt": 20}


def test_steps_are_those_of_the_optimizer(fit: Fit, blobs: Blobs, tmp_path: Path) -> None:
    names = {"step=2.ckpt": 2, "step=4.ckpt": 4}  # 3 + 3 + 3 + 1 batches
    assert write(fit, blobs, tmp_path, every_n_steps=2, accumulate_grad_batches=3) == {**names, "last.ckpt": 4}


def test_a_trial_run_writes_nothing(fit: Fit, blobs: Blobs, tmp_path: Path) -> None:
    assert write(fit, blobs, tmp_path, every_n_steps=1, fast_dev_run=True) == {}


def test_refuses_what_cannot_work() -> None:
    with pytest.raises(ValueError, match="checkpoint_every_n_steps must be at least 1, got 0"):
        RegularCheckpoint(Path(), 0)
