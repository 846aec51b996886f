"""Configurations are read in one place, and the names of settings are checked before slow imports."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from zoo.cli.names import overlay_paths, recipe_paths
from zoo.cli.settings import as_yaml, check_names, class_paths, named_values, read_settings, with_current_names
from zoo.errors import UsageError

DIGITS = recipe_paths()["mlp_digits"]


def file(folder: Path, text: str) -> Path:
    path = folder / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def check(*overrides: str, recipe: Path = DIGITS) -> None:
    check_names([(recipe, read_settings(recipe))], list(overrides))


@pytest.mark.parametrize("name", [*recipe_paths(), *overlay_paths()])
def test_every_recipe_and_overlay_passes(name: str, tmp_path: Path) -> None:
    path = {**recipe_paths(), **overlay_paths()}[name]
    settings = read_settings(path)
    check_names([(path, settings)], [])
    assert read_settings(file(tmp_path, as_yaml(settings))) == settings


@pytest.mark.parametrize(
    ("text", "settings"),
    [
        ("a: 3e-4", {"a": 3e-4}),  # PyYAML alone takes it for text
        ("a: '3e-4'", {"a": "3e-4"}),
        ("a: 2020-01-31", {"a": "2020-01-31"}),
        ("a: ümläut", {"a": "ümläut"}),
        ("a: [1, 2.5, true, null]", {"a": [1, 2.5, True, None]}),
        ("class_path: zoo.gans.wgan_gp.WGANGP", {"class_path": "zoo.WGANGP"}),
        ("x: [{class_path: zoo.callbacks.frechet.FrechetDistance}]", {"x": [{"class_path": "zoo.reports.FrechetDistance"}]}),
        ("x: {class_path: zoo.training.parallel.FSDP2}", {"x": {"class_path": "zoo.strategies.FSDP2"}}),
        ("x: {class_path: datamodules.digits.Digits}", {"x": {"class_path": "datamodules.Digits"}}),
        ("x: {class_path: mine.Digits}", {"x": {"class_path": "mine.Digits"}}),
    ],
)
def test_reads_numbers_texts_and_old_names(text: str, settings: dict[str, Any], tmp_path: Path) -> None:
    assert read_settings(file(tmp_path, text)) == settings
    assert read_settings(file(tmp_path, as_yaml(settings))) == settings


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model:\n  lr: 1\n  lr: 2", r"mine.yaml: 'lr' is set twice, in lines 2 and 3: remove one of them"),
        ("a: 1\nb: 2\na: 3", "'a' is set twice, in lines 1 and 3"),
        ("[1, 2]", "is not a configuration: expected settings by name .* got list"),
        ("a: [", "is not valid YAML"),
        ("", "got NoneType"),
    ],
)
def test_refuses_what_sets_nothing_or_twice(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=message):
        read_settings(file(tmp_path, text))


def test_refuses_another_encoding(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_bytes("a: café".encode("latin-1"))
    with pytest.raises(UsageError, match="is not valid YAML"):
        read_settings(tmp_path / "mine.yaml")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["--model.lrr", "1"], "no setting model.lrr: did you mean 'lr'?"),
        (["--model.lrr=1"], "no setting model.lrr: did you mean 'lr'?"),
        (["--model.init_args.lrr", "1"], "no setting model.lrr: did you mean 'lr'?"),
        (["--model.optim.nam", "sgd"], "no setting model.optim.nam: did you mean 'name'?"),
        (["--model.optim", "{nam: sgd}"], "no setting model.optim.nam: did you mean 'name'?"),
        (
            ["--data", "datamodules.SST2", "--data.tokenizer.vocabsize", "9"],
            "no setting data.tokenizer.vocabsize: did you mean 'vocab_size'?",
        ),
        (
            ["--data", "datamodules.SST2", "--data.tokenizer", "{kin: bpe}"],
            "no setting data.tokenizer.kin: did you mean 'kind'?",
        ),
        (["--data.batchsize", "1"], "no setting data.batchsize: did you mean 'batch_size'?"),
        (["--trainer.max_epoch", "1"], "no setting trainer.max_epoch: did you mean 'max_epochs'?"),
        (["--trainer.callback+", "x"], "no setting trainer.callback: did you mean 'callbacks'?"),
        (["--wandb.projct", "x"], "no setting wandb.projct: did you mean 'project'?"),
        (["--resum", "x"], "no setting resum: did you mean 'resume'?"),
        (["--model", "zoo.MLPClasifier"], "zoo has no class 'MLPClasifier': did you mean 'MLPClassifier'?"),
        (["--data", "{class_path: datamodules.Digit}"], "datamodules has no class 'Digit': did you mean 'Digits'?"),
        (["--model.class_path", "zoo.CharLM", "--model.norm", "batch"], "no setting model.norm"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_typo_is_named_with_the_nearest_right_name(overrides: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=f"^{message.replace('?', '[?]').replace('.', '[.]')}"):
        check(*overrides)


@pytest.mark.parametrize(
    "overrides",
    [
        ["--model.lr", "1", "--model.init_args.lr=2", "--data.batch_size", "-1", "--seed_everything=3"],
        ["--trainer.callbacks+", "{class_path: lightning.pytorch.callbacks.EarlyStopping}", "--trainer.callbacks+.x", "1"],
        ["--model.class_path", "mine.Net", "--model.anything", "1"],  # the user's own class is imported before it is judged
        ["--model.help", "--print_config=skip_null", "--config", "x", "--trainer.strategy.init_args.x", "1"],
        ["--model.class_path", "Perceptron", "--model.lr", "1"],
        ["--wandb", "{project: x}", "--checkpoint_every_n_steps", "4"],
    ],
    ids=" ".join,
)
def test_what_the_full_parser_may_accept_passes(overrides: list[str]) -> None:
    check(*overrides)


def test_a_typo_in_a_file_names_the_file(tmp_path: Path) -> None:
    path = file(tmp_path, "model: {class_path: zoo.VAE, init_args: {latent_dims: 2}}")
    with pytest.raises(UsageError, match=rf"^{path}: no setting model.latent_dims: did you mean 'latent_dim'"):
        check(recipe=path)


def test_a_later_class_takes_the_place_of_an_earlier_one(tmp_path: Path) -> None:
    path = file(tmp_path, "model: {class_path: zoo.VAE, init_args: {latent_dim: 2}}")
    read = [(path, read_settings(path))]
    check_names(read, ["--model", "zoo.MLPClassifier", "--model.hidden_dims", "[3]"])
    assert class_paths(read, ["--model.class_path=zoo.MLPClassifier"]) == {"model": "zoo.MLPClassifier"}
    assert class_paths(read, ["--data", "datamodules.Digits"]) == {"model": "zoo.VAE", "data": "datamodules.Digits"}


def test_names_and_values_of_a_command_line() -> None:
    words = ["--a.b", "1", "--c=2", "--flag", "--d", "-1"]
    assert list(named_values(words)) == [("a.b", "1"), ("c", "2"), ("flag", None), ("d", "-1")]


def test_old_names_on_the_command_line() -> None:
    old = ["--model.class_path=zoo.rnn.rnn.RNNClassifier", "--x", "{class_path: zoo.training.parallel.FSDP2}", "zoo.txt"]
    new = ["--model.class_path=zoo.RNNClassifier", "--x", '{"class_path": "zoo.strategies.FSDP2"}', "zoo.txt"]
    assert with_current_names(old, []) == new


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (["--model", "zoo.autoencoders.vae.VAE"], ["--model", "zoo.VAE"]),
        (["--data=datamodules.digits.Digits"], ["--data=datamodules.Digits"]),
        (["--trainer.strategy", "zoo.training.parallel.FSDP2"], ["--trainer.strategy", "zoo.strategies.FSDP2"]),
        (["--trainer.callbacks+=zoo.callbacks.f.FrechetDistance"], ["--trainer.callbacks+=zoo.reports.FrechetDistance"]),
    ],
    ids=["model", "data", "strategy", "callbacks"],
)
def test_a_class_is_renamed_where_a_setting_names_one(old: list[str], new: list[str]) -> None:
    assert with_current_names(old, []) == new


def test_old_settings_of_a_tokenizer_on_the_command_line() -> None:
    recipe = recipe_paths()["bilstm_sst2"]
    old = ["--data.vocab_size", "60", "--data.tokenizer=char", "--model.lr", "1", "--data.tokenizer", "bpe"]
    new = ["--data.tokenizer.vocab_size", "60", "--data.tokenizer.kind=char", "--model.lr", "1", "--data.tokenizer.kind", "bpe"]
    assert with_current_names(old, [(recipe, read_settings(recipe))]) == new
    assert with_current_names(old, []) == old
    check(*old, recipe=recipe)


@pytest.mark.parametrize(
    "words",
    [
        ["--wandb.name", "my-zoo.foo.VAE"],
        ["--wandb.name", "zoo.foo.VAE"],
        ["--wandb.tags=[zoo.foo.VAE]"],
        ["--data.root", "/data/zoo.old.VAE"],
        ["--data", "{class_path: datamodules.ImageFolder, init_args: {root: zoo.old.VAE, mean: [3e-4]}}"],
        ["--trainer.callbacks+", "{class_path: mine.Note, init_args: {text: 'class_path: zoo.old.VAE'}}"],
    ],
    ids=" ".join,
)
def test_other_text_that_looks_like_an_old_name_stays(words: list[str]) -> None:
    assert with_current_names(words, []) == words


def test_neither_torch_nor_lightning_is_imported_for_it() -> None:
    program = "import sys; from zoo.cli.main import main; code = main(['fit', '-c', 'mlp_digits', '--model.lrr', '1'])\n"
    program += "sys.exit(code if not {'torch', 'lightning', 'jsonargparse', 'wandb'} & set(sys.modules) else 9)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == "zoo: no setting model.lrr: did you mean 'lr'?\n"
