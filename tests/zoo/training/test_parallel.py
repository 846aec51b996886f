"""Two processes train like one: the overlays trainer/ddp and trainer/fsdp, run on the CPU with gloo."""

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from zoo.cli.main import main
from zoo.metrics.calibration import calibration_bins, expected_calibration_error
from zoo.training.checkpoint import load_system, read_checkpoint
from zoo.training.curves import read_history
from zoo.training.schedules import learning_rate_factor

pytestmark = pytest.mark.early

HERE = Path(__file__).parent

CNN = {"class_path": "zoo.SimpleCNNClassifier", "init_args": {"widths": [8, 16], "class_weights": "balanced"}}
GAN = {"class_path": "zoo.GAN", "init_args": {"latent_dim": 4, "widths": [16, 16], "n_critic": 2, "ema": 0.9}}
DCGAN = {"class_path": "zoo.DCGAN", "init_args": {"latent_dim": 4, "widths": [8, 16], "ema": 0.9}}
WGANGP = {"class_path": "zoo.WGANGP", "init_args": {"latent_dim": 4, "widths": [8, 16], "n_critic": 2, "ema": 0.9}}
POINTS = {"class_path": "datamodules.GaussianMixture", "init_args": {"num_samples": 1000, "batch_size": 100}}
DIGITS = {"class_path": "datamodules.Digits"}
GREY = {"class_path": "datamodules.Digits", "init_args": {"normalize": False}}
PIX2PIX = {"class_path": "zoo.Pix2Pix", "init_args": {"widths": [4, 8], "d_widths": [4, 8]}}
SOURCE = {"class_path": "zoo.MLPClassifier", "init_args": {"hidden_dims": [16, 16], "norm": "none", "dropout": 0.0}}
TRANSFER = {
    "class_path": "zoo.TransferClassifier",
    "init_args": {"backbone": SOURCE, "weights": None, "strategy": "gradual", "lr_decay": 0.5, "lr": 0.01},
}
TRIPLET = {"class_path": "zoo.TripletEmbedder", "init_args": {"widths": [8, 16], "embedding_dim": 8}}
BY_CLASS = {"class_path": "datamodules.Digits", "init_args": {"classes_per_batch": 8, "samples_per_class": 4}}
MODES = {"class_path": "zoo.tasks.generation.sample_scores.PointModes", "init_args": {"num_samples": 100}}


def in_process(*arguments: str) -> None:
    """Run a command that needs a single process in this one, with the callbacks in this folder on the path."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(HERE))
        patch.setenv("ZOO_IMPORTS", "recorder")
        assert main([*arguments]) == 0


def on_two(folder: Path, commands: dict[str, list[str]]) -> dict[str, str]:
    """Run commands one after the other in the same two processes, which import the libraries once. Return what each printed."""
    path = os.pathsep.join([str(HERE), str(HERE.parents[2]), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "PYTHONPATH": path, "ZOO_IMPORTS": "recorder"}
    (folder / "commands.json").write_text(json.dumps(list(commands.values())))
    command = [sys.executable, str(HERE / "several.py"), str(folder / "commands.json")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    assert "sync_dist" not in done.stderr
    return dict(zip(commands, done.stdout.split("\f"), strict=False))


def mlp(folder: Path, *overlay: str) -> list[str]:
    """A fit of mlp_digits without randomness, whose samples and gradients are recorded."""
    folder.mkdir()
    recorder = f"{{class_path: recorder.Recorder, init_args: {{folder: '{folder}'}}}}"
    deterministic = ["--model.norm", "none", "--model.dropout", "0", "--model.optim.name", "sgd", "--model.lr", "0.1"]
    short = ["--trainer.max_epochs", "2", "--trainer.accelerator", "cpu", "--trainer.callbacks+", recorder]
    return ["fit", "-c", "mlp_digits", *overlay, "--run_dir", str(folder / "run"), *deterministic, *short]


def fit(
    folder: Path, overlay: str, model: dict[str, Any], data: dict[str, Any], *callbacks: dict[str, Any], epochs: int = 2
) -> list[str]:
    folder.mkdir()
    trainer = {"max_epochs": epochs, "precision": "32-true", "accelerator": "cpu", "callbacks": list(callbacks)}
    (folder / "recipe.yaml").write_text(yaml.safe_dump({"model": model, "data": data, "trainer": trainer}))
    accelerator = ["--trainer.accelerator", "cpu"]
    return ["fit", "-c", str(folder / "recipe.yaml"), "-c", overlay, "--run_dir", str(folder / "run"), *accelerator]


def pairs(folder: Path) -> dict[str, Any]:
    """Data of pairs of random images. Two processes share the seven test images unequally."""
    draw = np.random.default_rng(0)
    for part, num in (("train", 20), ("test", 7)):
        (folder / part).mkdir(parents=True)
        for number in range(num):
            Image.fromarray(draw.integers(0, 256, (32, 64, 3), dtype=np.uint8)).save(folder / part / f"{number}.png")
    return {"class_path": "datamodules.PairedImages", "init_args": {"root": str(folder), "size": 32, "batch_size": 4}}


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("alone") / "mlp"
    in_process(*mlp(folder, "-c", "debug/gradients"))
    return folder


@pytest.fixture(scope="module")
def ddp(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run of each model whose parameters both processes hold."""
    folder, overlay = tmp_path_factory.mktemp("ddp"), "trainer/ddp"
    recorder = {"class_path": "recorder.BufferRecorder", "init_args": {"folder": str(folder)}}
    no_warmup = ["--model.optim.warmup_steps", "0"]
    commands = {
        "mlp": mlp(folder / "mlp", "-c", overlay, "-c", "debug/gradients"),
        "ema": mlp(folder / "ema", "-c", overlay, "--ema", "0.9"),
        "one_cycle": mlp(folder / "one_cycle", "-c", overlay, "--model.optim.schedule", "one_cycle", *no_warmup),
        "cnn": fit(folder / "cnn", overlay, CNN, DIGITS),
        "wgan_gp": fit(folder / "wgan_gp", overlay, WGANGP, GREY, recorder),
        "triplet": fit(folder / "triplet", overlay, TRIPLET, BY_CLASS),
        "pix2pix": fit(folder / "pix2pix", overlay, PIX2PIX, pairs(folder / "pairs"), {"class_path": "zoo.reports.PairScores"}),
    }
    every = ["--checkpoint_every_n_steps", "7"]
    for name in ("transfer", "resumed"):
        commands[name] = [*fit(folder / name, overlay, TRANSFER, DIGITS, epochs=4), *every]
    commands["resume"] = ["fit", "--resume", str(folder / "resumed" / "run" / "checkpoints" / "step=14.ckpt")]
    on_two(folder, commands)
    return folder


