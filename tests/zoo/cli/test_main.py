"""The `zoo` command as users type it: look-ups are fast, and errors are one line."""

import json
import os
import re
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml

from datamodules.core.base import DataModule
from zoo.cli.compare import check_classes
from zoo.cli.main import main
from zoo.cli.names import ROOT, find_checkpoint, recipe_paths
from zoo.errors import UsageError, ZooError

STOPPING = "{class_path: lightning.pytorch.callbacks.EarlyStopping, init_args: {monitor: val/loss, patience: 3}}"
SHORT = ["--trainer.max_epochs", "1", "--trainer.limit_train_batches", "3"]


def zoo(*arguments: str, timeout: float = 120, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "zoo", *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=timeout, env={**os.environ, **environment}, check=False
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ["list"],
        ["list", "resnet*"],
        ["--help"],
        ["info", "mlp"],
        ["info", "resnet50"],
        ["show", "mlp_digits"],
        ["fit", "--help"],
        ["predict", "--help"],
    ],
    ids=" ".join,
)
def test_looking_is_quick_and_needs_no_torch(arguments: list[str]) -> None:
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        done = zoo(*arguments)
        seconds.append(time.perf_counter() - start)
        assert done.returncode == 0
        assert done.stdout
    assert min(seconds) < 0.25
    program = f"import sys; from zoo.cli.main import main\ntry: main({arguments})\nexcept SystemExit: pass\n"
    program += "sys.exit(any(name in sys.modules for name in ('torch', 'lightning', 'yaml', 'wandb', 'numpy')))"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, check=False).returncode == 0


def test_a_typo_in_a_setting_is_answered_before_the_libraries_are_loaded() -> None:
    """Measured in processor time, so that other processes on the machine do not matter."""
    before = os.times()
    done = zoo("fit", "-c", "mlp_digits", "--model.optim.nam", "sgd")
    after = os.times()
    assert done.returncode == 2
    assert done.stderr == "zoo: no setting model.optim.nam: did you mean 'name'?\n"
    assert after.children_user + after.children_system - before.children_user - before.children_system < 1.5


def test_a_run_says_what_it_does_before_the_libraries_are_loaded() -> None:
    """The program ends at the first line, with 1 if that is another one, or if torch or Lightning are loaded."""
    program = "import builtins, os, sys\nfrom zoo.cli.main import main\n"
    program += "loaded = lambda: 'torch' in sys.modules or 'lightning' in sys.modules\n"
    program += "builtins.print = lambda line, **_: os._exit(line != 'training mlp_digits + trainer/bf16 ...' or loaded())\n"
    program += "main(['fit', '-c', 'mlp_digits', '-c', 'trainer/bf16'])"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, check=False).returncode == 0


