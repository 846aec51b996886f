"""Counted costs equal published ones."""

import pytest

from zoo.cli.claims import _load, claim_paths

module = _load(claim_paths()["compound_scaling"])


def test_the_cost_of_b0_is_published() -> None:
    """The paper gives 0.39 billion multiplications with additions, of two operations each, and 5.3 million parameters."""
    found = module.cost(*module.factors("compound", 0))
    assert found.flops / 2 == pytest.approx(0.39e9, rel=0.02)
    assert found.parameters == 5_288_548


def test_controls_scale_one_dimension() -> None:
    base = module.factors("compound", 0)
    for scaled, which in (("width alone", 0), ("depth alone", 1), ("resolution alone", 2)):
        changed = [a != b for a, b in zip(module.factors(scaled, 2), base, strict=True)]
        assert changed == [place == which for place in range(3)]
    assert module.cost(*module.factors("resolution alone", 3)).parameters == module.cost(*base).parameters


def test_a_growth_per_step_is_a_geometric_mean() -> None:
    assert module._per_step((1, module.Cost(10, 0)), (3, module.Cost(90, 0))) == pytest.approx(3)
