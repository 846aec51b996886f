"""Gradients measures any way of training, and changes none."""

import csv
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from lightning import LightningModule, Trainer
from torch import nn

from datamodules import Digits, GaussianMixture, PythonManual
from datamodules.core.base import DataModule
from zoo import GAN, VAE, WGANGP, MLPClassifier, RNNClassifier
from zoo.cli.main import main
from zoo.reports import Gradients
from zoo.training.compilation import compile_networks

Fit = Callable[..., Trainer]
Blobs = Callable[..., DataModule]
SGD = {"name": "sgd", "schedule": "constant"}


@pytest.fixture
def measure(fit: Fit, tmp_path: Path) -> Callable[..., list[dict[str, str]]]:
    """Function that trains with the report, and returns the rows of its table."""

    def run(
        system: LightningModule, data: Any, every: int = 1000, num_batches: int = 1, **trainer: Any
    ) -> list[dict[str, str]]:
        report = Gradients(every, num_batches)
        fit(system, data, callbacks=[report], default_root_dir=tmp_path, limit_val_batches=0, **{"max_steps": 1, **trainer})
        with (tmp_path / "gradients.csv").open() as file:
            return list(csv.DictReader(file))

    return run


def gradient_by_hand(model: MLPClassifier, data: DataModule, num_batches: int) -> dict[str, torch.Tensor]:
    """The gradient of the mean loss over the first batches of the first epoch, from the weights as they are."""
    data.setup()
    loader = iter(data.train_dataloader())
    losses = []
    for _ in range(num_batches):
        batch = next(loader)
        losses.append(F.cross_entropy(model.net(batch.x), batch.y))
    names, parameters = zip(*model.net.named_parameters(), strict=True)
    return dict(zip(names, torch.autograd.grad(torch.stack(losses).mean(), parameters), strict=True))


@pytest.mark.parametrize(("accumulate", "clip"), [(1, None), (3, None), (1, 0.01)])
def test_norms_and_ratios_are_those_of_autograd_and_sgd(
    measure: Callable[..., list[dict[str, str]]], blobs: Blobs, accumulate: int, clip: float | None
) -> None:
    """Clipping changes the update, and not the gradient norm, which is measured before it."""
    lr, model = 0.1, MLPClassifier((4,), 3, hidden_dims=(8,), lr=0.1, optim=SGD)
    gradients = gradient_by_hand(model, blobs(), accumulate)
    weights = {name: parameter.detach().clone() for name, parameter in model.net.named_parameters()}
    rows = measure(model, blobs(), accumulate_grad_batches=accumulate, gradient_clip_val=clip)
    total = torch.cat([value.flatten() for value in gradients.values()]).norm().item()
    factor = 1.0 if clip is None else clip / total
    assert [row["layer"] for row in rows] == ["net.hidden.0", "net.output", "net.hidden.1"]
    for row in rows[:2]:
        layer = row["layer"].removeprefix("net.")
        gradient, weight = (
            torch.cat([values[f"{layer}.{kind}"].flatten() for kind in ("weight", "bias")]).norm().item()
            for values in (gradients, weights)
        )
        assert float(row["gradient_norm"]) == pytest.approx(gradient, rel=1e-5)
        assert float(row["weight_norm"]) == pytest.approx(weight, rel=1e-5)
        assert float(row["update_ratio"]) == pytest.approx(lr * factor * gradient / weight, rel=1e-3)


def test_a_layer_with_a_bias_of_minus_100_is_dead(measure: Callable[..., list[dict[str, str]]], blobs: Blobs) -> None:
    model = MLPClassifier((4,), 3, hidden_dims=(8, 8))
    nn.init.constant_(model.net.hidden[3].bias, -100.0)  # type: ignore[arg-type]
    dead = {row["layer"]: float(row["dead"]) for row in measure(model, blobs(), num_batches=4, max_steps=4) if row["dead"]}
    assert dead["net.hidden.4"] == 1
    assert dead["net.hidden.1"] < 0.5


def test_gradients_vanish_in_20_sigmoid_layers_and_not_in_relu_layers_with_he(
    measure: Callable[..., list[dict[str, str]]], blobs: Blobs, tmp_path: Path
) -> None:
    ratios = {}
    for activation, init in (("sigmoid", "xavier"), ("relu", "he")):
        model = MLPClassifier((4,), 3, hidden_dims=(32,) * 20, activation=activation, init=init)  # type: ignore[arg-type]
        norms = [float(row["gradient_norm"]) for row in measure(model, blobs()) if row["gradient_norm"]]
        assert len(norms) == 21
        if activation == "sigmoid":
            assert norms[:20:5] == sorted(norms[:20:5])
        ratios[activation] = norms[0] / norms[-2]
        (tmp_path / "gradients.csv").unlink()
    assert ratios["sigmoid"] < 1e-6
    assert ratios["relu"] > 0.05


