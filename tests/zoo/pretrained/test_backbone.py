"""Networks from timm and torchvision by name: their sizes, their errors, and the source of their weights."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import torchvision
from safetensors.torch import save_file
from torch import Tensor, nn

from zoo.cli.catalog import Entry, entries
from zoo.pretrained.backbone import build_backbone
from zoo.training.initial_weights import without_initial_weights


def on_meta(name: str, *arguments: Any, **options: Any) -> nn.Module:
    """Build a network on the meta device, which needs neither memory nor time."""
    with torch.device("meta"):
        return build_backbone(name, *arguments, **options)


def run_with(environment: dict[str, str], script: str) -> Any:
    """Run a script in its own process and return the JSON it prints. Libraries read their cache paths at import."""
    answer = subprocess.run(
        [sys.executable, "-c", script], env={**os.environ, **environment}, capture_output=True, text=True, timeout=300
    )
    assert answer.returncode == 0, answer.stderr[-3000:]
    return json.loads(answer.stdout.splitlines()[-1])


# counts in millions as in the tables of torchvision and timm
@pytest.mark.parametrize(
    ("name", "exact", "millions"),
    [
        ("alexnet", 61_100_840, 61.101),
        ("vgg16", 138_357_544, 138.358),
        ("googlenet", 13_004_888, 13.005),  # including auxiliary heads
        ("resnet50", 25_557_032, 25.557),
        ("efficientnet_b0", 5_288_548, 5.289),
        ("convnext_tiny", 28_589_128, 28.589),
    ],
)
def test_number_of_parameters_equals_the_published_one_and_the_catalog(name: str, exact: int, millions: float) -> None:
    counted = sum(parameter.numel() for parameter in on_meta(name, (3, 224, 224), 1000).parameters())
    (entry,) = (entry for entry in entries() if entry["name"] == name)
    assert counted == entry["num_params"] == exact
    assert round(exact / 1e6, 3) == millions


@pytest.mark.parametrize(
    "entry", [e for e in entries() if e["class_path"] == "zoo.ImageClassifier"], ids=lambda entry: entry["name"]
)
def test_counts_in_the_catalog_equal_those_of_torchvisions_weights(entry: Entry) -> None:
    """timm's networks have the counts of torchvision; GoogLeNet's published weights lack the auxiliary heads."""
    published = torchvision.models.get_model_weights(entry["counted_at"]["backbone"]).DEFAULT.meta["num_params"]
    # each head: a 1x1 convolution and its norm on 512 or 528 channels, and two dense layers
    heads = 128 * (512 + 528) + 2 * (2 * 128 + (128 * 4 * 4 + 1) * 1024 + (1024 + 1) * 1000)
    assert entry["num_params"] == published + (heads if entry["name"] == "googlenet" else 0)


def test_a_name_in_both_libraries_means_timm_without_a_prefix() -> None:
    assert type(on_meta("resnet18", (3, 64, 64), 5)).__module__ == "timm.models.resnet"
    assert type(on_meta("torchvision/resnet18", (3, 64, 64), 5)).__module__ == "torchvision.models.resnet"
    assert type(on_meta("alexnet", (3, 64, 64), 5)).__module__ == "torchvision.models.alexnet"


def test_grey_images_give_a_logit_per_class() -> None:
    assert build_backbone("test_resnet", (1, 40, 32), 7)(torch.randn(2, 1, 40, 32)).shape == (2, 7)


def test_position_embeddings_fit_the_image_size() -> None:
    net = on_meta("vit_tiny_patch16_224", (3, 64, 64), 5)
    assert net(torch.empty(2, 3, 64, 64, device="meta")).shape == (2, 5)
    assert net.pos_embed.shape == (1, 4 * 4 + 1, 192)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("resnet19", r"no backbone 'resnet19' in timm or torchvision: did you mean .*resnet18"),
        ("alexnett", r"no backbone 'alexnett' in timm or torchvision: did you mean alexnet"),
        ("torchvision/resnet19", r"no backbone 'torchvision/resnet19' .*: did you mean .*resnet18"),
        ("torchvision/convnextv2_tiny", r"no backbone 'torchvision/convnextv2_tiny'"),  # timm has it, torchvision does not
        ("qqqqqqq", r"no backbone 'qqqqqqq' in timm or torchvision: see timm.list_models\(\)"),
        ("", r"no backbone '' in timm"),
        ("resnet18.a9", r"timm has resnet18, but no weights 'resnet18.a9': choose one of .*resnet18.a1_in1k"),
    ],
)
def test_an_unknown_name_is_refused_with_similar_names(name: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build_backbone(name, (3, 32, 32), 10)


@pytest.mark.parametrize(
    ("name", "side", "fitting"), [("alexnet", 32, 64), ("vgg16", 28, 32), ("torchvision/vit_b_16", 32, 224)]
)
def test_an_image_too_small_is_refused_with_a_size_that_fits(name: str, side: int, fitting: int) -> None:
    message = rf"{name} cannot take images of {side}x{side} pixels: {fitting}x{fitting} fit: set data.size"
    with pytest.raises(ValueError, match=message):
        on_meta(name, (3, side, side), 10)
    assert isinstance(on_meta(name, (3, fitting, fitting), 10), nn.Module)


def test_torchvisions_networks_refuse_grey_images_and_name_the_setting() -> None:
    with pytest.raises(ValueError, match=r"torchvision's alexnet takes RGB images, got 1 channel\(s\): set data.rgb true"):
        build_backbone("alexnet", (1, 64, 64), 10)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("alexnet", {"drop_path": 0.1}, "torchvision's alexnet has no drop_path: remove it"),
        ("torchvision/convnext_tiny", {"drop_path": 0.1}, "torchvision's convnext_tiny has no drop_path"),
        ("torchvision/resnet18", {"dropout": 0.1}, "torchvision's resnet18 does not support dropout: remove it"),
        ("vgg16", {"drop_path": 0.1}, "vgg16 does not support dropout or drop_path: remove the one you set"),
        (
            "vgg16",
            {"stem": "small"},
            "the first convolution of vgg16 already has stride 1, so its stem cannot shrink: set stem to",
        ),
        ("resnet18", {"stem": "tiny"}, "unknown stem 'tiny': choose one of standard, small"),
    ],
)
def test_an_argument_that_the_network_lacks_is_refused(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build_backbone(name, (3, 32, 32), 10, **options)


def rates(net: nn.Module, kind: str) -> set[float]:
    """Return the dropout rates of the layers of a kind."""
    found = {getattr(m, "p", getattr(m, "drop_prob", None)) for m in net.modules() if type(m).__name__ == kind}
    return {round(float(rate), 3) for rate in found if rate}


def test_dropout_and_drop_path_reach_the_network_and_none_keeps_its_defaults() -> None:
    assert on_meta("resnet18", (3, 32, 32), 10, dropout=0.3).drop_rate == 0.3
    assert on_meta("resnet18", (3, 32, 32), 10).drop_rate == 0
    assert rates(on_meta("alexnet", (3, 64, 64), 10, dropout=0.3), "Dropout") == {0.3}
    assert rates(on_meta("alexnet", (3, 64, 64), 10), "Dropout") == {0.5}
    assert rates(on_meta("alexnet", (3, 64, 64), 10, dropout=0.0), "Dropout") == set()
    assert max(rates(on_meta("convnext_tiny", (3, 32, 32), 10, drop_path=0.4), "DropPath")) == 0.4
    assert rates(on_meta("convnext_tiny", (3, 32, 32), 10), "DropPath") == set()


def test_small_stem_keeps_the_resolution_of_small_images() -> None:
    standard, small = on_meta("resnet18", (3, 32, 32), 10), on_meta("resnet18", (3, 32, 32), 10, stem="small")
    x = torch.empty(2, 3, 32, 32, device="meta")
    assert standard.forward_features(x).shape == (2, 512, 1, 1)
    assert small.forward_features(x).shape == (2, 512, 4, 4)
    assert (small.conv1.kernel_size, small.conv1.stride, small.conv1.padding) == ((3, 3), (1, 1), (1, 1))
    assert small.conv1.bias is None
    assert not any(isinstance(module, nn.MaxPool2d) for module in small.modules())
    assert small(x).shape == (2, 10)


@pytest.mark.parametrize(
    ("name", "stem", "pools"),
    [("alexnet", "features.0", 2), ("googlenet", "conv1.conv", 12), ("efficientnet_b0", "conv_stem", 0)],
)
def test_small_stem_removes_only_the_pool_after_the_first_convolution(name: str, stem: str, pools: int) -> None:
    net = on_meta(name, (3, 32, 32), 10, stem="small").eval()
    first = net.get_submodule(stem)
    assert (first.kernel_size, first.stride) == ((3, 3), (1, 1))
    assert sum(isinstance(module, nn.MaxPool2d) for module in net.modules()) == pools
    assert net(torch.empty(2, 3, 32, 32, device="meta")).shape == (2, 10)


def test_small_stem_is_initialised_by_he_et_al() -> None:
    weight = build_backbone("resnet18", (3, 32, 32), 10, stem="small").conv1.weight
    assert weight.std().item() == pytest.approx((2 / (9 * 64)) ** 0.5, rel=0.1)


NO_NETWORK = {
    "HF_ENDPOINT": "http://127.0.0.1:9",
    **{f"{scheme}_proxy": "http://127.0.0.1:9" for scheme in ("http", "https", "all")},
    **{f"{scheme}_PROXY": "http://127.0.0.1:9" for scheme in ("HTTP", "HTTPS", "ALL")},
    "no_proxy": "",
    "NO_PROXY": "",
}

ASK = """
import json, time
import torch
from zoo.pretrained.backbone import build_backbone
from zoo.training.initial_weights import without_initial_weights
answers = {}
for name in ("resnet18", "torchvision/resnet18", "tf_efficientnet_lite0"):
    with without_initial_weights(), torch.device("meta"):
        build_backbone(name, (3, 64, 64), 10, pretrained=True)  # as before loading a checkpoint
    start = time.monotonic()
    try:
        with torch.device("meta"):
            build_backbone(name, (3, 64, 64), 10, pretrained=True)
    except FileNotFoundError as error:
        answers[name] = [str(error), time.monotonic() - start]
