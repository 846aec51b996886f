"""Settings that a run cannot use are refused before it starts."""

from pathlib import Path

import pytest

from zoo.cli.main import main


@pytest.mark.parametrize("name", ["EMAWeightAveraging", "WeightAveraging"])
def test_callbacks_that_test_other_weights_than_they_save_are_refused(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    callback = f"{{class_path: lightning.pytorch.callbacks.{name}}}"
    assert main(["fit", "-c", "mlp_digits", "--run_dir", str(tmp_path / "run"), "--trainer.callbacks+", callback]) == 1
    assert f"trainer.callbacks has {name}, which saves averaged weights but tests others" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
