"""Any image classifier of timm or torchvision as a system: AlexNet, VGG, GoogLeNet, ResNet, EfficientNet, ConvNeXt, ...

Shapes: B batch, C channels, H height, W width, K classes.
"""

from torch import Tensor

from zoo.errors import ZooError
from zoo.pretrained.backbone import Stem, build_backbone, pretrained_statistics
from zoo.tasks.classification.base import Classifier
from zoo.training.initial_weights import load_weights
from zoo.training.optim import Optim
from zoo.training.system import Batch, Outputs, require

AUXILIARY_WEIGHT = 0.3  # of each auxiliary head's loss (Szegedy et al., 2015, arXiv:1409.4842, section 5)


class ImageClassifier(Classifier):
    """A network of timm or torchvision by its name, trained by cross-entropy on K classes.

    Args:
        backbone: such as resnet50, vgg16, efficientnet_b0, convnext_tiny, googlenet; "torchvision/resnet50" for theirs.
        pretrained: start from the weights that the library's hub holds (ImageNet's as a rule).
        stem: "small" for pictures of 28 to 64 pixels: a 3x3 convolution with stride 1, and no pool behind it.
        dropout: before the last layer; None: as its authors had it.
        drop_path: chance that a residual branch is left out; timm's networks only.
        weights: a file with all its weights, tensors by name.
    """

    def __init__(
        self,
        input_shape: tuple[int, int, int] | None = None,  # linked from the datamodule
        num_classes: int | None = None,  # linked from the datamodule
        backbone: str = "resnet18",
        pretrained: bool = False,
        stem: Stem = "standard",
        dropout: float | None = None,
        drop_path: float | None = None,
        weights: str | None = None,
        label_smoothing: float = 0.0,
        lr: float = 1e-3,
        optim: Optim | None = None,
    ) -> None:
        input_shape, num_classes = require("input_shape", input_shape), require("num_classes", num_classes)
        super().__init__(num_classes, label_smoothing, lr, optim)
        self.save_hyperparameters(logger=False)
        self.net = build_backbone(
            backbone, input_shape, num_classes, pretrained=pretrained, stem=stem, dropout=dropout, drop_path=drop_path
        )
        if weights is not None:
            load_weights(self.net, weights)

    def step(self, batch: Batch, progress: Tensor) -> tuple[Tensor, Outputs]:
        logits = self.net(batch.x)
        if not isinstance(logits, tuple):
            return self.loss(logits, batch.y), {"preds": logits, "target": batch.y}
        logits, *auxiliary = logits  # GoogLeNet in training: its deep and its shallow auxiliary head
        loss = self.loss(logits, batch.y) + AUXILIARY_WEIGHT * sum(self.loss(other, batch.y) for other in auxiliary)
        return loss, {"preds": logits, "target": batch.y}

    def on_fit_start(self) -> None:
        super().on_fit_start()
        data = getattr(self.trainer, "datamodule", None)
        if not self.hparams["pretrained"]:
            return
        backbone = self.hparams["backbone"]
        for name, wanted in zip(("mean", "std"), pretrained_statistics(backbone), strict=True):
            given = getattr(data, name, wanted)
            if len(given) == len(wanted) and any(abs(a - b) > 0.01 for a, b in zip(given, wanted, strict=True)):
                raise ZooError(
                    f"the pretrained weights of {backbone} expect data.{name} {list(wanted)}, got {list(given)}: "
                    f"give --data.{name} '{list(wanted)}'"
                )
