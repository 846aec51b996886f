"""ResNets for small images: parameter counts, kinds of blocks, and published weights."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from datamodules import CIFAR10
from datamodules.core.batch import Batch
from zoo.cnn.cifar_resnet import CIFARResNet, CIFARResNetClassifier

IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}


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


@pytest.mark.parametrize("skip", ["post", "pre", "none"])
def test_all_kinds_of_blocks_have_the_same_weights_and_train(skip: Any) -> None:
    """They can be compared: a shortcut has no parameters. A pre-activation network only moves its first norm to the end."""
    torch.manual_seed(0)
    system = CIFARResNetClassifier((1, 8, 8), 3, depth=8, width=4, skip=skip)
    convolutions = [tuple(p.shape) for p in system.net.parameters() if p.ndim == 4]
    assert convolutions == [tuple(p.shape) for p in CIFARResNet((1, 8, 8), 3, depth=8, width=4).parameters() if p.ndim == 4]
    batch = Batch(torch.randn(12, 1, 8, 8), torch.arange(12) % 3, torch.arange(12))
    optimizer = torch.optim.SGD(system.parameters(), lr=0.1)
    losses = []
    for _ in range(30):
        loss, _ = system.step(batch, torch.zeros(()))
        optimizer.zero_grad()
        loss.backward()
        assert all(p.grad is not None and p.grad.any() for p in system.net.parameters() if p.ndim == 4)
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.3 < losses[0]
