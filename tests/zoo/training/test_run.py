"""A run adds the callbacks of every run and the reports of the system to a trainer."""

from pathlib import Path

import pytest
from lightning import LightningModule
from lightning.pytorch.callbacks import ModelCheckpoint

from zoo.gans.dcgan import DCGAN
from zoo.mlp.mlp import MLPClassifier
from zoo.training.run import Run

BEFORE = ["DataReport", "Randomness", "EpochEnd", "Throughput", "NonFiniteGuard", "Predictions", "Curves"]


def callbacks(system: LightningModule, folder: Path, own: list[ModelCheckpoint] | None = None) -> list[str]:
    arguments = Run(folder, "mine").trainer_arguments(system, own_callbacks=[*(own or [])])
    return [type(callback).__name__ for callback in arguments["callbacks"]]


@pytest.mark.parametrize("system", [MLPClassifier((1, 8, 8), 10), MLPClassifier((4,), 3)], ids=["images", "a table"])
def test_the_reports_of_the_system_are_added(system: MLPClassifier, tmp_path: Path) -> None:
    reports = [type(report).__name__ for report in system.reports(tmp_path)]
    assert "PerClass" in reports
    assert callbacks(system, tmp_path) == [*BEFORE, *reports, "BestCheckpoint", "RegularCheckpoint", "LineProgress"]


def test_a_module_that_is_not_a_system_has_no_reports(tmp_path: Path) -> None:
    assert callbacks(LightningModule(), tmp_path) == [*BEFORE, "BestCheckpoint", "RegularCheckpoint", "LineProgress"]


def test_a_system_without_a_monitor_has_no_best_checkpoint(tmp_path: Path) -> None:
    assert callbacks(DCGAN((1, 8, 8), 4, (4, 4)), tmp_path) == [*BEFORE, "GANPictures", "RegularCheckpoint", "LineProgress"]


def test_a_checkpoint_callback_of_the_user_replaces_the_best_checkpoint(tmp_path: Path) -> None:
    own = ModelCheckpoint(tmp_path)
    assert callbacks(LightningModule(), tmp_path, [own]) == ["ModelCheckpoint", *BEFORE, "RegularCheckpoint", "LineProgress"]


def test_a_checkpoint_callback_without_a_folder_writes_into_the_run_directory(tmp_path: Path) -> None:
    unplaced, placed = ModelCheckpoint(), ModelCheckpoint(tmp_path / "mine")
    callbacks(LightningModule(), tmp_path / "run", [unplaced, placed])
    assert Path(str(unplaced.dirpath)) == tmp_path / "run" / "checkpoints"
    assert Path(str(placed.dirpath)) == tmp_path / "mine"
