"""Splitting a data set into disjoint parts, the same on every machine."""

from collections.abc import Mapping

import torch
from torch import Tensor


def stratified_split(y: Tensor, fraction: float, seed: int) -> tuple[Tensor, Tensor]:
    """Hold out `fraction` of every class: the rest and the held-out rows, both (N,) sorted.

    Float targets have no classes and are split at random. A class with more than one sample stays on both sides.

    Raises:
        ValueError: if `fraction` is not in (0, 1) or leaves a side empty.
    """
    if not 0 < fraction < 1:
        raise ValueError(f"a split's fraction must lie between 0 and 1, got {fraction}")
    generator = torch.Generator().manual_seed(seed)
    groups = [torch.arange(len(y))] if y.is_floating_point() else [(y == label).nonzero()[:, 0] for label in torch.unique(y)]
    held_out = [torch.empty(0, dtype=torch.long)]
    for group in groups:
        shuffled = group[torch.randperm(len(group), generator=generator)]
        num_held_out = round(len(group) * fraction)
        if len(group) > 1:
            num_held_out = min(max(num_held_out, 1), len(group) - 1)
        held_out.append(shuffled[:num_held_out])
    chosen = torch.zeros(len(y), dtype=torch.bool)
    chosen[torch.cat(held_out)] = True
    if chosen.all() or not chosen.any():
        raise ValueError(f"cannot hold out {fraction:.0%} of {len(y)} samples: one side would be empty")
    return (~chosen).nonzero()[:, 0], chosen.nonzero()[:, 0]


def hold_out(y: Tensor, parts: Mapping[str, Tensor], fractions: Mapping[str, float], seed: int) -> dict[str, Tensor]:
    """Rows of "train", and of every part in `fractions` that `parts` lacks, held out from what is left of "train".

    Raises:
        ValueError: if a side would be empty.
    """
    complete = dict(parts)
    for name, fraction in fractions.items():
        if name not in complete and "train" in complete:
            rest, held_out = stratified_split(y[complete["train"]], fraction, seed)
            complete["train"], complete[name] = complete["train"][rest], complete["train"][held_out]
    return complete
