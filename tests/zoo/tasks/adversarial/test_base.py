"""The rhythm of a GAN: the order of updates, the counting of iterations, accumulation, averaging and exact resumption."""

import shutil
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning import Callback, LightningModule, Trainer
from torch import Tensor, nn
from torch.utils.data import DataLoader

import zoo
from datamodules import Digits, GaussianMixture
from datamodules.core.batch import Batch
from zoo.gans.dcgan import DCGAN
from zoo.gans.gan import GAN
from zoo.gans.progressive_gan import ProgressiveGAN
from zoo.gans.stylegan import StyleGAN
from zoo.gans.wgan_gp import WGANGP
from zoo.tasks.adversarial.base import Adversarial, split
from zoo.training.checkpoint import AtomicCheckpointIO, load_system
from zoo.training.randomness import Randomness
from zoo.training.regular_checkpoint import RegularCheckpoint

Fit = Callable[..., Trainer]


def points(batch_size: int = 50) -> GaussianMixture:
    return GaussianMixture(num_samples=400, batch_size=batch_size, seed=0)  # 280 training samples


def small(**arguments: Any) -> GAN:
    torch.manual_seed(0)
    return GAN((2,), latent_dim=3, widths=[8], **{"lr": 0.01, **arguments})


def state(network: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in network.state_dict().items()}


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return all(torch.equal(a[name], b[name]) for name in a)


class Watch(Callback):
    """Records both networks and their gradients before every optimizer step."""

    def __init__(self) -> None:
        self.moments: list[tuple[str, dict[str, Tensor], dict[str, Tensor], bool]] = []

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Any) -> None:
        model: Any = pl_module
        mine = {id(p) for group in optimizer.param_groups for p in group["params"]}
        network = "d" if id(next(model.discriminator.parameters())) in mine else "g"
        other = model.generator if network == "d" else model.discriminator
        clean = all(p.grad is None or not p.grad.any() for p in other.parameters()) or self._unchanged(other)
        self.moments.append((network, state(model.discriminator), state(model.generator), clean))
        self._gradients = {id(p): None if p.grad is None else p.grad.clone() for p in model.parameters()}

    def _unchanged(self, network: nn.Module) -> bool:
        """Return whether a network still has exactly the gradients of its own last update."""
        return all(p.grad is None or torch.equal(p.grad, self._gradients[id(p)]) for p in network.parameters())


def test_networks_are_updated_in_turns_without_affecting_each_other(fit: Fit) -> None:
    watch, system = Watch(), small(n_critic=2)
    fit(system, points(), callbacks=[watch], max_steps=3)
    assert [network for network, *_ in watch.moments] == ["d", "d", "g"] * 3
    moments = [*watch.moments, ("end", state(system.discriminator), state(system.generator), True)]
    for (network, d, g, clean), (_, d_after, g_after, _) in pairwise(moments):
        assert clean  # the update left the other network's gradients unchanged
        assert same(g, g_after) == (network == "d")
        assert same(d, d_after) == (network == "g")


RING = {"input_shape": (2,), "latent_dim": 3, "widths": [8, 8], "lr": 0.01}
DENSE = {**RING, "architecture": "mlp"}
DIGITS = {"input_shape": (1, 8, 8), "latent_dim": 4, "widths": [4, 8], "lr": 0.005}
OLD_RMSPROP = {"momentum": 0.9, "alpha": 0.9}  # what timm gave the older version


