"""Grad-CAM equals its closed form, finds the evidence, and changes nothing."""

import copy
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from lightning import Trainer
from PIL import Image
from torch import Tensor, nn

from datamodules import Digits
from zoo.cnn.cifar_resnet import CIFARResNet
from zoo.cnn.simple_cnn import SimpleCNN, SimpleCNNClassifier
from zoo.mlp.mlp import MLPNet
from zoo.pretrained.backbone import build_backbone
from zoo.tasks.classification.grad_cam import GradCAM, Shown, grad_cam, grad_cam_sheet, has_feature_map
from zoo.training.quiet import keep_quiet

RGB = (3, 64, 64)


def heat_of(net: nn.Module, images: Tensor, classes: Tensor) -> Tensor:
    heat = grad_cam(net, images, classes)
    assert heat is not None
    return heat


def cam(features: Tensor, head: nn.Linear, classes: Tensor, side: int) -> Tensor:
    """Class activation map (Zhou et al., 2016): the features weighted by the class's row of the linear layer."""
    weighted = torch.einsum("bc,bchw->bhw", head.weight[classes], features).relu()
    weighted = F.interpolate(weighted[:, None], (side, side), mode="bilinear", align_corners=False)[:, 0]
    return weighted / weighted.amax((1, 2), keepdim=True).clamp(min=1e-30)


@torch.no_grad()
def test_equals_cam_for_a_linear_layer_on_pooled_features() -> None:
    simple, resnet = SimpleCNN((3, 32, 32), 5, widths=(8, 16)).eval(), CIFARResNet((3, 32, 32), 5, depth=8).eval()
    x, classes = torch.randn(4, 3, 32, 32), torch.tensor([0, 4, 2, 2])
    expected = cam(simple.features(x), simple.classifier[-1], classes, 32)
    torch.testing.assert_close(heat_of(simple, x, classes), expected, rtol=1e-4, atol=1e-5)
    features = resnet.layer3(resnet.layer2(resnet.layer1(F.relu(resnet.bn1(resnet.conv1(x))))))
    torch.testing.assert_close(heat_of(resnet, x, classes), cam(features, resnet.linear, classes, 32), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("quadrant", range(4))
def test_peaks_where_the_evidence_is(quadrant: int) -> None:
    """The only class with a weight looks for bright pixels, and one quadrant is bright."""
    net = nn.Sequential(
        nn.Conv2d(1, 1, 3, padding=1), nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(1, 2)
    )
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.fill_(1.0)
    x = torch.zeros(1, 1, 16, 16)
    top, left = 8 * (quadrant // 2), 8 * (quadrant % 2)
    x[:, :, top + 2 : top + 6, left + 2 : left + 6] = 1
    heat = heat_of(net, x, torch.tensor([1]))[0]
    row, column = divmod(int(heat.argmax()), 16)
    assert (row // 8, column // 8) == (quadrant // 2, quadrant % 2)
    assert heat.max() == pytest.approx(1)


def test_changes_neither_modes_nor_gradients_nor_parameters_nor_the_random_state() -> None:
    net = build_backbone("resnet18", RGB, 3, dropout=0.5)
    net.layer1.eval()  # a part may be frozen
    net(torch.randn(2, *RGB)).sum().backward()
    before, modes = copy.deepcopy(net), [module.training for module in net.modules()]
    gradients = [parameter.grad.clone() for parameter in net.parameters()]
    state = torch.random.get_rng_state()
    with torch.inference_mode():  # as in Lightning's test
        first, second = (grad_cam(net, torch.ones(2, *RGB), torch.tensor([0, 1])) for _ in range(2))
    assert torch.equal(first, second)  # no dropout
    assert torch.equal(torch.random.get_rng_state(), state)
    assert [module.training for module in net.modules()] == modes
    assert all(torch.equal(a, b) for a, b in zip(net.state_dict().values(), before.state_dict().values(), strict=True))
    for parameter, gradient in zip(net.parameters(), gradients, strict=True):
        assert torch.equal(parameter.grad, gradient)
        assert parameter.requires_grad
    assert not any(module._forward_hooks for module in net.modules())


@pytest.mark.parametrize(
    "name", ["tf_efficientnet_lite0", "convnext_atto", "densenet121", "torchvision/vgg11", "torchvision/googlenet"]
)
def test_networks_with_convolutions_have_a_map(name: str) -> None:
    net = build_backbone(name, RGB, 3)
    assert has_feature_map(net)
    with torch.inference_mode():
        heat = heat_of(net, torch.randn(2, *RGB), torch.tensor([0, 1]))
    assert heat.shape == (2, 64, 64)
    assert heat.isfinite().all()
    assert heat.min() >= 0
    assert len(heat.unique()) > 2  # it varies over the image


def test_frozen_and_compiled_networks_have_the_same_map() -> None:
    net, x, classes = SimpleCNN((1, 8, 8), 3, widths=(4, 8)), torch.randn(2, 1, 8, 8), torch.tensor([0, 2])
    expected = heat_of(net, x, classes)
    assert expected.max() == 1
    net.requires_grad_(False)
    torch.testing.assert_close(heat_of(net, x, classes), expected)
    net.compile(backend="eager")
    net.eval()(x)
    torch.testing.assert_close(heat_of(net, x, classes), expected)


def test_networks_without_a_map_get_no_sheet(tmp_path: Path) -> None:
    mlp, vit = MLPNet((3, 32, 32), 3, hidden_dims=(4,)), build_backbone("vit_tiny_patch16_224", RGB, 3)
    for net in (mlp, vit):
        assert grad_cam_sheet(net, tmp_path) == []
    assert grad_cam(mlp, torch.randn(1, 3, 32, 32), torch.tensor([0])) is None
    assert len(grad_cam_sheet(SimpleCNN((1, 8, 8), 2), tmp_path)) == 1


def test_correct_predictions_are_the_first_of_each_class_in_turn(tmp_path: Path) -> None:
    classes = [0, 0, 0, 1, 2, 2, 1]
    correct = [Shown(0.0, position, torch.zeros(1), k, k, 1.0) for position, k in enumerate(classes)]
    chosen = GradCAM(tmp_path, num_images=5)._in_turn(correct[::-1])
    assert [example.position for example in chosen] == [0, 3, 4, 1, 6]


def test_the_sheet_shows_the_worst_errors_and_correct_predictions(fit: Callable[..., Trainer], tmp_path: Path) -> None:
    keep_quiet()
    model, data = SimpleCNNClassifier((1, 8, 8), 10, widths=(4, 8)), Digits(batch_size=100)
    trainer = fit(model, data, callbacks=[GradCAM(tmp_path)], limit_train_batches=10)
    trainer.test(model, datamodule=data, verbose=False)
    with Image.open(tmp_path / "grad_cam.png") as picture:
        pixels = np.asarray(picture.convert("RGB")).astype(int)
    assert pixels.shape == (4 * 180, 8 * 160, 3)  # 16 images and their maps
    cells = [cell for row in np.split(pixels, 4) for cell in np.split(row, 8, axis=1)]
    red = [bool((cell[:36, :, 0] - cell[:36, :, 1] > 80).any()) for cell in cells]  # captions
    assert red == [True] * 16 + [False] * 16
    coloured = [bool(np.ptp(cell[45:], axis=2).max() > 20) for cell in cells]  # images are grey, maps are not
    assert coloured == [False, True] * 16