print(json.dumps(answers))
"""


def test_pretrained_without_a_network_fails_soon_and_names_the_path_for_the_weights(tmp_path: Path) -> None:
    caches = {"HF_HUB_CACHE": str(tmp_path / "hf"), "TORCH_HOME": str(tmp_path / "torch")}
    answers = run_with({**NO_NETWORK, **caches}, ASK)
    places = {
        "resnet18": tmp_path / "hf" / "models--timm--resnet18.a1_in1k",
        "torchvision/resnet18": tmp_path / "torch" / "hub" / "checkpoints" / "resnet18-f37072fd.pth",
        "tf_efficientnet_lite0": tmp_path / "hf" / "models--timm--tf_efficientnet_lite0.in1k",
    }
    for name, place in places.items():
        message, seconds = answers[name]
        assert message.startswith(f"cannot download the weights of {name.removeprefix('torchvision/')} (")
        assert f"), and {place} holds none: " in message
        assert len(message.replace(str(place), "PATH")) < 160  # one short line
        assert "\n" not in message
        has_extra = name == "tf_efficientnet_lite0"
        assert message.endswith("set --model.weights offline" if has_extra else "give a file: --model.weights FILE")
        assert ("offline-weights" in message) == has_extra
        assert seconds < 60


def hub_cache(folder: Path, repo: str, state: dict[str, Tensor]) -> None:
    """Put a file of weights where huggingface_hub would have put it."""
    home, revision = folder / f"models--{repo.replace('/', '--')}", "0123456789abcdef0123456789abcdef01234567"
    (home / "refs").mkdir(parents=True)
    (home / "refs" / "main").write_text(revision)
    (home / "snapshots" / revision).mkdir(parents=True)
    save_file(state, home / "snapshots" / revision / "model.safetensors")


def test_weights_of_the_hub_are_loaded_except_a_head_with_other_classes(tmp_path: Path) -> None:
    source = build_backbone("resnet18", (3, 64, 64), 1000)
    with torch.no_grad():
        for value in source.state_dict().values():
            if value.is_floating_point():
                value.uniform_(0.5, 1)
    state = {name: value.clone() for name, value in source.state_dict().items()}
    hub_cache(tmp_path / "hf", "timm/resnet18.a1_in1k", state)
    torch.save(state, tmp_path / "state.pth")
    script = f"""
