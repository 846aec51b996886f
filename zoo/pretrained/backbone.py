"""Any image classifier of timm or torchvision, by name."""

import difflib
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import timm
import torch
import torchvision
from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from torch import nn

from zoo.errors import MissingFileError, ZooError, check_choice
from zoo.training.initial_weights import initial_weights_wanted

Stem = Literal["standard", "small"]


def build_backbone(
    name: str,
    input_shape: Sequence[int],
    num_classes: int,
    *,
    pretrained: bool = False,
    stem: Stem = "standard",
    dropout: float | None = None,
    drop_path: float | None = None,
) -> nn.Module:
    """A network (B, C, H, W) to logits (B, K), of timm where it has the name, else of torchvision ("torchvision/" asks there).

    With `stem="small"` the first convolution becomes 3x3 with stride 1 and the pool behind it goes, so that pictures of 28 to
    64 pixels keep their detail. With `pretrained` it starts from the weights that the library's hub holds; new are the last
    layer where K differs, and a small stem. In training a network with auxiliary heads returns (logits, auxiliary logits, ...).

    `dropout` stands before the last layer; `drop_path` is the chance that a residual branch is left out (Huang et al., 2016,
    arXiv:1603.09382), of timm's networks only. None: as the network's authors had it.

    Raises:
        ZooError: for a name that neither library has, an argument that this network lacks, or an image it cannot take.
        MissingFileError: if its weights are not on this machine and can't be fetched.
    """
    check_choice("stem", stem, get_args(Stem))

    def build(shape: Sequence[int], pretrained: bool) -> nn.Module:
        if _is_timm(name):
            net = _from_timm(name, shape, num_classes, pretrained, dropout, drop_path)
        else:
            net = _from_torchvision(name, shape, num_classes, pretrained, dropout, drop_path)
        if stem == "small":
            _shrink_stem(net, name)
        return net

    def fits(shape: Sequence[int]) -> bool:
        """Whether an image passes, auxiliary heads included; on the meta device, where nothing is computed."""
        with torch.device("meta"), torch.no_grad():
            try:
                build(shape, pretrained=False).train()(torch.empty(2, *shape))
            except (RuntimeError, AssertionError):  # how torch and timm say that maps or patches run out
                return False
            return True

    if not fits(input_shape):
        channels, *size = input_shape
        fitting = [side for side in (8, 16, 28, 32, 48, 64, 96, 128, 224, 256, 384) if fits((channels, side, side))]
        pixels = "x".join(map(str, size))
        way_out = f"{fitting[0]}x{fitting[0]} fit: set data.size" if fitting else "no usual size fits"
        raise ZooError(f"{name} cannot take images of {pixels} pixels: {way_out}, or choose another backbone")
    return build(input_shape, pretrained)


