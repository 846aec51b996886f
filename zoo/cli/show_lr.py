"""`zoo show RECIPE --lr`: draw the learning rate that a recipe plans for each optimizer step."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure

from zoo.cli.configuration import Configuration, say
from zoo.cli.context import choose_directory
from zoo.errors import UsageError
from zoo.training.quiet import keep_quiet
from zoo.training.schedules import ByStep
from zoo.training.system import System

_MOST_POINTS = 2000  # of a curve


class Plan(NamedTuple):
    """The planned rates of one optimizer."""

    network: str  # in a GAN, the network that the optimizer updates
    steps: list[int]  # from 0 to the number of optimizer steps
    rates: dict[float, list[float]]  # base rate of parameters to the rate at each step, the highest base rate first
    momentum: list[float] | None  # at each step, if it cycles


def show_lr(recipe: Path, overrides: list[str], output: Path | None = None) -> int:
    """Draw learning rate by optimizer step, and the momentum if it cycles, for the real number of steps of a recipe.

    The default `output` is runs/<recipe>/<time>/lr.png. Nothing is trained.

    Raises:
        UsageError: if the model is not a system of the zoo.
    """
    keep_quiet()
    configuration = Configuration([recipe], overrides)
    plans = planned_rates(configuration)
    schedule = configuration.model.optim.get("schedule", "cosine")
    if not plans:
        say(
            f"schedule {schedule} depends on the validation: it lowers the learning rate when val/loss stops falling, so it "
            "cannot be drawn before the run"
        )
        return 0
    for plan in plans:
        (highest, rates), total = next(iter(plan.rates.items())), plan.steps[-1]
        peak = rates.index(max(rates))
        say(
            f"{plan.network}{schedule} over {total:,} optimizer steps: {rates[0]:.3g} at the start, {rates[peak]:.3g} at step "
            f"{plan.steps[peak]:,}, {rates[-1]:.3g} at the end (model.lr {highest:.3g})"
        )
    output = output or choose_directory(None, recipe.stem).path / "lr.png"
    output.parent.mkdir(parents=True, exist_ok=True)
    rates_figure(plans, f"{recipe.stem}: {schedule}").savefig(output)
    say(f"wrote {output}")
    return 0


def planned_rates(configuration: Configuration) -> list[Plan]:
    """Return the rates that the schedules of a configuration plan; empty if they are not functions of the step.

    Builds data, model and a trainer, but no run, and asks the model for its optimizers.

    Raises:
        UsageError: if the model is not a system of the zoo.
    """
    data: Any = configuration.build_data()
    system = configuration.build_model()
    if not isinstance(system, System):
        raise UsageError(f"--lr draws the schedules of the zoo's systems, which a {type(system).__name__} is not")
    trainer = configuration.build_bare_trainer()
    data.prepare_data()
    data.setup("fit")
    trainer.datamodule = data  # type: ignore[attr-defined]  # as a fit sets it
    data.trainer = system.trainer = trainer
    configured: Any = system.configure_optimizers()
    several = isinstance(configured, list)
    networks = ["discriminator: ", "generator: "] if several else [""]
    plans = []
    for network, parts in zip(networks, configured if several else [configured], strict=True):
        scheduler = parts["lr_scheduler"]["scheduler"]
        if not isinstance(scheduler, ByStep):
            return []
        total = scheduler.total_steps
        steps = sorted({round(step) for step in np.linspace(0, total, min(total + 1, _MOST_POINTS))})
        bases = sorted({float(base) for base in scheduler.base_lrs}, reverse=True)
        rates = {base: [base * scheduler.factor(step) for step in steps] for base in bases}
        momentum = None if scheduler.momentum is None else [scheduler.momentum(step) for step in steps]
        plans.append(Plan(network, steps, rates, momentum))
    return plans


def rates_figure(plans: list[Plan], title: str) -> Figure:
    """Draw one line for each network and base rate, and below them the momentum if it cycles."""
    cycled = [plan for plan in plans if plan.momentum is not None]
    figure = Figure(figsize=(6.4, 5.2 if cycled else 3.6), layout="constrained")
    upper, *lower = np.atleast_1d(figure.subplots(1 + bool(cycled), sharex=True))
    for plan in plans:
        for base, rates in plan.rates.items():
            upper.plot(plan.steps, rates, label=f"{plan.network}base rate {base:.3g}", drawstyle="steps-post")
    upper.set(ylabel="learning rate")
    upper.set_title(title, fontsize=10, parse_math=False)
    if sum(len(plan.rates) for plan in plans) > 1:
        upper.legend(fontsize=8)
    for axes, plan in zip(lower, cycled[:1], strict=True):
        axes.plot(plan.steps, plan.momentum, color="C1")
        axes.set(ylabel="momentum, or beta 1")
    for axes in (upper, *lower):
        axes.grid(alpha=0.3)
    (lower[-1] if lower else upper).set_xlabel("optimizer step")
    return figure
