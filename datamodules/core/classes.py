"""Lines of a data report about the classes of a set."""

from collections.abc import Sequence

_SHOWN = 10  # classes that are listed
_IMBALANCED = 10  # ratio of the largest class to the smallest from which on the report mentions it


def describe_classes(names: Sequence[str], counts: Sequence[int], balance: bool | None) -> list[str]:
    """List the classes with their numbers of samples. Say so if these differ by more than a factor of 10.

    If there are more than ten classes, the smallest ones are listed.

    Args:
        names: of the classes.
        counts: samples of each class.
        balance: whether training serves all classes equally often; None if the set does not offer it.
    """
    pairs = list(zip(names, counts, strict=True))
    shown = pairs if len(pairs) <= _SHOWN else sorted(pairs, key=lambda pair: pair[1])[:_SHOWN]
    more = f", ...; the largest has {max(counts):,}" if len(pairs) > _SHOWN else ""
    line = f"{len(pairs)} classes: " + ", ".join(f"{name} ({count:,})" for name, count in shown) + more
    return [line, *_imbalance([count for count in counts if count], balance)]


def _imbalance(counts: Sequence[int], balance: bool | None) -> list[str]:
    """Return a line that names the settings for imbalanced classes, or no line."""
    if not counts or max(counts) <= _IMBALANCED * min(counts):
        return []
    line = f"imbalanced: the largest class has {max(counts) / min(counts):.0f} times the samples of the smallest"
    if balance:
        return [f"{line}; training serves all classes equally often (data.balance)"]
    settings = ["--model.class_weights balanced", *(["--data.balance true"] if balance is not None else [])]
    return [f"{line}; to let a classifier count all classes equally: {' or '.join(settings)}"]
