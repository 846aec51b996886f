"""The range test finds where training diverges, and leaves no trace."""

import copy
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
import torch
from lightning import Trainer
from torch import Tensor, nn
from torch.utils.data import DataLoader

from datamodules.core.base import DataModule
from datamodules.core.batch import Batch
from zoo.errors import ZooError
from zoo.gans.gan import GAN
from zoo.mlp.mlp import MLPClassifier
from zoo.training.optim import Optim
from zoo.training.randomness import random_state
from zoo.training.range_test import Curve, RangeTest
from zoo.training.system import Outputs, System

Fit = Callable[..., Trainer]
CURVATURE = 20.0


class Quadratic(System):
    """The loss L / 2 * w^2, on which gradient descent diverges with learning rates above 2 / L."""

    def __init__(self, optim: Optim) -> None:
        super().__init__(0.1, optim)
        self.net = nn.Linear(1, 1, bias=False)
        nn.init.constant_(self.net.weight, 3.0)

    def step(self, batch: Batch, progress: Tensor) -> tuple[Tensor, Outputs]:
        return CURVATURE / 2 * self.net.weight.square().sum(), {}


@pytest.mark.parametrize("schedule", ["constant", "one_cycle", "plateau"])
def test_a_quadratic_diverges_above_its_limit_and_the_suggestion_lies_below(fit: Fit, schedule: Any) -> None:
    optim: Optim = {"name": "sgd", "schedule": schedule}
    loader = DataLoader([Batch(torch.zeros(1), torch.zeros(1), torch.tensor(0))] * 8, batch_size=2)
    fit(Quadratic(optim), None, loader, loader, callbacks=[test := RangeTest(1e-4, 10, 60)], max_epochs=60, limit_val_batches=0)
    lr, loss, _ = curve = test.curve
    assert len(lr) == len(loss) < 60  # it stopped
    limit = 2 / CURVATURE
    grows = [after > before for before, after in pairwise(loss)]
    assert grows == [rate > limit for rate in lr[:-1]]
    assert limit < lr[-1] < 10 * limit
    assert curve.suggestion is not None
    assert 0.01 * limit < curve.suggestion < limit


def test_nothing_is_left_of_the_test(fit: Fit, blobs: Callable[..., DataModule]) -> None:
    data, system = blobs(), MLPClassifier((4,), 3, hidden_dims=(8,), norm="batch", dropout=0.5)
    data.setup("fit")
    first = next(iter(data.train_dataloader())).position
    before, drawn = copy.deepcopy(system.state_dict()), random_state()["torch"].clone()
    fit(system, data, callbacks=[test := RangeTest(num_steps=40)], max_epochs=40, accumulate_grad_batches=3)
    assert len(test.losses) > 10
    after = system.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    assert torch.equal(random_state()["torch"], drawn)
    assert torch.equal(next(iter(data.train_dataloader())).position, first)


def test_parameter_groups_keep_their_ratios(fit: Fit, blobs: Callable[..., DataModule]) -> None:
    class TwoRates(MLPClassifier):
        def configure_optimizers(self) -> Any:
            parts = [(self.net.hidden, 0.1), (self.net.output, 1.0)]
            groups = [{"params": [*part.parameters()], "lr": rate * self.lr} for part, rate in parts]
            optimizer = torch.optim.SGD(groups)
            warm_up = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: (step + 1) / 1000)
            schedules.append(warm_up)
            return {"optimizer": optimizer, "lr_scheduler": {"scheduler": warm_up, "interval": "step"}}

        def on_before_optimizer_step(self, optimizer: Any) -> None:
            used.append([group["lr"] for group in optimizer.param_groups])

    used: list[list[float]] = []
    schedules: list[torch.optim.lr_scheduler.LambdaLR] = []
    fit(TwoRates((4,), 3, hidden_dims=(8,), lr=0.01), blobs(), callbacks=[RangeTest(1e-3, 1e-1, 11)], max_epochs=11)
    torch.testing.assert_close(torch.tensor(used), torch.logspace(-3, -1, 11)[:, None] * torch.tensor([0.1, 1.0]))
    assert schedules[0].last_epoch == 0  # it was never stepped


def test_the_two_rules() -> None:
    lr = [10.0**k for k in range(-5, 1)]
    curve = Curve(lr, [], [5.0, 4.9, 4.0, 1.0, 0.5, 3.0])
    assert curve.steepest == lr[2]  # it falls by 3.9 over the two decades around it
    assert curve.tenth_of_minimum == pytest.approx(lr[3])
    assert curve.suggestion == lr[2]
    assert Curve(lr, [], [1.0, 1.1, 1.2, 2.0, 3.0, 4.0]).suggestion is None


def test_is_refused_where_it_does_not_fit(fit: Fit, blobs: Callable[..., DataModule]) -> None:
    with pytest.raises(ZooError, match=r"^expected 0 < lowest < highest learning rate, got 1 and 0.1"):
        RangeTest(1, 0.1)
    with pytest.raises(ZooError, match=r"^a range test needs at least 10 steps, got 3"):
        RangeTest(num_steps=3)
    with pytest.raises(ZooError, match=r"^a range test needs a model with one optimizer .*, which a GAN is not"):
        fit(GAN((2,), widths=(8,)), blobs(), callbacks=[RangeTest()])
