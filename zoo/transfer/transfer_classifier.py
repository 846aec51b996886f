"""Transfer learning: a pretrained network with a new last layer, fine-tuned by a strategy.

Shapes: B batch, C channels, H height, W width, T tokens, F features, K classes.
"""

from pathlib import Path
from typing import Any

from lightning import Callback
from lightning.pytorch.utilities import rank_zero_only
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn

from zoo.errors import ZooError
from zoo.nn.freezing import evaluate_frozen, train_only
from zoo.nn.l2_sp import StartingPoint
from zoo.nn.losses import ClassLoss
from zoo.pretrained.backbone import Stem
from zoo.pretrained.layer_groups import LayerGroup, layer_groups
from zoo.pretrained.source import PRETRAINED, Architecture, build_source, expected_input
from zoo.tasks.classification.base import Classifier, ClassWeights
from zoo.training.counting import total_steps
from zoo.training.optim import Optim, configure
from zoo.training.parallel import trainable_parameters_changed
from zoo.training.reporting import facts
from zoo.training.system import Batch, Outputs, require
from zoo.transfer.feature_cache import compute_features, forget_features
from zoo.transfer.feature_map import FeatureMap
from zoo.transfer.layer_rates import LayerRates
from zoo.transfer.strategies import Choice, Strategy, check_strategy, first_trained, group_rates, suggested_strategy


class TransferNet(nn.Module):
    """A backbone and a linear layer: images (B, C, H, W), or tokens (B, T) and lengths (B,), to logits (B, K).

    Args:
        backbone: inputs to features (B, F).
        num_features: F.
        num_classes: K.
        dropout: probability on the features.
    """

    def __init__(self, backbone: nn.Module, num_features: int, num_classes: int, dropout: float = 0.0) -> None:
        super().__init__()
        if not 0 <= dropout < 1:
            raise ZooError(f"dropout must lie in [0, 1), got {dropout}")
        self.backbone = backbone
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(num_features, num_classes)

    def forward(self, *inputs: Tensor) -> Tensor:
        return self.classify(self.features(*inputs))

    def features(self, *inputs: Tensor) -> Tensor:
        """Compute features (B, F)."""
        return self.backbone(*inputs)

    def classify(self, features: Tensor) -> Tensor:
        """Compute logits (B, K) from features (B, F)."""
        return self.head(self.dropout(features))


