"""Splitting a data set into disjoint parts, the same on every machine."""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import TypeVar

import torch
from torch import Tensor

from zoo.errors import ZooError

T = TypeVar("T")


def stratified_split(y: Tensor, fraction: float, seed: int, groups: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Hold out `fraction` of every class. Return the remaining and the held-out rows, both sorted.

    Float targets have no classes and are split at random. A class with several samples keeps at least one. Classes that are too
    small to give a whole sample each are pooled: `fraction` of the pool is held out, from classes drawn at random.

    Args:
        y: (N,) classes or float targets.
        fraction: share of the rows to hold out.
        seed: of the random choice.
        groups: (N,) group numbers, in the order of first rows. Rows of a group, such as duplicates, have one class and stay on
            the same side. `fraction` is then a share of the groups.

    Raises:
        ZooError: if `fraction` is not in (0, 1), or if one side would be empty.
    """
    if not 0 < fraction < 1:
        raise ZooError(f"a split's fraction must lie between 0 and 1, got {fraction}")
    if groups is not None:
        first = torch.full((int(groups.max()) + 1,), len(y)).scatter_reduce(0, groups, torch.arange(len(y)), "amin")
        _, of_groups = stratified_split(y[first], fraction, seed)
        chosen = torch.isin(groups, of_groups)
        return (~chosen).nonzero()[:, 0], chosen.nonzero()[:, 0]
    generator = torch.Generator().manual_seed(seed)
    held_out, small = [torch.empty(0, dtype=torch.long)], []
    for group in _shuffled_classes(y, generator):
        num_held_out = min(round(len(group) * fraction), max(len(group) - 1, 1))
        held_out.append(group[:num_held_out])
        if num_held_out == 0 and len(group) > 1:
            small.append(group)
    if small:
        share = torch.tensor([len(group) for group in small]) * fraction
        num_drawn = max(round(share.sum().item()), int(not any(map(len, held_out))))
        if num_drawn:
            drawn = torch.multinomial(share, num_drawn, generator=generator)
            held_out.append(torch.stack([small[place][0] for place in drawn.tolist()]))
    chosen = torch.zeros(len(y), dtype=torch.bool)
    chosen[torch.cat(held_out)] = True
    if chosen.all() or not chosen.any():
        raise ZooError(f"cannot hold out {fraction:.0%} of {len(y)} samples: one side would be empty")
    return (~chosen).nonzero()[:, 0], chosen.nonzero()[:, 0]


def stratified_sample(y: Tensor, num: int, seed: int, name: str = "num") -> Tensor:
    """Draw exactly `num` rows, sorted. Every class has its share, rounded up or down, but at least one row.

    Raises:
        ZooError: if `num` is less than the number of classes or more than the number of rows. The error calls it `name`.
    """
    groups = _shuffled_classes(y, torch.Generator().manual_seed(seed))
    if not 0 < len(groups) <= num <= len(y):
        raise ZooError(f"{name} must lie in {len(groups)}..{len(y)}, from one sample per class to all there are, got {num}")
    quota = torch.tensor([len(group) for group in groups]).double() * num / len(y)
    take = quota.long().clamp(min=1)
    while missing := num - int(take.sum()):
        if missing > 0:
            take[(quota - take).argmax()] += 1
        else:  # Small classes were given one row although their share is less.
            take[torch.where(take > 1, take - quota, -torch.inf).argmax()] -= 1
    return torch.cat([group[:size] for group, size in zip(groups, take.tolist(), strict=True)]).sort().values


def hold_out(
    y: Tensor, parts: Mapping[str, Tensor], fractions: Mapping[str, float], seed: int, groups: Tensor | None = None
) -> dict[str, Tensor]:
    """Complete `parts` by holding out rows of "train" for every part in `fractions` that is missing, one after the other.

    Rows whose numbers in `groups` (N,) are equal stay together, as in `stratified_split`.

    Raises:
        ZooError: if a side would be empty.
    """
    complete = dict(parts)
    for name, fraction in fractions.items():
        if name not in complete and "train" in complete:
            rows = complete["train"]
            of_rows = None if groups is None else numbered(groups[rows].tolist())
            rest, held_out = stratified_split(y[rows], fraction, seed, of_rows)
            complete["train"], complete[name] = rows[rest], rows[held_out]
    return complete


def check_shares(y: Tensor, class_names: Sequence[str], held_out: Sequence[str], groups: Tensor | None = None) -> None:
    """Refuse a class with too few samples for training and every held-out part to get one.

    Args:
        y: (N,) classes of the training part, before others are held out.
        class_names: (K,).
        held_out: names of these parts.
        groups: (N,) numbers; rows with equal numbers count once, because they stay together.

    Raises:
        ZooError: naming the class, its number of samples and the parts.
    """
    if groups is not None:
        y = torch.unique(torch.stack([y, groups]), dim=1)[0]
    for name, count in zip(class_names, torch.bincount(y, minlength=len(class_names)).tolist(), strict=True):
        if 0 < count <= len(held_out):
            parts = " and ".join(["training", *held_out])
            samples = f"{count} {'sample' if groups is None else 'different sample'}{'s' * (count > 1)}"
            raise ZooError(f"the class {name} has {samples}, too few for {parts}: add some, or leave the class out")


def numbered(values: Iterable[Hashable]) -> Tensor:
    """Give equal values the same number: (N,) int64, from 0, in the order of first occurrence."""
    numbers: dict[Hashable, int] = {}
    return torch.tensor([numbers.setdefault(value, len(numbers)) for value in values], dtype=torch.long)


def _shuffled_classes(y: Tensor, generator: torch.Generator) -> list[Tensor]:
    """Return the rows of each class in random order; all rows in one group if targets are not classes."""
    groups = [torch.arange(len(y))] if y.is_floating_point() else [(y == label).nonzero()[:, 0] for label in torch.unique(y)]
    return [group[torch.randperm(len(group), generator=generator)] for group in groups]


def without_lone_validation(parts: Mapping[str, T]) -> dict[str, T]:
    """Use the only part besides training as the test part, so that the score is of samples that made no choices."""
    return {"train": parts["train"], "test": parts["val"]} if parts.keys() == {"train", "val"} else dict(parts)
