"""The test texts that a classifier found hardest."""

from pathlib import Path
from typing import Any, NamedTuple

import torch.nn.functional as F
from lightning import Callback, LightningModule, Trainer

from zoo.training.predictions import write_csv
from zoo.training.reporting import gathered, log_table, writes


class Hard(NamedTuple):
    """A text's place in the data set, and what the model made of it."""

    loss: float
    position: int
    target: int
    predicted: int
    confidence: float  # the predicted class's probability


class HardestTexts(Callback):
    """Writes the texts of highest loss, hardest first, to `predictions/hardest.csv`, and to W&B as test/hardest.

    For classifiers of texts only: `trainer.datamodule.texts` holds the text of each position. Right answers count as well:
    one given without conviction says as much as a wrong one. `WorstErrors` does this for pictures.
    """

    def __init__(self, run_dir: Path, num: int = 20) -> None:
        self.run_dir, self.num = run_dir, num
        self._hardest: list[Hard] = []

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._hardest = []

    def on_test_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        data = getattr(trainer, "datamodule", None)
        preds = outputs.get("preds") if outputs else None
        if preds is None or preds.ndim != 2 or not hasattr(data, "texts") or not getattr(data, "class_names", ()):
            return
        losses = F.cross_entropy(preds.float(), outputs["target"], reduction="none")
        confidence, predicted = preds.float().softmax(1).max(1)
        rows = losses.topk(min(self.num, len(losses))).indices
        columns = losses, batch.position, outputs["target"], predicted, confidence
        hard = [Hard(*row) for row in zip(*(column[rows].tolist() for column in columns), strict=True)]
        self._hardest = self._first([*self._hardest, *hard])

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        hardest, self._hardest = self._first(gathered(trainer, self._hardest)), []
        if not hardest or not writes(trainer):
            return
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        header = ["loss", "position", "target", "prediction", "confidence", "text"]
        rows: list[list[Any]] = [
            [
                round(hard.loss, 4),
                hard.position,
                data.class_names[hard.target],
                data.class_names[hard.predicted],
                round(hard.confidence, 4),
                data.texts[hard.position],
            ]
            for hard in hardest
        ]
        write_csv(self.run_dir / "predictions" / "hardest.csv", header, rows)
        log_table(trainer, "test/hardest", header, rows)

    def _first(self, texts: list[Hard]) -> list[Hard]:
        return sorted(texts, key=lambda hard: (-hard.loss, hard.position))[: self.num]