import json
import torch
from zoo.pretrained.backbone import build_backbone
theirs = torch.load({str(tmp_path / "state.pth")!r})
def differing(shape, num_classes, **options):
    own = build_backbone("resnet18", shape, num_classes, pretrained=True, **options).state_dict()
    return sorted(name for name in own if own[name].shape != theirs[name].shape or not torch.equal(own[name], theirs[name]))
grey = build_backbone("resnet18", (1, 64, 64), 10, pretrained=True).conv1.weight
print(json.dumps({{
    "same": differing((3, 64, 64), 1000),
    "head": differing((3, 64, 64), 10),
    "stem": differing((3, 64, 64), 1000, stem="small"),
    "grey": torch.allclose(grey, theirs["conv1.weight"].sum(1, keepdim=True)),
}}))
"""
    answers = run_with({**NO_NETWORK, "HF_HUB_CACHE": str(tmp_path / "hf")}, script)
    assert answers == {"same": [], "head": ["fc.bias", "fc.weight"], "stem": ["conv1.weight"], "grey": True}


@pytest.mark.parametrize(
    ("name", "filename", "head"),
    [
        ("squeezenet1_1", "squeezenet1_1-b8a52dc0.pth", {"classifier.1.weight", "classifier.1.bias"}),
        ("torchvision/resnet18", "resnet18-f37072fd.pth", {"fc.weight", "fc.bias"}),
    ],
)
def test_weights_of_torchvision_are_loaded_except_a_head_with_other_classes(
    name: str, filename: str, head: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    theirs = build_backbone(name, (3, 64, 64), 1000).state_dict()
    (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
    torch.save(theirs, tmp_path / "hub" / "checkpoints" / filename)
    for num_classes, new in ((1000, set()), (10, head)):
        own = build_backbone(name, (3, 64, 64), num_classes, pretrained=True).state_dict()
        assert own.keys() == theirs.keys()
        assert {k for k in own if own[k].shape != theirs[k].shape or not torch.equal(own[k], theirs[k])} == new


def test_pretrained_googlenet_rescales_its_inputs_as_its_weights_expect(
    googlenet_on_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(googlenet_on_disk))
    (file,) = (googlenet_on_disk / "hub" / "checkpoints").iterdir()
    theirs = torch.load(file)
    net = build_backbone("googlenet", (3, 64, 64), 10, pretrained=True)
    assert net.transform_input is True  # mean and standard deviation 0.5 instead of ImageNet's
    own = net.state_dict()
    new = {name for name in own if own[name].shape != theirs[name].shape}
    assert new == {f"{fc}.{part}" for fc in ("fc", "aux1.fc2", "aux2.fc2") for part in ("weight", "bias")}
    assert all(torch.equal(own[name], theirs[name]) for name in own.keys() - new)


@pytest.mark.parametrize("name", ["googlenet", "torchvision/inception_v3"])
def test_inputs_are_rescaled_also_for_weights_from_a_checkpoint(name: str) -> None:
    assert on_meta(name, (3, 299, 299), 10).transform_input is False
    with without_initial_weights():
        assert on_meta(name, (3, 299, 299), 10, pretrained=True).transform_input is True


def test_a_network_without_pretrained_weights_is_refused() -> None:
    name = next(name for name in timm.list_models("resnet*") if not timm.get_pretrained_cfg(name).has_weights)
    with pytest.raises(ValueError, match=f"timm has no pretrained weights for {name}: set pretrained to false"):
        on_meta(name, (3, 64, 64), 10, pretrained=True)


def test_an_image_too_small_for_an_auxiliary_head_is_refused() -> None:
    with pytest.raises(ValueError, match=r"inception_v3 cannot take images of 224x224 pixels: 384x384 fit"):
        on_meta("torchvision/inception_v3", (3, 224, 224), 10)
