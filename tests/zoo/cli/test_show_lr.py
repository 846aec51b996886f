"""`zoo show RECIPE --lr` draws the rates that a run of the recipe uses."""

from pathlib import Path
from typing import Any

import pytest

from zoo.cli.configuration import Configuration
from zoo.cli.main import main
from zoo.cli.names import find_config
from zoo.cli.show_lr import Plan, planned_rates, rates_figure
from zoo.training.schedules import cycled_momentum, learning_rate_factor


def plans_of(recipe: str, *overrides: str) -> list[Plan]:
    return planned_rates(Configuration([find_config(recipe)], list(overrides)))


def test_the_rates_are_those_of_every_step_of_the_recipe(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (plan,) = plans_of("mlp_digits")
    assert plan.steps == list(range(801))  # 40 epochs of 20 batches
    assert list(plan.rates) == [0.003]
    expected = [0.003 * learning_rate_factor(step, 800, "cosine", warmup_steps=20) for step in plan.steps]
    assert plan.rates[0.003] == pytest.approx(expected, abs=1e-12)
    assert plan.momentum is None

    path = tmp_path / "new" / "lr.png"
    assert main(["show", "mlp_digits", "--lr", "-o", str(path)]) == 0
    out = capsys.readouterr().out
    assert "cosine over 800 optimizer steps: 0.00015 at the start, 0.003 at step 19, 0 at the end (model.lr 0.003)" in out
    assert path.read_bytes().startswith(b"\x89PNG")
    assert out.endswith(f"wrote {path}\n")


def test_overrides_change_the_plan() -> None:
    (plan,) = plans_of("mlp_digits", "--trainer.max_epochs", "6", "--trainer.accumulate_grad_batches", "3")
    assert plan.steps[-1] == 6 * 7
    (plan,) = plans_of("mlp_digits", "--trainer.max_steps", "11", "--model.optim.warmup_steps", "0")
    assert plan.steps[-1] == 11


def test_the_momentum_is_drawn_where_it_cycles() -> None:
    (plan,) = plans_of("simple_cnn_digits")
    total = plan.steps[-1]
    assert plan.momentum == pytest.approx([cycled_momentum(step, total) for step in plan.steps])
    figure: Any = rates_figure([plan], "one_cycle")
    upper, lower = figure.axes
    (rate,), (momentum,) = upper.lines, lower.lines
    assert list(rate.get_ydata()) == plan.rates[0.005]
    assert list(momentum.get_ydata()) == plan.momentum


def test_both_networks_of_a_gan_have_a_line() -> None:
    first, second = plans_of("gan_ring", "--model.d_lr", "0.01")
    assert (first.network, second.network) == ("discriminator: ", "generator: ")
    assert list(first.rates) == [0.01]
    figure: Any = rates_figure([first, second], "two networks")
    assert len(figure.axes[0].lines) == 2


def test_long_runs_are_thinned() -> None:
    (plan,) = plans_of("mlp_digits", "--trainer.max_epochs", "1000")
    assert len(plan.steps) == 2000
    assert (plan.steps[0], plan.steps[-1]) == (0, 20_000)


def test_plateau_depends_on_the_validation(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    settings = ["--model.optim.schedule", "plateau", "--model.optim.warmup_steps", "0"]
    assert main(["show", "mlp_digits", "--lr", *settings, "-o", str(tmp_path / "lr.png")]) == 0
    assert "schedule plateau depends on the validation" in capsys.readouterr().out
    assert not (tmp_path / "lr.png").exists()
