"""Tests and predictions average probabilities over views, and the network is itself again afterwards."""

import argparse
from collections.abc import Callable
from typing import get_args

import pytest
import torch
from lightning import Trainer

from datamodules import Digits
from zoo.augment.test_time import Views, views_of
from zoo.cli.commands import COMMANDS
from zoo.cnn.simple_cnn import SimpleCNNClassifier
from zoo.tasks.classification.view_averaging import ViewAveraging

Fit = Callable[..., Trainer]


def test_scores_and_predictions_are_of_the_average(fit: Fit, digits: Digits) -> None:
    system = SimpleCNNClassifier(input_shape=(1, 8, 8), num_classes=10, widths=[8, 8], lr=0.02)
    trainer = fit(system, digits, callbacks=[ViewAveraging("shifts")], max_epochs=1)
    net = system.net
    batches = [digits.transform(batch, 0, False) for batch in digits.test_dataloader()]
    system.eval()
    with torch.no_grad():
        expected = torch.cat(
            [torch.stack([net(view).softmax(1) for view in views_of(batch.x, "shifts")]).mean(0) for batch in batches]
        )
        plain = torch.cat([net(batch.x).softmax(1) for batch in batches])
    y = torch.cat([batch.y for batch in batches])
    (scores,) = trainer.test(system, datamodule=digits, verbose=False)
    assert scores["test/acc"] == pytest.approx((expected.argmax(1) == y).float().mean().item())
    assert scores["test/loss"] == pytest.approx(-expected.log().gather(1, y[:, None]).mean().item(), rel=1e-4)
    predicted = torch.cat([outputs["preds"].exp() for outputs in trainer.predict(system, datamodule=digits)])
    torch.testing.assert_close(predicted, expected)
    assert (expected - plain).abs().max() > 0.01
    assert system.net is net


def test_other_models_are_refused(fit: Fit, digits: Digits) -> None:
    system = SimpleCNNClassifier(input_shape=(1, 8, 8), num_classes=10, widths=[8])
    system.hparams["input_shape"] = (64,)
    trainer = fit(system, digits, callbacks=[ViewAveraging("flip")], max_epochs=0)
    with pytest.raises(ValueError, match="but this SimpleCNNClassifier classifies no images"):
        trainer.test(system, datamodule=digits, verbose=False)


@pytest.mark.parametrize("name", ["test", "predict"])
def test_the_command_line_offers_all_views(name: str) -> None:
    (command,) = [command for command in COMMANDS if command.name == name]
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    for views in get_args(Views):
        assert parser.parse_args(["--tta", views]).tta == views
    with pytest.raises(SystemExit):
        parser.parse_args(["--tta", "none"])
