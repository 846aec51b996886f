import pytest

from zoo.errors import ZooError
from zoo.transfer.strategies import Strategy, check_strategy, first_trained, group_rates, suggested_strategy

GROUPS = 5  # four of the backbone, and the head


@pytest.mark.parametrize(
    ("strategy", "firsts"),
    [
        ("feature_extraction", [4, 4, 4, 4, 4, 4, 4]),
        ("full", [0, 0, 0, 0, 0, 0, 0]),
        ("discriminative", [0, 0, 0, 0, 0, 0, 0]),
        ("gradual", [4, 4, 3, 3, 2, 2, 1]),
        ("lp_ft", [4, 4, 4, 0, 0, 0, 0]),
    ],
)
def test_the_layers_that_train_by_epoch(strategy: Strategy, firsts: list[int]) -> None:
    found = [first_trained(strategy, GROUPS, epoch, unfreeze_every=2, probe_epochs=3) for epoch in range(7)]
    assert found == firsts


def test_gradual_unfreezing_ends_with_all_layers() -> None:
    assert first_trained("gradual", GROUPS, 100, unfreeze_every=2, probe_epochs=3) == 0


def test_rates_are_geometric_in_depth() -> None:
    for strategy in ("discriminative", "gradual"):
        assert group_rates(strategy, 4, 0.5) == [0.125, 0.25, 0.5, 1.0]
    for strategy in ("full", "lp_ft", "feature_extraction"):
        assert group_rates(strategy, 4, 0.5) == [0.5, 0.5, 0.5, 1.0]


def test_the_default_rates_are_those_of_the_literature() -> None:
    assert group_rates("gradual", 3, None) == pytest.approx([2.6**-2, 1 / 2.6, 1.0])
    assert group_rates("lp_ft", 3, None) == [0.1, 0.1, 1.0]


def test_the_suggestion_follows_from_the_number_of_images() -> None:
    assert [suggested_strategy(num) for num in (50, 999, 1000, 19_999, 20_000)] == [
        "feature_extraction",
        "feature_extraction",
        "discriminative",
        "discriminative",
        "full",
    ]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"strategy": "half"}, "unknown strategy 'half'"),
        ({"lr_decay": 0.0}, r"lr_decay must lie in \(0, 1\], got 0.0"),
        ({"unfreeze_every": 0}, "unfreeze_every must be at least 1"),
        ({"probe_epochs": 0}, "probe_epochs must be at least 1"),
    ],
)
def test_wrong_settings_are_refused(wrong: dict[str, object], message: str) -> None:
    right: dict[str, object] = {"strategy": "auto", "lr_decay": 0.5, "unfreeze_every": 1, "probe_epochs": 1}
    with pytest.raises(ZooError, match=message):
        check_strategy(**{**right, **wrong})
