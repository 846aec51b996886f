"""Reports reach W&B, are the same on two processes as on one, and draw pictures at increasing intervals."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import wandb
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import WandbLogger

from zoo.mlp.mlp import MLPClassifier
from zoo.rnn.rnn import RNNClassifier
from zoo.tasks.classification.hardest_texts import HardestTexts
from zoo.tasks.classification.per_class import PerClass
from zoo.tasks.sequences.hidden_states import HiddenStates
from zoo.tasks.sequences.length_buckets import LengthBuckets
from zoo.training.reporting import ValidationPictures, log_table
from zoo.training.tracking import make_loggers

Fit = Callable[..., Trainer]


def reports(folder: Path) -> list[Callback]:
    return [
        PerClass(folder / "predictions"),
        HardestTexts(folder / "predictions", 5),
        HiddenStates(folder),
        LengthBuckets(folder),
    ]


def small(data: Any) -> RNNClassifier:
    return RNNClassifier(data.input_shape, 2, vocab_size=data.vocab_size, embed_dim=8, hidden_dim=8, lr=0.02)


def test_two_processes_report_the_same_as_one(fit: Fit, texts: Callable[..., Any], tmp_path: Path) -> None:
    if torch.cuda.is_initialized():
        pytest.skip("a process that has used a GPU cannot be forked")
    data = texts()
    fit(model := small(data), data, max_epochs=3)
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}
    found = []
    for folder, more in ((tmp_path / "one", {"devices": 1}), (tmp_path / "two", {"devices": 2, "strategy": "ddp_fork"})):
        trainer = Trainer(accelerator="cpu", callbacks=reports(folder), use_distributed_sampler=False, **more, **quiet)
        (scores,) = trainer.validate(model, datamodule=data, verbose=False)
        trainer.test(model, datamodule=data, verbose=False)
        tables = [(folder / "predictions" / f"{name}.csv").read_text() for name in ("per_class", "hardest")]
        found.append((scores, tables))
    assert len([name for name in found[0][0] if "_len_" in name]) == 8
    assert found[1][0] == pytest.approx(found[0][0], abs=1e-5)
    assert found[1][1] == found[0][1]


def test_tables_curves_and_pictures_reach_wandb(
    fit: Fit, texts: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    data = texts()
    logger = make_loggers(tmp_path, "texts", "fit")
    trainer = fit(model := small(data), data, callbacks=reports(tmp_path), logger=logger, max_epochs=2)
    trainer.test(model, datamodule=data, verbose=False)
    wandb.finish()
    (logged,) = (tmp_path / "wandb").glob("offline-run-*")
    command = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", str(logged)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=True)
    records = [json.loads(line) for line in done.stdout.splitlines()]
    items = [record["history"]["item"] for record in records if record["type"] == "history"]
    names = [name for item in items for name in item]
    assert len([name for name in names if "val/acc_len_" in name]) == 8  # four buckets at two validations
    tables = {name: item[name] for item in items for name in item if name.endswith(".nrows")}
    assert tables == {"test/per_class.nrows": 2, "test/hardest.nrows": 5}
    assert {"val/hidden_states.filenames", "val/length_buckets.filenames"} <= set(names)


def test_a_table_in_wandb_is_bounded() -> None:
    class Kept(WandbLogger):
        def __init__(self) -> None:
            self.rows: list[Any] = []

        def log_table(self, key: str, *, data: list[Any], **arguments: Any) -> None:  # type: ignore[override]
            self.rows = data

    logger = Kept()
    trainer = Trainer(accelerator="cpu", enable_checkpointing=False, logger=False)
    trainer.loggers = [logger]
    for num, kept in ((3, 3), (200_000, 10_000)):
        log_table(trainer, "test/predictions", ["position"], [[row] for row in range(num)])
        assert len(logger.rows) == kept


class Numbers(ValidationPictures):
    """Writes the number of the validation as its picture."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.drawn: list[int] = []

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        number = self._num_validations + 1

        def draw(path: Path) -> None:
            self.drawn.append(number)
            path.write_text(str(number))

        self.offer(trainer, {"val/number": ("number.txt", draw)})


@pytest.mark.parametrize(("validations", "drawn"), [(1, [1]), (3, [1, 2, 3]), (20, [1, 2, 4, 8, 16, 20]), (8, [1, 2, 4, 8])])
def test_pictures_are_drawn_at_increasing_intervals_and_at_the_end(
    fit: Fit, blobs: Callable[..., Any], tmp_path: Path, validations: int, drawn: list[int]
) -> None:
    numbers = Numbers(tmp_path / "pictures")
    fit(MLPClassifier((4,), 3), blobs(), callbacks=[numbers], max_epochs=validations, limit_train_batches=1)
    assert numbers.drawn == drawn
    assert (tmp_path / "pictures" / "number.txt").read_text() == str(validations)


def test_an_interrupted_run_draws_its_last_pictures(fit: Fit, blobs: Callable[..., Any], tmp_path: Path) -> None:
    class Stop(Callback):
        def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
            if trainer.current_epoch == 3:
                raise KeyboardInterrupt

    numbers = Numbers(tmp_path)
    with pytest.raises(SystemExit):
        fit(MLPClassifier((4,), 3), blobs(), callbacks=[numbers, Stop()], max_epochs=9)
    assert numbers.drawn == [1, 2, 3]


def test_a_fast_dev_run_draws_nothing(fit: Fit, blobs: Callable[..., Any], tmp_path: Path) -> None:
    fit(MLPClassifier((4,), 3), blobs(), callbacks=[Numbers(tmp_path)], fast_dev_run=True)
    assert not list(tmp_path.iterdir())