def trained(fit: Fit, build: Callable[[], LightningModule], data: Any, folder: Path, report: bool, **trainer: Any) -> Any:
    torch.manual_seed(0)
    system = build()
    callbacks = [Gradients(2, 2)] if report else []
    fit(system, data, callbacks=callbacks, default_root_dir=folder, **{"max_steps": 6, "limit_val_batches": 2, **trainer})
    return {name: value.clone() for name, value in system.state_dict().items()}


def manual() -> PythonManual:
    return PythonManual(batch_size=8)


SYSTEMS: dict[str, tuple[Callable[[], LightningModule], Callable[[], Any], dict[str, Any]]] = {
    "classifier": (lambda: MLPClassifier((1, 8, 8), 10, norm="batch", dropout=0.3), Digits, {}),
    "accumulating": (lambda: MLPClassifier((1, 8, 8), 10, dropout=0.3), Digits, {"accumulate_grad_batches": 3}),
    "bf16": (lambda: MLPClassifier((1, 8, 8), 10, dropout=0.3), Digits, {"precision": "bf16-mixed"}),
    "vae": (lambda: VAE((1, 8, 8), architecture="mlp", widths=(32,), latent_dim=4), lambda: Digits(normalize=False), {}),
    "gan": (
        lambda: GAN((2,), latent_dim=4, widths=(16, 16), n_critic=2, ema=0.9, clip=0.1),
        lambda: GaussianMixture(num_samples=2000, batch_size=64),
        {},
    ),
    "gradient penalty": (
        lambda: WGANGP((2,), "mlp", latent_dim=4, widths=(16, 16), n_critic=2),
        lambda: GaussianMixture(num_samples=2000, batch_size=64),
        {},
    ),
}


@pytest.mark.parametrize("name", SYSTEMS)
def test_the_trained_weights_do_not_change_by_a_bit(fit: Fit, tmp_path: Path, name: str) -> None:
    build, data, trainer = SYSTEMS[name]
    plain, measured = (trained(fit, build, data(), tmp_path, report, **trainer) for report in (False, True))
    assert plain.keys() == measured.keys()
    assert all(torch.equal(plain[key], measured[key]) for key in plain)
    with (tmp_path / "gradients.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["step"] for row in rows} == {"0", "2", "4"}
    players = {"0", "1"} if "gan" in name or "penalty" in name else {"0"}
    assert {row["optimizer"] for row in rows if row["gradient_norm"]} == players
    ratios = [float(row["update_ratio"]) for row in rows if row["update_ratio"]]
    assert ratios
    assert all(0 <= ratio < 10 for ratio in ratios)
    assert any(float(row["gradient_norm"]) > 0 for row in rows if row["gradient_norm"])
    assert (tmp_path / "pictures" / "gradients.png").stat().st_size > 10_000


def test_a_recurrent_network_is_measured(measure: Callable[..., list[dict[str, str]]], texts: Callable[..., Any]) -> None:
    data = texts()
    model = RNNClassifier((30,), num_classes=2, vocab_size=data.vocab_size, embed_dim=6, hidden_dim=5)
    rows = {row["layer"]: row for row in measure(model, data)}
    recurrent = [row for name, row in rows.items() if "recurrent" in name]
    assert any(row["gradient_norm"] for row in recurrent)
    assert any(row["std"] for row in recurrent)


def test_a_run_resumed_measures_the_remaining_steps(tmp_path: Path) -> None:
    short = ["--trainer.callbacks.every_n_steps", "10", "--trainer.max_epochs", "1", "--checkpoint_every_n_steps", "12"]
    run = tmp_path / "run"
    assert main(["fit", "-c", "mlp_digits", "-c", "debug/gradients", *short, "--run_dir", str(run)]) == 0
    whole = (run / "gradients.csv").read_text()
    assert main(["fit", "--resume", str(run / "checkpoints" / "step=12.ckpt"), "--trainer.max_epochs", "2"]) == 0
    with (run / "gradients.csv").open() as file:
        steps = [int(row["step"]) for row in csv.DictReader(file)]
    assert sorted(set(steps)) == [0, 10, 20, 30]
    assert (run / "gradients.csv").read_text().startswith(whole)
    with (run / "activations.csv").open() as file:
        shares = [
            [float(value) for name, value in row.items() if name not in ("step", "layer")] for row in csv.DictReader(file)
        ]
    assert all(math.isclose(sum(row), 1, abs_tol=1e-2) for row in shares)


@pytest.mark.parametrize("name", ["every_n_steps", "num_batches"])
def test_numbers_below_one_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} must be at least 1, got 0"):
        Gradients(**{name: 0})


def test_a_compiled_network_is_refused(fit: Fit, blobs: Blobs, tmp_path: Path) -> None:
    compile_networks(model := MLPClassifier((4,), 3))
    with pytest.raises(ValueError, match="leave --compile out"):
        fit(model, blobs(), callbacks=[Gradients()], default_root_dir=tmp_path)
