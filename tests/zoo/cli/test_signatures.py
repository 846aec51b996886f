"""The settings read from the source are the arguments of the imported classes."""

import importlib
import inspect

import pytest
from lightning import Trainer

import datamodules
import zoo
from zoo import reports, strategies
from zoo.cli.signatures import class_settings, trainer_settings, typed_fields
from zoo.training.optim import Optim
from zoo.training.tracking import Wandb

PUBLIC = [f"{package.__name__}.{name}" for package in (zoo, reports, strategies, datamodules) for name in package.HOMES]


@pytest.mark.parametrize("path", PUBLIC)
def test_a_class_takes_what_its_source_says(path: str) -> None:
    module, _, name = path.rpartition(".")
    settings = class_settings(path)
    assert settings is not None
    assert list(settings) == list(inspect.signature(getattr(importlib.import_module(module), name)).parameters)


def test_the_trainer_takes_what_its_source_says() -> None:
    assert trainer_settings() == set(inspect.signature(Trainer).parameters)


def test_keys_of_typed_dicts() -> None:
    assert typed_fields("zoo.training.tracking.Wandb") == set(Wandb.__annotations__)
    settings = class_settings("zoo.MLPClassifier")
    assert settings is not None
    assert settings["optim"].fields == set(Optim.__annotations__)
    assert settings["lr"].fields is None


@pytest.mark.parametrize("path", ["zoo.Unknown", "subprocess.Popen", "unknown.Module", "zoo.cli.names.nearest", "Bare", ""])
def test_what_cannot_be_read_is_not_judged(path: str) -> None:
    assert class_settings(path) is None
