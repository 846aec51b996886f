"""Residual networks for small images (He, Zhang, Ren & Sun, 2016, arXiv:1512.03385, section 4.2): 6n + 2 layers.

A residual block adds its input to its output; see `zoo/nn/residual.py`. With `skip` "none" nothing is added, which is the plain
network that the paper compares with. With "pre" the activations stand before the convolutions (arXiv:1603.05027).

Shapes: B batch, C channels, H height, W width, K classes.
"""

from collections.abc import Sequence

from torch import Tensor, nn

from zoo.errors import ZooError
from zoo.nn.checks import check_shape
from zoo.nn.losses import ClassLoss
from zoo.nn.residual import Skip, build_block
from zoo.tasks.classification.base import Classifier, ClassWeights
from zoo.training.initial_weights import load_weights
from zoo.training.optim import Optim
from zoo.training.system import require


class CIFARResNet(nn.Module):
    """Three groups of residual blocks and global average pooling: images (B, C, H, W) to logits (B, K).

    Args:
        input_shape: (C, H, W).
        num_classes: K.
        depth: number of layers with weights, 6n + 2.
        width: channels of the first group. The others have twice and four times as many.
        skip: kind of the blocks; see `build_block`.
        zero_init: let each block start with F(x) = 0, for skip "post" only.

    Raises:
        ZooError: if an argument is out of range, or if `zero_init` does not fit `skip`.
    """

    def __init__(
        self,
        input_shape: Sequence[int],
        num_classes: int,
        depth: int = 20,
        width: int = 16,
        skip: Skip = "post",
        zero_init: bool = False,
    ) -> None:
        super().__init__()
        if depth < 8 or depth % 6 != 2:
            raise ZooError(f"depth must be 6n + 2 (8, 14, 20, 32, 44, 56, 110, ...), got {depth}")
        if width < 1:
            raise ZooError(f"width must be at least 1 channel, got {width}")
        self.input_shape = tuple(input_shape)
        num_blocks = (depth - 2) // 6
        self.conv1 = nn.Conv2d(self.input_shape[0], width, 3, padding=1, bias=False)
        self.skip = skip
        self.bn1 = nn.BatchNorm2d(4 * width if skip == "pre" else width)  # before the first block, or after the last
        self.relu = nn.ReLU()
        self.layer1, self.layer2, self.layer3 = (
            nn.Sequential(
                build_block(skip, fan_in, fan_out, stride=stride, zero_init=zero_init),
                *(build_block(skip, fan_out, fan_out, zero_init=zero_init) for _ in range(num_blocks - 1)),
            )
            for fan_in, fan_out, stride in ((width, width, 1), (width, 2 * width, 2), (2 * width, 4 * width, 2))
        )
        self.linear = nn.Linear(4 * width, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        check_shape(x, self.input_shape)
        x = self.conv1(x)
        if self.skip == "pre":
            x = self.relu(self.bn1(self.layer3(self.layer2(self.layer1(x)))))
        else:
            x = self.layer3(self.layer2(self.layer1(self.relu(self.bn1(x)))))
        return self.linear(x.mean((2, 3)))


class CIFARResNetClassifier(Classifier):
    """ResNet-20, -32, -44, -56 or -110 for small images.

    Args:
        depth: number of layers with weights, 6n + 2.
        width: channels of the first group. He et al. use 16.
        skip: "post" for ResNet, "pre" for its pre-activation version, "none" for a plain network of the same layers.
        zero_init: start the scale of the last norm of each block at 0, so that the block starts as relu(x).
        weights: file with trained weights: named tensors, a checkpoint, or an exported file. If the number of
            classes differs, the last layer keeps its initial weights. A relative path may also start in the folder `ZOO_DATA`.
    """

    def __init__(
        self,
        input_shape: tuple[int, int, int] | None = None,  # linked from the datamodule
        num_classes: int | None = None,  # linked from the datamodule
        depth: int = 20,
        width: int = 16,
        skip: Skip = "post",
        zero_init: bool = False,
        weights: str | None = None,
        label_smoothing: float = 0.0,
        class_weights: ClassWeights = None,
        loss: ClassLoss | None = None,
        lr: float = 0.1,
        optim: Optim | None = None,
    ) -> None:
        input_shape, num_classes = require("input_shape", input_shape), require("num_classes", num_classes)
        super().__init__(num_classes, label_smoothing, lr, optim, class_weights, loss)
        self.save_hyperparameters(logger=False)
        self.net = CIFARResNet(input_shape, num_classes, depth, width, skip=skip, zero_init=zero_init)
        if weights is not None:
            load_weights(self.net, weights)
