"""The deprecated arguments of GANs and of text data are translated in what an earlier version wrote."""

from pathlib import Path
from typing import Any

import pytest
import torch

import datamodules
import zoo
from datamodules.text.base import TextData
from zoo.aliases import _TEXTS, current_setting, migrate_game, migrate_settings, migrate_tokenizer
from zoo.training.checkpoint import load_system, read_checkpoint


@pytest.mark.parametrize(
    ("name", "game", "arguments"),
    [
        ("GAN", {"loss": "minimax", "n_critic": 2, "clip": 1.0}, {"loss": "minimax", "n_critic": 2, "clip": 1.0}),
        ("GAN", {"penalty": None, "penalty_weight": 5.0, "redraw": True}, {}),
        ("DCGAN", {"loss": "non_saturating", "redraw": False, "ema": 0.9}, {"redraw": False, "ema": 0.9}),
        ("WGAN", {"loss": "wasserstein", "weight_clip": None}, {"weight_clip": None}),
        ("WGANGP", {"penalty": "gradient", "penalty_weight": 0.1, "n_critic": 1}, {"penalty_weight": 0.1, "n_critic": 1}),
        ("WGANGP", {"penalty": None, "penalty_weight": 3.0}, {"penalty_weight": 0.0}),
        ("WGANGP", {"penalty_weight": 3.0, "penalty": None}, {"penalty_weight": 0.0}),
        ("SNGAN", {"loss": "hinge", "d_lr": 0.002}, {"d_lr": 0.002}),
        ("SNGAN", {"d_lr": None}, {"d_lr": 0.01}),
        ("SNGAN", {}, {}),
        ("ProgressiveGAN", {"loss": "hinge", "penalty": "r1"}, {"loss": "hinge", "penalty": "r1"}),
        ("StyleGAN", {"penalty": "r1", "penalty_every": 4, "accumulate": 2}, {"penalty_every": 4, "accumulate": 2}),
        ("CycleGAN", {"loss": "least_squares"}, {}),
        ("Pix2Pix", None, {}),
    ],
)
def test_entries_become_arguments(name: str, game: dict[str, Any] | None, arguments: dict[str, Any]) -> None:
    assert migrate_game(f"zoo.{name}", {"lr": 0.01, "game": game}) == {"lr": 0.01, **arguments}


@pytest.mark.parametrize(
    ("name", "game", "message"),
    [
        ("GAN", {"penalty": "r1"}, "zoo.GAN no longer has game.penalty 'r1': penalties belong to zoo.WGANGP"),
        ("DCGAN", {"loss": "hinge"}, "zoo.DCGAN no longer has game.loss 'hinge': each technique has its own loss"),
        ("WGANGP", {"penalty_every": 4}, "zoo.WGANGP no longer has game.penalty_every 4"),
        ("SNGAN", {"weight_clip": 0.1}, "zoo.SNGAN no longer has game.weight_clip 0.1: zoo.WGAN clips weights"),
        ("GAN", {"redraw": False}, "zoo.GAN no longer has game.redraw False"),
        ("GAN", {"critic": 5}, "zoo.GAN no longer has game.critic 5: there was no such setting"),
    ],
)
def test_a_setting_that_a_class_no_longer_has_is_named(
    name: str, game: dict[str, Any], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ValueError, match=message):
        migrate_game(f"zoo.{name}", {"game": game})
    assert migrate_game(f"zoo.{name}", {"game": game}, strict=False) == {}
    assert "which it no longer has" in capsys.readouterr().err


def test_a_class_outside_the_zoo_keeps_its_game() -> None:
    assert migrate_game("mine.GAN", {"game": {"loss": "hinge"}}) == {"game": {"loss": "hinge"}}


def test_a_configuration_is_migrated_with_a_note(capsys: pytest.CaptureFixture[str]) -> None:
    model = {"class_path": "zoo.WGANGP", "init_args": {"lr": 0.1, "game": {"loss": "wasserstein", "n_critic": 1}}}
    settings = {"model": model, "trainer": {"max_epochs": 3}}
    migrated = migrate_settings(settings, "mine.yaml")
    assert migrated == {
        "model": {"class_path": "zoo.WGANGP", "init_args": {"lr": 0.1, "n_critic": 1}},
        "trainer": {"max_epochs": 3},
    }
    assert capsys.readouterr().err.count("mine.yaml: deprecated settings model.game; write instead n_critic: 1") == 1
    assert migrate_settings(migrated, "mine.yaml") is migrated
    assert capsys.readouterr().err == ""


