"""Records of a run for Weights & Biases, read with W&B's own `wandb leet inspect`."""

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from zoo.cli.main import main
from zoo.cli.names import ROOT

# A short run may not reach the end of its warm-up, which is not an error here.
pytestmark = [pytest.mark.early, pytest.mark.filterwarnings("ignore:warm-up of")]


def run(arguments: list[str], folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command in a process of its own, like a user without a W&B account and without a terminal."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("WANDB_")}
    environment = {**clean, "NETRC": str(folder / "no-netrc"), **environment}
    return subprocess.run(arguments, cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False)


def fit(folder: Path, *more: str, recipe: str = "mlp_digits", **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "zoo", "fit", "-c", recipe, "--trainer.max_epochs", "3", "--run_dir", "run", *more]
    done = run(command, folder, **environment)
    assert done.returncode == 0, done.stderr
    return done


def fit_here(folder: Path, mode: str, *more: str, recipe: str = "mlp_digits") -> None:
    """Train in this process, which saves 9 s of imports. W&B's service keeps the working directory that it was started in."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WANDB_MODE", mode)
        assert main(["fit", "-c", recipe, "--trainer.max_epochs", "1", "--run_dir", str(folder / "run"), *more]) == 0


def inspect(folder: Path, *options: str) -> str:
    (logged,) = (folder / "run" / "wandb").glob("offline-run-*")
    done = run([sys.executable, "-m", "wandb", "leet", "inspect", "--json", *options, str(logged)], folder)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def offline(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Folder and output of a run with neither a key nor WANDB_MODE."""
    folder = tmp_path_factory.mktemp("offline")
    return folder, fit(folder, "--wandb.log_model", "true", "--wandb.tags", "[first, second]").stdout


@pytest.fixture(scope="module")
def records(offline: tuple[Path, str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in inspect(offline[0]).splitlines()]


@pytest.fixture(scope="module")
def summary(offline: tuple[Path, str]) -> dict[str, Any]:
    return json.loads(inspect(offline[0], "--summary"))


def history(records: list[dict[str, Any]], name: str) -> list[Any]:
    items = [record["history"]["item"] for record in records if record["type"] == "history"]
    return [item[name] for item in items if name in item]


def test_an_offline_run_prints_how_to_view_and_sync_it(offline: tuple[Path, str]) -> None:
    lines = [line for line in offline[1].splitlines() if "W&B" in line]
    assert len(lines) == 2
    assert "wandb leet run/wandb/offline-run-" in lines[0]
    assert "wandb sync run/wandb/offline-run-" in lines[1]
    assert (offline[0] / lines[0].split()[-1]).is_dir()


def test_the_whole_configuration_is_logged_nested_and_once(offline: tuple[Path, str], summary: dict[str, Any]) -> None:
    config = summary["config"]
    assert set(config) == {"model", "data", "trainer", "seed_everything", "wandb", "compile", "gradient_checkpointing"}
    assert config["model"]["init_args"]["input_shape"] == [1, 8, 8]  # resolved from the data
    assert config["data"]["init_args"]["seed"] == 0
    saved = yaml.safe_load((offline[0] / "run" / "config.yaml").read_text())
    assert config["model"]["init_args"]["optim"] == saved["model"]["init_args"]["optim"]
    assert saved["model"]["init_args"]["num_classes"] == 10


def test_scalars_learning_rate_and_throughput_are_logged(records: list[dict[str, Any]]) -> None:
    for name in ("train/loss", "train/acc", "train/lr", "train/samples_per_second"):
        assert len(history(records, name)) == 3, name  # 60 steps, logged every 20
    assert history(records, "train/lr") == sorted(history(records, "train/lr"), reverse=True)
    assert len(history(records, "val/loss")) == len(history(records, "val/acc")) == 3
    assert len(history(records, "test/acc")) == 1
    assert history(records, "trainer/global_step")[-1] == 60


def test_images_are_logged_at_the_first_second_and_last_validation(
    records: list[dict[str, Any]], offline: tuple[Path, str]
) -> None:
    """The first two pictures are logged at once, the third when training ends."""
    assert history(records, "val/samples.count") == [1, 1, 1]
    sheets = sorted((offline[0] / "run" / "wandb").glob("offline-run-*/files/media/images/val/samples_*.png"))
    assert len(sheets) == 3
    assert (offline[0] / "run" / "pictures" / "val_samples.png").read_bytes() in [sheet.read_bytes() for sheet in sheets]


def test_curves_are_logged_after_epochs_and_at_the_end(records: list[dict[str, Any]], offline: tuple[Path, str]) -> None:
    assert history(records, "train/curves.count") == [1, 1, 1]  # after the first, the second and the last epoch
    curves = list((offline[0] / "run" / "wandb").glob("offline-run-*/files/media/images/train/curves_*.png"))
    assert (offline[0] / "run" / "pictures" / "curves.png").read_bytes() in [picture.read_bytes() for picture in curves]


def test_gradients_are_logged_as_values_histograms_and_a_picture(tmp_path: Path) -> None:
    fit_here(tmp_path, "offline", "-c", "debug/gradients", "--trainer.callbacks.every_n_steps", "10")
    records = [json.loads(line) for line in inspect(tmp_path).splitlines()]
    assert len(history(records, "gradient_norm/net.output")) == len(history(records, "update_ratio/net.output")) == 2
    assert history(records, "activations/net.hidden.2._type") == ["histogram"] * 2
    assert history(records, "train/gradients.count") == [1, 1, 1]  # at both measurements and when training ends


def test_samples_of_a_gan_are_logged_as_images_and_as_a_gif(tmp_path: Path) -> None:
    fit_here(tmp_path, "offline", "--trainer.max_epochs", "2", "--data.num_samples", "2000", recipe="gan_ring")
    records = [json.loads(line) for line in inspect(tmp_path).splitlines()]
    assert len(history(records, "val/samples.filenames")) == 2
    assert history(records, "val/film.count") == [1]
    (gif,) = (tmp_path / "run" / "wandb").glob("offline-run-*/files/media/videos/val/*.gif")
    assert gif.read_bytes() == (tmp_path / "run" / "pictures" / "training.gif").read_bytes()


def test_the_test_logs_a_table_and_a_confusion_matrix(offline: tuple[Path, str], summary: dict[str, Any]) -> None:
    assert summary["summary"]["test/predictions"]["nrows"] == 359
    assert summary["summary"]["test/confusion_matrix"]["count"] == 1
    assert (offline[0] / "run" / "pictures" / "confusion_matrix.png").stat().st_size > 10_000
    assert (offline[0] / "run" / "pictures" / "val_samples.png").stat().st_size > 5_000


def test_the_summary_keeps_the_best_value(records: list[dict[str, Any]], summary: dict[str, Any]) -> None:
    assert summary["summary"]["val/acc"] == {"max": max(history(records, "val/acc"))}
    assert summary["state"] == "finished"
    assert summary["exit_code"] == 0


def test_checkpoints_are_artifacts_only_with_log_model(records: list[dict[str, Any]], tmp_path: Path) -> None:
    def model_artifacts(records: list[dict[str, Any]]) -> list[Any]:
        return [record for record in records if record["type"] == "artifact" and '"model"' in json.dumps(record)]

    assert model_artifacts(records)
    fit_here(tmp_path, "offline", "--trainer.fast_dev_run", "false")
    assert not model_artifacts([json.loads(line) for line in inspect(tmp_path).splitlines()])


def test_only_the_csv_file_is_written_if_wandb_is_disabled(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fit_here(tmp_path, "disabled")
    assert "W&B" not in capsys.readouterr().out
    assert not list(tmp_path.rglob("*.wandb"))
    assert "val/acc" in (tmp_path / "run" / "logs" / "fit" / "metrics.csv").read_text()


def test_a_run_continues_offline_if_the_server_does_not_answer(tmp_path: Path) -> None:
    done = fit(tmp_path, WANDB_API_KEY="a" * 40, WANDB_BASE_URL="http://127.0.0.1:9", WANDB_INIT_TIMEOUT="2")
    assert "W&B cannot be reached" in done.stdout
    assert "wandb sync run/wandb/offline-run-" in done.stdout
    assert (tmp_path / "run" / "checkpoints" / "best.ckpt").is_file()


def test_sessions_of_an_offline_run_are_separate_and_named_in_order(
    offline: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """W&B counts the steps of an offline session from 0, so the sync of a second session would replace the first."""
    monkeypatch.setenv("WANDB_MODE", "offline")
    shutil.copytree(offline[0] / "run", tmp_path / "run")
    assert main(["fit", "--resume", str(tmp_path / "run"), "--trainer.max_epochs", "4"]) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "sync it" in line]
    first, second = [Path(word) for word in shlex.split(line.split("wandb sync")[1])]
    assert sorted((tmp_path / "run" / "wandb").glob("offline-run-*")) == [first, second]
    assert first.name.split("-")[-1] != second.name.split("-")[-1]  # their ids
    inspected = run([sys.executable, "-m", "wandb", "leet", "inspect", "--json", str(second)], tmp_path)
    steps = history([json.loads(line) for line in inspected.stdout.splitlines()], "trainer/global_step")
    assert min(steps) > 60  # the first session ended at step 60


def test_the_sweeps_agent_command_runs(tmp_path: Path) -> None:
    """Builds the command like `wandb agent`, because the agent itself needs a server."""
    from wandb.sdk.launch.sweeps.utils import create_sweep_command, create_sweep_command_args

    sweep = yaml.safe_load((ROOT / "sweeps" / "mlp_digits.yaml").read_text())
    chosen = {
        name: {"value": setting["values"][-1] if "values" in setting else setting["min"]}
        for name, setting in sweep["parameters"].items()
    }
    arguments = create_sweep_command_args({"args": chosen})
    macros = {"${env}": ["/usr/bin/env"], "${args}": arguments["args"]}  # as in wandb/wandb_agent.py
    command = [word for part in create_sweep_command(sweep["command"]) for word in macros.get(part, [part])]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = run([*command, "--trainer.max_epochs=1", "--run_dir=run"], tmp_path, PATH=path)
    assert done.returncode == 0, done.stderr
    config = json.loads(inspect(tmp_path, "--summary"))["config"]["model"]["init_args"]
    assert (config["lr"], config["hidden_dims"], config["dropout"]) == (0.0003, [512, 512, 512], 0.5)
    assert sweep["metric"]["name"] == "val/acc"
