"""Learning-rate schedules as functions of the optimizer step, and the scheduler that applies them."""

import math
from collections.abc import Callable
from typing import Any, Literal

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from zoo.errors import ZooError

Schedule = Literal["constant", "linear", "step", "cosine", "one_cycle", "plateau"]

# of one_cycle: the first rate as a share of the peak, the last one if `final` is 0, the share of steps before the peak, and the
# momentum at the ends and at the peak
_START, _END, _RISE, _MOMENTUM, _LEAST_MOMENTUM = 1 / 25, 1e-5, 0.3, 0.95, 0.85


def learning_rate_factor(
    step: int,
    total_steps: int,
    schedule: Schedule,
    warmup_steps: int = 0,
    final: float = 0.0,
    hold: float = 0.5,
    step_every: int | None = None,
    factor: float = 0.1,
) -> float:
    """Return the factor on the base learning rate at an optimizer step, counted from 0.

    The factor rises linearly to 1 over `warmup_steps`. After that it depends on the schedule:

    - constant: 1
    - linear: 1 for the share `hold` of the remaining steps, then a straight line to `final`; 0.5 as in Pix2Pix and CycleGAN
    - step: multiplied by `factor` every `step_every` steps, counted from step 0; a third of all steps if it is None
    - cosine: half a cosine from 1 to `final` (Loshchilov & Hutter, 2017, arXiv:1608.03983)
    - one_cycle, without warm-up: half a cosine from 1/25 to 1 over the first 30 % of the steps, then another to `final`, or to
      1e-5 if that is 0 (Smith & Topin, 2018, arXiv:1708.07120, with the shape of torch's `OneCycleLR`)

    Beyond `total_steps` it keeps its last value.

    Raises:
        ZooError: for plateau, which depends on the validation.
    """
    step = min(step, total_steps)
    if schedule == "one_cycle":
        return _cycle(step, total_steps, start=_START, peak=1.0, end=final or _END)
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    progress = (step - warmup_steps) / max(1, total_steps - warmup_steps)
    match schedule:
        case "constant":
            return 1.0
        case "linear":
            return 1 - (1 - final) * max(0.0, (progress - hold) / (1 - hold))
        case "step":
            return factor ** (step // (step_every or max(1, math.ceil(total_steps / 3))))
        case "cosine":
            return final + (1 - final) * 0.5 * (1 + math.cos(math.pi * progress))
        case _:
            raise ZooError(f"schedule {schedule!r} is not a function of the step alone")


def cycled_momentum(step: int, total_steps: int) -> float:
    """Return the momentum, or the beta 1 of Adam, at an optimizer step of one_cycle: 0.95 at the ends, 0.85 at the peak."""
    return _cycle(min(step, total_steps), total_steps, start=_MOMENTUM, peak=_LEAST_MOMENTUM, end=_MOMENTUM)


def _cycle(step: int, total_steps: int, start: float, peak: float, end: float) -> float:
    """Follow half a cosine from `start` to `peak` and another to `end`, which is reached at `total_steps`."""
    top = _RISE * (total_steps + 1) - 1
    if step <= top:
        return _half_cosine(start, peak, step / top)
    return _half_cosine(peak, end, (step - top) / (total_steps - top))


def _half_cosine(start: float, end: float, progress: float) -> float:
    return end + (start - end) / 2 * (1 + math.cos(math.pi * progress))


class ByStep(LRScheduler):
    """Scheduler that sets the learning rate, and the momentum if it cycles, from the number of optimizer steps.

    A run that is resumed with another number of steps follows its new schedule from the first step on. It may then jump. A
    schedule with `extends` False is refused instead: a one-cycle schedule that has come down would start to rise again.

    Args:
        optimizer: its groups have their base rates.
        factor: step to the factor on the base rates.
        momentum: step to the momentum; None leaves it alone.
        total_steps: number of optimizer steps that the schedule is planned for.
        extends: whether a resumed run may have another number of steps.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        factor: Callable[[int], float],
        momentum: Callable[[int], float] | None = None,
        total_steps: int = 1,
        extends: bool = True,
    ) -> None:
        self.factor, self.momentum, self.total_steps, self.extends = factor, momentum, total_steps, extends
        super().__init__(optimizer)

    def step(self, epoch: int | None = None) -> None:
        """Go on to the next step. Unlike torch's, it does not warn if a gradient scaler has skipped the optimizer's step."""
        self._step_count += 1
        self.last_epoch += 1  # torch's name for the number of steps
        self._apply()

    def _apply(self) -> None:
        for base, group in zip(self.base_lrs, self.optimizer.param_groups, strict=True):
            group["lr"] = base * self.factor(self.last_epoch)
            if self.momentum is not None:
                momentum = self.momentum(self.last_epoch)
                if "betas" in group:
                    group["betas"] = (momentum, *group["betas"][1:])
                else:
                    group["momentum"] = momentum
        self._last_lr = [group["lr"] for group in self.optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        return {"last_epoch": self.last_epoch, "_step_count": self._step_count, "total_steps": self.total_steps}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue at the step of a checkpoint. Checkpoints of earlier versions hold the state of torch's schedulers.

        Raises:
            ZooError: if the schedule cannot be extended and was planned for another number of steps.
        """
        planned = state_dict.get("total_steps", self.total_steps)
        if "_schedule_phases" in state_dict:  # of torch's OneCycleLR, which was given one step more
            planned -= 1
        if not self.extends and planned != self.total_steps:
            raise ZooError(
                f"the one_cycle schedule was planned for {planned} steps and cannot be extended, but the run now has "
                f"{self.total_steps}: keep the number of steps unchanged, or start a new run"
            )
        self.last_epoch, self._step_count = state_dict["last_epoch"], state_dict["_step_count"]
        self._apply()