@pytest.mark.parametrize(
    ("name", "arguments", "total", "squares"),  # computed by commit f40cdfb, whose GANs had one base with all switches
    [
        ("GAN", {**RING, "loss": "minimax"}, -4.675653, 15.156698),
        ("GAN", {**RING, "n_critic": 2, "ema": 0.9, "clip": 0.5, "d_lr": 0.02}, -3.365395, 17.510495),
        ("WGANGP", {**DENSE, "n_critic": 2, "accumulate": 2, "penalty_weight": 0.1, "ema": 0.99}, -6.066495, 14.578433),
        ("SNGAN", DENSE, -2.971116, 15.317962),
        ("MinibatchGAN", {**DENSE, "num_kernels": 4, "kernel_dim": 3, "d_lr": 2e-4}, -5.879096, 16.745257),
        ("UnrolledGAN", {**RING, "ema": 0.99}, -5.324606, 13.920561),
        ("DCGAN", {**DIGITS, "ema": 0.9, "redraw": False}, 19.933876, 24.164395),
        ("WGAN", {**DIGITS, "weight_clip": 0.1, "optim": OLD_RMSPROP}, 15.488255, 23.305959),
        ("WGANGP", DIGITS, 17.011027, 25.353858),
        ("ConditionalGAN", {**DIGITS, "num_classes": 10, "loss": "hinge", "ema": 0.99}, -13.723952, 316.487463),
    ],
)
def test_seeds_give_the_weights_of_the_older_version(
    fit: Fit, name: str, arguments: dict[str, Any], total: float, squares: float
) -> None:
    """Compares the sum of the two networks' weights and of their squares after four iterations on the ring or on Digits."""
    torch.manual_seed(0)
    system = getattr(zoo, name)(**arguments)
    data = points() if arguments["input_shape"] == (2,) else Digits(normalize=False, batch_size=130)
    fit(system, data, max_steps=4, limit_val_batches=0)
    networks = system.generator, system.discriminator
    weights = torch.cat([parameter.detach().double().flatten() for net in networks for parameter in net.parameters()])
    assert [weights.sum().item(), weights.square().sum().item()] == pytest.approx([total, squares], rel=1e-6, abs=2e-6)


@pytest.mark.parametrize("n_critic", [1, 3])
def test_max_steps_and_checkpoints_count_iterations(fit: Fit, tmp_path: Path, n_critic: int) -> None:
    system = small(n_critic=n_critic)
    keep = RegularCheckpoint(tmp_path, every_n_steps=2)
    kept = {"callbacks": [keep], "enable_checkpointing": True, "plugins": [AtomicCheckpointIO()]}
    trainer = fit(system, points(), max_epochs=-1, max_steps=7, **kept)
    assert trainer.global_step == 7
    assert sorted(path.name for path in tmp_path.glob("step=*")) == ["step=2.ckpt", "step=4.ckpt", "step=6.ckpt"]
    d, g = trainer.optimizers
    updates = [{int(s["step"]) for s in optimizer.state.values()} for optimizer in (d, g)]
    assert updates == [{7 * n_critic}, {7}]


def test_a_schedule_ends_with_the_last_iteration(fit: Fit) -> None:
    system = small(optim={"name": "adam", "schedule": "cosine"}, n_critic=2, d_lr=0.04)
    trainer = fit(system, points(), max_epochs=2)
    assert trainer.global_step == 10
    assert [optimizer.param_groups[0]["lr"] for optimizer in trainer.optimizers] == pytest.approx([0, 0], abs=1e-12)
    assert [optimizer.param_groups[0]["initial_lr"] for optimizer in trainer.optimizers] == [0.04, 0.01]


def test_a_short_last_batch_is_used_for_training(fit: Fit) -> None:
    x = torch.randn(10, 2)
    batches = [Batch(x, torch.zeros(10), torch.arange(10)), Batch(x[:1], torch.zeros(1), torch.arange(1))]
    loader = DataLoader(batches, batch_size=None)  # type: ignore[arg-type]  # a list works as a data set
    trainer = fit(small(n_critic=3), None, loader, loader)
    assert trainer.global_step == 2


class BatchGAN(GAN):
    """GAN whose samples are a function of the batch, so they do not depend on how the batch is split."""

    def fake(self, batch: Any) -> Tensor:
        return self.generator(torch.cat([batch.x, batch.x[:, :1]], dim=1))


def test_accumulated_gradients_equal_those_of_the_whole_batch(fit: Fit) -> None:
    """The parts are uneven, and both losses are means."""

    class Gradients(Callback):
        def __init__(self) -> None:
            self.seen: list[list[Tensor]] = []
            self.backward = 0

        def on_after_backward(self, trainer: Trainer, pl_module: LightningModule) -> None:
            self.backward += 1

        def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Any) -> None:
            self.seen.append([p.grad.clone() for group in optimizer.param_groups for p in group["params"]])

    found = []
    for accumulate in (1, 3):
        torch.manual_seed(0)
        system = BatchGAN((2,), latent_dim=3, widths=[8], lr=0.01, accumulate=accumulate)
        gradients = Gradients()
        trainer = fit(system, points(), max_steps=2, callbacks=[gradients])  # batches of 50: 17, 17, 16
        assert gradients.backward == 2 * 2 * accumulate
        assert {int(s["step"]) for optimizer in trainer.optimizers for s in optimizer.state.values()} == {2}
        found.append(gradients.seen)
    whole, in_parts = found
    assert len(whole) == len(in_parts) == 4
    for a, b in zip(whole[0] + whole[1], in_parts[0] + in_parts[1], strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-7)


