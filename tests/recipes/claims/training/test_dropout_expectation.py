"""Biases of dropout against closed forms."""

import pytest

from zoo.cli.claims import _load, claim_paths

module = _load(claim_paths()["dropout_expectation"])
SIZES = module.FAST._replace(num_masks=1000)


def test_the_control_leaves_the_share_of_kept_units() -> None:
    for p in (0.2, 0.6):
        assert module.bias(module.CONTROL, p, 0, SIZES).factor == pytest.approx(1 - p, abs=0.02)


def test_a_linear_layer_shows_no_bias_and_a_relu_does() -> None:
    assert module.bias("linear", 0.5, 0, SIZES).errors < module.VISIBLE
    assert module.bias("linear + ReLU", 0.5, 0, SIZES).errors > 3


def test_without_dropout_there_is_no_bias() -> None:
    assert module.bias("linear + softmax", 0.0, 0, SIZES).share < 1e-6
