import pytest
import timm
import torch
import torchvision
from torch import nn

from zoo.cnn.cifar_resnet import CIFARResNet
from zoo.pretrained.layer_groups import layer_groups
from zoo.rnn.rnn import RNNNet

TIMM = {  # 22 families, each with its number of layer groups without the last layer
    "resnet50": 5,
    "resnext50_32x4d": 5,
    "tf_efficientnet_lite0": 8,
    "mobilenetv3_small_100": 8,
    "convnext_tiny": 5,
    "vit_tiny_patch16_224": 13,
    "deit_tiny_distilled_patch16_224": 13,
    "beit_base_patch16_224": 13,
    "eva02_tiny_patch14_224": 13,
    "swin_tiny_patch4_window7_224": 5,
    "mixer_s32_224": 9,
    "densenet121": 5,
    "vgg16_bn": 14,
    "regnety_004": 5,
    "inception_v3": 13,
    "xception41": 14,
    "ghostnet_100": 11,
    "dpn68": 5,
    "nfnet_l0": 5,
    "repvgg_a0": 5,
    "maxvit_tiny_tf_224": 6,
    "poolformer_s12": 5,
}
TORCHVISION = {"alexnet": 8, "vgg16": 16, "vgg11_bn": 11, "resnet18": 6, "vit_b_16": 14}


def check_covers(net: nn.Module) -> None:
    grouped = [name for group in layer_groups(net) for name in group.parameters]
    assert sorted(grouped) == sorted(name for name, _ in net.named_parameters())
    names = [group.name for group in layer_groups(net)]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(("name", "num"), TIMM.items())
def test_groups_cover_every_parameter_of_timms_networks_once(name: str, num: int) -> None:
    with torch.device("meta"):
        net = timm.create_model(name, num_classes=0)
    check_covers(net)
    assert len(layer_groups(net)) == num


@pytest.mark.parametrize(("name", "num"), TORCHVISION.items())
def test_groups_cover_every_parameter_of_torchvisions_networks_once(name: str, num: int) -> None:
    with torch.device("meta"):
        net = torchvision.models.get_model(name)
    check_covers(net)
    assert len(layer_groups(net)) == num


def test_googlenet_has_a_group_for_each_inception_module() -> None:
    with torch.device("meta"):
        net = torchvision.models.googlenet(init_weights=False)
    check_covers(net)
    names = [group.name for group in layer_groups(net)]
    inception = [f"inception{place}" for place in ("3a", "3b", "4a", "4b", "4c", "4d", "4e", "5a", "5b")]
    assert names == ["conv1", "conv2", "conv3", *inception, "aux1", "aux2", "fc"]


def test_groups_are_ordered_from_the_input_and_named_by_their_first_layer() -> None:
    with torch.device("meta"):
        net = timm.create_model("resnet50")
    assert [group.name for group in layer_groups(net)] == ["conv1", "layer1", "layer2", "layer3", "layer4", "fc"]
    assert layer_groups(net)[0].parameters == ("conv1.weight", "bn1.weight", "bn1.bias")


def test_networks_of_the_zoo_have_groups() -> None:
    assert [group.name for group in layer_groups(CIFARResNet((3, 32, 32), 10))] == [
        "conv1",
        "layer1",
        "layer2",
        "layer3",
        "linear",
    ]
    net = RNNNet((5,), 2, vocab_size=9, num_layers=2)
    assert [group.name for group in layer_groups(net)] == ["embedding", "recurrent", "head"]


def test_numbers_in_names_are_whole() -> None:
    """encoder_layer_1 is not encoder_layer_10."""
    with torch.device("meta"):
        groups = layer_groups(torchvision.models.vit_b_16())
    (first,) = [group for group in groups if group.name.endswith("encoder_layer_1")]
    assert all(".encoder_layer_1." in name for name in first.parameters)
