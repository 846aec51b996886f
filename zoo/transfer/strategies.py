"""Strategies of transfer learning: which layer groups train in an epoch, and how fast.

Layer groups are counted from the input; the last one is the new head. Everything here is a function of the epoch, so a run that
was stopped goes on as if it had not been.
"""

from collections.abc import Sequence
from typing import Literal, get_args

from zoo.errors import ZooError, check_choice

Choice = Literal["auto", "feature_extraction", "full", "discriminative", "gradual", "lp_ft"]
Strategy = Literal["feature_extraction", "full", "discriminative", "gradual", "lp_ft"]
FEW, MANY = 1000, 20_000  # training images, between which the suggested strategy is discriminative


def suggested_strategy(num_samples: int) -> Strategy:
    """Return the strategy for a number of training images.

    Below 1,000 images only the head is trained: with 200 images, ImageNet features alone were within a point of the best
    fine-tuning, at a fraction of its time. Below 20,000 all layers are trained at rates that fall with depth. That was the best
    or second best strategy with 50 to 500 images (`zoo claims strategies_by_labels`). With more, the backbone has one rate.
    """
    return "feature_extraction" if num_samples < FEW else "discriminative" if num_samples < MANY else "full"


def check_strategy(strategy: str, lr_decay: float | None, unfreeze_every: int, probe_epochs: int) -> None:
    """Check the settings of a strategy.

    Raises:
        ZooError: if one is out of range.
    """
    check_choice("strategy", strategy, get_args(Choice))
    if lr_decay is not None and not 0 < lr_decay <= 1:
        raise ZooError(f"lr_decay must lie in (0, 1], got {lr_decay}")
    for name, value in (("unfreeze_every", unfreeze_every), ("probe_epochs", probe_epochs)):
        if value < 1:
            raise ZooError(f"{name} must be at least 1 epoch, got {value}")


def first_trained(strategy: Strategy, num_groups: int, epoch: int, unfreeze_every: int, probe_epochs: int) -> int:
    """Return the first layer group that trains in an epoch. All groups after it train, too."""
    head = num_groups - 1
    match strategy:
        case "feature_extraction":
            return head
        case "full" | "discriminative":
            return 0
        case "gradual":  # from the head down, one more group every few epochs
            return max(0, head - epoch // unfreeze_every)
        case "lp_ft":  # a linear probe, then fine-tuning (Kumar et al., 2022, arXiv:2202.10054)
            return head if epoch < probe_epochs else 0
        case _:
            raise ZooError(f"strategy {strategy!r} has no schedule")


def group_rates(strategy: Strategy, num_groups: int, lr_decay: float | None) -> Sequence[float]:
    """Return the learning rate of each layer group as a share of the head's.

    With "discriminative" and "gradual", each group has `lr_decay` times the rate of the group after it, by default 1 / 2.6
    (Howard & Ruder, 2018, arXiv:1801.06146). With the others, all groups before the head have `lr_decay`, by default 0.1.
    """
    depths = range(num_groups - 1, -1, -1)  # layers between a group and the head
    if strategy in ("discriminative", "gradual"):
        return [(1 / 2.6 if lr_decay is None else lr_decay) ** depth for depth in depths]
    return [(0.1 if lr_decay is None else lr_decay) if depth else 1.0 for depth in depths]
