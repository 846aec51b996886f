"""Averaged weights are means, and their BatchNorm statistics are those of the averaged network."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor

from datamodules.core.batch import Batch
from zoo.errors import ZooError
from zoo.mlp.mlp import MLPClassifier
from zoo.mlp.perceptron import Perceptron
from zoo.training.averaging import average_weights, has_statistics, refresh_statistics
from zoo.training.system import Outputs


def checkpoint(**weights: Tensor) -> dict[str, Any]:
    return {"class_path": "zoo.MLPClassifier", "data": {"mean": [0.5]}, "state_dict": weights}


def test_numbers_are_averaged_and_integers_are_the_last_ones() -> None:
    states = [checkpoint(w=torch.tensor([2.0**24 + i]), n=torch.tensor(i)) for i in (0.0, 2.0, 4.0)]
    for i, state in enumerate(states):
        state["state_dict"]["n"] = torch.tensor(i)
    before = copy.deepcopy(states)
    average = average_weights({str(i): state for i, state in enumerate(states)})
    assert average == {"w": torch.tensor([2.0**24 + 2]), "n": torch.tensor(2)}  # sums in float32 would round
    assert states == before


def test_other_architectures_are_refused_by_their_first_differences() -> None:
    a = checkpoint(w=torch.zeros(2, 3), b=torch.zeros(2))
    with pytest.raises(
        ZooError, match=r"^b\.ckpt does not fit a\.ckpt: w is \(2, 4\), not \(2, 3\); c is \(1,\), not missing; b is"
    ):
        average_weights({"a.ckpt": a, "b.ckpt": checkpoint(w=torch.zeros(2, 4), c=torch.zeros(1))})
    with pytest.raises(ZooError, match=r"differ in class_path \(zoo\.MLP, zoo\.MLPClassifier\)"):
        average_weights({"a.ckpt": a, "b.ckpt": {**a, "class_path": "zoo.MLP"}})
    with pytest.raises(ZooError, match="differ in data: average checkpoints of one model and one data set"):
        average_weights({"a.ckpt": a, "b.ckpt": {**a, "data": {"mean": [0.4]}}})


class Louder(MLPClassifier):
    """Changes its inputs in training only, as a denoising autoencoder does."""

    def step(self, batch: Batch, progress: Tensor) -> tuple[Tensor, Outputs]:
        return super().step(batch._replace(x=3 * batch.x) if self.training else batch, progress)


def test_statistics_weight_all_batches_equally_and_see_training_inputs() -> None:
    system = Louder((4,), 3, hidden_dims=(8,), norm="batch", dropout=0.5)
    batches = [Batch(torch.randn(num, 4), torch.zeros(num, dtype=torch.long), torch.arange(num)) for num in (5, 50)]
    before = copy.deepcopy(system.state_dict())
    weights = refresh_statistics(system, batches)
    linear = system.net.hidden[0]  # type: ignore[index]
    maps = [linear(3 * batch.x) for batch in batches]  # type: ignore[operator]
    for name, expected in (("mean", [m.mean(0) for m in maps]), ("var", [m.var(0) for m in maps])):
        torch.testing.assert_close(weights[f"net.hidden.1.running_{name}"], torch.stack(expected).mean(0))
    assert weights.keys() == before.keys()
    assert all(torch.equal(weights[name], value) for name, value in before.items() if "1." not in name)
    assert all(torch.equal(value, before[name]) for name, value in system.state_dict().items())


def test_networks_with_statistics_are_recognised() -> None:
    assert has_statistics(MLPClassifier((4,), 3, norm="batch"))
    assert not has_statistics(MLPClassifier((4,), 3, norm="none"))
    assert not has_statistics(Perceptron((4,), 3))
