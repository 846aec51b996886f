"""Metrics of reconstructed images."""

from torchmetrics import MeanSquaredError, Metric, MetricCollection
from torchmetrics.image import PeakSignalNoiseRatio, StructuralSimilarityIndexMeasure


def reconstruction() -> dict[str, Metric | MetricCollection]:
    """Build mean squared error per pixel, PSNR in dB and SSIM, for images (B, C, H, W) in [0, 1] and their targets.

    SSIM (Wang, Bovik, Sheikh & Simoncelli, 2004) uses a window of 11 pixels. PSNR is computed per image and then averaged,
    because the worst image would dominate the PSNR of a whole batch.
    """
    return {
        "mse": MeanSquaredError(),
        "psnr": PeakSignalNoiseRatio(data_range=1.0, dim=(1, 2, 3)),
        "ssim": StructuralSimilarityIndexMeasure(data_range=1.0),
    }
