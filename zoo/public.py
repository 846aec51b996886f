"""Public names of classes, as recipes, checkpoints and exports store them.

A system is `zoo.NAME`, a report `zoo.reports.NAME`, a strategy `zoo.strategies.NAME`, a callback that loads weights
`zoo.pretrained.NAME`. Nothing that is stored names a file of ours, so files can move without breaking a checkpoint, a recipe
or a score.
"""

import zoo
from zoo import pretrained, reports, strategies


def public_name(cls: type) -> str:
    """Return the name under which a class is stored. For a class outside the zoo this is its full import path."""
    return current_name(f"{cls.__module__}.{cls.__qualname__}")


def current_name(path: str) -> str:
    """Return the public name for a path that an earlier version stored, such as `zoo.rnn.rnn.RNNClassifier`.

    Class names are unique within the zoo, so the last part of an old path identifies the class. Paths outside the zoo are
    returned unchanged.
    """
    name = path.rpartition(".")[2]
    if path.startswith("zoo."):
        for package in (zoo, reports, strategies, pretrained):
            if name in package.HOMES:
                return f"{package.__name__}.{name}"
    return path
