"""Which results make up a score, and what it is compared with."""

import json
from pathlib import Path
from typing import Any

import pytest

from zoo.cli import baselines, results
from zoo.cli.baselines import baseline_checksum
from zoo.cli.catalog import score_text
from zoo.cli.results import (
    current_results,
    measured_seeds,
    num_seeds_owed,
    results_path,
    same_behaviour,
    settings_checksum,
    summarise,
)
from zoo.cli.settings import read_settings

SETTINGS = "model: {class_path: zoo.MLPClassifier}\ndata: {class_path: datamodules.Digits}\ntrainer: {max_epochs: 1}\n"
NOW, BEFORE = {"train/loss": [1.0, 0.5, 0.25]}, {"train/loss": [1.0, 0.51, 0.26]}


@pytest.fixture
def net(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A recipe without results, and the file of behaviours, in which it behaves as NOW."""
    monkeypatch.setattr(results, "BEHAVIOURS", tmp_path / "behaviour.json")
    monkeypatch.setattr(baselines, "BASELINES", tmp_path / "baselines.jsonl")
    (tmp_path / "behaviour.json").write_text(json.dumps({"net": NOW}))
    recipe = tmp_path / "net.yaml"
    recipe.write_text(SETTINGS)
    return recipe


def add(recipe: Path, seed: int, acc: float, behaviour: dict[str, Any] | None = NOW, seconds: float = 5.0) -> None:
    """Append a result."""
    line = {"seed": seed, "config": settings_checksum(recipe), "commit": "abc", "metrics": {"test/acc": acc, "test/loss": acc}}
    about = {"seconds": seconds, "num_params": 5, "hardware": "a computer", "behaviour": behaviour}
    with results_path(recipe).open("a") as file:
        file.write(json.dumps({**line, **(about if behaviour else {"seconds": seconds})}) + "\n")


def accuracies(recipe: Path) -> tuple[list[float], bool]:
    measured = current_results(recipe)
    return [result["metrics"]["test/acc"] for result in measured.results], measured.stale


def test_the_latest_result_of_each_seed_counts_if_its_settings_are_the_present_ones(net: Path) -> None:
    add(net, 1, 0.1)
    add(net, 0, 0.2)
    add(net, 1, 0.3)
    assert accuracies(net) == ([0.2, 0.3], False)
    for other in (SETTINGS.replace("1}", "2}"), SETTINGS + "ema: 0.99\n"):
        net.write_text(other)
        assert accuracies(net) == ([], False)


def test_fewer_seeds_of_new_code_do_not_replace_more(net: Path) -> None:
    """A score stays, marked as stale, until as many seeds are measured again as it has."""
    for seed in range(3):
        add(net, seed, 0.9, BEFORE)
    assert accuracies(net) == ([0.9] * 3, True)
    add(net, 0, 0.8)
    add(net, 1, 0.8)
    assert accuracies(net) == ([0.9] * 3, True)
    assert measured_seeds(net) == {0, 1}  # and need not be measured once more
    add(net, 2, 0.8)
    assert accuracies(net) == ([0.8] * 3, False)


def test_measuring_one_seed_again_keeps_the_others(net: Path) -> None:
    for seed, acc in ((0, 0.7), (1, 0.8), (2, 0.9), (0, 0.71)):
        add(net, seed, acc)
    assert accuracies(net) == ([0.71, 0.8, 0.9], False)


def test_one_seed_replaces_three_where_one_is_owed(net: Path) -> None:
    for seed in range(3):
        add(net, seed, 0.9, BEFORE, seconds=1000)
    add(net, 0, 0.8, seconds=1000)
    assert num_seeds_owed(net) == 1
    assert accuracies(net) == ([0.8], False)


def test_results_without_a_behaviour_do_not_count(net: Path) -> None:
    add(net, 0, 0.9, None)
    assert accuracies(net) == ([], False)


@pytest.mark.parametrize(
    ("other", "same"),
    [
        ({"a": [1.0001], "b": [-2.0, 0.0]}, True),
        ({"a": [1.001], "b": [-2.0, 0.0]}, False),
        ({"a": [1.0], "b": [2.0, 0.0]}, False),
        ({"a": [1.0], "b": [-2.0]}, False),
        ({"a": [1.0]}, True),
        ({"a": [2.0]}, False),
        ({"c": [1.0]}, False),
        ({"a": [float("nan")], "b": [-2.0, 0.0]}, False),
    ],
    ids=["rounding", "fourth digit", "sign", "fewer", "missing", "missing and other", "nothing in common", "nan"],
)
def test_behaviours_are_compared_to_four_digits_in_what_both_have(other: dict[str, list[float]], same: bool) -> None:
    assert same_behaviour({"a": [1.0], "b": [-2.0, 0.0]}, other) == same


@pytest.mark.parametrize(
    ("seconds", "header", "owed"), [(5.0, "", 3), (899.0, "", 3), (901.0, "", 1), (None, "", 1), (5.0, "# seeds: 5\n", 5)]
)
def test_the_time_of_a_run_or_the_header_says_how_many_seeds_are_owed(
    seconds: float | None, header: str, owed: int, net: Path
) -> None:
    net.write_text(header + SETTINGS)
    if seconds is not None:
        add(net, 0, 0.9, seconds=seconds)
    assert num_seeds_owed(net) == owed


def compared(net: Path, baseline: dict[str, float], header: str = "", metric: str = "test/acc") -> Any:
    """Summarise a recipe of three seeds, 0.7, 0.8 and 0.9, whose baseline has these metrics."""
    net.write_text(f"{header}# baseline: majority\n{SETTINGS}")
    for seed in range(3):
        add(net, seed, 0.7 + seed / 10)
    settings = read_settings(net)
    line = {"recipe": "net", "method": "majority", "how": "majority class", "config": baseline_checksum(settings)}
    baselines.BASELINES.write_text(json.dumps({**line, "metrics": baseline}) + "\n")
    return summarise(net, metric, settings)


@pytest.mark.parametrize(
    ("metric", "baseline", "below"), [("acc", 0.81, True), ("acc", 0.79, False), ("loss", 0.81, False), ("loss", 0.79, True)]
)
def test_a_score_on_the_wrong_side_of_its_baseline_is_marked(metric: str, baseline: float, below: bool, net: Path) -> None:
    """A loss should be low, an accuracy high."""
    score = compared(net, {f"test/{metric}": baseline}, metric=f"test/{metric}")
    assert score["below_baseline"] == below
    assert score["baseline"] == {"value": baseline, "about": "majority class", "metric": f"test/{metric}", "ours": ""}
    assert score_text(score) == f"test/{metric} 0.80 ± 0.10 (n=3{', below baseline' * below})"


def test_a_baseline_of_other_data_does_not_count_but_one_of_other_batches_does(net: Path) -> None:
    compared(net, {"test/acc": 0.81})
    text = net.read_text()
    for change, counts in (("batch_size: 5", True), ("val_fraction: 0.5", False)):
        net.write_text(text.replace("datamodules.Digits}", f"datamodules.Digits, init_args: {{{change}}}}}"))
        settings = read_settings(net)
        assert (summarise(net, "test/acc", settings)["baseline"] is not None) == counts


def test_a_figure_published_in_another_metric_stands_beside_ours_in_that_metric(net: Path) -> None:
    source = "#   protocol: MLP\n#   source: A paper\n"
    header = f"# published:\n#   value: 0.5\n#   metric: test/loss\n{source}"
    assert compared(net, {}, header)["published"] == {
        "value": 0.5,
        "about": "MLP; A paper",
        "metric": "test/loss",
        "ours": "0.80 ± 0.10",
    }
    assert compared(net, {}, header.replace("loss", "f1"))["published"]["ours"] == "not measured"
    assert compared(net, {}, header.replace("loss", "acc"))["published"]["ours"] == ""


def test_a_score_that_no_run_reported_is_named(net: Path) -> None:
    add(net, 0, 1.0)
    with pytest.raises(ValueError, match=r"net.yaml was measured without test/fd_\* or test/modes: add a callback"):
        summarise(net, ("test/fd_*", "test/modes"), read_settings(net))
