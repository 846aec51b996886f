"""Paths and files stored by earlier versions still load."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch

import zoo
from zoo import pretrained, reports, strategies
from zoo.cli.main import main
from zoo.public import current_name, public_name
from zoo.training.checkpoint import load_system, read_checkpoint

FIXTURES = Path(__file__).parents[1] / "fixtures"  # written by commit 927bc60, which stored private paths


@pytest.mark.parametrize(
    ("stored", "public"),
    {
        "zoo.rnn.rnn.RNNClassifier": "zoo.RNNClassifier",
        "zoo.autoencoders.vanilla.Autoencoder": "zoo.Autoencoder",
        "zoo.gans.minibatch_discrimination.MinibatchGAN": "zoo.MinibatchGAN",
        "zoo.callbacks.sample_scores.PointModes": "zoo.reports.PointModes",
        "zoo.training.parallel.FSDP2": "zoo.strategies.FSDP2",
        "zoo.callbacks.vectors.PretrainedVectors": "zoo.pretrained.PretrainedVectors",
        "zoo.RNNClassifier": "zoo.RNNClassifier",
        "datamodules.Digits": "datamodules.Digits",
        "mine.RNNClassifier": "mine.RNNClassifier",
        "RNNClassifier": "RNNClassifier",
    }.items(),
)
def test_stored_paths_are_translated_to_public_names(stored: str, public: str) -> None:
    assert current_name(stored) == public


def test_class_names_identify_a_class() -> None:
    assert max(Counter([*zoo.HOMES, *reports.HOMES, *strategies.HOMES, *pretrained.HOMES]).values()) == 1


@pytest.mark.parametrize("package", [zoo, reports, strategies, pretrained])
def test_a_class_is_stored_under_the_name_that_imports_it(package: Any) -> None:
    for name in package.HOMES:
        assert public_name(getattr(package, name)) == f"{package.__name__}.{name}"


def test_a_class_outside_the_zoo_keeps_its_path() -> None:
    assert public_name(torch.nn.Linear) == "torch.nn.modules.linear.Linear"


@pytest.mark.parametrize(
    ("file", "kind"),
    [("mlp_wine.ckpt", "MLPClassifier"), ("perceptron_digits.safetensors", "Perceptron"), ("wgan_gp_ring.ckpt", "WGANGP")],
)
def test_files_of_the_older_layout_load(file: str, kind: str) -> None:
    assert read_checkpoint(FIXTURES / file)["class_path"] == f"zoo.{kind}"
    system = load_system(FIXTURES / file)
    assert type(system) is getattr(zoo, kind)
    assert torch.isfinite(system(*system.example_inputs(2))).all()


@pytest.mark.parametrize(
    ("arguments", "accuracy"),
    [
        (["-c", "mlp_wine", "--model.hidden_dims", "[8]", "--ckpt_path", str(FIXTURES / "mlp_wine.ckpt")], "0.8611"),
        (["-c", "perceptron_digits", "--ckpt_path", str(FIXTURES / "perceptron_digits.safetensors")], "0.9276"),
    ],
)
def test_files_of_the_older_layout_have_the_same_scores(
    arguments: list[str], accuracy: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["test", *arguments, "--run_dir", str(tmp_path)]) == 0
    assert f"test/acc     {accuracy}" in capsys.readouterr().out