def pretrained_statistics(name: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation per channel, in [0, 1], of the pictures that a backbone's pretrained weights expect."""
    config = timm.get_pretrained_cfg(name) if _is_timm(name) else None
    return (config.mean, config.std) if config is not None else (IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD)


def _is_timm(name: str) -> bool:
    """Which library a name is of.

    Raises:
        ZooError: with the nearest names, if it is of neither.
    """
    bare = name.removeprefix("torchvision/")
    if bare == name and timm.is_model(name):
        try:
            timm.get_pretrained_cfg(name)
        except RuntimeError as error:  # resnet18.a2_in1k
            network = name.partition(".")[0]
            tags = ", ".join(timm.list_pretrained(f"{network}.*")) or network
            raise ZooError(f"timm has {network}, but no weights {name!r}: choose one of {tags}") from error
        return True
    theirs = torchvision.models.list_models(module=torchvision.models)
    if bare in theirs:
        return False
    near = difflib.get_close_matches(bare, theirs if bare != name else [*timm.list_models(), *theirs], n=3, cutoff=0.5)
    hint = f"did you mean {', '.join(dict.fromkeys(near))}?" if near else "see timm.list_models()"
    raise ZooError(f"no backbone {name!r} in timm or torchvision: {hint}")


def _from_timm(
    name: str, shape: Sequence[int], num_classes: int, pretrained: bool, dropout: float | None, drop_path: float | None
) -> nn.Module:
    config = timm.get_pretrained_cfg(name)
    arguments: dict[str, Any] = {"drop_rate": dropout, "drop_path_rate": drop_path}  # timm leaves out what is None
    if config is not None and config.fixed_input_size:
        arguments["img_size"] = tuple(shape[1:])  # patches have positions
    pretrained = pretrained and initial_weights_wanted()
    if pretrained:
        if config is None or not config.has_weights:
            raise ZooError(f"timm has no pretrained weights for {name}: leave pretrained out, or choose another backbone")
        if config.hf_hub_id and (path := _on_hub(name, config.hf_hub_id)):
            arguments["pretrained_cfg_overlay"] = {"file": str(path)}  # asks nobody
    try:
        return timm.create_model(name, pretrained=pretrained, num_classes=num_classes, in_chans=shape[0], **arguments)
    except TypeError as error:
        raise ZooError(f"{name} does not take one of dropout, drop_path: leave it out ({error})") from error


def _on_hub(name: str, repo: str) -> Path | None:
    """The weights in the hub's cache, or None where the hub is ready to give them.

    Raises:
        MissingFileError: if neither; without a network the download itself would retry for minutes.
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
        return None  # older ones have another file; the hub is there
    except (OSError, *HfHubHTTPError.__bases__) as error:  # type: ignore[misc]  # its base: the HTTP library of this version
        raise _no_weights(name, Path(HF_HUB_CACHE) / f"models--{repo.replace('/', '--')}", error) from error
    return None


def _no_weights(name: str, path: Path, error: Exception) -> MissingFileError:
    return MissingFileError(
        f"the pretrained weights of {name} are not at {path}, and could not be fetched ({type(error).__name__}): "
        "run once with a network, copy them there from a machine that has them, or set model.pretrained false"
    )


def _from_torchvision(
    name: str, shape: Sequence[int], num_classes: int, pretrained: bool, dropout: float | None, drop_path: float | None
) -> nn.Module:
    bare = name.removeprefix("torchvision/")
    if shape[0] != 3:
        raise ZooError(f"torchvision's {bare} takes RGB images, got {shape[0]} channel(s): set data.rgb true")
    if drop_path is not None:
        raise ZooError(f"torchvision's {bare} has no drop_path: leave it out")
    arguments: dict[str, Any] = {} if dropout is None else {"dropout": dropout}
    if bare in ("googlenet", "inception_v3"):
        # both scale their inputs as their weights expect; GoogLeNet's 5x5 branches are 3x3, a mistake these were trained with
        arguments |= {"aux_logits": True, "init_weights": not pretrained, "transform_input": pretrained}
    try:
        net = torchvision.models.get_model(bare, weights=None, num_classes=num_classes, **arguments)
    except TypeError as error:
        raise ZooError(f"torchvision's {bare} does not take dropout: leave it out") from error
    if pretrained and initial_weights_wanted():
        _load_torchvision(net, bare)
    return net


def _load_torchvision(net: nn.Module, name: str) -> None:
    weights = torchvision.models.get_model_weights(name).DEFAULT
    path = Path(torch.hub.get_dir()) / "checkpoints" / Path(weights.url).name
    if not path.is_file():
        try:
            urllib.request.urlopen(urllib.request.Request(weights.url, method="HEAD"), timeout=10).close()
        except OSError as error:  # URLError is one
            raise _no_weights(name, path, error) from error
    state, own = weights.get_state_dict(progress=False, check_hash=True), net.state_dict()
    net.load_state_dict({k: v for k, v in state.items() if k in own and own[k].shape == v.shape}, strict=False)


def _shrink_stem(net: nn.Module, name: str) -> None:
    convolutions = [(path, module) for path, module in net.named_modules() if isinstance(module, nn.Conv2d)]
    pools = [path for path, module in net.named_modules() if isinstance(module, nn.MaxPool2d)]
    path, first = convolutions[0]
    if first.stride == (1, 1):
        raise ZooError(f"{name} has no stem to shrink, its first convolution has stride 1: leave stem at 'standard'")
    new = nn.Conv2d(first.in_channels, first.out_channels, 3, padding=1, bias=first.bias is not None)
    nn.init.kaiming_normal_(new.weight, mode="fan_out", nonlinearity="relu")
    net.set_submodule(path, new)
    order = [module_path for module_path, _ in net.named_modules()]
    if pools and order.index(pools[0]) < order.index(convolutions[1][0]):
        net.set_submodule(pools[0], nn.Identity())
