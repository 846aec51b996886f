"""Any image classifier from timm or torchvision: AlexNet, VGG, GoogLeNet, ResNet, EfficientNet, ConvNeXt, ...

Shapes: C channels, H height, W width, K classes.
"""

from torch import Tensor

from zoo.errors import ZooError
from zoo.nn.losses import ClassLoss
from zoo.pretrained.backbone import Stem, build_backbone, pretrained_statistics
from zoo.tasks.classification.base import Classifier, ClassWeights
from zoo.training.initial_weights import load_weights
from zoo.training.links import differ
from zoo.training.optim import Optim
from zoo.training.reporting import facts
from zoo.training.system import Batch, Outputs, require

AUXILIARY_WEIGHT = 0.3  # weight of each auxiliary head's loss (Szegedy et al., 2015, arXiv:1409.4842, section 5)


class ImageClassifier(Classifier):
    """Network from timm or torchvision, chosen by name.

    Args:
        backbone: name of the network, for example resnet50, vgg16, efficientnet_b0, convnext_tiny or googlenet. timm is asked
            first; write "torchvision/resnet50" to get torchvision's network.
        pretrained: start from the library's pretrained weights (usually ImageNet). They are downloaded once.
        stem: "small" suits images of 28 to 64 pixels: the first convolution becomes 3x3 with stride 1, without a pool after it.
        dropout: probability before the last layer. None: as in the original network.
        drop_path: probability of skipping a residual branch, for networks from timm only. None: as in the original network.
        weights: file with trained weights: named tensors, a checkpoint, or an exported file. If the number of
            classes differs, the last layer keeps its initial weights. A relative path may also start in the folder `ZOO_DATA`.
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
        class_weights: ClassWeights = None,
        loss: ClassLoss | None = None,
        lr: float = 1e-3,
        optim: Optim | None = None,
    ) -> None:
        input_shape, num_classes = require("input_shape", input_shape), require("num_classes", num_classes)
        super().__init__(num_classes, label_smoothing, lr, optim, class_weights, loss)
        self.save_hyperparameters(logger=False)
        self.net = build_backbone(
            backbone, input_shape, num_classes, pretrained=pretrained, stem=stem, dropout=dropout, drop_path=drop_path
        )
        if weights is not None:
            load_weights(self.net, weights)

    def step(self, batch: Batch, progress: Tensor) -> tuple[Tensor, Outputs]:
        logits = self.net(batch.x)
        if not isinstance(logits, tuple):
            return self.loss(logits, batch.y), self.outputs(logits, batch.y)
        logits, *auxiliary = logits  # GoogLeNet and Inception have auxiliary heads in training
        loss = self.loss(logits, batch.y) + AUXILIARY_WEIGHT * sum(self.loss(other, batch.y) for other in auxiliary)
        return loss, self.outputs(logits, batch.y)

    def on_fit_start(self) -> None:
        super().on_fit_start()
        if not self.hparams["pretrained"]:
            return
        backbone, data = self.hparams["backbone"], facts(self.trainer)
        mean, std = pretrained_statistics(backbone)
        for name, given, wanted in (("mean", data.mean, mean), ("std", data.std, std)):
            if given is None or len(given) != len(wanted):
                continue
            if differ(given, wanted):
                raise ZooError(
                    f"the pretrained weights of {backbone} expect data.{name} {list(wanted)}, got {list(given)}: "
                    f"add --data.{name} '{list(wanted)}'"
                )