@pytest.fixture(scope="module")
def fsdp(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run of each model whose parameters are divided between the processes, and what the VAE's printed."""
    folder, overlay = tmp_path_factory.mktemp("fsdp"), "trainer/fsdp"
    short = ["--trainer.max_epochs", "2", "--trainer.accelerator", "cpu", "--run_dir"]
    few = ["--model.optim.warmup_steps", "0", "--trainer.limit_train_batches", "3"]
    commands = {
        "mlp": mlp(folder / "mlp", "-c", overlay),
        "cnn": fit(folder / "cnn", overlay, CNN, DIGITS),
        "vae": ["fit", "-c", "vae_digits", "-c", overlay, *short, str(folder / "vae")],
        "rnn": ["fit", "-c", "lstm_python_manual", "-c", overlay, *few, *short, str(folder / "rnn")],
        "gan": fit(folder / "gan", overlay, GAN, POINTS, MODES),
        "transfer": fit(folder / "transfer", overlay, TRANSFER, DIGITS, epochs=4),
        "dcgan": fit(folder / "dcgan", overlay, DCGAN, GREY),
    }
    (folder / "vae.txt").write_text(on_two(folder, commands)["vae"])
    return folder


def record(folder: Path, rank: int, world_size: int) -> dict[str, Any]:
    return torch.load(folder / f"rank{rank}of{world_size}.pt", weights_only=True)


@pytest.mark.parametrize(("run", "settings"), [("mlp", ("cosine", 20)), ("one_cycle", ("one_cycle", 0))])
def test_every_rate_on_two_processes_has_the_closed_form(ddp: Path, run: str, settings: tuple[Any, int]) -> None:
    schedule, warmup_steps = settings
    for rank in (0, 1):
        rates = record(ddp / run, rank, 2)["rates"]
        assert len(rates) == 40
        for step, rate in enumerate(rates):
            expected = 0.1 * learning_rate_factor(step, 40, schedule, warmup_steps=warmup_steps)
            assert rate == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("overlay", ["ddp", "fsdp"])
def test_means_over_an_epoch_are_those_of_both_processes(alone: Path, overlay: str, request: pytest.FixtureRequest) -> None:
    one, two = (read_history(run / "run" / "logs") for run in (alone, request.getfixturevalue(overlay) / "mlp"))
    for name in ("train/loss", "train/acc"):
        assert len(one[name]) == 2
        assert two[name] == pytest.approx(one[name], rel=1e-4)


def test_two_processes_measure_the_same_gradients_and_activations_as_one(alone: Path, ddp: Path) -> None:
    for table in ("gradients.csv", "activations.csv"):
        one, two = (
            list(csv.reader((run / "run" / table).read_text(encoding="utf-8").splitlines())) for run in (alone, ddp / "mlp")
        )
        assert len(one) == len(two) == 1 + 5  # five layers, measured at step 0
        for row, other in zip(one, two, strict=True):
            for a, b in zip(row, other, strict=True):
                assert a == b or float(a) == pytest.approx(float(b), rel=1e-3, abs=1e-5)


@pytest.mark.parametrize("overlay", ["ddp", "fsdp"])
def test_two_processes_train_like_one(alone: Path, overlay: str, request: pytest.FixtureRequest) -> None:
    both = request.getfixturevalue(overlay) / "mlp"
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


def test_layers_that_are_unfrozen_train_alike_on_two_processes(ddp: Path, fsdp: Path, tmp_path: Path) -> None:
    """DDP synchronises gradients of the parameters that trained when it wrapped the model. Later ones must take part too."""
    in_process(*fit(tmp_path / "transfer", "trainer/fp32", TRANSFER, DIGITS, epochs=4))
    one, *others = (
        read_checkpoint(folder / "transfer" / "run" / "checkpoints" / "last.ckpt")["state_dict"]
        for folder in (tmp_path, ddp, fsdp)
    )
    for two in others:
        for name, value in one.items():
            torch.testing.assert_close(two[name], value, rtol=1e-3, atol=1e-4)


def test_two_processes_resume_in_the_middle_of_unfreezing(ddp: Path) -> None:
    whole, resumed = (read_checkpoint(ddp / name / "run" / "checkpoints" / "last.ckpt") for name in ("transfer", "resumed"))
    for name, value in whole["state_dict"].items():
        assert torch.equal(resumed["state_dict"][name], value), name


def test_two_processes_average_like_one(ddp: Path, tmp_path: Path) -> None:
    in_process(*mlp(tmp_path / "alone", "--ema", "0.9"))
    one, two = (read_checkpoint(folder / "run" / "checkpoints" / "last.ckpt") for folder in (tmp_path / "alone", ddp / "ema"))
    assert one["ema"]["num_updates"] == two["ema"]["num_updates"] == 40
    for name, value in one["state_dict"].items():
        torch.testing.assert_close(two["state_dict"][name], value, rtol=1e-3, atol=1e-4)
        torch.testing.assert_close(two["ema"]["weights"][name], one["ema"]["weights"][name], rtol=1e-3, atol=1e-4)
        assert not torch.equal(value, one["ema"]["weights"][name])


def test_a_sharded_run_resumes_in_one_process(fsdp: Path, tmp_path: Path) -> None:
    """The checkpoint is a single file with all weights and the whole optimizer state."""
    run = tmp_path / "run"
    shutil.copytree(fsdp / "mlp" / "run", run)
    arguments = ["--trainer.strategy", "auto", "--trainer.devices", "1", "--trainer.max_epochs", "3"]
    in_process("fit", "--resume", str(run), *arguments)
    assert read_checkpoint(run / "checkpoints" / "last.ckpt")["global_step"] == 60
    assert load_system(run / "checkpoints" / "best.ckpt")(torch.zeros(1, 1, 8, 8)).shape == (1, 10)


@pytest.mark.parametrize("overlay", ["ddp", "fsdp"])
def test_a_network_with_convolutions_trains_and_is_tested_on_two_processes(
    overlay: str, request: pytest.FixtureRequest
) -> None:
    """FSDP requires contiguous weights, and all processes must gather the filters that one of them draws."""
    run = request.getfixturevalue(overlay) / "cnn" / "run"
    results = json.loads((run / "run.json").read_text())["results"]
    assert results["test/acc"] > 0.3
    assert (run / "pictures" / "filters.png").stat().st_size > 0
    assert (run / "pictures" / "grad_cam.png").stat().st_size > 0
    with (run / "predictions" / "test.csv").open() as file:
        rows = list(csv.DictReader(file))
    confidence = torch.tensor([float(row["confidence"]) for row in rows])
    bins = calibration_bins(confidence, torch.tensor([row["prediction"] == row["target"] for row in rows]))
    assert results["test/ece"] == pytest.approx(expected_calibration_error(bins), abs=1e-3)  # confidence has four decimals
    assert load_system(run / "checkpoints" / "best.ckpt")(torch.zeros(1, 1, 8, 8)).shape == (1, 10)


def test_a_recurrent_network_trains_sharded_and_is_tested(fsdp: Path) -> None:
    """The picture of the states calls two methods of the network after training."""
    run = fsdp / "rnn"
    assert "test/acc" in json.loads((run / "run.json").read_text())["results"]
    assert (run / "pictures" / "hidden_states.png").stat().st_size > 0


def test_a_vae_has_the_same_scores_on_two_processes_as_on_one(
    fsdp: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """FSDP gathers parameters for `infer`, `nll` and `decode` too, and reports cover the test images of all processes."""
    run = fsdp / "vae"

    def scores(printed: str) -> dict[str, float]:
        rows = [line.split() for line in printed.splitlines()]
        return {row[0]: float(row[1]) for row in rows if row and row[0].startswith("test/")}

    two = scores((fsdp / "vae.txt").read_text())
    alone = ["--trainer.strategy", "auto", "--trainer.devices", "1", "--ckpt_path", str(run / "checkpoints" / "best.ckpt")]
    in_process("test", "-c", str(run / "config.yaml"), *alone, "--run_dir", str(tmp_path / "again"))
    out, err = capsys.readouterr()
    assert "sync_dist" not in err
    one = scores(out)
    for name in ("mse", "psnr", "ssim", "active_units", "probe_acc", "probe_acc_pca"):
        assert two[f"test/{name}"] == pytest.approx(one[f"test/{name}"], abs=2e-3)
    assert two["test/kl"] == pytest.approx(one["test/kl"], rel=1e-5)  # of 359 images, which two processes share unequally
    assert two["test/nll_iwae_50"] == pytest.approx(one["test/nll_iwae_50"], abs=1.0)  # other random samples


def test_pairs_have_the_same_distances_on_two_processes_as_on_one(ddp: Path, tmp_path: Path) -> None:
    run = ddp / "pix2pix" / "run"
    alone = ["--trainer.strategy", "auto", "--trainer.devices", "1", "--ckpt_path", str(run / "checkpoints" / "last.ckpt")]
    in_process("test", "-c", str(run / "config.yaml"), *alone, "--run_dir", str(tmp_path / "again"))
    two = json.loads((run / "run.json").read_text())["results"]
    with (tmp_path / "again" / "logs" / "test" / "metrics.csv").open() as file:
        (one,) = csv.DictReader(file)
    for name in ("l1", "l1_mean_image", "fd_patches_translations", "fd_patches_real"):
        assert two[f"test/{name}"] == pytest.approx(float(one[f"test/{name}"]), rel=1e-4)


def test_embeddings_have_the_same_scores_on_two_processes_as_on_one(ddp: Path, tmp_path: Path) -> None:
    """The neighbours of a sample may be on the other process, which has 179 of the 359 test images."""
    run = ddp / "triplet" / "run"
    alone = ["--trainer.strategy", "auto", "--trainer.devices", "1", "--ckpt_path", str(run / "checkpoints" / "best.ckpt")]
    in_process("test", "-c", str(run / "config.yaml"), *alone, "--run_dir", str(tmp_path / "again"))
    two = json.loads((run / "run.json").read_text())["results"]
    with (tmp_path / "again" / "logs" / "test" / "metrics.csv").open() as file:
        (one,) = csv.DictReader(file)
    assert two["test/recall@1"] > 0.5  # by chance a tenth
    for name in ("recall@1", "map@r", "knn_acc"):
        assert two[f"test/{name}"] == pytest.approx(float(one[f"test/{name}"]), abs=1e-6)
    for name in ("embedding", "neighbours"):
        assert (run / "pictures" / f"{name}.png").stat().st_size > 0


def test_a_gan_trains_sharded(fsdp: Path) -> None:
    run = fsdp / "gan" / "run"
    assert read_checkpoint(run / "checkpoints" / "last.ckpt")["global_step"] == 14  # iterations
    system: Any = load_system(run / "checkpoints" / "last.ckpt")
    for a, b in zip(system.average.parameters(), system.generator.parameters(), strict=True):
        assert not torch.equal(a, b)
    assert system.sample(3).shape == (3, 2)


def test_the_average_of_a_sharded_generator_has_its_own_statistics(fsdp: Path) -> None:
    system: Any = load_system(fsdp / "dcgan" / "run" / "checkpoints" / "last.ckpt")
    saved = {name: value.clone() for name, value in system.average.named_buffers()}
    (z,) = system.example_inputs(2560)
    system.average.refresh_statistics((part,) for part in z.split(128))
    for name, value in system.average.named_buffers():
        torch.testing.assert_close(value, saved[name])


def test_processes_draw_different_noise_but_evaluate_the_same_network(ddp: Path) -> None:
    """Each process has BatchNorm statistics of its own samples. All evaluate with those of rank 0, as in the checkpoint."""
    checkpoint = read_checkpoint(ddp / "wgan_gp" / "run" / "checkpoints" / "last.ckpt")
    first, second = (states["torch"] for states in checkpoint["random_states"])
    assert not torch.equal(first, second)
    for stage in ("val", "test"):
        first, second = (torch.load(ddp / f"{stage}{rank}of2.pt", weights_only=True) for rank in (0, 1))
        assert any("running_mean" in name for name in first)
        for name, value in first.items():
            assert torch.equal(second[name], value), (stage, name)
            torch.testing.assert_close(checkpoint["state_dict"][name], value)
