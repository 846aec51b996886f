"""What CycleGAN promises: a loss by its parts, updates in turns, a buffer that is saved, translation."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning import Callback, LightningModule, Trainer
from torch import Tensor, nn

from datamodules import UnpairedImages
from datamodules.core.batch import Batch
from zoo.gans.cyclegan import CycleGAN, ResNetGenerator
from zoo.training.checkpoint import AtomicCheckpointIO
from zoo.training.randomness import Randomness
from zoo.training.regular_checkpoint import RegularCheckpoint

Fit = Callable[..., Trainer]
PROGRESS = torch.tensor(0.5)


def batch(size: int = 4) -> Batch:
    x, y = torch.rand(2, size, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    return Batch(x, y, torch.arange(size))


def small(**arguments: Any) -> CycleGAN:
    torch.manual_seed(0)
    defaults = {"width": 8, "num_halvings": 1, "num_blocks": 1, "d_widths": [8, 16], "lr": 2e-3}
    return CycleGAN((1, 8, 8), **{**defaults, **arguments})


def folder(path: Path, batch_size: int = 2) -> UnpairedImages:
    return UnpairedImages(str(path), size=8, rgb=False, batch_size=batch_size, seed=0)


def test_the_loss_is_the_sum_of_its_parts() -> None:
    system, given = small(cycle=3.0, identity=0.25), batch()
    loss, outputs = system.g_step(given, PROGRESS)
    a, b = 2 * given.x - 1, 2 * given.y - 1
    to_b, to_a = system.generator.to_b, system.generator.to_a
    of_a, of_b = system.discriminator.of_a, system.discriminator.of_b
    deceive = 0.5 * ((of_a(to_a(b)) - 1).square().mean() + (of_b(to_b(a)) - 1).square().mean())
    cycle = (to_a(to_b(a)) - a).abs().mean() + (to_b(to_a(b)) - b).abs().mean()
    same = (to_a(a) - a).abs().mean() + (to_b(b) - b).abs().mean()
    torch.testing.assert_close(loss, deceive + 3 * cycle + 0.75 * same)
    torch.testing.assert_close(outputs["cycle_l1_a"], (system.back(system(given.x)) - given.x).abs().mean())  # in [0, 1]
    torch.testing.assert_close(outputs["cycle_l1"], (outputs["cycle_l1_a"] + outputs["cycle_l1_b"]) / 2)


def test_generators_that_do_nothing_come_back_and_deceive_nobody() -> None:
    system = small()
    system.generator.to_b, system.generator.to_a = nn.Identity(), nn.Identity()
    outputs = system.g_step(batch(), PROGRESS)[1]
    assert outputs["cycle_l1"] == outputs["identity_l1"] == 0
    assert outputs["g_loss"] > 0


class Gradients(Callback):
    """Checks that no update changes the gradients of the other networks."""

    def __init__(self) -> None:
        self.turns: list[str] = []
        self.seen: dict[int, Tensor] = {}

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Any) -> None:
        model: Any = pl_module
        mine = {id(p) for group in optimizer.param_groups for p in group["params"]}
        assert mine in [{id(p) for p in network.parameters()} for network in (model.generator, model.discriminator)]
        self.turns.append("d" if id(next(model.discriminator.parameters())) in mine else "g")
        for parameter in model.parameters():
            if id(parameter) in mine:
                assert parameter.grad is not None
                assert parameter.grad.any()
                self.seen[id(parameter)] = parameter.grad.clone()
            elif id(parameter) in self.seen:
                assert torch.equal(parameter.grad, self.seen[id(parameter)])
            else:
                assert parameter.grad is None


def test_networks_take_turns_and_leave_each_other_alone(fit: Fit, domains: Path) -> None:
    gradients = Gradients()
    fit(small(), folder(domains), callbacks=[gradients], max_steps=3)
    assert gradients.turns == ["d", "g"] * 3


def test_training_fills_the_buffer_and_evaluation_does_not(fit: Fit, domains: Path) -> None:
    system = small(buffer_size=50)
    trainer = fit(system, folder(domains), max_steps=5)  # two images each
    counts = [system.past[domain].count.item() for domain in "ab"]
    assert counts == [10, 10]
    trainer.test(system, folder(domains), verbose=False)
    assert [system.past[domain].count.item() for domain in "ab"] == counts
    kept = system.past["a"].images
    assert kept[:10].flatten(1).any(1).all()
    assert not kept[10:].any()


def test_the_discriminator_is_shown_the_past() -> None:
    """With half of the fakes replaced from a full buffer of white images, its logits change."""
    system, given = small(buffer_size=4), batch()
    torch.manual_seed(0)
    before = system.d_step(given, PROGRESS)[1]["d_fake"]
    for domain in "ab":
        system.past[domain].images.fill_(1)
        system.past[domain].count.fill_(4)
    torch.manual_seed(0)
    assert not torch.isclose(system.d_step(given, PROGRESS)[1]["d_fake"], before, rtol=1e-3)
    system.eval()
    torch.testing.assert_close(system.d_step(given, PROGRESS)[1]["d_fake"], before)


def test_a_resumed_run_ends_as_the_uninterrupted_one(fit: Fit, domains: Path, tmp_path: Path) -> None:
    """Both networks, their optimizers, and a buffer that is full and swaps, from a checkpoint within an epoch."""
    kept = {"enable_checkpointing": True, "plugins": [AtomicCheckpointIO()], "max_epochs": 2}
    system = small(buffer_size=6, ema=0.9)
    whole = fit(
        system, folder(domains), callbacks=[Randomness(), RegularCheckpoint(tmp_path / "runs", every_n_steps=7)], **kept
    )
    twin = CycleGAN(**system.hparams)
    torch.manual_seed(123)  # must not matter
    checkpoint = tmp_path / "runs" / "step=7.ckpt"
    resumed = fit(
        twin, folder(domains), callbacks=[Randomness(), RegularCheckpoint(tmp_path / "more")], ckpt_path=checkpoint, **kept
    )
    assert whole.global_step == resumed.global_step == 22
    mine, its = system.state_dict(), twin.state_dict()
    assert mine["past.a.count"] == 6
    assert [name for name in mine if not torch.equal(mine[name], its[name])] == []


def test_learns_to_turn_dark_into_light(fit: Fit, domains: Path) -> None:
    system, data = small(), folder(domains, batch_size=4)
    fit(system, data, max_epochs=30, limit_val_batches=0)
    system.eval()
    found = data.transform(next(iter(data.loader("test"))), 0, False)
    assert found.x.mean() < 0.25
    assert found.y.mean() > 0.75
    assert system(found.x).mean() > 0.6
    assert system.back(found.y).mean() < 0.4


def test_strips_go_there_and_back() -> None:
    system, given = small().eval(), batch(3)
    strips = system.strips(given)
    assert {name: rows.shape for name, rows in strips.items()} == dict.fromkeys(["a_to_b_to_a", "b_to_a_to_b"], (3, 3, 1, 8, 8))
    there = strips["b_to_a_to_b"]
    torch.testing.assert_close(there[:, 0], given.y)
    torch.testing.assert_close(there[:, 1], system.back(given.y))
    torch.testing.assert_close(there[:, 2], system(system.back(given.y)))


@pytest.mark.parametrize("size", [(8, 8), (12, 20)])
def test_generators_keep_every_size_that_halves(size: tuple[int, int]) -> None:
    assert ResNetGenerator((2, *size), 4, 2, 1)(torch.rand(1, 2, *size)).shape == (1, 2, *size)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"input_shape": (1, 10, 8), "num_halvings": 2}, "sides must be multiples of 4 pixels, got 10x8"),
        ({"num_halvings": 3}, "the residual blocks need maps of 2x2 or more"),
        ({"num_blocks": 0}, "width and num_blocks must be 1 or more"),
        ({"cycle": -1.0}, "cycle and identity are weights of 0 or more, got -1.0 and 0.5"),
        ({"buffer_size": -1}, "a buffer's size must be 0 or more images, got -1"),
    ],
)
def test_what_cannot_be_built_is_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CycleGAN(**{"input_shape": (1, 8, 8), "width": 4, "num_halvings": 1, "num_blocks": 1, "d_widths": [8, 8], **arguments})
