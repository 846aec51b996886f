"""How close a reconstruction comes to its image."""

from torchmetrics import MeanSquaredError, Metric, MetricCollection
from torchmetrics.image import PeakSignalNoiseRatio, StructuralSimilarityIndexMeasure


def reconstruction() -> dict[str, Metric | MetricCollection]:
    """Mean squared error per pixel, PSNR in dB and SSIM, each averaged over images; (B, C, H, W) in [0, 1] against the same.

    SSIM (Wang, Bovik, Sheikh & Simoncelli, 2004) with its window of 11 pixels; PSNR of images one by one, since the error of
    a whole batch would be dominated by its worst.
    """
    return {
        "mse": MeanSquaredError(),
        "psnr": PeakSignalNoiseRatio(data_range=1.0, dim=(1, 2, 3)),
        "ssim": StructuralSimilarityIndexMeasure(data_range=1.0),
    }
