"""Precision by meaning: what is computed in half, what stays in fp32, and what loss scaling saves."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning import Trainer
from lightning.pytorch.plugins import MixedPrecision
from torch import Tensor, nn

from datamodules import GaussianMixture
from datamodules.core.batch import Batch
from zoo.cli.main import main
from zoo.gans.gan import GAN
from zoo.mlp.mlp import MLPClassifier
from zoo.training.checkpoint import read_checkpoint
from zoo.training.precision import default_precision, precision_plugin
from zoo.training.system import Outputs

SGD: Any = {"name": "sgd", "schedule": "constant"}


def test_bf16_is_the_default_on_cpus_with_instructions_for_it_only() -> None:
    precision, reason = default_precision("cpu")
    if torch.cpu._is_amx_tile_supported():  # asks the processor, independently of /proc
        assert (precision, reason) == ("bf16-mixed", "this processor has AMX")
    elif torch.cpu._is_avx512_bf16_supported():
        assert (precision, reason) == ("bf16-mixed", "this processor has AVX-512 BF16")
    else:
        assert (precision, reason) == ("32-true", "this processor does not compute in bf16")


@pytest.mark.skipif(torch.cuda.is_available() or torch.backends.mps.is_available(), reason="this machine has an accelerator")
def test_auto_means_the_cpu_without_an_accelerator() -> None:
    assert default_precision("auto") == default_precision("cpu")
    assert precision_plugin("16-mixed", "auto") is not None


@pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no GPU")
@pytest.mark.parametrize("accelerator", ["auto", "gpu", "cuda"])
def test_bf16_is_the_default_on_gpus_since_ampere(accelerator: str) -> None:
    assert (default_precision(accelerator)[0] == "bf16-mixed") == (torch.cuda.get_device_capability() >= (8, 0))


def test_only_fp16_on_cpus_needs_a_plugin() -> None:
    assert precision_plugin("16-mixed", "cpu") is not None
    for precision, accelerator in (("bf16-mixed", "cpu"), ("32-true", "cpu"), (None, "cpu"), ("16-mixed", "gpu")):
        assert precision_plugin(precision, accelerator) is None


def in_precision(precision: str) -> dict[str, Any]:
    """Return the arguments of a trainer on the CPU."""
    plugin = precision_plugin(precision, "cpu")
    return {"precision": precision} if plugin is None else {"plugins": [plugin]}


def weights(module: nn.Module) -> Tensor:
    return nn.utils.parameters_to_vector(module.parameters()).detach().clone()


class Watched(MLPClassifier):
    """Classifier that records the type of its logits, and multiplies its loss."""

    factor = 1.0

    def step(self, batch: Batch, progress: Tensor) -> tuple[Tensor, Outputs]:
        loss, outputs = super().step(batch, progress)
        self.seen = outputs["preds"].dtype
        return self.factor * loss, outputs


@pytest.mark.parametrize(("precision", "computed"), [("16-mixed", torch.float16), ("bf16-mixed", torch.bfloat16)])
def test_mixed_precision_computes_in_half_and_keeps_weights_gradients_and_averages_in_fp32(
    precision: str, computed: torch.dtype, fit: Callable[..., Trainer], blobs: Callable[..., Any]
) -> None:
    model = Watched((4,), 3, hidden_dims=(8,), lr=1e-4)
    before = weights(model)
    trainer = fit(model, blobs(), max_epochs=1, **in_precision(precision))
    assert trainer.precision == precision
    assert model.seen == computed
    assert all(p.dtype == torch.float32 for p in model.parameters())
    state = trainer.optimizers[0].state
    assert all(value.dtype == torch.float32 for values in state.values() for value in values.values())
    moved = (weights(model) - before).abs()
    assert (moved < 1e-3).all()  # steps that half precision would round away from weights near 1
    assert moved.max() > 0


@pytest.mark.parametrize("scales", [True, False])
def test_loss_scaling_recovers_a_loss_that_plain_fp16_loses(
    scales: bool, fit: Callable[..., Trainer], blobs: Callable[..., Any]
) -> None:
    """The gradients of a loss of 1e-8 lie below the smallest number of fp16, 6e-8. Multiplied by 65,536 they do not."""

    def final_loss(lr: float = 1e7, **arguments: Any) -> float:
        torch.manual_seed(0)
        model = Watched((4,), 3, hidden_dims=(8,), lr=lr, optim=SGD)
        model.factor = 1e-8
        trainer = fit(model, blobs(), max_epochs=5, **arguments)
        return float(trainer.callback_metrics["val/loss"]) / model.factor

    fp32, untrained = final_loss(precision="32-true"), final_loss(lr=1e-9, precision="32-true")
    scaler = torch.amp.GradScaler("cpu", enabled=scales)
    fp16 = final_loss(plugins=[MixedPrecision("16-mixed", "cpu", scaler)])
    assert fp32 < 0.7 * untrained
    assert fp16 == pytest.approx(fp32 if scales else untrained, rel=0.05)


def test_gradients_below_the_range_of_fp16_are_zero_without_a_scale_and_right_with_it() -> None:
    torch.manual_seed(0)
    net, x = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3)), torch.randn(16, 4)

    def gradient(scale: float, half: bool) -> Tensor:
        net.zero_grad()
        with torch.autocast("cpu", dtype=torch.float16, enabled=half):
            y = net(x)
        loss = 1e-8 * y.float().square().mean()
        (scale * loss).backward()
        return torch.cat([p.grad.flatten() / scale for p in net.parameters()])  # type: ignore[union-attr]  # there are gradients

    exact = gradient(1.0, half=False)
    assert exact.abs().max() > 0
    assert not gradient(1.0, half=True).any()
    assert (gradient(2.0**16, half=True) - exact).norm() < 0.01 * exact.norm()


def test_an_overflow_skips_the_step_and_halves_the_scale_which_survives_a_resume(
    fit: Callable[..., Trainer], blobs: Callable[..., Any], tmp_path: Path
) -> None:
    model = Watched((4,), 3, hidden_dims=(8,), lr=0.1, optim={"name": "sgd", "schedule": "one_cycle"})
    model.factor = 1e4  # times 65,536 is beyond 65,504, the largest number of fp16
    before = weights(model)
    trainer = fit(model, blobs(), max_steps=1, **in_precision("16-mixed"))
    assert torch.equal(weights(model), before)
    plugin: Any = trainer.precision_plugin
    assert plugin.scaler.get_scale() == 2.0**15
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    assert read_checkpoint(tmp_path / "a.ckpt")["MixedPrecision"]["scale"] == 2.0**15


@pytest.mark.parametrize("clip", [0.01, 1e6])
def test_a_gans_update_in_fp16_with_clipping_is_that_of_fp32(clip: float, fit: Callable[..., Trainer]) -> None:
    """Gradients are unscaled before they are clipped, for both networks: otherwise clipping would see 65,536 times as much."""

    def update(precision: str) -> tuple[Tensor, Tensor]:
        torch.manual_seed(0)
        data = GaussianMixture(num_samples=400, batch_size=100)
        gan = GAN((2,), latent_dim=4, widths=[16, 16], n_critic=2, accumulate=2, clip=clip, lr=1.0, optim=SGD)
        before = weights(gan.discriminator), weights(gan.generator)
        fit(gan, data, max_steps=1, limit_val_batches=0, **in_precision(precision))
        return weights(gan.discriminator) - before[0], weights(gan.generator) - before[1]

    for half, single in zip(update("16-mixed"), update("32-true"), strict=True):
        assert single.norm() > 0
        assert (half - single).norm() < 0.01 * single.norm()
        if clip == 0.01:
            assert single.norm() <= 2 * clip * 1.001  # one update of the generator, two of the discriminator


def test_gradients_of_one_optimizer_are_clipped_after_unscaling(fit: Callable[..., Trainer], blobs: Callable[..., Any]) -> None:
    model = MLPClassifier((4,), 3, hidden_dims=(8,), lr=1.0, optim=SGD)
    before = weights(model)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)  # low enough for the first step not to overflow
    fit(model, blobs(), max_steps=1, gradient_clip_val=0.01, plugins=[MixedPrecision("16-mixed", "cpu", scaler)])
    assert (weights(model) - before).norm().item() == pytest.approx(0.01, rel=1e-3)


QUICK = [
    *("--trainer.max_epochs", "1", "--trainer.limit_train_batches", "2", "--trainer.limit_val_batches", "1"),
    *("--trainer.limit_test_batches", "1", "--trainer.accelerator", "cpu", "--model.optim.warmup_steps", "0"),
]


@pytest.mark.parametrize("recipe", ["mlp_digits", "simple_cnn_digits", "lstm_python_manual"])
def test_double_precision_trains(recipe: str, tmp_path: Path) -> None:
    assert main(["fit", "-c", recipe, *QUICK, "--trainer.precision", "64-true", "--run_dir", str(tmp_path / "run")]) == 0
    state = read_checkpoint(tmp_path / "run" / "checkpoints" / "last.ckpt")["state_dict"]
    assert {value.dtype for value in state.values() if value.is_floating_point()} == {torch.float64}


@pytest.mark.parametrize(
    ("recipe", "precision", "message"),
    [
        ("gan_ring", "64-true", "trainer.precision 64-true does not fit a GAN, whose reports generate in fp32"),
        (
            "mlp_digits",
            "bf16-true",
            "trainer.precision bf16-true rounds the weights themselves, so that small",
        ),
        ("gan_ring", "bf16-true", "trainer.precision bf16-true rounds the weights themselves"),
        ("lstm_python_manual", "16-true", "trainer.precision 16-true rounds the weights themselves"),
    ],
)
def test_other_precisions_are_refused_at_the_start(
    recipe: str, precision: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["fit", "-c", recipe, "--trainer.precision", precision, "--run_dir", str(tmp_path / "run")]) == 1
    assert capsys.readouterr().err.splitlines()[-1].startswith(f"zoo: {message}")
    assert not (tmp_path / "run").exists()


def test_fp16_of_sharded_weights_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    overlays = ["-c", "trainer/fsdp", "--trainer.precision", "16-mixed", "--trainer.accelerator", "cpu"]
    assert main(["fit", "-c", "mlp_digits", *overlays, "--run_dir", str(tmp_path / "run")]) == 1
    assert "zoo: trainer.precision 16-mixed cannot scale the loss of weights that are divided" in capsys.readouterr().err


@pytest.mark.parametrize("recipe", ["mlp_digits", "gan_ring", "lstm_python_manual"])
def test_fp16_with_loss_scaling_trains_on_a_cpu_or_says_which_layer_cannot(
    recipe: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whether oneDNN has LSTM layers in fp16 depends on the processor."""
    run = tmp_path / "run"
    code = main(["fit", "-c", recipe, *QUICK, "--trainer.precision", "16-mixed", "--run_dir", str(run)])
    if recipe == "lstm_python_manual" and code == 1:
        refused = "zoo: this processor cannot compute LSTM layers in the precision of the run: set trainer.precision to 32-true"
        assert capsys.readouterr().err.splitlines()[-1] == refused
        return
    assert code == 0
    checkpoint = read_checkpoint(run / "checkpoints" / "last.ckpt")
    assert checkpoint["MixedPrecision"]["scale"] == 2.0**16
    assert all(value.dtype == torch.float32 for value in checkpoint["state_dict"].values() if value.is_floating_point())
