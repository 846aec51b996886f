"""One setting at a time is varied, in both directions, and a spread is a difference of means."""

import pytest

from zoo.cli.claims import _load, claim_paths

module = _load(claim_paths()["learning_rate_matters"])


def test_every_range_holds_the_fair_setting_and_has_the_width_that_its_name_says() -> None:
    for name, (field, values) in module.VALUES.items():
        assert module.FAIR._asdict()[field] in values
        if "factor" in name:
            assert values[-1] / values[0] == pytest.approx(float(name.rpartition(" ")[2]), rel=0.01)


def test_a_spread_is_the_best_mean_minus_the_worst() -> None:
    assert module.spread([[0.5, 0.7], [0.1, 0.3], [0.4, 0.4]]) == pytest.approx((0.4, 2**0.5 * 0.1))