def test_the_average_is_an_exponential_moving_average(fit: Fit) -> None:
    class Record(Callback):
        seen: list[dict[str, Tensor]]

        def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
            self.seen = [state(pl_module.generator)]

        def on_train_batch_end(self, trainer: Trainer, pl_module: Any, *_: Any) -> None:
            self.seen.append(state(pl_module.generator))

    record, system = Record(), small(ema=0.7)
    fit(system, points(), max_steps=4, callbacks=[record])
    for name in record.seen[0]:
        by_hand = record.seen[0][name]
        for num_updates, later in enumerate(record.seen[1:]):
            decay = (1 + num_updates) / (10 + num_updates)
            by_hand = decay * by_hand + (1 - decay) * later[name]
        torch.testing.assert_close(system.net.state_dict()[f"module.{name}"], by_hand)
    z = torch.randn(5, 3)
    torch.testing.assert_close(system(z), system.net(z))
    assert not torch.equal(system(z), system.generator(z))


def test_a_checkpoint_holds_batch_norm_statistics_of_the_average(fit: Fit, tmp_path: Path) -> None:
    """BatchNorm outputs maps of unit variance, as in training, also from a checkpoint within an epoch."""
    torch.manual_seed(0)
    system = DCGAN((1, 8, 8), latent_dim=4, widths=(8, 16), lr=0.01, ema=0.99)
    kept = {"enable_checkpointing": True, "plugins": [AtomicCheckpointIO()], "limit_val_batches": 0}
    keep = RegularCheckpoint(tmp_path, every_n_steps=30)
    fit(system, Digits(normalize=False, batch_size=64), callbacks=[keep], max_steps=40, max_epochs=-1, **kept)
    loaded: Any = load_system(tmp_path / "step=30.ckpt")
    generator = loaded.average.module.eval()
    norm = next(layer for layer in generator.modules() if isinstance(layer, nn.BatchNorm2d))
    norm.weight.data.fill_(1)
    norm.bias.data.zero_()
    maps: list[Tensor] = []
    norm.register_forward_hook(lambda layer, inputs, output: maps.append(output))
    generator(torch.randn(500, 4))
    assert maps[0].mean((0, 2, 3)).abs().max() < 0.2
    torch.testing.assert_close(maps[0].var((0, 2, 3)), torch.ones(16), atol=0.2, rtol=0)


def test_gradients_are_clipped_for_each_network(fit: Fit) -> None:
    class Norms(Callback):
        def __init__(self) -> None:
            self.norms: list[float] = []

        def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Any) -> None:
            self.norms.append(
                sum(p.grad.square().sum().item() for group in optimizer.param_groups for p in group["params"]) ** 0.5
            )

    class NormsAfter(Callback):
        norms: list[float]

        def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
            self.norms = [
                sum(p.grad.square().sum().item() for group in optimizer.param_groups for p in group["params"]) ** 0.5
                for optimizer in trainer.optimizers
            ]

    before, after = Norms(), NormsAfter()
    fit(small(clip=1e-3), points(), max_steps=1, callbacks=[before, after])
    assert min(before.norms) > 1e-3  # callbacks run before the module's hook, which clips
    assert after.norms == pytest.approx([1e-3, 1e-3], rel=1e-3)


