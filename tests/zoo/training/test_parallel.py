"""Two processes train like one: the overlays trainer/ddp and trainer/fsdp, run on the CPU with gloo."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from zoo.training.checkpoint import load_system, read_checkpoint

HERE = Path(__file__).parent


def zoo(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `python -m zoo` with the callbacks in this folder on the path, and check that it succeeds."""
    path = os.pathsep.join([str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "PYTHONPATH": path, "ZOO_IMPORTS": "recorder"}
    command = [sys.executable, "-m", "zoo", *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return done


def fit(folder: Path, *more: str, records: bool = True) -> Path:
    folder.mkdir()
    recorder = f"{{class_path: recorder.Recorder, init_args: {{folder: '{folder}'}}}}"
    deterministic = ["--model.norm", "none", "--model.dropout", "0", "--model.optim.name", "sgd", "--model.lr", "0.1"]
    short = ["--trainer.max_epochs", "2", "--trainer.accelerator", "cpu"]
    callbacks = ["--trainer.callbacks+", recorder] if records else []
    zoo("fit", "-c", "mlp_digits", *more, "--run_dir", str(folder / "run"), *deterministic, *short, *callbacks)
    return folder


def record(folder: Path, rank: int, world_size: int) -> dict[str, Any]:
    return torch.load(folder / f"rank{rank}of{world_size}.pt", weights_only=True)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fit(tmp_path_factory.mktemp("alone") / "one")


@pytest.mark.parametrize("overlay", ["trainer/ddp", "trainer/fsdp"])
def test_two_processes_train_like_one(tmp_path: Path, alone: Path, overlay: str) -> None:
    both = fit(tmp_path / "two", "-c", overlay)
    one, ranks = record(alone, 0, 1), [record(both, rank, 2) for rank in (0, 1)]

    # The number of steps is the same, so the learning rate is too.
    assert len(one["positions"]) == len(ranks[0]["positions"]) == 40
    for batch, half0, half1 in zip(one["positions"], ranks[0]["positions"], ranks[1]["positions"], strict=True):
        assert not set(half0) & set(half1)
        assert half0 + half1 == batch

    for rank in ranks:
        for name, gradient in one["gradients"].items():
            torch.testing.assert_close(rank["gradients"][name], gradient, rtol=0, atol=1e-6)

    for name in ("last.ckpt", "best.ckpt"):
        assert (both / "run" / "checkpoints" / name).is_file()  # a file, not a folder of shards
    trained, expected = (read_checkpoint(run / "run" / "checkpoints" / "last.ckpt") for run in (both, alone))
    for name, value in expected["state_dict"].items():
        torch.testing.assert_close(trained["state_dict"][name], value, rtol=1e-3, atol=1e-4)
    assert len(trained["random_states"]) == 2

    with (both / "run" / "predictions" / "test.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len({row["position"] for row in rows}) == len(rows) == 359  # every test sample once, none padded
    results = json.loads((both / "run" / "run.json").read_text())["results"]
    right = sum(row["target"] == row["prediction"] for row in rows)
    assert results["test/acc"] == pytest.approx(right / 359)  # over both processes, not one half


def test_a_sharded_run_resumes_in_one_process(tmp_path: Path) -> None:
    """The checkpoint is a single file with all weights and the whole optimizer state."""
    run = fit(tmp_path / "two", "-c", "trainer/fsdp", records=False) / "run"
    arguments = ["--trainer.strategy", "auto", "--trainer.devices", "1", "--trainer.max_epochs", "3"]
    zoo("fit", "--resume", str(run), *arguments)
    assert read_checkpoint(run / "checkpoints" / "last.ckpt")["global_step"] == 60
    assert load_system(run / "checkpoints" / "best.ckpt")(torch.zeros(1, 1, 8, 8)).shape == (1, 10)


@pytest.mark.parametrize("overlay", ["trainer/ddp", "trainer/fsdp"])
def test_a_network_with_convolutions_trains_and_is_tested_on_two_processes(tmp_path: Path, overlay: str) -> None:
    """FSDP requires contiguous weights, and all processes must gather the filters that one of them draws."""
    recipe = tmp_path / "cnn.yaml"
    model = {"class_path": "zoo.SimpleCNNClassifier", "init_args": {"widths": [8, 16]}}
    trainer = {"max_epochs": 2, "precision": "32-true", "accelerator": "cpu"}
    recipe.write_text(yaml.safe_dump({"model": model, "data": {"class_path": "datamodules.Digits"}, "trainer": trainer}))
    run = tmp_path / "run"
    zoo("fit", "-c", str(recipe), "-c", overlay, "--run_dir", str(run), "--trainer.accelerator", "cpu")
    assert json.loads((run / "run.json").read_text())["results"]["test/acc"] > 0.3
    assert (run / "pictures" / "filters.png").stat().st_size > 0
    assert load_system(run / "checkpoints" / "best.ckpt")(torch.zeros(1, 1, 8, 8)).shape == (1, 10)


def test_a_vae_has_the_same_scores_on_two_processes_as_on_one(tmp_path: Path) -> None:
    """FSDP gathers parameters for `infer`, `nll` and `decode` too, and reports cover the test images of all processes."""
    run = tmp_path / "run"

    def scores(*arguments: str) -> dict[str, float]:
        done = zoo(*arguments)
        assert "sync_dist" not in done.stderr
        rows = [line.split() for line in done.stdout.splitlines()]
        return {row[0]: float(row[1]) for row in rows if row and row[0].startswith("test/")}

    short = ["--trainer.max_epochs", "2", "--trainer.accelerator", "cpu"]
    two = scores("fit", "-c", "vae_digits", "-c", "trainer/fsdp", *short, "--run_dir", str(run))
    alone = ["--trainer.strategy", "auto", "--trainer.devices", "1", "--ckpt_path", str(run / "checkpoints" / "best.ckpt")]
    one = scores("test", "-c", str(run / "config.yaml"), *alone, "--run_dir", str(tmp_path / "again"))
    for name in ("mse", "psnr", "ssim", "active_units", "probe_acc", "probe_acc_pca"):
        assert two[f"test/{name}"] == pytest.approx(one[f"test/{name}"], abs=2e-3)
    assert two["test/kl"] == pytest.approx(one["test/kl"], rel=1e-5)  # of 359 images, which two processes share unequally
    assert two["test/nll_iwae_50"] == pytest.approx(one["test/nll_iwae_50"], abs=1.0)  # other random samples


POINTS = {"class_path": "datamodules.GaussianMixture", "init_args": {"num_samples": 1000, "batch_size": 100}}
DIGITS = {"class_path": "datamodules.Digits", "init_args": {"normalize": False}}
MODES = {"class_path": "zoo.tasks.generation.sample_scores.PointModes", "init_args": {"num_samples": 100}}


def fit_gan(folder: Path, overlay: str, model: dict[str, Any], data: dict[str, Any], *callbacks: dict[str, Any]) -> Path:
    """Train a GAN for two epochs on two processes, and return the run directory."""
    recipe, run = folder / "gan.yaml", folder / "run"
    trainer = {"max_epochs": 2, "precision": "32-true", "accelerator": "cpu", "callbacks": list(callbacks)}
    recipe.write_text(yaml.safe_dump({"model": model, "data": data, "trainer": trainer}))
    zoo("fit", "-c", str(recipe), "-c", overlay, "--run_dir", str(run))
    return run


def test_a_gan_trains_sharded(tmp_path: Path) -> None:
    model = {"class_path": "zoo.GAN", "init_args": {"latent_dim": 4, "widths": [16, 16], "n_critic": 2, "ema": 0.9}}
    run = fit_gan(tmp_path, "trainer/fsdp", model, POINTS, MODES)
    assert read_checkpoint(run / "checkpoints" / "last.ckpt")["global_step"] == 14  # iterations
    system: Any = load_system(run / "checkpoints" / "last.ckpt")
    for a, b in zip(system.average.parameters(), system.generator.parameters(), strict=True):
        assert not torch.equal(a, b)
    assert system.sample(3).shape == (3, 2)


def test_the_average_of_a_sharded_generator_has_its_own_statistics(tmp_path: Path) -> None:
    model = {"class_path": "zoo.DCGAN", "init_args": {"latent_dim": 4, "widths": [8, 16], "ema": 0.9}}
    run = fit_gan(tmp_path, "trainer/fsdp", model, DIGITS)
    system: Any = load_system(run / "checkpoints" / "last.ckpt")
    saved = {name: value.clone() for name, value in system.average.named_buffers()}
    (z,) = system.example_inputs(2560)
    system.average.refresh_statistics((part,) for part in z.split(128))
    for name, value in system.average.named_buffers():
        torch.testing.assert_close(value, saved[name])


def test_processes_draw_different_noise_but_evaluate_the_same_network(tmp_path: Path) -> None:
    """Each process has BatchNorm statistics of its own samples. All evaluate with those of rank 0, as in the checkpoint."""
    model = {"class_path": "zoo.WGANGP", "init_args": {"latent_dim": 4, "widths": [8, 16], "n_critic": 2, "ema": 0.9}}
    recorder = {"class_path": "recorder.BufferRecorder", "init_args": {"folder": str(tmp_path)}}
    run = fit_gan(tmp_path, "trainer/ddp", model, DIGITS, recorder)
    checkpoint = read_checkpoint(run / "checkpoints" / "last.ckpt")
    first, second = (states["torch"] for states in checkpoint["random_states"])
    assert not torch.equal(first, second)
    for stage in ("val", "test"):
        first, second = (torch.load(tmp_path / f"{stage}{rank}of2.pt", weights_only=True) for rank in (0, 1))
        assert any("running_mean" in name for name in first)
        for name, value in first.items():
            assert torch.equal(second[name], value), (stage, name)
            torch.testing.assert_close(checkpoint["state_dict"][name], value)
