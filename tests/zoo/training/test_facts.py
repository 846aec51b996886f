"""Facts are read from the datamodule. Those that it does not state have defaults."""

import torch
from lightning import LightningDataModule

from datamodules import Digits, GaussianMixture, Series
from zoo.training.facts import Facts, facts_of


def test_data_without_facts_has_the_defaults() -> None:
    assert facts_of(None) == facts_of(LightningDataModule()) == Facts()


def test_facts_are_those_of_the_datamodule() -> None:
    data = Digits(normalize=False, binarize="threshold")
    found = facts_of(data)
    assert found.class_names == data.class_names == tuple("0123456789")
    assert found.binarize == "threshold"
    assert found.loader == data.loader
    assert (found.texts, found.horizon, found.stacked) == ((), None, False)
    mixture = GaussianMixture("ring", 8)
    centres = facts_of(mixture).centres
    assert centres is not None
    assert torch.equal(centres, mixture.centres)
    assert facts_of(mixture).spread == mixture.spread
    assert facts_of(Series(context=16, horizon=4)).horizon == 4