def test_a_resumed_run_ends_with_the_same_state(fit: Fit, tmp_path: Path) -> None:
    """Compares both networks, both optimizers and the average. The checkpoint was written within an epoch."""
    system = WGANGP((2,), "mlp", 3, [8], lr=0.01, n_critic=2, ema=0.9)
    kept = {"enable_checkpointing": True, "plugins": [AtomicCheckpointIO()], "max_epochs": 2}
    whole = fit(system, points(), callbacks=[Randomness(), RegularCheckpoint(tmp_path, every_n_steps=3)], **kept)
    twin = WGANGP(**system.hparams)
    torch.manual_seed(123)  # must have no effect
    resumed = fit(
        twin, points(), callbacks=[Randomness(), RegularCheckpoint(tmp_path)], ckpt_path=tmp_path / "step=3.ckpt", **kept
    )
    assert whole.global_step == resumed.global_step == 10
    assert same(system.state_dict(), twin.state_dict())
    for a, b in zip(whole.optimizers, resumed.optimizers, strict=True):
        for mine, its in zip(a.state.values(), b.state.values(), strict=True):
            assert same(mine, its)


@pytest.mark.parametrize(
    "make",
    [
        lambda: DCGAN((1, 8, 8), 4, (4, 4), ema=0.9),
        lambda: StyleGAN((1, 8, 8), 4, (4, 8), 6, 2),
        lambda: ProgressiveGAN((1, 8, 8), 4, (4, 6)),
    ],
    ids=["DCGAN", "StyleGAN", "ProgressiveGAN"],
)
def test_a_gan_of_images_resumes_from_the_end_of_an_epoch(fit: Fit, tmp_path: Path, make: Callable[[], Adversarial]) -> None:
    """The run resumes from `last.ckpt`, which is written after the validation of the epoch."""

    class Copy(Callback):
        def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
            if trainer.current_epoch == 0:
                shutil.copyfile(tmp_path / "last.ckpt", tmp_path / "first.ckpt")

    def train(system: Adversarial, *others: Callback, **settings: Any) -> None:
        callbacks = [Randomness(), RegularCheckpoint(tmp_path), *others]
        data, kept = Digits(normalize=False, batch_size=130), {"enable_checkpointing": True, "plugins": [AtomicCheckpointIO()]}
        fit(system, data, callbacks=callbacks, max_epochs=2, **kept, **settings)

    torch.manual_seed(0)
    system, twin = make(), make()
    train(system, Copy())
    assert same(system.state_dict(), load_system(tmp_path / "last.ckpt").state_dict())
    torch.manual_seed(123)  # must have no effect
    train(twin, ckpt_path=tmp_path / "first.ckpt")
    assert same(system.state_dict(), twin.state_dict())


def test_statistics_of_the_average_are_refreshed_when_training_ends(fit: Fit) -> None:
    """This holds without validation and checkpoints, and if the same system is trained again."""
    system = DCGAN((1, 8, 8), 4, (4, 4), ema=0.9)
    for _ in range(2):
        fit(system, Digits(normalize=False, batch_size=130), max_steps=3, limit_val_batches=0)
        kept = state(system)
        system.refresh_statistics()
        assert same(system.state_dict(), kept)


def test_missing_optimizer_settings_come_from_the_class() -> None:
    assert small(optim={"schedule": "cosine"}).optim == {"name": "adam", "betas": [0.5, 0.999], "schedule": "cosine"}
    assert small(optim={}).optim == small().optim
    assert WGANGP((2,), "mlp", optim={"warmup_steps": 3}).optim["betas"] == [0.0, 0.9]
    assert small(optim={"name": "sgd"}).optim == {"name": "sgd", "schedule": "constant"}


def test_both_learning_rates_are_logged(fit: Fit) -> None:
    trainer = fit(small(d_lr=0.03), points(), max_steps=2, limit_val_batches=0, log_every_n_steps=1)
    assert trainer.logged_metrics["train/lr"].item() == pytest.approx(0.01)
    assert trainer.logged_metrics["train/d_lr"].item() == pytest.approx(0.03)


def test_the_plateau_schedule_is_refused() -> None:
    with pytest.raises(ValueError, match="schedule 'plateau' waits for a loss to stop falling, but"):
        small(optim={"name": "adam", "schedule": "plateau"})


def test_a_short_last_batch_is_shared_out() -> None:
    x = torch.arange(7)
    batch = Batch(x, x, x)
    assert [part.x.tolist() for part in split(batch, 3)] == [[0, 1, 2], [3, 4], [5, 6]]
    assert [part.x.tolist() for part in split(batch, 9)] == [[i] for i in range(7)]
