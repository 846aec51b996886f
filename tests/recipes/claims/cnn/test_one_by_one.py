"""Costs of blocks equal those worked out by hand."""

import pytest

from zoo.cli.claims import _load, claim_paths

module = _load(claim_paths()["one_by_one"])


@pytest.mark.parametrize(
    ("kind", "kernels"),
    [
        ("plain", 2 * 9 * 16 * 16),
        ("bottleneck", 16 * 4 + 9 * 4 * 4 + 4 * 16),
        ("bottleneck without 1x1", 9 * (16 * 4 + 4 * 4 + 4 * 16)),
    ],
)
def test_costs_by_hand(kind: str, kernels: int) -> None:
    channels = {"plain": 32, "bottleneck": 24, "bottleneck without 1x1": 24}[kind]
    found = module.cost(kind, 16, 5)
    assert found.parameters == kernels + 2 * channels  # batch norm has a scale and a shift for each channel
    assert found.flops == 2 * 25 * kernels


def test_only_the_larger_kernel_mixes_neighbours() -> None:
    one, three = module.effect(1), module.effect(3)
    assert (one.pixels, three.pixels) == (1, 9)
    assert one.keeps_size
    assert one.difference < module.SAME < three.difference


def test_networks_have_about_equal_parameters() -> None:
    plain, bottleneck = (
        sum(p.numel() for p in module.build(*each).parameters()) for each in (("plain", 16), ("bottleneck", 64))
    )
    assert bottleneck / plain == pytest.approx(1, abs=0.1)
