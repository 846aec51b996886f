"""`zoo average` writes a checkpoint that other commands load."""

import shutil
from pathlib import Path

import pytest
import torch

from zoo.cli.main import main
from zoo.training.checkpoint import read_checkpoint

FIXTURES = Path(__file__).parents[2] / "fixtures"


@pytest.fixture
def copied(run: Path, tmp_path: Path) -> Path:
    """A copy of the run, to write into."""
    return shutil.copytree(run, tmp_path / "run")


def test_the_average_can_be_tested_but_not_resumed(copied: Path, capsys: pytest.CaptureFixture[str]) -> None:
    best, last = (copied / "checkpoints" / f"{name}.ckpt" for name in ("best", "last"))
    changed = read_checkpoint(best)
    changed["state_dict"]["net.output.bias"] += 1
    torch.save(changed, best)
    assert main(["average", str(best), str(last)]) == 0
    path = copied / "checkpoints" / "average.ckpt"
    assert f"wrote {path}, the average of 2 checkpoints; BatchNorm" in capsys.readouterr().out
    a, b, mean = (read_checkpoint(file)["state_dict"] for file in (best, last, path))
    assert torch.equal(mean["net.output.bias"], (a["net.output.bias"] + b["net.output.bias"]) / 2)
    assert not torch.equal(mean["net.hidden.1.running_mean"], b["net.hidden.1.running_mean"])  # recomputed
    assert main(["test", "--ckpt_path", str(path), "--run_dir", str(copied.parent / "tested")]) == 0
    assert "test/acc" in capsys.readouterr().out
    assert main(["fit", "--resume", str(path), "--trainer.max_epochs", "9"]) == 1
    assert "holds a model, but no optimizer state to continue from" in capsys.readouterr().err


def test_refusals(copied: Path, capsys: pytest.CaptureFixture[str]) -> None:
    last = copied / "checkpoints" / "last.ckpt"
    alone = shutil.copy(last, copied.parent / "alone.ckpt")  # outside of its run, so that its data are not known
    assert main(["average", str(alone), str(alone)]) == 2
    assert "the network has BatchNorm, whose statistics" in capsys.readouterr().err
    assert main(["average", str(alone)]) == 2
    assert capsys.readouterr().err.startswith("zoo: average needs two or more checkpoints")
    gan = str(FIXTURES / "wgan_gp_ring.ckpt")
    assert main(["average", gan, gan, "-o", str(copied.parent / "gan.ckpt")]) == 1
    assert "which averages its generator itself: set model.ema" in capsys.readouterr().err
    assert main(["average", str(last), gan]) == 1
    assert "differ in class_path (zoo.WGANGP, zoo.MLPClassifier)" in capsys.readouterr().err
