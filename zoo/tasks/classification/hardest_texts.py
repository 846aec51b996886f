"""Report of the test texts with the highest loss."""

from pathlib import Path
from typing import Any, NamedTuple

import torch.nn.functional as F
from lightning import Callback, LightningModule, Trainer

from zoo.tasks.classification.worst_errors import highest_losses
from zoo.training.files import write_csv
from zoo.training.reporting import facts, gathered, log_table, writes


class Hard(NamedTuple):
    """A test text, by its position in the data set, with its prediction."""

    loss: float
    position: int
    target: int
    predicted: int
    confidence: float  # the predicted class's probability


class HardestTexts(Callback):
    """Writes the test texts with the highest loss, hardest first, to `folder`/hardest.csv, and to W&B as test/hardest.

    For classifiers of data that states its texts and class names. Correct predictions with a high loss are included.
    `WorstErrors` is the similar report for images.

    Args:
        folder: folder of the table.
        num: number of texts.
    """

    def __init__(self, folder: Path, num: int = 20) -> None:
        self.folder, self.num = folder, num
        self._hardest: list[Hard] = []

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._hardest = []

    def on_test_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        logits, target = outputs["preds"].float(), outputs["target"]
        losses = F.cross_entropy(logits, target, reduction="none")
        confidence, predicted = logits.softmax(1).max(1)
        rows = losses.topk(min(self.num, len(losses))).indices
        columns = losses, batch.position, target, predicted, confidence
        candidates = [Hard(*row) for row in zip(*(column[rows].tolist() for column in columns), strict=True)]
        self._hardest = highest_losses([*self._hardest, *candidates], self.num)

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        hardest, self._hardest = highest_losses(gathered(trainer, self._hardest), self.num), []
        names, texts = facts(trainer).class_names, facts(trainer).texts
        if not names or not texts or not writes(trainer):
            return
        header = ["loss", "position", "target", "prediction", "confidence", "text"]
        rows: list[list[Any]] = [
            [
                round(hard.loss, 4),
                hard.position,
                names[hard.target],
                names[hard.predicted],
                round(hard.confidence, 4),
                texts[hard.position],
            ]
            for hard in hardest
        ]
        write_csv(self.folder / "hardest.csv", header, rows)
        log_table(trainer, "test/hardest", header, rows)
