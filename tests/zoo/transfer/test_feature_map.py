from collections.abc import Callable
from pathlib import Path

import pytest
from lightning import Trainer

from datamodules import Digits
from zoo import TransferClassifier
from zoo.transfer.feature_map import FeatureMap
from zoo.transfer.strategies import Strategy

SOURCE = {"class_path": "zoo.MLPClassifier", "init_args": {"hidden_dims": [4], "norm": "none"}}


@pytest.mark.parametrize(("strategy", "drawn"), [("full", True), ("feature_extraction", False)])
def test_features_are_drawn_if_the_backbone_trains(
    strategy: Strategy, drawn: bool, fit: Callable[..., Trainer], digits: Digits, tmp_path: Path
) -> None:
    system = TransferClassifier((1, 8, 8), 10, backbone=SOURCE, weights=None, strategy=strategy)
    report = FeatureMap(tmp_path, system, num_samples=50)
    fit(system, digits, callbacks=[report])
    assert (tmp_path / "features.png").exists() == drawn
    assert system.training
