"""Fixture that tests a system with one report."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lightning import Callback, LightningDataModule, LightningModule, Trainer

Scores = Callable[..., dict[str, Any]]


@pytest.fixture
def scores(fit: Callable[..., Trainer], tmp_path: Path) -> Scores:
    """Function that trains and tests a system with one report, with run directory `tmp_path`, and returns the test's scores."""

    def run(system: LightningModule, data: LightningDataModule, report: Callback, max_epochs: int = 0) -> dict[str, Any]:
        trainer = fit(system, data, callbacks=[report], max_epochs=max_epochs, default_root_dir=tmp_path)
        (found,) = trainer.test(system, datamodule=data, verbose=False)
        return dict(found)

    return run
