"""The pretrained network that transfer learning starts from: its layers without the last one, and the inputs it expects.

Shapes: B batch, C channels, F features.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from inspect import signature
from typing import Any, Protocol, TypedDict, runtime_checkable

import timm
import torch
import torchvision
from torch import Tensor, nn

from zoo.errors import ZooError
from zoo.pretrained.backbone import Stem, build_backbone, is_timm, torchvision_weights
from zoo.pretrained.offline import load_offline, offline_weights
from zoo.pretrained.published import published, weights_path
from zoo.training.checkpoint import read_checkpoint, system_class_of
from zoo.training.files import find_file
from zoo.training.initial_weights import initial_weights_wanted, load_weights, without_initial_weights

PRETRAINED, OFFLINE = "pretrained", "offline"  # weights that are not a file
_IMAGENET_CLASSES = 1000
_PREPARATION = ("mean", "std", "crop", "squeeze", "interpolation", "tokenizer_json")  # facts of a checkpoint about its inputs


_Value = bool | int | float | str | None
_Values = _Value | list[_Value]


class Architecture(TypedDict):
    """A system of the zoo whose network is the backbone: its class and the arguments of its constructor."""

    class_path: str
    init_args: dict[str, _Values | dict[str, _Values]]


@runtime_checkable
class ResetsClassifier(Protocol):
    """A network from timm, which can remove its last layer."""

    def reset_classifier(self, num_classes: int) -> None:
        """Replace the last layer; 0 removes it."""


@runtime_checkable
class HasEncoder(Protocol):
    """The network of an autoencoder, whose encoder maps images to features."""

    encoder: nn.Module


@dataclass(frozen=True)
class Source:
    """A network without its last layer.

    Args:
        net: inputs to features (B, F).
        num_features: F.
        example: made-up inputs with a batch of one.
        architecture: the name of the network, or the system that it belongs to.
    """

    net: nn.Module
    num_features: int
    example: tuple[Tensor, ...]
    architecture: str | Architecture


class EncoderOnly(nn.Module):
    """The encoder of an autoencoder: images (B, C, H, W) to features (B, F)."""

    def __init__(self, net: HasEncoder) -> None:
        super().__init__()
        self.encoder = net.encoder

    def forward(self, x: Tensor) -> Tensor:
        return self.encoder(x).flatten(1)


def build_source(
    backbone: str | Architecture | None,
    weights: str | None,
    input_shape: Sequence[int],
    vocab_size: int | None = None,
    rename: Mapping[str, str] | None = None,
    stem: Stem = "standard",
    drop_path: float | None = None,
) -> Source:
    """Build the network that transfer learning starts from.

    Args:
        backbone: name of a network in timm or torchvision, or a system of the zoo. None: the system that `weights` holds.
        weights: "pretrained": those that timm or torchvision downloads. "offline": those of the extra `offline-weights`. The
            name of torchvision's weights, such as IMAGENET1K_V1. The name of published weights of the zoo. A file: a checkpoint
            or an export of the zoo, or named tensors. None: none, the network starts from random values.
        input_shape: (C, H, W) of images, (T,) of tokens.
        vocab_size: number of tokens; None for images.
        rename: patterns of names in the file and their replacements, as in `re.sub`.
        stem: see `build_backbone`.
        drop_path: see `build_backbone`.

    Raises:
        MissingFileError: if the weights are not on this machine and cannot be downloaded.
        ZooError: if the backbone is unknown, or the weights do not fit it.
    """
    if backbone is not None and weights in published():
        _check_published(backbone, str(weights))
    if isinstance(backbone, str):
        return _of_library(backbone, weights, input_shape, rename, stem, drop_path)
    return _of_zoo(backbone or _recorded(weights), weights, input_shape, vocab_size, rename)


def expected_input(backbone: str | Architecture | None, weights: str | None) -> dict[str, Any]:
    """Return how inputs must be prepared for pretrained weights.

    Of images: size, crop, interpolation, mean and std. Of texts: `tokenizer_json`, the tokenizer in the format of the
    `tokenizers` library. Nothing is known for weights from a file of named tensors, nor without weights.

    Raises:
        ZooError: if there are no such weights.
    """
    if weights is None:
        return {}
    if backbone is None:
        recorded = _read(weights)
        facts = {name: fact for name, fact in recorded.get("data", {}).items() if name in _PREPARATION}
        shape = recorded.get("hyper_parameters", {}).get("input_shape", ())
        return {**facts, "size": shape[-1], "rgb": shape[0] == 3} if len(shape) == 3 else facts
    if not isinstance(backbone, str) or weights not in (PRETRAINED, OFFLINE, *_tags(backbone)):
        return {}
    if is_timm(backbone) or weights == OFFLINE:
        config = timm.get_pretrained_cfg(offline_weights(backbone).network if weights == OFFLINE else backbone)
        if config is None:
            return {}
        facts = {"size": config.input_size[-1], "crop": config.crop_pct, "interpolation": config.interpolation}
        return {**facts, "mean": list(config.mean), "std": list(config.std)}
    bare = backbone.removeprefix("torchvision/")
    preset = torchvision_weights(bare, True if weights == PRETRAINED else weights).transforms()
    size, resized = preset.crop_size[0], preset.resize_size[0]
    facts = {"size": size, "crop": size / resized, "interpolation": preset.interpolation.value}
    return {**facts, "mean": list(preset.mean), "std": list(preset.std)}


def _of_library(
    name: str,
    weights: str | None,
    input_shape: Sequence[int],
    rename: Mapping[str, str] | None,
    stem: Stem,
    drop_path: float | None,
) -> Source:
    """Build a network of timm or torchvision without its last layer."""
    offline = offline_weights(name) if weights == OFFLINE else None
    pretrained: bool | str = weights == PRETRAINED or (weights if weights in _tags(name) else False)
    net = build_backbone(
        offline.network if offline else name,
        input_shape,
        _IMAGENET_CLASSES,
        pretrained=pretrained,
        stem=stem,
        drop_path=drop_path,
    )
    if offline:
        load_offline(net, offline)
    from_file = weights if weights is not None and not offline and not pretrained else None
    return _finished(net, from_file, rename, (torch.zeros(1, *input_shape),), offline.network if offline else name)


def _of_zoo(
    architecture: Architecture,
    weights: str | None,
    input_shape: Sequence[int],
    vocab_size: int | None,
    rename: Mapping[str, str] | None,
) -> Source:
    """Build the network of a system of the zoo without its last layer, or its encoder."""
    arguments: dict[str, Any] = {"num_classes": _IMAGENET_CLASSES, **architecture["init_args"]}
    arguments["input_shape"] = list(input_shape)
    if vocab_size is not None:
        arguments["vocab_size"] = vocab_size
    system_class = system_class_of(architecture["class_path"], "model.backbone")
    with without_initial_weights():
        system = system_class(**_accepted(system_class, arguments))
    with torch.device("cpu"):
        example = system.example_inputs(1)
    resolved = Architecture(class_path=architecture["class_path"], init_args=arguments)
    return _finished(system.net, weights, rename, example, resolved)


def _finished(
    whole: nn.Module,
    weights: str | None,
    rename: Mapping[str, str] | None,
    example: tuple[Tensor, ...],
    architecture: str | Architecture,
) -> Source:
    """Remove the last layer of a network, and load weights from a file into the others."""
    names = set(whole.state_dict())
    net = without_last_layer(whole)
    if weights is not None and initial_weights_wanted():
        removed = names - net.state_dict().keys()
        load_weights(net, weights_path(weights) if weights in published() else weights, ignore=removed, rename=rename)
    net.eval()
    device = next(net.parameters()).device  # meta, where only sizes are wanted
    with torch.no_grad():
        num_features = net(*(tensor.to(device) for tensor in example)).shape[1]
    return Source(net.train(), num_features, example, architecture)


def without_last_layer(net: nn.Module) -> nn.Module:
    """Return a network without its last layer, which then returns features (B, F). Of an autoencoder, only the encoder is kept.

    Raises:
        ZooError: if the network has neither a linear nor a convolutional layer.
    """
    if isinstance(net, HasEncoder):
        return EncoderOnly(net)
    if isinstance(net, ResetsClassifier):
        net.reset_classifier(0)
        return net
    last = [path for path, module in net.named_modules() if isinstance(module, nn.Linear | nn.Conv2d)]
    if not last:
        raise ZooError(f"{type(net).__name__} has no linear or convolutional layer to replace: choose another backbone")
    net.set_submodule(last[-1], nn.Identity())
    return net


def _tags(backbone: str) -> list[str]:
    """Return the names of torchvision's weights for a backbone; none for timm's."""
    if is_timm(backbone):
        return []
    return list(torchvision.models.get_model_weights(backbone.removeprefix("torchvision/")).__members__)


def _read(weights: str) -> dict[str, Any]:
    if weights in published():
        return read_checkpoint(weights_path(weights))
    return read_checkpoint(find_file(weights, "checkpoint", f"give a file, or published weights: {', '.join(published())}"))


def _recorded(weights: str | None) -> Architecture:
    """Return the system that a checkpoint holds."""
    if weights is None or weights in (PRETRAINED, OFFLINE):
        raise ZooError("which network? Set model.backbone to one of timm or torchvision, or model.weights to a checkpoint")
    recorded = _read(weights)
    if not recorded.get("class_path"):
        raise ZooError(f"{weights} does not say which network it belongs to: set model.backbone")
    return Architecture(class_path=recorded["class_path"], init_args=dict(recorded.get("hyper_parameters", {})))


def _check_published(backbone: str | Architecture, weights: str) -> None:
    """Refuse published weights for a backbone of another kind. Whether sizes fit is checked when weights are loaded."""
    own = _recorded(weights)
    kind, name = own["class_path"].rpartition(".")[2], backbone if isinstance(backbone, str) else backbone["class_path"]
    if name != own["init_args"].get("backbone") and name.rpartition(".")[2] != kind:
        raise ZooError(f"{weights} are the weights of a {kind}, not of {name}: set --model.backbone null")


def _accepted(system_class: type, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return those arguments that the constructor takes; an autoencoder takes no `num_classes`."""
    return {name: value for name, value in arguments.items() if name in signature(system_class).parameters}
