"""Conv-4's arithmetic and the image sizes that it accepts."""

import pytest
import torch
import torch.nn.functional as F

from zoo.nn.conv4 import Conv4


def test_on_omniglot_it_has_64_features_and_the_parameters_of_the_papers() -> None:
    net = Conv4((1, 28, 28))
    assert net.num_features == 64
    assert sum(parameter.numel() for parameter in net.parameters()) == 576 + 3 * 36_864 + 4 * 128 == 111_680


@pytest.mark.parametrize(("shape", "widths"), [((3, 84, 84), (64,) * 4), ((1, 9, 13), (4, 6, 8)), ((2, 2, 2), (5,))])
@pytest.mark.parametrize("training", [True, False])
def test_forward_is_blocks_of_convolution_norm_relu_and_pool(
    shape: tuple[int, int, int], widths: tuple[int, ...], training: bool
) -> None:
    net, x = Conv4(shape, widths).train(training), torch.randn(5, *shape)
    state = {name: value.clone() for name, value in net.state_dict().items()}
    h = x
    for place in range(len(widths)):
        norm = f"blocks.{4 * place + 1}"
        h = F.conv2d(h, state[f"blocks.{4 * place}.weight"], padding=1)
        mean, var = state[f"{norm}.running_mean"], state[f"{norm}.running_var"]
        h = F.batch_norm(h, mean, var, state[f"{norm}.weight"], state[f"{norm}.bias"], training=training)
        h = F.max_pool2d(F.relu(h), 2)
    assert net.num_features == h[0].numel()
    torch.testing.assert_close(net(x), h.flatten(1), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("shape", "widths", "message"),
    [
        ((1, 15, 28), (64,) * 4, r"4 widths need images of 16x16 pixels or more, got \(1, 15, 28\)"),
        ((64,), (8,), r"1 widths need images of 2x2 pixels or more, got \(64,\)"),
        ((1, 28, 28), (), r"widths must be one or more positive numbers, got \[\]"),
        ((1, 28, 28), (8, 0), r"widths must be one or more positive numbers, got \[8, 0\]"),
    ],
)
def test_refuses_what_it_cannot_halve(shape: tuple[int, ...], widths: tuple[int, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Conv4(shape, widths)


def test_refuses_images_of_another_size() -> None:
    with pytest.raises(ValueError, match=r"built for inputs of shape \(1, 28, 28\), got \(1, 32, 32\)"):
        Conv4((1, 28, 28))(torch.zeros(2, 1, 32, 32))
