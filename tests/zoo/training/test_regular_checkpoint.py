"""last.ckpt is always the latest checkpoint, independent of the scores."""

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
    """Train with ten batches per epoch, and return the names of the checkpoints with their steps."""
    fit(
        MLPClassifier((4,), 3),
        blobs(),
        callbacks=[RegularCheckpoint(folder, every_n_steps)],
        enable_checkpointing=True,
        **arguments,
    )
    return {path.name: read_checkpoint(path)["global_step"] for path in folder.glob("*.ckpt")}


def test_the_last_checkpoint_is_written_even_if_the_score_never_improves(fit: Fit, blobs: Blobs, tmp_path: Path) -> None:
    assert write(fit, blobs, tmp_path, max_epochs=2) == {"last.ckpt": 20}
    assert write(fit, blobs, tmp_path / "short", max_steps=7) == {"last.ckpt": 7}
    assert write(fit, blobs, tmp_path / "unvalidated", limit_val_batches=0) == {"last.ckpt": 10}


@pytest.mark.parametrize("more", [{}, {"val_check_interval": 4}])
def test_a_checkpoint_is_kept_every_n_steps(fit: Fit, blobs: Blobs, tmp_path: Path, more: dict[str, Any]) -> None:
    names = {f"step={step}.ckpt": step for step in (4, 8, 12, 16, 20)}
    assert write(fit, blobs, tmp_path, every_n_steps=4, max_epochs=2, **more) == {**names, "last.ckpt": 20}


def test_steps_are_optimizer_steps(fit: Fit, blobs: Blobs, tmp_path: Path) -> None:
    names = {"step=2.ckpt": 2, "step=4.ckpt": 4}  # 3 + 3 + 3 + 1 batches
    assert write(fit, blobs, tmp_path, every_n_steps=2, accumulate_grad_batches=3) == {**names, "last.ckpt": 4}


def test_a_fast_dev_run_writes_nothing(fit: Fit, blobs: Blobs, tmp_path: Path) -> None:
    assert write(fit, blobs, tmp_path, every_n_steps=1, fast_dev_run=True) == {}


def test_an_interval_below_one_step_is_refused() -> None:
    with pytest.raises(ValueError, match="checkpoint_every_n_steps must be at least 1, got 0"):
        RegularCheckpoint(Path(), 0)
