"""Precisions differ in what they make of small gradients, not in what they compute."""

import pytest
import torch

from zoo.cli.arms import dense_net, images
from zoo.cli.claims import _load, claim_paths

module = _load(claim_paths()["loss_scaling"])


@pytest.mark.parametrize("arm", module.ARMS)
def test_gradients_are_those_of_fp32_unless_they_underflow(arm: str) -> None:
    torch.manual_seed(0)
    net, data = dense_net((64, 32)), images("digits").train
    exact = module.gradients(net, data, "fp32", 1.0)
    assert (module.gradients(net, data, arm, 1.0) - exact).norm() < 0.02 * exact.norm()
    small = module.gradients(net, data, arm, 1e-7) * 1e7
    assert ((small - exact).norm() < 0.02 * exact.norm()) == (arm != "fp16")
    assert (small == 0).all() == (arm == "fp16")


def test_weights_and_gradients_stay_in_fp32() -> None:
    net, data = dense_net((64, 8)), images("digits").train
    module.gradients(net, data, "fp16, scaled", 1.0)
    assert {p.dtype for p in net.parameters()} | {p.grad.dtype for p in net.parameters()} == {torch.float32}
