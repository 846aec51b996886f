"""Computed receptive fields equal those measured by gradients, and published ones."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from zoo.cnn.cifar_resnet import CIFARResNet
from zoo.cnn.simple_cnn import SimpleCNN
from zoo.nn.receptive_field import LayerField, receptive_fields
from zoo.pretrained.backbone import build_backbone


def averaging(net: nn.Module) -> nn.Module:
    """Turn every sum and every maximum of `net` into an average, so that nothing cancels and gradients are non-zero."""
    for name, module in list(net.named_modules()):
        if isinstance(module, nn.Conv2d):
            nn.init.constant_(module.weight, 1 / module.weight[0].numel())
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        if isinstance(module, nn.MaxPool2d):
            assert module.dilation == 1
            net.set_submodule(name, nn.AvgPool2d(module.kernel_size, module.stride, module.padding, module.ceil_mode))
    return net.eval()


def measured(net: nn.Module, layer: str, input_shape: tuple[int, int, int]) -> tuple[LayerField, bool]:
    """Measure the field of `layer` by autograd, from the pixels that affect a central value of its maps and a neighbour of it.

    The second result says whether the field touches the edge of the image, where it may be clipped.
    """
    seen: list[Tensor] = []
    x = torch.ones(1, *input_shape, requires_grad=True)
    with averaging(net).get_submodule(layer).register_forward_hook(lambda module, args, output: seen.append(output)):
        net(x)
    (maps,) = seen
    height, width = maps.shape[2:]

    def window(row: int, column: int) -> tuple[int, int, int, int]:
        (gradient,) = torch.autograd.grad(maps[0, :, row, column].sum(), x, retain_graph=True)
        rows, columns = (gradient[0].sum(0) != 0).nonzero().T
        return int(rows.min()), int(rows.max()), int(columns.min()), int(columns.max())

    top, bottom, left, right = window(height // 2, width // 2)
    top2, _, left2, _ = window(height // 2 - 1, width // 2 - 1)
    clipped = min(top2, left2) <= 0 or bottom >= input_shape[1] - 1 or right >= input_shape[2] - 1
    size, jump = (bottom - top + 1, right - left + 1), (top - top2, left - left2)
    return LayerField(layer, (height, width), jump, size), clipped


def conv_stack() -> nn.Module:
    """Dilation, strides, kernels that are not square, and a pool whose stride differs from its kernel."""
    return nn.Sequential(
        nn.Conv2d(2, 3, (3, 5), stride=(2, 1), padding=1),
        nn.ReLU(),
        nn.Conv2d(3, 3, 3, dilation=(2, 3), padding=2),
        nn.AvgPool2d(3, stride=2),
        nn.Conv2d(3, 2, 2, stride=(1, 2), dilation=2, bias=False),
        nn.MaxPool2d((2, 3), stride=(1, 2)),
        nn.Conv2d(2, 2, 1, stride=2),
    )


def inception() -> nn.Module:
    """Paths with different receptive fields that are added."""

    class Joined(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.Conv2d(1, 2, 3, stride=2, padding=1)
            self.narrow, self.wide = nn.Conv2d(2, 2, 1), nn.Conv2d(2, 2, 5, padding=2)
            self.last = nn.Conv2d(4, 1, 3, padding=1)

        def forward(self, x: Tensor) -> Tensor:
            x = self.stem(x)
            return self.last(torch.cat([self.wide(x), self.narrow(x)], dim=1))

    return Joined()


def subsampled() -> nn.Module:
    """Subsampling by indexing, as in option A of a residual network."""

    class Subsampled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.last = nn.Conv2d(1, 2, 3), nn.Conv2d(2, 1, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.last(self.first(x)[:, :, ::2, ::3])

    return Subsampled()


@pytest.mark.parametrize(
    ("build", "input_shape"),
    [
        (conv_stack, (2, 97, 107)),
        (inception, (1, 40, 48)),
        (subsampled, (1, 40, 50)),
        (lambda: SimpleCNN((1, 48, 56), 3, widths=(2, 3, 4)), (1, 48, 56)),
        (lambda: CIFARResNet((1, 80, 72), 3, depth=14, width=2), (1, 80, 72)),
    ],
)
def test_fields_equal_those_measured_by_autograd_at_every_layer(
    build: Callable[[], nn.Module], input_shape: tuple[int, int, int]
) -> None:
    net = build()
    rows = receptive_fields(net, input_shape)
    windowed = [name for name, m in net.named_modules() if isinstance(m, nn.Conv2d | nn.MaxPool2d | nn.AvgPool2d)]
    assert sorted(row.layer for row in rows) == sorted(windowed)
    for row in rows:
        oracle, clipped = measured(net, row.layer, input_shape)
        assert not clipped
        assert row == oracle


@pytest.mark.parametrize(
    ("name", "layer", "side", "field"), [("alexnet", "features.12", 415, 195), ("resnet18", "layer4.1.conv2", 544, 435)]
)
def test_fields_of_library_networks_equal_those_measured_by_autograd(name: str, layer: str, side: int, field: int) -> None:
    with torch.device("meta"):
        net = build_backbone(name, (3, side, side), 1)
    body = net.features if name == "alexnet" else net  # the three dense layers do not matter here and take 0.2 GB
    body = nn.ModuleDict({"features": body}).features if name == "alexnet" else body
    row = next(row for row in receptive_fields(net, (3, side, side)) if row.layer == layer)
    body = body.to_empty(device="cpu")
    for module in body.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_parameters()
    oracle, clipped = measured(body, layer.removeprefix("features."), (3, side, side))
    assert not clipped
    assert row[1:] == oracle[1:]
    assert row.field == (field, field)


@pytest.mark.parametrize("size", [(12, 12), (13, 7), (7, 9)])
def test_the_widest_window_of_an_adaptive_pool_counts(size: tuple[int, int]) -> None:
    net = nn.Sequential(nn.Conv2d(1, 1, 3), nn.AdaptiveAvgPool2d(size))
    row = receptive_fields(net, (1, 40, 40))[-1]
    windows = [nn.functional.adaptive_avg_pool1d(torch.eye(38), parts) > 0 for parts in size]  # (pixel, part)
    assert row.field == tuple(int(window.sum(0).max()) + 2 for window in windows)


def by_hand(*layers: tuple[int, int]) -> int:
    """Compute the field of a chain of (kernel, stride): 1 + sum (k - 1) * product of the earlier strides."""
    size, jump = 1, 1
    for kernel, stride in layers:
        size += (kernel - 1) * jump
        jump *= stride
    return size


BOTTLENECKS = [(3, 1)] * 3 + [(3, 2)] + [(3, 1)] * 3 + [(3, 2)] + [(3, 1)] * 5 + [(3, 2)] + [(3, 1)] * 2
BASIC = [(3, 1)] * 4 + ([(3, 2)] + [(3, 1)] * 3) * 3
VGG = [layer for convs in (2, 2, 3, 3, 3) for layer in [(3, 1)] * convs + [(2, 2)]]
ALEX = [(11, 4), (3, 2), (5, 1), (3, 2), (3, 1), (3, 1), (3, 1), (3, 2)]


# Araujo, Norris & Sim, 2019, give 195 and 212. Their 483 for ResNet-50 is for strides at the end of each stage.
@pytest.mark.parametrize(
    ("name", "last", "field", "layers"),
    [
        ("alexnet", "features.12", 195, ALEX),
        ("vgg16", "features.30", 212, VGG),  # the layer before the first dense one, which timm implements as a 7x7 convolution
        ("resnet18", "layer4.1.conv2", 435, [(7, 2), (3, 2), *BASIC]),
        ("resnet50", "layer4.2.conv3", 427, [(7, 2), (3, 2), *BOTTLENECKS]),
    ],
)
def test_fields_equal_the_literature_on_the_meta_device(
    name: str, last: str, field: int, layers: list[tuple[int, int]]
) -> None:
    with torch.device("meta"):
        net = build_backbone(name, (3, 224, 224), 1000)
    fields = {row.layer: row.field for row in receptive_fields(net, (3, 224, 224))}
    assert fields[last] == (field, field)
    assert by_hand(*layers) == field
    assert all(parameter.is_meta for parameter in net.parameters())


def test_gates_computed_from_the_whole_image_are_ignored() -> None:
    with torch.device("meta"):
        net = build_backbone("seresnet18", (3, 64, 64), 10)
    fields = {row.layer: row.field for row in receptive_fields(net, (3, 64, 64))}
    assert fields["layer4.1.conv2"] == (435, 435)  # as without the gates
    assert not any(layer.endswith(("fc1", "fc2")) for layer in fields)


def test_the_network_is_left_unchanged() -> None:
    net = SimpleCNN((1, 8, 8), 3, widths=(2, 3), dropout=0.5).train()
    net.features[1].eval()  # a frozen norm in a network that is otherwise in training mode
    modes = [module.training for module in net.modules()]
    before = {name: value.clone() for name, value in net.state_dict().items()}
    receptive_fields(net, (1, 8, 8))
    assert [module.training for module in net.modules()] == modes
    assert not any(module._forward_hooks for module in net.modules())
    after = net.state_dict()
    assert all(torch.equal(after[name], before[name]) for name in before)  # no norm has updated its statistics


def test_the_network_is_left_unchanged_if_the_image_does_not_fit() -> None:
    net = SimpleCNN((1, 8, 8), 3, widths=(2, 3))
    with pytest.raises(ValueError, match="built for inputs of shape"):
        receptive_fields(net, (1, 4, 4))
    assert all(module.training for module in net.modules())
    assert not any(module._forward_hooks for module in net.modules())
