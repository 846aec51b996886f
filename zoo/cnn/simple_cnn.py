"""A small convolutional network: three convolutions with a pool after each of the first two.

The layout is LeNet's (LeCun, Bottou, Bengio & Haffner, 1998). Batch norm (Ioffe & Szegedy, 2015, arXiv:1502.03167) with ReLU
replaces its sigmoids, and global average pooling (Lin, Chen & Yan, 2014, arXiv:1312.4400) replaces its dense layers.

Shapes: B batch, C channels, H height, W width, K classes.
"""

from collections.abc import Sequence

from torch import Tensor, nn

from zoo.errors import ZooError
from zoo.nn.activations import Activation
from zoo.nn.activations import activation as nonlinearity
from zoo.nn.checks import check_shape
from zoo.nn.init import Init, initialise
from zoo.nn.losses import ClassLoss
from zoo.nn.norms import MapNorm, map_norm
from zoo.tasks.classification.base import Classifier, ClassWeights
from zoo.training.optim import Optim
from zoo.training.system import require

# defaults of the network and of its system
WIDTHS = (64, 128, 256)
ACTIVATION: Activation = "relu"
NORM: MapNorm = "batch"
INIT: Init = "he"


class SimpleCNN(nn.Module):
    """Convolutions with norm and activation, 2x2 max pools between them, and a linear layer: (B, C, H, W) to logits (B, K).

    Args:
        input_shape: (C, H, W). Sides need at least 2 ** (len(widths) - 1) pixels.
        num_classes: K.
        widths: channels of each convolution.
        activation: function after each norm.
        norm: normalisation after each convolution; see `map_norm`.
        norm_groups: number of groups of norm "group", which must divide each width. None: 8.
        dropout: probability before the last layer.
        init: initialisation scheme of the convolutions. The last layer keeps torch's weights.

    Raises:
        ZooError: if an argument is out of range, or the image is too small.
    """

    def __init__(
        self,
        input_shape: Sequence[int],
        num_classes: int,
        widths: Sequence[int] = WIDTHS,
        activation: Activation = ACTIVATION,
        norm: MapNorm = NORM,
        norm_groups: int | None = None,
        dropout: float = 0.0,
        init: Init = INIT,
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
            # a norm removes the offset of each channel, or has its own, so the convolution needs no bias
            layers += [
                nn.Conv2d(fan_in, width, 3, padding=1, bias=norm == "none"),
                map_norm(norm, width, norm_groups),
                nn.ReLU(inplace=True) if activation == "relu" else nonlinearity(activation),  # in place: saves memory
            ]
            fan_in = width
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(dropout), nn.Linear(fan_in, num_classes)
        )
        initialise(self.features, init, activation)

    def forward(self, x: Tensor) -> Tensor:
        check_shape(x, self.input_shape)
        return self.classifier(self.features(x))


class SimpleCNNClassifier(Classifier):
    """Small CNN, by default with 64, 128 and 256 channels."""

    def __init__(
        self,
        input_shape: tuple[int, int, int] | None = None,  # linked from the datamodule
        num_classes: int | None = None,  # linked from the datamodule
        widths: Sequence[int] = WIDTHS,
        activation: Activation = ACTIVATION,
        norm: MapNorm = NORM,
        norm_groups: int | None = None,
        dropout: float = 0.0,
        init: Init = INIT,
        label_smoothing: float = 0.0,
        class_weights: ClassWeights = None,
        loss: ClassLoss | None = None,
        lr: float = 5e-3,
        optim: Optim | None = None,
    ) -> None:
        input_shape, num_classes = require("input_shape", input_shape), require("num_classes", num_classes)
        super().__init__(num_classes, label_smoothing, lr, optim, class_weights, loss)
        self.save_hyperparameters(logger=False)
        self.net = SimpleCNN(
            input_shape, num_classes, widths, activation, norm=norm, norm_groups=norm_groups, dropout=dropout, init=init
        )
