"""Public names: what recipes, checkpoints and exports call a class, wherever its file lies.

A system is `zoo.NAME`, a report `zoo.reports.NAME`, a strategy `zoo.strategies.NAME`, a callback that loads weights
`zoo.pretrained.NAME`. Nothing that is stored names a file of
ours, so files can move without breaking a checkpoint, a recipe or a score.
"""

import zoo
from zoo import pretrained, reports, strategies


def public_name(kind: type) -> str:
    """The name under which a class is stored; the full path for a class of a user's own package."""
    return current_name(f"{kind.__module__}.{kind.__qualname__}")


def current_name(path: str) -> str:
    """The public name for a path that an earlier version stored (`zoo.rnn.rnn.RNNClassifier`); any other path unchanged.

    Class names are unique within the zoo, so the last part of an old path identifies the class.
    """
    name = path.rpartition(".")[2]
    if path.startswith("zoo."):
        for package in (zoo, reports, strategies, pretrained):
            if name in package.HOMES:
                return f"{package.__name__}.{name}"
    return path
