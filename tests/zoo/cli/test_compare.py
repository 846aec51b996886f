"""A checkpoint is used with inputs that are prepared as those of its training."""

from pathlib import Path

import pytest

from zoo.cli.main import main


def test_inputs_prepared_otherwise_are_refused(run: Path, painted: Path, capsys: pytest.CaptureFixture[str]) -> None:
    best = str(run / "checkpoints" / "best.ckpt")
    assert main(["test", "--ckpt_path", best, "--data.normalize", "false"]) == 1
    assert "prepared differently: mean is [0.0], was [0.3053]; std is [1.0], was [0.3759]. Use" in capsys.readouterr().err
    assert main(["test", "--ckpt_path", str(painted / "checkpoints" / "best.ckpt"), "--data.crop", "1.0"]) == 1
    assert "prepared differently: crop is 1.0, was 0.7. Use" in capsys.readouterr().err
