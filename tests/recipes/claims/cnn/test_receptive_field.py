"""Measured fields equal those worked out by hand."""

import pytest

from zoo.cli.claims import _load, claim_paths

module = _load(claim_paths()["receptive_field"])


@pytest.mark.parametrize(
    ("name", "side"),
    [
        ("3x3 convolutions", 1 + 4 * 2),
        ("strides and pools", 1 + 4 + 1 * 2 + 2 * 4 + 2 * 4 + 2 * 8),
        ("dilation 1, 2, 4", 1 + 2 + 4 + 8),
        ("the same without dilation", 1 + 3 * 2),
    ],
)
def test_fields_by_hand(name: str, side: int) -> None:
    case = module.CASES[name]
    assert module.measured_field(case).side == side
    assert module.fields_by_layer(case, with_dilation=True)[-1] == side


def test_networks_of_the_control_differ_in_dilation_only() -> None:
    dilated, plain = (module.CASES[name].build() for name in ("dilation 1, 2, 4", "the same without dilation"))
    assert [p.shape for p in dilated.parameters()] == [p.shape for p in plain.parameters()]
    assert module.fields_by_layer(module.CASES["dilation 1, 2, 4"], False) == module.fields_by_layer(
        module.CASES["the same without dilation"], True
    )


def test_an_effective_field_is_within_the_field() -> None:
    case = module.CASES["3x3 convolutions"]
    window = module.measured_field(case)
    assert 1 < module.effective_field(case, window.centre, 0, 4) <= window.side
