"""The expected calibration error equals a hand-written one, also at the borders of the bins and in half precision."""

import math

import pytest
import torch
from torch import Tensor
from torchmetrics.functional.classification import binary_calibration_error

from zoo.metrics.calibration import calibration_bins, expected_calibration_error


def by_hand(confidence: list[float], correct: list[bool], num_bins: int = 15) -> float:
    """Guo et al. (2017), equations 2 to 5: bins ((m - 1) / M, m / M], and 0 in the first."""
    error = 0.0
    for m in range(1, num_bins + 1):
        inside = [i for i, c in enumerate(confidence) if (m - 1) / num_bins < c <= m / num_bins or (m == 1 and c == 0)]
        if inside:
            accuracy = sum(correct[i] for i in inside) / len(inside)
            mean = sum(confidence[i] for i in inside) / len(inside)
            error += len(inside) / len(confidence) * abs(accuracy - mean)
    return error


def random(num: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    confidence = torch.rand(num, generator=generator)
    return confidence, torch.rand(num, generator=generator) < confidence**2  # overconfident


@pytest.mark.parametrize("num", [1, 7, 5000])
def test_equals_the_papers_formula_and_torchmetrics(num: int) -> None:
    confidence, correct = random(num)
    error = expected_calibration_error(calibration_bins(confidence, correct))
    assert error == pytest.approx(by_hand(confidence.tolist(), correct.tolist()), abs=1e-9)
    assert error == pytest.approx(binary_calibration_error(confidence, correct.long()).item(), abs=1e-5)


def test_certain_predictions_and_borders_of_bins() -> None:
    confidence = torch.tensor([0.0, 1.0, 1.0, 0.2, 0.5, 0.5], dtype=torch.float64)
    correct = torch.tensor([False, True, True, False, True, False])
    bins = calibration_bins(confidence, correct)
    assert bins[0].nonzero()[:, 0].tolist() == [0, 2, 7, 14]  # 0.2 = 3 / 15 ends the third bin
    assert expected_calibration_error(bins) == pytest.approx(0.2 / 6)
    assert expected_calibration_error(calibration_bins(torch.ones(4), torch.zeros(4, dtype=torch.bool))) == 1


def test_half_precision_counts_every_sample() -> None:
    """float16 has no whole numbers between 2,048 and 2,050, so that counts in this dtype would stop."""
    confidence, correct = torch.full((10_000,), 0.75, dtype=torch.float16), torch.arange(10_000) % 4 != 0
    bins = calibration_bins(confidence, correct)
    assert bins[0].sum() == 10_000
    assert expected_calibration_error(bins) == pytest.approx(0)


def test_bins_of_batches_and_processes_add_up() -> None:
    confidence, correct = random(1000)
    parts = [calibration_bins(c, k) for c, k in zip(confidence.split(37), correct.split(37), strict=True)]
    torch.testing.assert_close(sum(parts), calibration_bins(confidence, correct))


def test_without_samples_it_is_unknown() -> None:
    assert math.isnan(expected_calibration_error(calibration_bins(torch.empty(0), torch.empty(0))))
