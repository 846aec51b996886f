"""Table of precision, recall and F1 of each class in the test."""

from collections.abc import Sequence

import numpy as np
from lightning import Trainer

from zoo.tasks.classification.confusion import Confusion
from zoo.training.files import write_csv
from zoo.training.reporting import log_table


class PerClass(Confusion):
    """Writes `folder`/per_class.csv with a row for each class, and sends the table to W&B as test/per_class."""

    def report(self, trainer: Trainer, truth: np.ndarray, predicted: np.ndarray, names: Sequence[str]) -> None:
        header = ["class", "precision", "recall", "f1", "support"]
        rows = [[name, *scores] for name, scores in zip(names, per_class(truth, predicted, len(names)), strict=True)]
        write_csv(self.folder / "per_class.csv", header, rows)
        log_table(trainer, "test/per_class", header, rows)


def per_class(truth: np.ndarray, predicted: np.ndarray, num_classes: int) -> list[tuple[float, float, float, int]]:
    """Compute precision, recall, F1 (rounded to four decimals) and number of samples for each class.

    `truth` and `predicted` (N,) are the classes of the samples. A score is 0 if its denominator is 0.
    """
    correct, support, guesses = (
        np.bincount(classes, minlength=num_classes) for classes in (truth[truth == predicted], truth, predicted)
    )
    precision, recall = correct / np.maximum(1, guesses), correct / np.maximum(1, support)
    scores = precision, recall, 2 * correct / np.maximum(1, support + guesses)
    return list(zip(*(score.round(4).tolist() for score in scores), support.tolist(), strict=True))
