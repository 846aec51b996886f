"""Table of the commands, in the order of `zoo --help`."""

from zoo.cli.verbs.models import MODELS
from zoo.cli.verbs.recipes import RECIPES
from zoo.cli.verbs.runs import RUNS
from zoo.cli.verbs.upkeep import UPKEEP

COMMANDS = (*RECIPES, *RUNS, *MODELS, *UPKEEP)