def test_an_error_is_the_only_line_on_stderr() -> None:
    """Lightning would say before that it set the seed. scikit-learn, which a run of this kind does not need, is not loaded."""
    program = "import sys\nfrom zoo.cli.main import main\n"
    program += "main(['fit', '-c', 'mlp_wine', '--data.batch_size', '0'])\nsys.exit(100 * ('sklearn' in sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stderr == "zoo: batch_size must be at least 1, got 0\n"
    assert done.stdout == "training mlp_wine ...\n"
    assert done.returncode == 0


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_cards_are_printed_where_the_locale_has_no_such_characters(encoding: str) -> None:
    for arguments in (["list"], ["info", "vae"], ["fit", "--help"]):
        shown = subprocess.run(
            [sys.executable, "-m", "zoo", *arguments],
            capture_output=True,
            env={**os.environ, "PYTHONIOENCODING": encoding, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
            check=False,
        )
        assert shown.returncode == 0, shown.stderr
        assert shown.stdout.decode("utf-8")


def test_a_bug_of_ours_keeps_its_traceback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A plain ValueError is a bug, whether it is raised by a look-up or during training."""

    def broken(*arguments: object, **named: object) -> None:
        raise ValueError("zip() argument 2 is longer than argument 1")

    with monkeypatch.context() as patch:
        patch.setattr("zoo.cli.catalog.entries", broken)
        with pytest.raises(ValueError, match=r"^zip\(\) argument 2"):
            main(["list"])
    monkeypatch.setattr("zoo.mlp.mlp.MLPClassifier.training_step", broken)
    with pytest.raises(ValueError, match=r"^zip\(\) argument 2") as raised:
        main(["fit", "-c", "mlp_digits", "--model.optim.warmup_steps", "0", *SHORT, "--run_dir", str(tmp_path / "run")])
    assert not isinstance(raised.value, ZooError)
    assert not (tmp_path / "run").exists()


def test_a_bug_of_ours_is_printed_with_its_traceback() -> None:
    program = "import zoo.cli.catalog, sys\nfrom zoo.cli.main import main\n"
    program += "def entries(): raise ValueError('Overflow when unpacking long long')\n"
    program += "zoo.cli.catalog.entries = entries\nsys.exit(main(['list']))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "Traceback (most recent call last)" in done.stderr
    assert not done.stderr.startswith("zoo: ")


@pytest.mark.parametrize("where", ["before", "after"])
def test_a_users_mistake_shows_its_traceback_on_demand(where: str, capsys: pytest.CaptureFixture[str]) -> None:
    typo = ["fit", "-c", "mlp_digits", "--model.lrr", "1"]
    assert main(["--traceback", *typo] if where == "before" else [*typo, "--traceback"]) == 2
    err = capsys.readouterr().err
    assert err.startswith("Traceback (most recent call last)")
    assert err.endswith("UsageError: no setting model.lrr: did you mean 'lr'?\n")


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["lst"], "no command 'lst': did you mean 'list'?"),
        (["list", "mpl*"], "no model matches 'mpl*': did you mean 'mlp'?"),
        (["info", "perceptrn"], "no model 'perceptrn': did you mean 'perceptron'?"),
        (["show", "mlp_digit"], "no recipe 'mlp_digit': did you mean 'mlp_digits'?"),
        (["fit", "-c", "mlp_digit"], "no recipe or file 'mlp_digit': did you mean 'mlp_digits'?"),
        (["fit", "-c", "mlp_digits", "-c", "trainer/bf17"], "did you mean 'trainer/bf16'?"),
        (["fit"], "fit needs -c RECIPE: one of"),
        (["validate"], "validate needs -c RECIPE: one of"),
        (["test", "-c", "mlp_digits"], "test needs --ckpt_path: the model of"),
        (["predict", "-c", "mlp_digits"], "has no weights of its own"),
        (
            ["test", "--ckpt_path", "simple_cnn_fashion"],
            "no checkpoint simple_cnn_fashion: did you mean 'simple_cnn_fashion_mnist'?",
        ),
        (["predict", "--ckpt_path", "nothing.ckpt"], "no checkpoint nothing.ckpt: "),
        (["fit", "-c", "trainer/bf16"], "no model and no data are set: name a recipe first, such as -c mlp_digits"),
        (
            ["fit", "-c", "mlp_digits", "--model", "MLPClasifier"],
            "zoo has no class 'MLPClasifier': did you mean 'MLPClassifier'?",
        ),
        (
            ["fit", "-c", "mlp_digits", "--trainer.callbacks+=EarlyStopping", "--trainer.callbacks.moniter=val/loss"],
            "no setting trainer.callbacks.moniter: did you mean 'monitor'?",
        ),
        (
            ["fit", "-c", "mlp_digits", "--trainer.callbacks+", STOPPING.replace("monitor", "moniter")],
            "no setting trainer.callbacks.moniter: did you mean 'monitor'?",
        ),
        (
            ["fit", "-c", "mlp_digits", "--trainer.callbacks+", STOPPING.replace("3", "few")],
            "trainer.callbacks.patience is 'few': expected int",
        ),
        (
            ["fit", "-c", "mlp_digits", "--trainer.callbacks+=EarlyStopping", "--trainer.callbacks.patience=few"],
            "trainer.callbacks.patience is 'few': expected int",
        ),
        (
            ["fit", "-c", "mlp_digits", "--trainer.callbacks+", STOPPING.replace("EarlyStopping", "EarlyStoping")],
            "lightning.pytorch.callbacks has no class 'EarlyStoping': did you mean 'EarlyStopping'?",
        ),
        (["fit", "-c", "mlp_digits", "--model.lrr", "1"], "no setting model.lrr: did you mean 'lr'?"),
        (["fit", "-c", "mlp_digits", "--model.optim.nam", "sgd"], "no setting model.optim.nam: did you mean 'name'?"),
        (["fit", "-c", "mlp_digits", "--data.batchsize", "1"], "no setting data.batchsize: did you mean 'batch_size'?"),
        (["fit", "-c", "mlp_digits", "--trainer.max_epoch", "1"], "no setting trainer.max_epoch: did you mean 'max_epochs'?"),
        (["fit", "-c", "mlp_digits", "--data.batch_size", "few"], "data.batch_size is 'few': expected int"),
        (
            ["fit", "-c", "vae_digits", "--data.binarize", "maybe"],
            "data.binarize is 'maybe': expected one of Literal['threshold', 'stochastic'], null",
        ),
        (["fit", "-c", "mlp_digits", "--resum", "x"], "no setting resum: did you mean 'resume'?"),
        (["fit", "-c", "mlp_digits", "--wandb.projct", "x"], "no setting wandb.projct: did you mean 'project'?"),
        (["fit", "-c", "mlp_digits", "--model.lr", "fast"], "model.lr is 'fast': expected float"),
        (
            ["fit", "-c", "mlp_digits", "--model.class_path", "zoo.MLPClasifier"],
            "zoo has no class 'MLPClasifier': did you mean",
        ),
        (["fit", "-c", "mlp_digits", "--model.class_path", "subprocess.Popen"], "is not of the zoo"),
        (["fit", "-c", "mlp_digits", "--resume", "x", "--run_dir", "y"], "leave --run_dir out"),
        (["export", "a.ckpt", "--format", "onyx"], "invalid choice: 'onyx'"),
        (["reproduce"], "needs the name of a recipe, --missing or --behaviour"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_command_that_makes_no_sense_gets_one_line(
    arguments: list[str], hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    lines = [line for line in err.splitlines() if not line.startswith("INFO")]
    assert len(lines) == 1
    assert lines[0].startswith("zoo: ")
    assert hint in lines[0]
    assert re.fullmatch(
        r"((training|testing|predicting with) \S+ \.\.\.\n)?", out
    )  # said before the libraries that find the error are loaded


def test_a_class_without_its_package_gets_a_suggestion() -> None:
    """Run in a process of its own, because jsonargparse accepts the bare name of a class that is imported already."""
    program = "from zoo.cli.main import main\nfor setting in ('--model', '--model.class_path'):\n"
    program += "    assert main(['fit', '-c', 'mlp_digits', setting, 'VAE']) == 2"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0
    assert done.stderr == 2 * "zoo: model is 'VAE': did you mean 'zoo.VAE'?\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model.num_classes", "7"], "model.num_classes is 7, but Digits has 10"),
        (["--model.input_shape", "[1, 9, 9]"], "model.input_shape is [1, 9, 9], but Digits has [1, 8, 8]"),
        (["--model.class_path", "zoo.MLPRegressor"], "num_targets is not known"),
        (["--model.class_path", "zoo.MLPBinaryClassifier"], "a binary classifier needs 2 classes, the data has 10"),
        (["--data.batch_size", "0"], "batch_size must be at least 1"),
        (["--model.dropout", "1.5"], "dropout must lie in [0, 1)"),
        (["--data.val_fraction", "0"], "fraction must lie between 0 and 1"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_run_that_cannot_work_says_why(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if arguments[0] == "--model.class_path":
        (tmp_path / "recipe.yaml").write_text(
            f"model: {{class_path: {arguments[1]}}}\ndata: {{class_path: datamodules.Digits}}\n"
        )
        recipe, arguments = str(tmp_path / "recipe.yaml"), []
    else:
        recipe = "mlp_digits"
    assert main(["fit", "-c", recipe, *arguments, *SHORT, "--run_dir", str(tmp_path / "run")]) == 1
    assert message in capsys.readouterr().err.splitlines()[-1]


def test_data_that_is_nowhere_is_named_with_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ZOO_DATA", str(tmp_path))
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    # The hub's client reads its environment once, when it is imported.
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hf"))
    assert main(["fit", "-c", "mlp_mnist", "--run_dir", str(tmp_path / "run")]) == 1
    err = capsys.readouterr().err
    message = err.splitlines()[-1]
    assert message.startswith("zoo: ylecun/mnist/")
    assert "ZOO_DATA" in message
    assert not (tmp_path / "run").exists()
    assert "Traceback" not in err


def test_a_directory_that_cannot_be_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    assert main(["fit", "-c", "mlp_digits", "--run_dir", str(tmp_path / "file" / "run")]) == 1
    assert "choose another with --run_dir" in capsys.readouterr().err


@pytest.mark.skipif(torch.cuda.is_available(), reason="is about machines without a GPU")
def test_a_gpu_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fit", "-c", "mlp_digits", "-c", "trainer/fp16", "--run_dir", str(tmp_path)]) == 1
    assert "do not fit this machine" in capsys.readouterr().err.splitlines()[-1]


def test_a_directory_that_holds_a_run_is_left_alone(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fit", "-c", "mlp_digits", "--run_dir", str(run)]) == 2
    assert f"continue it with --resume {run}" in capsys.readouterr().err


def test_a_full_disk_leaves_nothing_half_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Files are limited to 300 kB, so a checkpoint of 1 MB cannot be saved."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, hard))
    try:
        fit = ["fit", "-c", "mlp_digits", *SHORT, "--model.optim.warmup_steps", "0", "--run_dir", str(tmp_path)]
        assert main(fit) == 1
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    err = capsys.readouterr().err
    assert "cannot write checkpoint" in err.splitlines()[-1]
    assert "Traceback" not in err
    assert not list((tmp_path / "checkpoints").iterdir())


def test_a_checkpoint_of_another_architecture(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    best = str(run / "checkpoints" / "best.ckpt")
    assert main(["test", "-c", "perceptron_digits", "--ckpt_path", best, "--run_dir", str(tmp_path)]) == 1
    assert "holds a zoo.MLPClassifier, but the configuration asks for a zoo.Perceptron" in capsys.readouterr().err
    wide = ["--model.hidden_dims", "[7]", "--run_dir", str(tmp_path)]
    assert main(["test", "-c", "mlp_digits", "--model.optim.warmup_steps", "0", *wide, "--ckpt_path", best]) == 1
    assert "hidden_dims is [7], was [256, 256]" in capsys.readouterr().err


def test_resuming_with_another_model_is_refused(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Lightning would silently use the value in the checkpoint (lightning #21455)."""
    assert main(["fit", "--resume", str(run), "--model.lr", "0.5"]) == 1
    assert "lr is 0.5, was 0.003" in capsys.readouterr().err


def test_a_truncated_checkpoint(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cut = tmp_path / "cut.ckpt"
    cut.write_bytes((run / "checkpoints" / "best.ckpt").read_bytes()[:5000])
    assert main(["export", str(cut), "--format", "pt2"]) == 1
    assert f"cannot read checkpoint {cut}: it is cut short" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["cut.ckpt"]


def test_the_closing_table_names_what_exists(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["fit", "-c", "mlp_digits", "--model.optim.warmup_steps", "0", *SHORT]) == 0
    table = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines() if line.startswith("  "))
    (folder,) = (tmp_path / "runs" / "mlp_digits").iterdir()
    for name, path in {"configuration": "config.yaml", "checkpoints": "checkpoints", "metrics": "logs/fit/metrics.csv"}.items():
        assert table[name] == f"runs/mlp_digits/{folder.name}/{path}"
        assert (tmp_path / table[name]).exists()
    assert 0 <= float(table["test/acc"]) <= 1
    assert float(table["test/acc"]) == pytest.approx(
        json.loads((folder / "run.json").read_text())["results"]["test/acc"], abs=1e-4
    )


def test_validate_test_and_predict_use_the_runs_own_configuration(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    checkpoint = ["-c", str(run / "config.yaml"), "--ckpt_path", str(run / "checkpoints" / "best.ckpt")]
    recorded = json.loads((run / "run.json").read_text())["results"]
    assert main(["validate", *checkpoint]) == 0
    assert f"{recorded['val/acc']:.4f}" in capsys.readouterr().out
    assert main(["test", *checkpoint]) == 0
    assert f"{recorded['test/acc']:.4f}" in capsys.readouterr().out
    assert main(["predict", *checkpoint]) == 0
    tested = [line.split(",") for line in (run / "predictions" / "test.csv").read_text().splitlines()]
    predicted = [line.split(",") for line in (run / "predictions" / "predict.csv").read_text().splitlines()]
    assert predicted[0] == ["position", "prediction", "confidence", *(f"p_{digit}" for digit in range(10))]
    assert [row[1] for row in predicted[1:]] == [row[2] for row in tested[1:]]
    assert len(predicted) == 360


def scores(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    """Run a command that scores a checkpoint; return the printed scores by name."""
    capsys.readouterr()
    assert main(arguments) == 0
    return dict(line.split() for line in capsys.readouterr().out.splitlines() if line.startswith(("test/", "val/")))


@pytest.mark.parametrize("command", ["validate", "test"])
def test_a_checkpoint_in_its_run_needs_no_recipe(
    command: str, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The configuration of the run is used, including its overrides, and can be overridden again."""
    checkpoint = ["--ckpt_path", str(run / "checkpoints" / "best.ckpt"), "--run_dir", str(tmp_path)]
    alone = scores([command, *checkpoint], capsys)
    assert alone == scores([command, "-c", str(run / "config.yaml"), *checkpoint], capsys)
    assert list(alone) == (["val/loss", "val/acc"] if command == "validate" else ["test/loss", "test/acc", "test/ece"])
    fewer = [f"--trainer.limit_{'val' if command == 'validate' else 'test'}_batches", "1"]
    assert alone != scores([command, *checkpoint, *fewer], capsys)
    assert main([command, "-c", "mlp_digits", *checkpoint]) == 1  # which warms up, as the run did not
    assert "the model differs" in capsys.readouterr().err


def test_a_checkpoint_outside_of_a_run_needs_a_recipe(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    alone = tmp_path / "checkpoints" / "best.ckpt"
    alone.parent.mkdir()
    alone.write_bytes((run / "checkpoints" / "best.ckpt").read_bytes())
    assert main(["test", "--ckpt_path", str(alone)]) == 2
    assert "test needs -c RECIPE: one of" in capsys.readouterr().err
    assert scores(["test", "-c", str(run / "config.yaml"), "--ckpt_path", str(alone), "--run_dir", str(tmp_path)], capsys)


def test_an_exported_file_scores_as_the_checkpoint(
    run: Path, small_zoo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is given by its path, or by its name if it is published."""
    monkeypatch.chdir(tmp_path)
    recipe = ["-c", "mlp_digits", "--model.optim.warmup_steps", "0", "--trainer.max_epochs", "2"]
    of_run = scores(["test", *recipe, "--ckpt_path", str(run / "checkpoints" / "best.ckpt"), "--run_dir", "a"], capsys)
    published = small_zoo / "zoo" / "pretrained" / "weights" / "tiny_digits.safetensors"
    assert scores(["test", *recipe, "--ckpt_path", str(published), "--run_dir", "b"], capsys) == of_run
    assert scores(["test", *recipe, "--ckpt_path", "tiny_digits"], capsys) == of_run
    assert float(of_run["test/acc"]) == pytest.approx(
        json.loads((run / "run.json").read_text())["results"]["test/acc"], abs=1e-4
    )
    (folder,) = (tmp_path / "runs" / "mlp_digits").iterdir()  # what is installed is no place to write to
    assert (folder / "predictions" / "test.csv").exists()
    assert not (small_zoo / "predictions").exists()


def test_a_file_of_ones_own_hides_published_weights_of_its_name(
    small_zoo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    name = Path("tiny_digits")
    assert find_checkpoint(name) == small_zoo / "zoo" / "pretrained" / "weights" / "tiny_digits.safetensors"
    with pytest.raises(UsageError, match=r"^no checkpoint tiny: did you mean 'tiny_digits'\?"):
        find_checkpoint(Path("tiny"))
    name.touch()
    assert find_checkpoint(name) == name


def test_a_checkpoint_that_does_not_exist_is_named_with_those_that_do(run: Path) -> None:
    best, last = run / "checkpoints" / "best.ckpt", run / "checkpoints" / "last.ckpt"
    assert find_checkpoint(best) == best
    with pytest.raises(UsageError, match=rf"^no checkpoint {run}/checkpoints/bst.ckpt: did you mean '{best}'\?"):
        find_checkpoint(run / "checkpoints" / "bst.ckpt")
    with pytest.raises(UsageError, match=rf"^{run} is a folder, not a checkpoint: did you mean '({best}|{last})'\?"):
        find_checkpoint(run)


def test_an_exported_file_is_nothing_to_go_on_from(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    assert main(["export", str(copy / "checkpoints" / "best.ckpt"), "--format", "safetensors"]) == 0
    exported = copy / "checkpoints" / "best.safetensors"
    assert main(["fit", "--resume", str(exported), "--trainer.max_epochs", "3"]) == 2
    assert f"{exported} holds a model, but no optimizer state to continue from: use --resume {copy}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("renamed", "message"),
    [
        ({"blue": "cyan"}, "knows 2 classes, ImageFolder has 2: class 0 is cyan, was blue"),
        ({"red": "apple"}, "knows 2 classes, ImageFolder has 2: class 0 is apple, was blue"),  # the blue ones come second
        ({"red": "yellow"}, "knows 2 classes, ImageFolder has 2: class 1 is yellow, was red"),
    ],
    ids=["first", "order", "second"],
)
@pytest.mark.parametrize("exports", [False, True], ids=["checkpoint", "exported"])
def test_pictures_of_other_classes_are_refused(
    renamed: dict[str, str],
    message: str,
    exports: bool,
    painted: Path,
    colours: Path,
    pictures: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    root, checkpoint = tmp_path / "pictures", painted / "checkpoints" / "best.ckpt"
    for name in ("blue", "red"):
        shutil.copytree(pictures / name, root / renamed.get(name, name))
    if exports:
        assert main(["export", str(checkpoint), "--format", "safetensors", "-o", str(tmp_path / "a.safetensors")]) == 0
        checkpoint = tmp_path / "a.safetensors"
    capsys.readouterr()
    arguments = ["test", "-c", str(colours), "--ckpt_path", str(checkpoint), "--run_dir", str(tmp_path / "run")]
    assert main([*arguments, "--data.root", str(root)]) == 1
    err = capsys.readouterr().err
    (line,) = [line for line in err.splitlines() if line.startswith("zoo: ")]
    assert line == f"zoo: {checkpoint} {message}. Use the data it was trained on, or train anew"
    assert not (tmp_path / "run").exists()
    assert main(arguments) == 0  # of the right ones


@pytest.mark.parametrize(
    ("known", "found", "message"),
    [
        (["ant", "bee"], ("bee", "ant"), "knows 2 classes, Blobs has 2: class 0 is bee, was ant"),
        (["ant"], ("ant", "bee"), "knows 1 classes, Blobs has 2: class 1 is bee, was missing"),
        (["ant", "bee"], ("ant",), "knows 2 classes, Blobs has 1: class 1 is missing, was bee"),
        (["ant", "bee"], ("ant", "bee"), None),
        ([], ("ant", "bee"), None),  # an older checkpoint says nothing
        (["ant", "bee"], (), None),  # and a regression has no classes
    ],
    ids=["order", "more", "fewer", "same", "unknown", "none"],
)
def test_the_first_class_that_differs_is_named(
    known: list[str], found: tuple[str, ...], message: str | None, blobs: Callable[..., DataModule]
) -> None:
    data = blobs()
    data.class_names = found
    if message is None:
        check_classes(data, {"data": {"class_names": known}}, "a.ckpt")
        check_classes(data, {}, "a.ckpt")
    else:
        with pytest.raises(ValueError, match=f"^a.ckpt {message}. Use the data it was trained on"):
            check_classes(data, {"data": {"class_names": known}}, "a.ckpt")


def test_copy_then_fit_from_the_copy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mine = tmp_path / "mine.yaml"
    assert main(["copy", "mlp_wine", str(mine)]) == 0
    assert yaml.safe_load(mine.read_text()) == yaml.safe_load(recipe_paths()["mlp_wine"].read_text())
    assert main(["copy", "mlp_wine", str(mine)]) == 2  # does not overwrite
    assert "exists" in capsys.readouterr().err
    assert main(["fit", "-c", str(mine), *SHORT, "--run_dir", str(tmp_path / "run")]) == 0
    assert json.loads((tmp_path / "run" / "run.json").read_text())["recipe"] == "mine"


def test_the_generated_files_are_up_to_date(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["generate", "--check"]) == 0, capsys.readouterr().err


def test_the_precision_is_chosen_and_written_down_where_a_recipe_has_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = yaml.safe_load((ROOT / "mlp" / "mlp_wine.yaml").read_text())
    del recipe["trainer"]["precision"]
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(recipe))
    assert main(["fit", "-c", str(tmp_path / "mine.yaml"), *SHORT, "--run_dir", str(tmp_path / "run")]) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("precision")]
    chosen = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())["trainer"]["precision"]
    assert line.startswith(f"precision {chosen}: ")


def test_a_checkpoint_meets_other_data(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Other classes are refused; columns are standardised with the statistics of the training data."""

    def table(name: str, labels: tuple[str, str], scale: float = 1.0) -> str:
        rows = [f"{scale * (i % 10)},{i % 3},{labels[i % 10 > 4]}" for i in range(100)]
        (tmp_path / name).write_text("\n".join(["size,other,label", *rows]) + "\n")
        return str(tmp_path / name)

    run = tmp_path / "run"
    data = ["--data.source", table("train.csv", ("cat", "dog")), "--data.target", "label"]
    assert main(["fit", "-c", "mlp_breast_cancer", *data, "--trainer.max_epochs", "20", "--run_dir", str(run)]) == 0
    of_run = ["-c", str(run / "config.yaml"), "--ckpt_path", str(run / "checkpoints" / "best.ckpt")]
    capsys.readouterr()
    assert main(["test", *of_run, "--data.source", table("other.csv", ("apple", "zebra"))]) == 1
    assert "best.ckpt knows 2 classes, Tabular has 2: class 0 is apple, was cat" in capsys.readouterr().err
    assert main(["test", *of_run, "--data.source", table("big.csv", ("cat", "dog"), scale=1000.0)]) == 0
    scores = dict(line.split() for line in capsys.readouterr().out.splitlines() if line.startswith("test/"))
    assert float(scores["test/acc"]) < 0.7  # every size but 0 lies far above what was a cat


def test_a_logger_of_ones_own_stands_beside_the_csv_file(tmp_path: Path) -> None:
    own = (
        f"{{class_path: lightning.pytorch.loggers.CSVLogger, init_args: {{save_dir: '{tmp_path}', name: mine, version: one}}}}"
    )
    assert main(["fit", "-c", "mlp_wine", *SHORT, "--trainer.logger", own, "--run_dir", str(tmp_path / "run")]) == 0
    for metrics in ("mine/one/metrics.csv", "run/logs/fit/metrics.csv"):
        assert "val/acc" in (tmp_path / metrics).read_text()
