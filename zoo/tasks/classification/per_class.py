"""Table of precision, recall and F1 of each class in the test."""

from collections.abc import Sequence

import numpy as np
from lightning import Trainer

from zoo.tasks.classification.confusion import Confusion
from zoo.training.files import write_csv
from zoo.training.reporting import log_table


class PerClass(Confusion):
    """Writes `folder`/per_class.csv with a row for each class, and sends the table to W&B as test/per_class.

    The cell of an undefined score is empty: recall of a class without samples, precision of a class that was never predicted.
    """

    def report(self, trainer: Trainer, truth: np.ndarray, predicted: np.ndarray, names: Sequence[str]) -> None:
        header = ["class", "precision", "recall", "f1", "support"]
        rows = [[name, *scores] for name, scores in zip(names, per_class(truth, predicted, len(names)), strict=True)]
        write_csv(self.folder / "per_class.csv", header, rows)
        log_table(trainer, "test/per_class", header, rows)


def per_class(truth: np.ndarray, predicted: np.ndarray, num_classes: int) -> list[tuple[float | int | None, ...]]:
    """Compute precision, recall, F1 (rounded to four decimals) and number of samples for each class.

    `truth` and `predicted` (N,) are the classes of the samples. A score is None if its denominator is 0.
    """
    correct, support, guesses = (
        np.bincount(classes, minlength=num_classes) for classes in (truth[truth == predicted], truth, predicted)
    )
    columns = _ratios(correct, guesses), _ratios(correct, support), _ratios(2 * correct, support + guesses), support.tolist()
    return list(zip(*columns, strict=True))


def _ratios(numerators: np.ndarray, denominators: np.ndarray) -> list[float | None]:
    pairs = zip(numerators.tolist(), denominators.tolist(), strict=True)
    return [round(numerator / denominator, 4) if denominator else None for numerator, denominator in pairs]
