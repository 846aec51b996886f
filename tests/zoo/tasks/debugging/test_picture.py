"""The picture shows every measurement, and one row for each player."""

import pytest

from zoo.tasks.debugging.activations import NUM_BINS, Statistics
from zoo.tasks.debugging.picture import Measurement, common_prefix, gradients_figure, player_of
from zoo.tasks.debugging.updates import Norms


def measurement(step: int, *players: tuple[str, ...]) -> Measurement:
    norms = [{name: Norms(1.0 / (1 + step), 2.0, 0.002) for name in names} for names in players]
    layers = [f"{name.rpartition('.')[0]}.relu" for names in players for name in names]
    shares = [1 / NUM_BINS] * NUM_BINS
    return Measurement(step, norms, {name: Statistics("ReLU", 0.0, 1.0, 0.25, shares) for name in layers})


def test_lines_hold_norms_ratios_and_shares_of_dead_units() -> None:
    figure = gradients_figure([measurement(step, ("net.a.0", "net.b.0")) for step in (0, 10)])
    gradients, ratios, dead, histograms = figure.axes
    assert [list(line.get_ydata()) for line in gradients.get_lines()] == [[1.0, 1 / 11]] * 2  # type: ignore[arg-type]
    assert [list(line.get_ydata()) for line in ratios.get_lines()[:2]] == [[0.001, 0.001]] * 2  # type: ignore[arg-type]
    assert [list(line.get_ydata()) for line in dead.get_lines()] == [[25.0, 25.0]] * 2  # type: ignore[arg-type]
    assert [text.get_text() for text in dead.get_legend().get_texts()] == ["a.relu", "b.relu"]  # type: ignore[union-attr]
    assert [label.get_text() for label in histograms.get_yticklabels()] == ["a.relu ReLU", "b.relu ReLU"]


def test_each_player_has_a_row() -> None:
    one = measurement(0, ("discriminator.a.0", "discriminator.b.0"), ("generator.a.0", "generator.b.0"))
    figure = gradients_figure([one])
    assert len(figure.axes) == 8
    assert figure.axes[0].get_title() == "gradient norm of discriminator"
    assert [label.get_text() for label in figure.axes[7].get_yticklabels()] == ["a.relu ReLU", "b.relu ReLU"]
    assert "generator" in figure.axes[7].get_title()


def test_a_layer_belongs_to_the_player_whose_layers_are_closest() -> None:
    norms = measurement(0, ("d.main.0", "d.main.2"), ("g.main.0", "g.head")).norms
    assert [player_of(name, norms) for name in ("d.main.1", "g.main.1", "g.last", "elsewhere")] == [0, 1, 1, 0]
    assert player_of("anything", []) == 0


@pytest.mark.parametrize(
    ("names", "prefix"),
    [(["net.a.0", "net.b"], "net"), (["net.ab.0", "net.ac.0"], "net"), (["a.b.c"], "a.b"), (["a", "b"], ""), ([], "")],
)
def test_the_prefix_consists_of_whole_names(names: list[str], prefix: str) -> None:
    assert common_prefix(names) == prefix
