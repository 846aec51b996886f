"""Table of precision, recall and F1 of each class in the test."""

from collections.abc import Sequence

import numpy as np
from lightning import Trainer

from zoo.tasks.classification.confusion import Confusion
from zoo.training.files import write_csv
from zoo.training.reporting import log_table


class PerClass(Confusion):
    """Writes `folder`/per_class.csv with a row for each class, and sends the table to W&B as test/per_class."""

    def report(self, trainer: Trainer, counts: np.ndarray, names: Sequence[str]) -> None:
        header = ["class", "precision", "recall", "f1", "support"]
        rows = [[name, *scores] for name, scores in zip(names, per_class(counts), strict=True)]
        write_csv(self.folder / "per_class.csv", header, rows)
        log_table(trainer, "test/per_class", header, rows)


def per_class(counts: np.ndarray) -> list[tuple[float, float, float, int]]:
    """Compute precision, recall, F1 (rounded to four decimals) and number of samples for each class of a confusion matrix.

    The rows of the matrix (K, K) are the true classes. A score is 0 if its denominator is 0.
    """
    correct, support, predicted = counts.diagonal(), counts.sum(1), counts.sum(0)
    precision, recall = correct / np.maximum(1, predicted), correct / np.maximum(1, support)
    scores = precision, recall, 2 * correct / np.maximum(1, support + predicted)
    return list(zip(*(score.round(4).tolist() for score in scores), support.tolist(), strict=True))
