"""The data report on classes names the settings that help against imbalance."""

from datamodules.core.classes import describe_classes

NAMES = ("a", "b", "c")


def test_imbalanced_classes_are_mentioned_with_the_settings_that_the_set_offers() -> None:
    line = "imbalanced: the largest class has 15 times the samples of the smallest"
    advice = "; to let a classifier count all classes equally: --model.class_weights balanced"
    counts = [30, 20, 300]
    assert describe_classes(NAMES, counts, None) == ["3 classes: a (30), b (20), c (300)", line + advice]
    assert describe_classes(NAMES, counts, False)[1:] == [line + advice + " or --data.balance true"]
    served = "; training serves all classes equally often (data.balance)"
    assert describe_classes(NAMES, counts, True)[1:] == [line + served]


def test_ten_times_is_not_mentioned_and_empty_classes_do_not_count() -> None:
    assert len(describe_classes(NAMES, [20, 0, 200], False)) == 1
    assert len(describe_classes(NAMES, [20, 0, 201], False)) == 2
    assert describe_classes(NAMES, [0, 0, 0], False) == ["3 classes: a (0), b (0), c (0)"]
