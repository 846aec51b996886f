"""Schedules are what their names say, and reach the same highest rate."""

import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import OneCycleLR

from zoo.cli.arms import Images
from zoo.cli.claims import _load, claim_paths

module = _load(claim_paths()["schedules_one_budget"])


def test_every_schedule_reaches_the_highest_rate_and_most_end_low() -> None:
    for name, schedule in module.SCHEDULES.items():
        if schedule is not None:
            factors = [schedule(step / 1000) for step in range(1000)]
            assert max(factors) == pytest.approx(1, abs=1e-3), name
            assert factors[-1] == (1 if name == "constant" else pytest.approx(0, abs=0.011)), name


def test_one_cycle_is_that_of_torch() -> None:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    theirs = OneCycleLR(optimizer, max_lr=1.0, total_steps=1000, cycle_momentum=False)
    for step in range(1000):
        assert module.one_cycle(step / 1000) == pytest.approx(optimizer.param_groups[0]["lr"], abs=0.01)
        optimizer.step()
        theirs.step()


def test_plateau_decays_after_checks_without_improvement() -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(4, 10))
    plateau = module.Plateau(net, Images(torch.randn(8, 1, 2, 2), torch.zeros(8, dtype=torch.long)))
    factors = [plateau(step / 400) for step in range(400)]  # the network never changes, so that only the first check improves
    first = factors.index(0.1)
    assert first == (module.PATIENCE + 2) * 10
    assert factors[first - 1] == 1
