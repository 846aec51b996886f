"""Calibration of a classifier: how far its confidence differs from its accuracy (Guo et al., 2017, arXiv:1706.04599).

torchmetrics' calibration error is not used, because it counts in the dtype of the predictions. float16 counts stop at 2,048.

Shapes: N samples, M bins.
"""

import torch
from torch import Tensor

NUM_BINS = 15  # equal widths, as in the paper


def calibration_bins(confidence: Tensor, correct: Tensor, num_bins: int = NUM_BINS) -> Tensor:
    """Sort predictions into bins of equal width by their confidence. Bins of several batches or processes can be added.

    Bin m holds the confidences in (m / M, (m + 1) / M], as in the paper. Confidence 0 is in the first bin.

    Args:
        confidence: (N,) probability of the predicted class, in [0, 1].
        correct: (N,) whether the prediction is correct.
        num_bins: M.

    Returns:
        (3, M) float64 on the CPU: number of samples, sum of their confidences, and number of correct predictions in each bin.
    """
    confidence = confidence.detach().cpu().double()  # not every GPU has float64
    edges = torch.linspace(0, 1, num_bins + 1, dtype=torch.float64)
    bins = torch.bucketize(confidence, edges[1:-1])
    values = torch.stack([torch.ones_like(confidence), confidence, correct.cpu().double()])
    return torch.zeros(3, num_bins, dtype=torch.float64).index_add_(1, bins, values)


def expected_calibration_error(bins: Tensor) -> float:
    """Compute the mean difference of accuracy and confidence over the bins (3, M), weighted by their numbers of samples.

    It lies in [0, 1]. 0 means that, in every bin, the share of correct predictions equals the mean confidence. Without samples
    it is NaN.
    """
    num, confidence, correct = bins
    return ((correct - confidence).abs().sum() / num.sum()).item()
