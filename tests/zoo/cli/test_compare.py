"""A checkpoint is used with inputs that are prepared as those of its training."""

from pathlib import Path

import pytest

from datamodules import Digits
from zoo.cli.compare import check_preparation
from zoo.cli.main import main


def test_inputs_prepared_otherwise_are_refused(run: Path, painted: Path, capsys: pytest.CaptureFixture[str]) -> None:
    best = str(run / "checkpoints" / "best.ckpt")
    assert main(["test", "--ckpt_path", best, "--data.normalize", "false"]) == 1
    assert "prepared differently: mean is [0.0], was [0.3053]; std is [1.0], was [0.3759]. Use" in capsys.readouterr().err
    assert main(["test", "--ckpt_path", str(painted / "checkpoints" / "best.ckpt"), "--data.crop", "1.0"]) == 1
    assert "prepared differently: crop is 1.0, was 0.7. Use" in capsys.readouterr().err


def test_binary_pixels_are_not_exchanged_for_grey_ones() -> None:
    grey, binary = Digits(normalize=False), Digits(normalize=False, binarize="threshold")
    with pytest.raises(ValueError, match="prepared differently: binarize is None, was threshold"):
        check_preparation(grey, {"data": binary.describe()}, "best.ckpt")
    check_preparation(binary, {"data": binary.describe()}, "best.ckpt")
