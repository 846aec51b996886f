"""A small convolutional network: three convolutions that double the channels while pooling halves the picture.

The plan is LeNet's (LeCun, Bottou, Bengio & Haffner, 1998), with batch norm (Ioffe & Szegedy, 2015, arXiv:1502.03167), ReLU
and global average pooling (Lin, Chen & Yan, 2014, arXiv:1312.4400) in place of its sigmoids and dense layers.

Shapes: B batch, C channels, H height, W width, K classes.
"""

from collections.abc import Sequence

from torch import Tensor, nn

from zoo.errors import ZooError
from zoo.nn.checks import check_shape
from zoo.tasks.classification.base import Classifier
from zoo.training.optim import Optim
from zoo.training.system import require

WIDTHS = (64, 128, 256)


class SimpleCNN(nn.Module):
    """Convolution, batch norm, ReLU for each width, with a 2x2 max pool between: (B, C, H, W) to logits (B, K).

    Any image of at least 2 ** (len(widths) - 1) pixels a side will do: the last maps are averaged over the whole picture.
    """

    def __init__(
        self, input_shape: Sequence[int], num_classes: int, widths: Sequence[int] = WIDTHS, dropout: float = 0.0
    ) -> None:
        super().__init__()
        if not widths or not all(width >= 1 for width in widths):
            raise ZooError(f"widths must be positive, at least one, got {list(widths)}")
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
            # the norm has an offset of its own, so the convolution needs none
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
    """Three convolutions, 64-128-256 channels, trained by cross-entropy on K classes."""

    def __init__(
        self,
        input_shape: tuple[int, int, int] | None = None,  # linked from the datamodule
        num_classes: int | None = None,  # linked from the datamodule
        widths: Sequence[int] = WIDTHS,
        dropout: float = 0.0,
        label_smoothing: float = 0.0,
        lr: float = 5e-3,
        optim: Optim | None = None,
    ) -> None:
        input_shape, num_classes = require("input_shape", input_shape), require("num_classes", num_classes)
        super().__init__(num_classes, label_smoothing, lr, optim)
        self.save_hyperparameters(logger=False)
        self.net = SimpleCNN(input_shape, num_classes, widths, dropout=dropout)