def test_a_checkpoint_is_migrated_when_it_is_read(tmp_path: Path) -> None:
    """The arguments are those of the older version, so the system is the same."""
    fixture = Path(__file__).parents[1] / "fixtures" / "wgan_gp_ring.ckpt"
    stored = torch.load(fixture, weights_only=True)
    arguments = read_checkpoint(fixture)["hyper_parameters"]
    assert "game" in stored["hyper_parameters"]
    assert "game" not in arguments
    system = load_system(fixture)
    assert isinstance(system, zoo.WGANGP)
    assert system.n_critic == stored["hyper_parameters"]["game"]["n_critic"]
    assert system.penalty_weight == stored["hyper_parameters"]["game"]["penalty_weight"]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (
            {"tokenizer": "bpe", "vocab_size": 60, "lowercase": False, "min_frequency": 1, "tokenizer_file": "t.json"},
            {"kind": "bpe", "vocab_size": 60, "lowercase": False, "min_frequency": 1, "file": "t.json"},
        ),
        ({"vocab_size": 60}, {"vocab_size": 60}),
        (
            {"tokenizer": {"kind": "char"}, "vocab_size": 60},
            {"kind": "char", "vocab_size": 60},
        ),  # an override of a recipe of today
    ],
)
def test_flat_arguments_of_texts_become_a_group(old: dict[str, Any], new: dict[str, Any]) -> None:
    assert migrate_tokenizer("datamodules.TextFile", {"batch_size": 8, **old}) == {"batch_size": 8, "tokenizer": new}


@pytest.mark.parametrize("tokenizer", [None, {}, {"kind": "char"}])
def test_a_group_of_today_stays(tokenizer: object) -> None:
    arguments = {"tokenizer": tokenizer, "max_length": 9}
    assert migrate_tokenizer("datamodules.TextFile", arguments) is arguments


@pytest.mark.parametrize("class_path", ["datamodules.CharText", "datamodules.TextLines", "mine.TextFile"])
def test_other_data_keeps_its_flat_arguments(class_path: str) -> None:
    assert migrate_tokenizer(class_path, {"vocab_size": 60}) == {"vocab_size": 60}


def test_all_data_sets_of_texts_are_migrated() -> None:
    """`TextLines` is not among them: its vocab_size is the number of tokens that a model knows."""
    names = {name for name in datamodules.HOMES if issubclass(getattr(datamodules, name), TextData)}
    assert names - {"TextLines"} == _TEXTS


def test_texts_in_a_configuration_are_migrated_with_a_note(capsys: pytest.CaptureFixture[str]) -> None:
    data = {"class_path": "datamodules.Names", "init_args": {"tokenizer": "char", "lowercase": False}}
    migrated = migrate_settings({"data": data}, "mine.yaml")
    assert migrated == {"data": {**data, "init_args": {"tokenizer": {"kind": "char", "lowercase": False}}}}
    assert capsys.readouterr().err == (
        "mine.yaml: deprecated settings data.tokenizer, data.lowercase; "
        "write instead tokenizer: {'kind': 'char', 'lowercase': False}\n"
    )


@pytest.mark.parametrize(
    ("name", "value", "current"),
    [
        ("data.vocab_size", 60, "data.tokenizer.vocab_size"),
        ("data.init_args.min_frequency", 1, "data.init_args.tokenizer.min_frequency"),
        ("data.tokenizer", "bpe", "data.tokenizer.kind"),
        ("data.tokenizer_file", None, "data.tokenizer.file"),
        ("data.tokenizer", {"kind": "bpe"}, "data.tokenizer"),
        ("data.tokenizer.vocab_size", 60, "data.tokenizer.vocab_size"),
        ("data.max_length", 60, "data.max_length"),
        ("model.vocab_size", 60, "model.vocab_size"),
    ],
)
def test_a_setting_of_the_command_line_is_renamed(name: str, value: object, current: str) -> None:
    assert current_setting(name, value, "datamodules.SST2") == current
    assert current_setting(name, value, "datamodules.CharText") == name
