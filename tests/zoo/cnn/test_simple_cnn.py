"""SimpleCNN's arithmetic, the image sizes it accepts, and what global average pooling ignores."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F

from zoo.cnn.simple_cnn import SimpleCNN, SimpleCNNClassifier


@pytest.mark.parametrize(
    ("channels", "num_classes", "widths"),
    [(1, 10, (64, 128, 256)), (3, 10, (64, 128, 256)), (1, 2, (5,)), (4, 3, (7, 2, 3, 9))],
)
def test_parameter_count_has_a_closed_form(channels: int, num_classes: int, widths: tuple[int, ...]) -> None:
    net = SimpleCNN((channels, 28, 28), num_classes, widths)
    convolutions = sum(9 * n_in * n_out for n_in, n_out in zip((channels, *widths), widths, strict=False))
    norms = 2 * sum(widths)
    assert sum(parameter.numel() for parameter in net.parameters()) == convolutions + norms + (widths[-1] + 1) * num_classes


def test_at_its_defaults_it_has_as_many_parameters_as_computed_by_hand() -> None:
    counted = sum(parameter.numel() for parameter in SimpleCNN((1, 28, 28), 10).parameters())
    assert counted == 576 + 128 + 73_728 + 256 + 294_912 + 512 + 2_570 == 372_682


@pytest.mark.parametrize("training", [True, False])
def test_forward_is_convolution_norm_relu_with_pools_between(training: bool) -> None:
    net, x = SimpleCNN((3, 13, 10), 5, widths=(4, 6, 8)).train(training), torch.randn(7, 3, 13, 10)
    state = net.state_dict()
    for name, value in state.items():  # distinct values show which parameter is used where
        if value.is_floating_point() and value.ndim == 1:
            value.uniform_(0.5, 2) if name.endswith("running_var") else value.normal_()
    h = x
    for position, (conv, norm) in enumerate([("0", "1"), ("4", "5"), ("8", "9")]):
        if position:
            h = F.max_pool2d(h, 2)
        h = F.conv2d(h, state[f"features.{conv}.weight"], padding=1)
        mean, var = state[f"features.{norm}.running_mean"].clone(), state[f"features.{norm}.running_var"].clone()
        weight, bias = state[f"features.{norm}.weight"], state[f"features.{norm}.bias"]
        h = F.relu(F.batch_norm(h, mean, var, weight, bias, training=training))
    assert h.shape == (7, 8, 3, 2)
    oracle = h.mean((2, 3)) @ state["classifier.3.weight"].T + state["classifier.3.bias"]
    torch.testing.assert_close(net(x), oracle, rtol=1e-4, atol=1e-5)


def test_where_things_are_in_the_last_maps_does_not_matter() -> None:
    net = SimpleCNN((1, 20, 24), 4, widths=(3, 5, 8)).eval()
    maps = net.features(torch.randn(6, 1, 20, 24))
    assert maps.shape == (6, 8, 5, 6)
    shuffled = maps.flatten(2)[:, :, torch.randperm(30)].unflatten(2, (5, 6))
    assert not torch.equal(shuffled, maps)
    torch.testing.assert_close(net.classifier(shuffled), net.classifier(maps))
    halved = torch.cat(
        [maps[:, :, :, 3:], torch.zeros_like(maps[:, :, :, 3:])], dim=3
    )  # the amount of activation matters, not its place
    assert not torch.allclose(net.classifier(halved), net.classifier(maps), atol=1e-3)


@pytest.mark.parametrize("size", [(4, 4), (5, 7), (28, 28), (33, 4)])
def test_takes_any_image_from_4_pixels_a_side(size: tuple[int, int]) -> None:
    assert SimpleCNN((2, *size), 3, widths=(2, 3, 4))(torch.randn(2, 2, *size)).shape == (2, 3)


@pytest.mark.parametrize(("size", "widths"), [((3, 28), (2, 3, 4)), ((28, 3), (2, 3, 4)), ((7, 7), (1, 1, 1, 1))])
def test_refuses_images_that_its_pools_would_use_up(size: tuple[int, int], widths: tuple[int, ...]) -> None:
    smallest = {3: 4, 4: 8}[len(widths)]
    with pytest.raises(ValueError, match=rf"{len(widths)} widths need images of {smallest}x{smallest} pixels or more, got"):
        SimpleCNN((1, *size), 3, widths)


def test_one_width_takes_a_single_pixel() -> None:
    assert SimpleCNN((1, 1, 1), 3, widths=(2,)).eval()(torch.randn(1, 1, 1, 1)).shape == (1, 3)


def test_refuses_inputs_of_another_shape() -> None:
    with pytest.raises(ValueError, match=r"built for inputs of shape \(1, 8, 8\), got \(8, 8, 1\)"):
        SimpleCNN((1, 8, 8), 3)(torch.zeros(2, 8, 8, 1))


def test_dropout_stands_before_the_last_layer_and_rests_in_evaluation() -> None:
    net, x = SimpleCNN((1, 8, 8), 3, widths=(2, 64), dropout=0.5), torch.randn(4, 1, 8, 8)
    pooled = net.features(x).mean((2, 3))
    torch.manual_seed(1)
    oracle = F.linear(F.dropout(pooled, 0.5), net.classifier[3].weight, net.classifier[3].bias)
    torch.manual_seed(1)
    torch.testing.assert_close(net(x), oracle)
    assert torch.equal(net.eval()(x), net(x))


def test_signal_keeps_its_size_through_the_convolutions_at_the_start() -> None:
    for layer in SimpleCNN((1, 8, 8), 3).features:
        if isinstance(layer, torch.nn.Conv2d) and layer.in_channels > 1:
            assert layer.weight.std().item() == pytest.approx((2 / (9 * layer.in_channels)) ** 0.5, rel=0.02)  # He et al., 2015


@pytest.mark.parametrize("norm", ["none", "layer", "instance", "group"])
@pytest.mark.parametrize("activation", ["leaky_relu", "gelu", "sigmoid", "tanh", "swish", "identity"])
def test_forward_with_another_norm_and_activation(norm: Any, activation: Any) -> None:
    net, x = (
        SimpleCNN((3, 8, 8), 5, (4, 6), activation, norm=norm, norm_groups=2 if norm == "group" else None),
        torch.randn(2, 3, 8, 8),
    )
    functions = {"leaky_relu": F.leaky_relu, "gelu": F.gelu, "sigmoid": torch.sigmoid, "tanh": torch.tanh, "swish": F.silu}
    h = x
    for position, place in enumerate([0, 4]):
        if position:
            h = F.max_pool2d(h, 2)
        conv = net.features[place]
        assert isinstance(conv, torch.nn.Conv2d)
        assert (conv.bias is not None) == (norm == "none")
        h = F.conv2d(h, conv.weight, conv.bias, padding=1)
        num_groups = {"layer": 1, "instance": h.shape[1], "group": 2}.get(norm)
        h = h if num_groups is None else F.group_norm(h, num_groups)
        h = functions.get(activation, lambda y: y)(h)
    torch.testing.assert_close(net(x), net.classifier(h), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("init", "variance"), [("he", 2 / 576), ("xavier", 2 * 2 / (576 + 1152)), ("lecun", 1 / 576)])
def test_convolutions_start_with_the_scheme(init: Any, variance: float) -> None:
    layer = SimpleCNN((1, 8, 8), 3, init=init).features[4]
    assert isinstance(layer, torch.nn.Conv2d)
    assert layer.weight.std().item() == pytest.approx(variance**0.5, rel=0.02)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"widths": ()}, r"widths must be one or more positive numbers, got \[\]"),
        ({"widths": (8, 0)}, r"widths must be one or more positive numbers, got \[8, 0\]"),
        ({"dropout": 1.0}, r"dropout must lie in \[0, 1\), got 1.0"),
        ({"dropout": -0.1}, r"dropout must lie in \[0, 1\), got -0.1"),
        ({"activation": "softmax"}, "activation 'softmax' .* is for outputs only"),
        ({"norm": "grouped"}, "unknown norm 'grouped': choose one of none, batch, layer, instance, group"),
        ({"norm": "group", "norm_groups": 48}, "norm_groups must divide the width 64, got 48"),
        ({"init": "zeros"}, "unknown init 'zeros'"),
        ({"input_shape": None}, "input_shape is not known"),
        ({"num_classes": None}, "num_classes is not known"),
        ({"label_smoothing": 1.0}, r"label_smoothing must lie in \[0, 1\), got 1.0"),
    ],
)
def test_refuses_what_cannot_work(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SimpleCNNClassifier(**{"input_shape": (1, 8, 8), "num_classes": 3, **arguments})
