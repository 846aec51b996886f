"""`zoo lr`: find a learning rate for a recipe with a range test."""

from pathlib import Path

from zoo.cli.configuration import Configuration, say
from zoo.cli.context import choose_directory
from zoo.errors import ZooError
from zoo.training.boundary import running
from zoo.training.range_test import RangeTest, curve_figure, write_curve
from zoo.training.system import System


def find_lr(recipe: Path, overrides: list[str], run_dir: Path | None, lowest: float, highest: float, num_steps: int) -> int:
    """Run a range test, print the suggestion, and write lr.csv and lr.png into the run directory; returns the exit code.

    Raises:
        ZooError: if the model has several optimizers, or if the loss is not finite at the lowest learning rates.
    """
    test = RangeTest(lowest, highest, num_steps)
    configuration = Configuration([recipe], overrides)
    data, system = configuration.build_data(), configuration.build_model()
    trainer = configuration.build_bare_trainer(test, max_epochs=num_steps)
    with running(trainer):
        trainer.fit(system, datamodule=data)
    assert isinstance(system, System)  # the test accepts no other
    curve, num = test.curve, len(test.losses)
    if num < 10:
        raise ZooError(f"the loss diverged after {num} steps from a learning rate of {lowest:.2g} on: choose a lower --lowest")
    directory = choose_directory(run_dir, recipe.stem).path
    write_curve(curve, directory / "lr.csv")
    curve_figure(curve, system.lr).savefig(directory / "lr.png")
    end = "the loss diverged" if num < num_steps else "the loss did not diverge"
    say(f"tried {num} learning rates from {curve.lr[0]:.2g} to {curve.lr[-1]:.2g}; {end}")
    if curve.suggestion is None or curve.steepest is None:
        say("no suggestion, because the loss never fell: choose a lower --lowest or a higher --highest")
    else:
        rules = f"steepest descent at {curve.steepest:.2g}, a tenth of the minimum at {curve.tenth_of_minimum:.2g}"
        say(f"suggested lr  {curve.suggestion:.2g}  (the lower one of {rules})")
    say(f"recipe's lr   {system.lr:.2g}\nwrote {directory / 'lr.png'} and {directory / 'lr.csv'}")
    return 0
