"""A small convolutional network: three convolutions with a pool after each of the first two.

The layout is LeNet's (LeCun, Bottou, Bengio & Haffner, 1998). Batch norm (Ioffe & Szegedy, 2015, arXiv:1502.03167) with ReLU
replaces its sigmoids, and global average pooling (Lin, Chen & Yan, 2014, arXiv:1312.4400) replaces its dense layers.

Shapes: B batch, C channels, H height, W width, K classes.
"""

from collections.abc import Sequence

from torch import Tensor, nn

from zoo.errors import ZooError
from zoo.nn.checks import check_shape
from zoo.tasks.classification.base import Classifier, ClassWeights
from zoo.training.optim import Optim
from zoo.training.system import require

WIDTHS = (64, 128, 256)


class SimpleCNN(nn.Module):
    """Convolutions with batch norm and ReLU, 2x2 max pools between them, and a linear layer: (B, C, H, W) to logits (B, K).

    Args:
        input_shape: (C, H, W). Sides need at least 2 ** (len(widths) - 1) pixels.
        num_classes: K.
        widths: channels of each convolution.
        dropout: probability before the last layer.

    Raises:
        ZooError: if an argument is out of range, or the image is too small.
    """

    def __init__(
        self, input_shape: Sequence[int], num_classes: int, widths: Sequence[int] = WIDTHS, dropout: float = 0.0
    ) -> None:
        super().__init__()
        if not widths or not all(width >= 1 for width in widths):
            raise ZooError(f"widths must be one or more positive numbers, got {list(widths)}")
        if not 0 <= dropout < 1:
            raise ZooError(f"dropout must lie in [0, 1), got {dropout}")
        self.input_shape = tuple(input_shape)
        if min(self.input_shape[1:]) < (smallest := 2 ** (len(widths) - 1)):
            raise ZooError(f"{len(widths)} widths need images of {smallest}x{smallest} pixels or more, got {self.input_shape}")
        layers: list[nn.Module] = []
        fan_in = self.input_shape[0]
        for width in widths:
            if layers:
                layers.append(nn.MaxPool2d(2))
            # batch norm has its own offset, so the convolution needs no bias
            layers += [nn.Conv2d(fan_in, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
            fan_in = width
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(dropout), nn.Linear(fan_in, num_classes)
        )
        for layer in self.features:
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        check_shape(x, self.input_shape)
        return self.classifier(self.features(x))


class SimpleCNNClassifier(Classifier):
    """Small CNN, by default with 64, 128 and 256 channels, trained with cross-entropy."""

    def __init__(
        self,
        input_shape: tuple[int, int, int] | None = None,  # linked from the datamodule
        num_classes: int | None = None,  # linked from the datamodule
        widths: Sequence[int] = WIDTHS,
        dropout: float = 0.0,
        label_smoothing: float = 0.0,
        class_weights: ClassWeights = None,
        lr: float = 5e-3,
        optim: Optim | None = None,
    ) -> None:
        input_shape, num_classes = require("input_shape", input_shape), require("num_classes", num_classes)
        super().__init__(num_classes, label_smoothing, lr, optim, class_weights)
        self.save_hyperparameters(logger=False)
        self.net = SimpleCNN(input_shape, num_classes, widths, dropout=dropout)