class TransferClassifier(Classifier):
    """Classifier of images or texts that starts from a pretrained network.

    The strategy says which layers train (see `zoo/transfer/strategies.py`):

    - feature_extraction: the head, that is the new last layer.
    - full: all layers, the pretrained ones at `lr_decay` times the head's learning rate.
    - discriminative: all layers, each layer group at `lr_decay` times the rate of the next one (Howard & Ruder, 2018).
    - gradual: the head, then one more layer group every `unfreeze_every` epochs, at the same rates.
    - lp_ft: the head for `probe_epochs`, then as full (Kumar et al., 2022).
    - auto: feature_extraction below 1,000 training images, discriminative below 20,000, else full.

    Frozen layers are in evaluation mode: BatchNorm keeps its statistics, and nothing is dropped out.

    Args:
        backbone: name of a network in timm or torchvision ("torchvision/resnet50"), or a system of the zoo with its arguments,
            {class_path: zoo.CIFARResNetClassifier, init_args: {depth: 56}}. None: the system that `weights` holds.
        weights: "pretrained": those that timm or torchvision downloads. "offline": those of the extra `offline-weights`. The
            name of torchvision's weights, such as IMAGENET1K_V1. A file of named tensors, a checkpoint of the zoo, or the name
            of its published weights. None: start from random values.
        rename: patterns of names in the file and their replacements, as in `re.sub`.
        strategy: which layers train.
        lr_decay: learning rate of pretrained layers as a share of the head's, or of the next layer group's, in (0, 1]; see
            `group_rates`. None: 0.1, or 1 / 2.6 for discriminative and gradual.
        unfreeze_every: epochs after which "gradual" unfreezes the next layer group.
        probe_epochs: epochs in which "lp_ft" trains the head only.
        cache_features: with feature_extraction, compute the features of training and validation images once, prepared as in
            evaluation, and train on them. Epochs then take a fraction of the time; images are not augmented.
        l2_sp: weight of half the squared distance from the pretrained weights in the training loss (Li et al., 2018).
        dropout: probability before the head.
        drop_path: probability of skipping a residual branch, for networks from timm. None: as in the original network.
        stem: "small" suits images of 28 to 64 pixels; see `ImageClassifier`.
        lr: learning rate of the head.
    """

    monitor = ("val/loss", "min")  # the accuracy of few validation images has too many ties to choose by
    net: TransferNet

    def __init__(
        self,
        input_shape: tuple[int, ...] | None = None,  # linked from the datamodule
        num_classes: int | None = None,  # linked from the datamodule
        vocab_size: int | None = None,  # linked from the datamodule; None for images
        backbone: str | Architecture | None = "resnet50",
        weights: str | None = PRETRAINED,
        rename: dict[str, str] | None = None,
        strategy: Choice = "auto",
        lr_decay: float | None = None,
        unfreeze_every: int = 1,
        probe_epochs: int = 3,
        cache_features: bool = True,
        l2_sp: float = 0.0,
        dropout: float = 0.0,
        drop_path: float | None = None,
        stem: Stem = "standard",
        label_smoothing: float = 0.0,
        class_weights: ClassWeights = None,
        loss: ClassLoss | None = None,
        lr: float = 1e-3,
        optim: Optim | None = None,
    ) -> None:
        input_shape, num_classes = require("input_shape", input_shape), require("num_classes", num_classes)
        super().__init__(num_classes, label_smoothing, lr, optim, class_weights, loss)
        check_strategy(strategy, lr_decay, unfreeze_every, probe_epochs)
        if l2_sp < 0:
            raise ZooError(f"l2_sp must be 0 or more, got {l2_sp}")
        source = build_source(backbone, weights, input_shape, vocab_size, rename, stem, drop_path)
        backbone = backbone or source.architecture  # with it, a checkpoint can be loaded without the file `weights`
        self.save_hyperparameters(logger=False)
        self.net = TransferNet(source.net, source.num_features, num_classes, dropout=dropout)
        self.groups = [
            *(LayerGroup(name, tuple(f"backbone.{p}" for p in names)) for name, names in layer_groups(self.net.backbone)),
            LayerGroup("head", ("head.weight", "head.bias")),
        ]
        self.start = StartingPoint(self.net.backbone) if l2_sp else None
        self._example = source.example
        self._trains_on_features = False

    @staticmethod
    def expected_input(backbone: str | Architecture | None = "resnet50", weights: str | None = PRETRAINED) -> dict[str, Any]:
        """Return how images must be prepared: size, crop, interpolation, mean and std, as far as they are known."""
        return expected_input(backbone, weights)

    def inputs(self, batch: Any) -> tuple[Tensor, ...]:
        return (batch.x,) if len(self._example) == 1 else (batch.x, batch.lengths)

    def step(self, batch: Batch, progress: Tensor) -> tuple[Tensor, Outputs]:
        logits = self.net.classify(batch.x) if self._trains_on_features else self.net(*self.inputs(batch))
        loss = self.loss(logits, batch.y)
        if self.start is not None and self.training:
            loss = loss + self.hparams["l2_sp"] * self.start.penalty(self.net.backbone)
        return loss, self.outputs(logits, batch.y)

    @property
    def strategy(self) -> Strategy:
        """The strategy of this fit; "auto" chooses it by the number of training samples."""
        strategy: Choice = self.hparams["strategy"]
        if strategy != "auto":
            return strategy
        splits = facts(self.trainer).splits
        if splits is None:
            raise ZooError("the data do not state their number of training samples, which strategy auto needs: set another one")
        return suggested_strategy(len(splits["train"].rows))

    def features(self, batch: Any) -> Tensor:
        """Compute the backbone's features (B, F) of a batch."""
        return self.net.features(*self.inputs(batch))

    def configure_optimizers(self) -> OptimizerLRScheduler:
        # The optimizer holds all groups from the start. It skips those that are frozen, because they have no gradient.
        rates = group_rates(self.strategy, len(self.groups), self.hparams["lr_decay"])
        by_name = {name: rate for group, rate in zip(self.groups, rates, strict=True) for name in group.parameters}
        return configure(self, self.lr, self.optim, total_steps(self.trainer), monitor="val/loss", part=self.net, rates=by_name)

    def on_fit_start(self) -> None:
        super().on_fit_start()
        if self.hparams["strategy"] == "auto":
            rank_zero_only(print)(f"strategy {self.strategy}, by the number of training samples (model.strategy)", flush=True)
        if self.strategy == "feature_extraction" and self.hparams["cache_features"]:
            self._freeze(epoch=0)
            self._trains_on_features = compute_features(self.trainer, self)

    def on_fit_end(self) -> None:
        if self._trains_on_features:
            forget_features(self.trainer)
            self._trains_on_features = False

    def on_train_start(self) -> None:
        super().on_train_start()
        self._freeze(self.trainer.current_epoch)

    def on_train_epoch_start(self) -> None:
        self._freeze(self.trainer.current_epoch)

    def train(self, mode: bool = True) -> "TransferClassifier":
        """Set the mode of the layers that train. Frozen layers stay in evaluation mode."""
        super().train(mode)
        evaluate_frozen(self.net)
        return self

    def first_trained(self, epoch: int) -> int:
        """Return the first of `groups` that trains in an epoch; all groups after it train, too."""
        arguments = self.hparams
        return first_trained(self.strategy, len(self.groups), epoch, arguments["unfreeze_every"], arguments["probe_epochs"])

    def _freeze(self, epoch: int) -> None:
        """Freeze the layer groups that do not train in an epoch, and let the others train."""
        trained = {name for group in self.groups[self.first_trained(epoch) :] for name in group.parameters}
        if train_only(self.net, trained):
            trainable_parameters_changed(self.trainer)
        self.train(self.training)

    def reports(self, folder: Path) -> list[Callback]:
        pictures = folder / "pictures"
        return [*super().reports(folder), LayerRates(pictures, self.groups), FeatureMap(pictures, self)]

    def example_inputs(self, batch_size: int) -> tuple[Tensor, ...]:
        if len(self._example) == 1:
            return super().example_inputs(batch_size)
        return tuple(tensor.expand(batch_size, *tensor.shape[1:]) for tensor in self._example)
