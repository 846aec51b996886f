"""Classifiers use cross-entropy, smoothed in training only, and refuse labels out of range."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from datamodules.core.batch import Batch
from zoo.tasks.classification.base import Classifier

PROGRESS = torch.zeros(())


class Linear(Classifier):
    """Classifier with a single linear layer."""

    def __init__(self, num_classes: int = 3, label_smoothing: float = 0.0) -> None:
        super().__init__(num_classes, label_smoothing, 0.1, None)
        self.net = nn.Linear(5, num_classes)


def batch_of(y: list[int]) -> Batch:
    return Batch(torch.randn(len(y), 5), torch.tensor(y), torch.arange(len(y)))


def smoothed(logits: Tensor, y: Tensor, share: float) -> Tensor:
    """Cross-entropy with the probability `share` of each target spread over all classes (Szegedy et al., 2016)."""
    target = (1 - share) * F.one_hot(y, logits.shape[1]) + share / logits.shape[1]
    return -(target * logits.log_softmax(1)).sum(1).mean()


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5])
def test_loss_is_smoothed_in_training_and_plain_in_evaluation(share: float) -> None:
    system, batch = Linear(label_smoothing=share), batch_of([0, 2, 1, 1])
    logits = system(batch.x)
    loss, outputs = system.step(batch, PROGRESS)
    torch.testing.assert_close(loss, smoothed(logits, batch.y, share))
    torch.testing.assert_close(loss, F.cross_entropy(logits, batch.y, label_smoothing=share))
    torch.testing.assert_close(outputs["preds"], logits)
    assert torch.equal(outputs["target"], batch.y)
    torch.testing.assert_close(system.eval().step(batch, PROGRESS)[0], smoothed(logits, batch.y, 0.0))


def test_smoothing_penalises_overconfidence() -> None:
    system, sure = Linear(label_smoothing=0.1), torch.tensor([[100.0, 0.0, 0.0]])
    assert system.loss(sure, torch.tensor([0])).item() == pytest.approx(0.1 * 2 / 3 * 100)
    assert system.eval().loss(sure, torch.tensor([0])).item() == pytest.approx(0)


def test_accuracy_is_the_fraction_of_correct_predictions_and_selects_the_checkpoint() -> None:
    system = Linear()
    logits, y = torch.eye(3)[[0, 1, 2, 2]], torch.tensor([0, 1, 1, 0])
    assert {name: float(value) for name, value in system.metrics["val_metrics"](logits, y).items()} == {"val/acc": 0.5}
    assert (system.monitor, system.headline) == (("val/acc", "max"), "test/acc")


@pytest.mark.parametrize("hook", ["on_train_batch_start", "on_validation_batch_start", "on_test_batch_start"])
@pytest.mark.parametrize(("labels", "found"), [([0, 3], r"0\.\.3"), ([-1, 2], r"-1\.\.2")])
def test_labels_out_of_range_are_refused(hook: str, labels: list[int], found: str) -> None:
    with pytest.raises(ValueError, match=rf"labels must lie in 0\.\.2, found {found}"):
        getattr(Linear(), hook)(batch_of(labels), 0)


@pytest.mark.parametrize("share", [1.0, -0.1, float("nan")])
def test_a_label_smoothing_out_of_range_is_refused(share: float) -> None:
    with pytest.raises(ValueError, match=rf"label_smoothing must lie in \[0, 1\), got {share}"):
        Linear(label_smoothing=share)
