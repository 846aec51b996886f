"""Starting and resuming runs: invalid settings are refused in one line, and leave no files behind."""

import contextlib
import json
import os
import shlex
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
import yaml

from zoo.cli.context import _numbered
from zoo.cli.main import main
from zoo.training.checkpoint import read_checkpoint
from zoo.training.run_dir import RunDirectory

SHORT = ["--model.optim.warmup_steps", "0", "--trainer.max_epochs", "1", "--trainer.limit_val_batches", "2"]

BARE = """
import torch
from lightning import LightningModule


class Bare(LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.head = torch.nn.Linear(64, 10)

    def training_step(self, batch, batch_idx):
        return torch.nn.functional.cross_entropy(self.head(batch.x.flatten(1)), batch.y)

    def validation_step(self, batch, batch_idx):
        pass

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)
"""


def last_line(capsys: pytest.CaptureFixture[str]) -> str:
    """Return the only line with an error message."""
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("zoo: ")]
    return line


@pytest.mark.parametrize(
    ("settings", "code", "message"),
    [
        (["--trainer.accelerator", "tpux"], 1, "invalid accelerator name"),
        (["--trainer.limit_train_batches", "0.001"], 1, "Please increase the `limit_train_batches` argument"),
        (["--trainer.val_check_interval", "1000"], 1, "val_check_interval is 1000, but an epoch has 20 batches"),
        (["--seed_everything", "-1"], 2, "seed_everything must lie in 0..4294967295, got -1"),
        (["--trainer.log_every_n_steps", "0"], 1, "log_every_n_steps must be at least 1, got 0: to log nothing, set"),
        (["--trainer.accumulate_grad_batches", "0"], 1, "accumulate_grad_batches must be at least 1, got 0"),
        (["--trainer.check_val_every_n_epoch", "0"], 1, "check_val_every_n_epoch must be at least 1, got 0"),
        (["--data.batch_size", "1"], 1, "a training batch holds a single sample"),
        (["--trainer.precision", "bf16-true"], 1, "bf16-true rounds the weights themselves, so that small updates are lost"),
        (
            [
                "--trainer.callbacks+",
                "{class_path: lightning.pytorch.callbacks.StochasticWeightAveraging, init_args: {swa_lrs: 0.1}}",
            ],
            1,
            "trainer.callbacks has a StochasticWeightAveraging, which does not work here",
        ),
        (
            [
                "--trainer.callbacks+",
                "{class_path: lightning.pytorch.callbacks.ModelPruning, init_args: {pruning_fn: l1_unstructured}}",
            ],
            1,
            "trainer.callbacks has a ModelPruning, which does not work here",
        ),
        (["--trainer.strategy", "tp"], 1, "invalid strategy name"),
        (["--trainer.devices", "[0, 7]"], 1, "do not fit this machine"),
        (["--model.optim", "{betas: [0.9]}"], 1, "optim.betas must be 2 numbers in [0, 1) for 'adamw', got [0.9]"),
        (["--model.optim", "{betas: [0.9, 1.5]}"], 1, "optim.betas must be 2 numbers in [0, 1) for 'adamw', got [0.9, 1.5]"),
        (["--model.optim", "{eps: -1}"], 1, "optim.eps must be 0 or more, got -1.0"),
        (["--model.optim", "{name: fusedsgd}"], 1, "unknown optimizer 'fusedsgd': choose sgd, momentum"),
        (["--model.hidden_dims", "64"], 2, "model.hidden_dims is '64': expected a list such as [64, 64]"),
        (["--data.normalize", "false", "--model.input_shape", "[1, 9, 9]"], 1, "model.input_shape is [1, 9, 9]"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_setting_that_cannot_work_is_refused_and_leaves_nothing(
    settings: list[str], code: int, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    assert main(["fit", "-c", "mlp_digits", *SHORT, *settings, "--run_dir", str(run)]) == code
    assert message in last_line(capsys)
    assert not run.exists()


def test_a_monitor_that_is_not_logged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    early = "{class_path: lightning.pytorch.callbacks.EarlyStopping, init_args: {monitor: val/los}}"
    fit = ["fit", "-c", "mlp_digits", *SHORT, "--trainer.callbacks+", early, "--run_dir", str(tmp_path / "run")]
    assert main(fit) == 1
    assert "EarlyStopping on val/los, which is not logged: expected one of train/lr" in last_line(capsys)


@pytest.mark.parametrize("settings", [["--model.optim", "{name: sgd, momentum: 0}"], ["--seed_everything", "false"]], ids=str)
def test_a_setting_that_means_none_works(settings: list[str], tmp_path: Path) -> None:
    assert main(["fit", "-c", "mlp_digits", *SHORT, *settings, "--run_dir", str(tmp_path / "run")]) == 0


def test_the_corrected_command_can_use_the_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["fit", "-c", "mlp_digits", *SHORT, "--trainer.precision", "bf16-true"]) == 1
    capsys.readouterr()
    assert not list(tmp_path.iterdir())  # no runs/ either
    wrong = ["fit", "-c", "mlp_digits", *SHORT, "--run_dir", "mine"]
    assert main([*wrong, "--data.batch_size", "1"]) == 1
    assert main(wrong) == 0
    capsys.readouterr()
    assert main(wrong) == 2  # now it holds a run
    assert "mine already holds a run: continue it with --resume mine" in last_line(capsys)


def test_runs_that_start_at_once_keep_their_scores_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They start in the same second, after which their directories are named."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("zoo.training.run_dir.time.strftime", lambda *_: "2026-01-02_03-04-05")
    for seed in range(2):
        command = ["fit", "-c", "mlp_digits", *SHORT, "--trainer.limit_train_batches", "2"]
        assert main([*command, "--seed_everything", str(seed)]) == 0
    folders = list((tmp_path / "runs" / "mlp_digits").iterdir())
    assert len(folders) == 2
    seeds = {yaml.safe_load((folder / "config.yaml").read_text())["seed_everything"] for folder in folders}
    assert seeds == {0, 1}


def test_the_environment_stays_as_it_was(run: Path, tmp_path: Path) -> None:
    assert "ZOO_RUN_DIR" not in os.environ  # after the run of the fixture, which set it for processes of its own


@pytest.mark.parametrize(
    ("limit", "value", "done"), [("max_epochs", 1, 2), ("max_epochs", 2, 2), ("max_steps", 1, 40), ("max_steps", 40, 40)]
)
def test_a_run_with_nothing_left_to_train(
    limit: str, value: int, done: int, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The run has two epochs of twenty steps."""
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*") if path.is_file()}
    more = ["--trainer.max_epochs", "9"] if limit == "max_steps" else []
    assert main(["fit", "--resume", str(run), *more, f"--trainer.{limit}", str(value)]) == 1
    unit = limit.removeprefix("max_")
    assert f"last.ckpt has trained {done} {unit}, and trainer.{limit} is {value}: choose more than {done}" in last_line(capsys)
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*") if path.is_file()} == before


def test_a_schedule_of_one_cycle_is_not_extended(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = str(tmp_path / "run")
    assert main(["fit", "-c", "mlp_digits", *SHORT, "--model.optim.schedule", "one_cycle", "--run_dir", run]) == 0
    assert "train on" not in capsys.readouterr().out
    for longer in (["--trainer.max_epochs", "2"], ["--trainer.limit_train_batches", "30"]):
        assert main(["fit", "--resume", run, *longer]) == 1
        assert "trained 1 epochs" in (line := last_line(capsys)) or "the one_cycle schedule was planned for" in line


def hint(capsys: pytest.CaptureFixture[str], name: str) -> list[str]:
    """Return the arguments of the command that the closing lines offer."""
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.strip().startswith(name)]
    command = shlex.split(line.split(name, 1)[1])
    assert command[0] == "zoo"
    return command[1:]


@pytest.mark.parametrize(
    "limits",
    [["1", "-1"], ["-1", "12"], ["3", "12"], ["1", "50"]],
    ids=["epochs", "steps", "both, steps end", "both, epochs end"],
)
def test_the_closing_advice_trains_on(limits: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    fit = ["fit", "-c", "mlp_digits", *SHORT, "--trainer.max_epochs", limits[0], "--trainer.max_steps", limits[1]]
    assert main([*fit, "--run_dir", str(run)]) == 0
    steps = json.loads((run / "run.json").read_text())["steps"]
    for times in (2, 4):
        assert main(hint(capsys, "train on")) == 0
        assert json.loads((run / "run.json").read_text())["steps"] == times * steps
    assert main(hint(capsys, "export")) == 0


EARLY = "{class_path: lightning.pytorch.callbacks.EarlyStopping, init_args: {monitor: val/loss, patience: 1, min_delta: 9}}"


@pytest.mark.parametrize(
    "settings",
    [["--trainer.enable_checkpointing", "false"], ["--trainer.max_epochs", "9", "--trainer.callbacks+", EARLY]],
    ids=["without checkpoints", "stopped early"],
)
def test_no_advice_to_train_on_where_it_would_not(
    settings: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["fit", "-c", "mlp_digits", *SHORT, *settings, "--run_dir", str(tmp_path / "run")]) == 0
    out = capsys.readouterr().out
    assert "train on" not in out
    assert ("export" in out) == (tmp_path / "run" / "checkpoints").exists()


def test_a_run_that_is_being_trained_is_left_alone(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*") if path.is_file()}
    with RunDirectory(run).held():
        assert main(["fit", "--resume", str(run), "--trainer.max_epochs", "3"]) == 1
    assert last_line(capsys) == f"zoo: another process is training in {run}: wait until it ends, or choose another run"
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*") if path.is_file()} == before
    starting = RunDirectory(tmp_path / "new")
    with starting.held():
        assert main(["fit", "-c", "mlp_digits", *SHORT, "--run_dir", str(starting.path)]) == 1
        assert "another process is training in" in last_line(capsys)
        assert starting.path.is_dir()  # it is the other process's


def test_two_tests_of_a_run_have_their_own_logs(run: Path, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    with ThreadPoolExecutor(8) as pool:
        names = list(pool.map(lambda _: _numbered(copy, "test"), range(8)))
    assert sorted(names) == ["test", *(f"test-{number}" for number in range(2, 9))]


def test_an_old_configuration_can_be_used_and_resumed(run: Path, tmp_path: Path) -> None:
    """Its class paths name files that have moved since."""
    old = tmp_path / "run"
    shutil.copytree(run, old)
    settings = yaml.safe_load((run / "config.yaml").read_text())
    settings["model"]["class_path"] = "zoo.mlp.old_mlp.MLPClassifier"
    settings["data"]["class_path"] = "datamodules.digits.Digits"
    (old / "config.yaml").write_text(yaml.safe_dump(settings))
    assert main(["test", "--ckpt_path", str(old / "checkpoints" / "best.ckpt")]) == 0
    assert main(["fit", "--resume", str(old), "--trainer.max_epochs", "3"]) == 0
    assert yaml.safe_load((old / "config.yaml").read_text())["model"]["class_path"] == "zoo.MLPClassifier"


def test_files_that_are_no_checkpoints_of_a_step_are_passed_over(run: Path, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    (copy / "checkpoints" / "step=abc.ckpt").touch()
    assert main(["fit", "--resume", str(copy), "--trainer.max_epochs", "3"]) == 0
    assert json.loads((copy / "run.json").read_text())["epochs"] == 3


def test_a_damaged_run_is_named(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    (copy / "run.json").write_text("{")
    assert main(["fit", "--resume", str(copy), "--trainer.max_epochs", "3"]) == 1
    assert "run.json is damaged" in last_line(capsys)


def test_a_gan_names_its_own_settings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fit = ["fit", "-c", "gan_ring", "--trainer.max_epochs", "1", "--trainer.limit_train_batches", "4"]
    fit += ["--run_dir", str(tmp_path / "run")]
    for setting, own in {"accumulate_grad_batches": "model.accumulate", "gradient_clip_val": "model.clip"}.items():
        assert main([*fit, f"--trainer.{setting}", "2"]) == 1
        assert f"trainer.{setting} does not fit a model with several optimizers: for a GAN, set {own}" in last_line(capsys)
        assert not (tmp_path / "run").exists()
    assert main([*fit, "--model.accumulate", "2", "--model.clip", "2"]) == 0


@pytest.mark.parametrize("recipe", ["vae_digits", "gan_ring"])
def test_a_model_that_generates_is_not_trained_in_fp64(recipe: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fit", "-c", recipe, "--trainer.precision", "64-true", "--run_dir", str(tmp_path / "run")]) == 1
    assert "trainer.precision 64-true does not fit a" in last_line(capsys)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("recipe", ["mlp_diabetes", "lstm_python_manual"])
def test_other_models_are_trained_in_fp64(recipe: str, tmp_path: Path) -> None:
    fit = ["fit", "-c", recipe, "--model.optim.warmup_steps", "0", "--trainer.max_epochs", "1"]
    fit += ["--trainer.limit_train_batches", "2", "--trainer.limit_val_batches", "1", "--trainer.limit_test_batches", "1"]
    assert main([*fit, "--trainer.precision", "64-true", "--run_dir", str(tmp_path / "run")]) == 0
    weights = read_checkpoint(tmp_path / "run" / "checkpoints" / "last.ckpt")["state_dict"].values()
    assert {value.dtype for value in weights if value.is_floating_point()} == {torch.float64}


def test_a_module_that_does_not_log_what_checkpoints_need(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bare_module.py").write_text(BARE)
    (tmp_path / "mine.yaml").write_text(
        "model: {class_path: bare_module.Bare}\ndata: {class_path: datamodules.Digits}\ntrainer: {max_epochs: 1}"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("ZOO_IMPORTS", "bare_module")
    assert main(["fit", "-c", str(tmp_path / "mine.yaml"), "--run_dir", str(tmp_path / "run")]) == 1
    assert "the best checkpoint is chosen by val/loss, which the model does not log" in last_line(capsys)


def test_only_the_first_of_several_processes_says_what_is_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert main(["fit", "-c", "mlp_digits", "--data.batch_size", "0", "--run_dir", str(tmp_path / "run")]) == 1
    assert "zoo: " not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("overlay", "wrong", "message"),
    [
        ("trainer/ddp", ["--trainer.limit_train_batches", "0.001"], "increase the `limit_train_batches`"),
        ("trainer/fsdp", ["--ema", "0.9"], "ema does not work with a strategy that shards the weights, such as fsdp"),
    ],
    ids=["ddp", "ema with fsdp"],
)
def test_two_processes_say_it_once(overlay: str, wrong: list[str], message: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "zoo", "fit", "-c", "mlp_digits", "-c", overlay, *SHORT, *wrong]
    command += ["--trainer.accelerator", "cpu", "--run_dir", "run"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 1
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("zoo: ")]
    assert message in line
    assert "Traceback" not in done.stderr
    with contextlib.suppress(FileNotFoundError):
        assert not list((tmp_path / "run").iterdir())
