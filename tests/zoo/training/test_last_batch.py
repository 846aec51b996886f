"""A last batch that BatchNorm cannot train on is refused in the first batch."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from lightning import Trainer
from torch import nn
from torch.utils.data import DataLoader, Dataset

from datamodules.core.batch import Batch
from zoo.cnn.simple_cnn import SimpleCNNClassifier
from zoo.errors import ZooError
from zoo.gans.dcgan import DCGAN
from zoo.mlp.mlp import MLPClassifier
from zoo.training.system import System


class Pictures(Dataset[Batch]):
    """Random images as a user's own data set."""

    def __init__(self, size: int, num: int = 9) -> None:
        self.x = torch.rand(num, 1, size, size, generator=torch.Generator().manual_seed(0))

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: int) -> Batch:
        return Batch(self.x[index], torch.tensor(index % 3), torch.tensor(index))


def loader(size: int, **arguments: Any) -> DataLoader[Batch]:
    return DataLoader(Pictures(size), **{"batch_size": 4, **arguments})


def steps_of(system: System, data: DataLoader[Batch], fit: Callable[..., Trainer]) -> int:
    return fit(system, None, data, data, max_epochs=1).global_step


MLP = {"hidden_dims": [8], "norm": "batch"}


def test_nine_samples_in_fours_leave_one_over(fit: Callable[..., Trainer]) -> None:
    model = MLPClassifier((1, 4, 4), 3, **MLP)  # type: ignore[arg-type]  # a plain dict
    before = model.net.hidden[0].weight.clone()
    with pytest.raises(ZooError, match="the last training batch of an epoch holds a single sample, but batch norm"):
        steps_of(model, loader(4), fit)
    assert torch.equal(model.net.hidden[0].weight, before)  # not one step was trained


@pytest.mark.parametrize("arguments", [{"drop_last": True}, {"batch_size": 3}, {"batch_size": 7}])
def test_other_batches_train(arguments: dict[str, Any], fit: Callable[..., Trainer]) -> None:
    assert steps_of(MLPClassifier((1, 4, 4), 3, **MLP), loader(4, **arguments), fit) > 0  # type: ignore[arg-type]  # a plain dict


@pytest.mark.parametrize("norm", ["none", "layer", "group"])
def test_other_norms_train_on_one_sample(norm: Any, fit: Callable[..., Trainer]) -> None:
    assert steps_of(MLPClassifier((1, 4, 4), 3, hidden_dims=[16], norm=norm), loader(4), fit) == 3


def test_the_values_of_a_map_count_and_not_the_samples(fit: Callable[..., Trainer]) -> None:
    assert steps_of(SimpleCNNClassifier((1, 4, 4), 3, widths=[4, 4]), loader(4), fit) == 3
    with pytest.raises(ZooError, match="the last training batch"):  # the last map has one pixel
        steps_of(SimpleCNNClassifier((1, 4, 4), 3, widths=[4, 4, 4]), loader(4), fit)


def test_frozen_batch_norm_trains(fit: Callable[..., Trainer]) -> None:
    model = MLPClassifier((1, 4, 4), 3, **MLP)  # type: ignore[arg-type]  # a plain dict
    model.net.hidden[1].eval()
    assert steps_of(model, loader(4), fit) == 3


def test_a_gan_is_refused_too(fit: Callable[..., Trainer]) -> None:
    gan = DCGAN((1, 8, 8), latent_dim=4, widths=[4, 8])
    gan.discriminator = nn.Sequential(nn.Flatten(), nn.Linear(64, 4), nn.BatchNorm1d(4), nn.Linear(4, 1), nn.Flatten(0))
    with pytest.raises(ZooError, match="the last training batch"):
        steps_of(gan, loader(8), fit)


def test_a_single_value_is_what_torch_refuses() -> None:
    for norm, x in ((nn.BatchNorm1d(3), torch.ones(1, 3)), (nn.BatchNorm2d(3), torch.ones(1, 3, 1, 1))):
        with pytest.raises(ValueError, match="Expected more than 1 value per channel"):
            norm(x)
    nn.BatchNorm2d(3)(torch.ones(1, 3, 1, 2))
