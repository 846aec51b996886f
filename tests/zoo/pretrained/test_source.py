from pathlib import Path

import pytest
import timm
import torch
import torchvision

from zoo.cnn.cifar_resnet import CIFARResNet
from zoo.errors import MissingFileError, ZooError
from zoo.pretrained.source import Architecture, build_source, expected_input, without_last_layer

RESNET = Architecture(class_path="zoo.CIFARResNetClassifier", init_args={"depth": 8, "width": 4})
SHAPE = (3, 16, 16)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    torch.manual_seed(1)
    path = tmp_path / "weights.pt"
    torch.save(CIFARResNet(SHAPE, 7, depth=8, width=4).state_dict(), path)
    return path


def test_weights_from_a_file_fill_all_but_the_last_layer(weights: Path) -> None:
    source = build_source(RESNET, str(weights), SHAPE)
    state = torch.load(weights, weights_only=True)
    for name, value in source.net.state_dict().items():
        assert torch.equal(value, state[name])
    assert source.num_features == 16
    assert source.net(torch.zeros(2, *SHAPE)).shape == (2, 16)


def test_names_in_a_file_can_be_replaced(weights: Path, tmp_path: Path) -> None:
    state = torch.load(weights, weights_only=True)
    renamed = {f"module.{name.replace('layer', 'stage')}": value for name, value in state.items()}
    torch.save(renamed, other := tmp_path / "renamed.pt")
    source = build_source(RESNET, str(other), SHAPE, rename={r"^module\.": "", r"^stage(\d)": r"layer\1"})
    assert torch.equal(source.net.state_dict()["layer3.0.conv1.weight"], state["layer3.0.conv1.weight"])
    with pytest.raises(ZooError, match=r"does not fit this CIFARResNet: it lacks .* more"):
        build_source(RESNET, str(other), SHAPE)


def test_grey_images_see_the_sum_of_the_channels(weights: Path) -> None:
    """So a grey image gives the same features as its copy in RGB."""
    rgb, grey = (build_source(RESNET, str(weights), shape).net.eval() for shape in (SHAPE, (1, *SHAPE[1:])))
    x = torch.rand(2, 1, 16, 16)
    torch.testing.assert_close(grey(x), rgb(x.expand(-1, 3, -1, -1)), rtol=1e-4, atol=1e-5)


def test_weights_of_another_architecture_are_refused(weights: Path) -> None:
    deeper = Architecture(class_path="zoo.CIFARResNetClassifier", init_args={"depth": 14, "width": 4})
    with pytest.raises(ZooError, match=r"does not fit this CIFARResNet: it lacks layer1.1.bn1.bias and \d+ more"):
        build_source(deeper, str(weights), SHAPE)


def test_networks_of_libraries_lose_their_last_layer() -> None:
    with torch.device("meta"):
        x = torch.empty(1, 3, 224, 224)
        for net, num in (
            (timm.create_model("resnet18"), 512),
            (timm.create_model("vit_tiny_patch16_224"), 192),
            (torchvision.models.alexnet(), 4096),
            (torchvision.models.squeezenet1_1(), 512),
            (torchvision.models.vgg11(), 4096),
        ):
            assert without_last_layer(net).eval()(x).shape == (1, num)


def test_the_input_is_that_of_the_weights() -> None:
    half, imagenet = [0.5] * 3, {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
    lite0 = {"size": 224, "crop": 0.875, "interpolation": "bicubic", "mean": half, "std": half}
    assert expected_input("efficientnet_lite0", "offline") == lite0
    assert expected_input("tf_efficientnet_lite0", "pretrained") == lite0
    v1 = expected_input("torchvision/resnet50", "IMAGENET1K_V1")
    assert v1 == {"size": 224, "crop": 224 / 256, "interpolation": "bilinear", **imagenet}
    assert expected_input("torchvision/resnet50", "IMAGENET1K_V2")["crop"] == pytest.approx(224 / 232)
    assert expected_input(None, "simple_cnn_fashion_mnist") == {"mean": [0.286], "std": [0.353], "size": 28, "rgb": False}
    assert expected_input(RESNET, "file.pt") == expected_input("resnet18", None) == {}


def test_published_weights_are_a_source() -> None:
    source = build_source(None, "simple_cnn_fashion_mnist", (1, 28, 28))
    assert source.num_features == 256
    assert isinstance(source.architecture, dict)
    assert source.architecture["class_path"] == "zoo.SimpleCNNClassifier"


def test_published_weights_say_how_to_use_them() -> None:
    message = "simple_cnn_digits are the weights of a SimpleCNNClassifier, not of {}: set --model.backbone null"
    with pytest.raises(ZooError, match=f"^{message.format('resnet18')}$"):
        build_source("resnet18", "simple_cnn_digits", (1, 64, 64))
    with pytest.raises(ZooError, match=f"^{message.format('zoo.CIFARResNetClassifier')}$"):
        build_source(RESNET, "simple_cnn_digits", (1, 8, 8))
    own = build_source(None, "simple_cnn_digits", (1, 8, 8))
    again = build_source(own.architecture, "simple_cnn_digits", (1, 8, 8))  # as a checkpoint states it
    for name, value in own.net.state_dict().items():
        assert torch.equal(again.net.state_dict()[name], value)


def test_unknown_weights_are_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match=r"no weights file none.pt"):
        build_source(RESNET, "none.pt", SHAPE)
    with pytest.raises(ZooError, match="which network"):
        build_source(None, "pretrained", SHAPE)
    torch.save({"a": torch.zeros(1)}, path := tmp_path / "plain.pt")
    with pytest.raises(ZooError, match="is not a Lightning checkpoint"):
        build_source(None, str(path), SHAPE)
