"""Report on the data before training: the size of the splits, the classes, and what was left out."""

from pathlib import Path

from lightning import Callback, LightningModule, Trainer

from zoo.training.files import write_text
from zoo.training.reporting import facts, writes


class DataReport(Callback):
    """Prints what the datamodule reports about its data when training starts, and writes it to `folder`/data.txt.

    Args:
        folder: the run directory.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        report = facts(trainer).report
        if report is None or not trainer.is_global_zero:
            return
        text = "\n".join(report())
        print(text, flush=True)
        if writes(trainer):
            write_text(self.folder / "data.txt", text + "\n")
