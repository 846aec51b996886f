"""ResNets for small images: parameter counts, option A, the ReLU after the sum, and published weights."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from datamodules import CIFAR10
from datamodules.core.batch import Batch
from zoo.cnn.cifar_resnet import Block, CIFARResNet, CIFARResNetClassifier

IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}


def option_a(x: Tensor, out_channels: int) -> Tensor:
    """Compute option A one value at a time: every second pixel, with zero channels on both sides."""
    batch, channels, height, width = x.shape
    out = torch.zeros(batch, out_channels, (height + 1) // 2, (width + 1) // 2)
    for c in range(channels):
        for i in range(out.shape[2]):
            for j in range(out.shape[3]):
                out[:, (out_channels - channels) // 2 + c, i, j] = x[:, c, 2 * i, 2 * j]
    return out


def with_statistics(net: nn.Module) -> nn.Module:
    """Give batch norms statistics that change their input, in evaluation mode."""
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            for value in (module.weight.data, module.bias.data, module.running_mean):
                assert value is not None
                value.normal_()
            assert module.running_var is not None
            module.running_var.uniform_(0.5, 2)
    return net.eval()


def normalised(x: Tensor, norm: nn.BatchNorm2d) -> Tensor:
    assert norm.running_mean is not None
    assert norm.running_var is not None
    mean, var, weight, bias = (v[:, None, None] for v in (norm.running_mean, norm.running_var, norm.weight, norm.bias))
    return (x - mean) / torch.sqrt(var + 1e-5) * weight + bias


# He et al., table 6, state 0.27, 0.46, 0.66, 0.85 and 1.7 million
@pytest.mark.parametrize(
    ("depth", "exact", "millions"),
    [(20, 269_722, 0.27), (32, 464_154, 0.46), (44, 658_586, 0.66), (56, 853_018, 0.85), (110, 1_727_962, 1.7)],
)
def test_parameter_count_follows_by_arithmetic_and_is_the_papers(depth: int, exact: int, millions: float) -> None:
    n = (depth - 2) // 6
    convolutions = 9 * (3 * 16 + (2 * n) * 16**2 + 16 * 32 + (2 * n - 1) * 32**2 + 32 * 64 + (2 * n - 1) * 64**2)
    norms = 2 * ((2 * n + 1) * 16 + 2 * n * 32 + 2 * n * 64)
    with torch.device("meta"):
        net = CIFARResNet((3, 32, 32), 10, depth)
    assert sum(p.numel() for p in net.parameters()) == convolutions + norms + 64 * 10 + 10 == exact
    assert exact / 1e6 == pytest.approx(millions, rel=0.025)


@pytest.mark.parametrize("depth", [8, 20, 56])
def test_depth_counts_the_layers_with_weights(depth: int) -> None:
    with torch.device("meta"):
        net = CIFARResNet((3, 32, 32), 10, depth)
    assert sum(isinstance(module, nn.Conv2d | nn.Linear) for module in net.modules()) == depth


@pytest.mark.parametrize("depth", [-4, 2, 9, 18, 19, 21, 52])
def test_refuses_another_depth(depth: int) -> None:
    with pytest.raises(ValueError, match=rf"depth must be 6n \+ 2 \(8, 14, 20, .*\), got {depth}"):
        CIFARResNet((3, 32, 32), 10, depth)


@pytest.mark.parametrize("size", [(8, 8), (7, 5), (1, 6)])
def test_shortcut_takes_every_second_pixel_and_pads_channels_with_zeros(size: tuple[int, int]) -> None:
    x = torch.randn(2, 4, *size)
    assert torch.equal(Block(4, 10, stride=2).shortcut(x), option_a(x, 10))


def test_shortcut_has_no_parameter_and_without_a_change_of_shape_is_the_input_itself() -> None:
    block, x = Block(4, 4), torch.randn(2, 4, 6, 6)
    assert block.shortcut(x) is x
    assert {name.partition(".")[0] for name, _ in Block(4, 8, stride=2).named_parameters()} == {"conv1", "bn1", "conv2", "bn2"}


@pytest.mark.parametrize(("in_channels", "stride"), [(6, 1), (3, 2)])
def test_a_block_is_the_relu_of_the_sum_of_both_paths(in_channels: int, stride: int) -> None:
    block, x = Block(in_channels, 6, stride), torch.randn(2, in_channels, 7, 7)
    with_statistics(block)
    h = torch.relu(normalised(nn.functional.conv2d(x, block.conv1.weight, stride=stride, padding=1), block.bn1))
    h = normalised(nn.functional.conv2d(h, block.conv2.weight, padding=1), block.bn2)
    oracle = torch.relu(h + (option_a(x, 6) if stride == 2 else x))
    torch.testing.assert_close(block(x), oracle, rtol=1e-4, atol=1e-5)


def test_a_block_that_computes_0_passes_on_relu_of_x_and_not_x() -> None:
    block, x = Block(4, 4), torch.randn(2, 4, 6, 6)
    nn.init.zeros_(block.bn2.weight)
    assert torch.equal(block(x), x.clamp(min=0))
    assert not torch.equal(block(x), x)


def test_maps_shrink_where_the_channels_double() -> None:
    net = CIFARResNet((3, 32, 32), 10, depth=14, width=4)
    shapes: list[tuple[int, ...]] = []
    for group in (net.layer1, net.layer2, net.layer3):
        group.register_forward_hook(lambda module, args, output: shapes.append(tuple(output.shape[1:])))
    assert net(torch.randn(2, 3, 32, 32)).shape == (2, 10)
    assert shapes == [(4, 32, 32), (8, 16, 16), (16, 8, 8)]


def test_the_last_layer_sees_the_average_of_the_last_maps() -> None:
    net, x, seen = CIFARResNet((1, 28, 28), 3, depth=8, width=2).eval(), torch.randn(2, 1, 28, 28), []
    net.layer3.register_forward_hook(lambda module, args, output: seen.append(output))
    logits = net(x)
    (maps,) = seen
    average = maps.sum((2, 3)) / (7 * 7)
    torch.testing.assert_close(logits, average @ net.linear.weight.T + net.linear.bias)


def test_takes_odd_sizes_and_refuses_inputs_of_another_shape() -> None:
    net = CIFARResNet((2, 9, 7), 3, depth=8, width=2)
    assert net(torch.randn(2, 2, 9, 7)).shape == (2, 3)
    with pytest.raises(ValueError, match=r"built for inputs of shape \(2, 9, 7\), got \(2, 7, 9\)"):
        net(torch.zeros(2, 2, 7, 9))


def test_has_the_names_and_shapes_of_the_published_weights(mirror: Path) -> None:
    for depth in (20, 56):
        published = torch.load(mirror / f"weights/cifar10_resnet{depth}.pth", weights_only=True)
        with torch.device("meta"):
            own = CIFARResNet((3, 32, 32), 10, depth).state_dict()
        counters = {name for name in own if name.endswith("num_batches_tracked")}
        assert published.keys() | counters == own.keys()
        assert all(published[name].shape == own[name].shape for name in published)


def test_published_weights_recognise_nine_of_ten_test_images(mirror: Path) -> None:
    data = CIFAR10(**IMAGENET)
    x, y, _ = data.load("test")
    batch = data.transform(Batch(x[:500], y[:500], torch.arange(500)), 0, False)
    system = CIFARResNetClassifier((3, 32, 32), 10, weights="weights/cifar10_resnet20.pth").eval()  # relative to ZOO_DATA
    with torch.no_grad():
        right = system(batch.x).argmax(1) == batch.y
    assert right.float().mean().item() > 0.9  # 91.73 % of all 10,000


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"depth": 18}, r"depth must be 6n \+ 2"),
        ({"width": 0}, "width must be at least 1 channel, got 0"),
        ({"input_shape": None}, "input_shape is not known"),
        ({"num_classes": None}, "num_classes is not known"),
        ({"label_smoothing": -0.1}, r"label_smoothing must lie in \[0, 1\), got -0.1"),
        ({"lr": 0.0}, "lr must be positive, got 0.0"),
    ],
)
def test_refuses_what_cannot_work(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CIFARResNetClassifier(**{"input_shape": (1, 8, 8), "num_classes": 3, "depth": 8, **arguments})
