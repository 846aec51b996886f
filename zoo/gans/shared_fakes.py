"""One batch of generated samples for both updates of an iteration, as most tutorials do; it saves a pass of the generator."""

from collections.abc import Callable
from functools import partial

from torch import Tensor

from zoo.errors import ZooError
from zoo.tasks.adversarial.base import Result, Step


def share_fake(
    fake: Tensor, num_parts: int, d_step: Callable[..., Result], g_step: Callable[..., Result]
) -> tuple[list[Step], Step]:
    """Bind generated samples, with their graph, to the last of `num_parts` discriminator updates and to the generator's."""
    return [*[d_step] * (num_parts - 1), partial(d_step, fake=fake)], partial(g_step, fake=fake)


def check_redraw(redraw: bool, accumulate: int) -> None:
    """Refuse to accumulate gradients for samples that two updates share.

    Raises:
        ZooError: if `redraw` is false and `accumulate` is not 1.
    """
    if not redraw and accumulate > 1:
        raise ZooError(
            f"redraw false keeps the graph of a whole batch for both updates, and accumulate {accumulate} exists to avoid "
            "that: choose one of them"
        )
