"""How images grow: without a jump, on schedule, with every resolution's own layers."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from lightning import Callback, LightningModule, Trainer

from datamodules import Digits
from datamodules.core.batch import Batch
from zoo.gans.progressive_gan import ProgressiveDiscriminator, ProgressiveGAN, ProgressiveGenerator, level_at
from zoo.training.checkpoint import AtomicCheckpointIO, load_system

Fit = Callable[..., Trainer]
WIDTHS = (4, 6, 8)


@pytest.mark.parametrize("level", [0, 1])
def test_a_fade_starts_and_ends_without_a_jump(level: int) -> None:
    """At share 0 of the next resolution both networks do what they did before, at share 1 what they do after."""
    torch.manual_seed(0)
    generator = ProgressiveGenerator(5, (1, 28, 28), WIDTHS)
    discriminator = ProgressiveDiscriminator((1, 28, 28), WIDTHS)
    z, x = torch.randn(4, 5), torch.rand(4, 1, 28, 28)
    for at, beside in ((level, level + 1e-6), (level + 1, level + 1 - 1e-6)):
        ends = []
        for where in (at, beside):
            generator.grow_to(where)
            discriminator.grow_to(where)
            ends.append((generator(z), discriminator(x)))
        for a, b in zip(*ends, strict=True):
            assert (a - b).abs().max() < 1e-5
    middle = generator.grow_to(level + 0.5) or generator(z)
    assert (middle - ends[0][0]).abs().max() > 1e-3


def test_each_level_draws_images_of_its_own_resolution() -> None:
    generator = ProgressiveGenerator(5, (1, 28, 28), WIDTHS)
    for level, size in enumerate([7, 14, 28]):
        generator.grow_to(level)
        x = generator(torch.randn(2, 5))
        assert x.shape == (2, 1, 28, 28)
        small = F.adaptive_avg_pool2d(x, size)
        torch.testing.assert_close(F.interpolate(small, (28, 28)), x)
        assert small.unique().numel() > size**2 / 2


def test_real_images_fade_in_as_drawn_ones_do() -> None:
    """Half way up to 14 x 14 pixels, real images are half what 7 x 7 pixels show of them."""
    system = ProgressiveGAN((1, 28, 28), latent_dim=5, widths=WIDTHS)
    x = torch.rand(4, 1, 28, 28)
    coarse, fine = (F.interpolate(F.adaptive_avg_pool2d(2 * x - 1, size), (28, 28)) for size in (7, 14))
    for level, expected in ((0, 2 * x - 1), (0.5, (coarse + fine) / 2), (1, fine)):
        system.discriminator.grow_to(level)
        torch.testing.assert_close(system.real(Batch(x, x, x)), expected)


def test_a_level_looks_at_no_finer_detail() -> None:
    discriminator = ProgressiveDiscriminator((1, 8, 8), WIDTHS)
    coarse = torch.rand(4, 1, 2, 2)
    noise = torch.randn(4, 1, 8, 8)
    noise -= F.interpolate(F.adaptive_avg_pool2d(noise, 2), (8, 8))  # which averages to nothing
    x = F.interpolate(coarse, (8, 8))
    discriminator.grow_to(0)
    torch.testing.assert_close(discriminator(x + noise), discriminator(x))
    discriminator.grow_to(2)
    assert not torch.allclose(discriminator(x + noise), discriminator(x))


def test_the_schedule_is_flat_then_rises_by_steps() -> None:
    """Three levels in half of the training: flat, fade, flat, fade, an eighth each, then full size."""
    at = [level_at(progress, 0.5, 3) for progress in (0, 0.124, 0.1875, 0.25, 0.37, 0.4375, 0.5, 0.9)]
    assert at == pytest.approx([0, 0, 0.5, 1, 1, 1.5, 2, 2])
    assert level_at(0.0, 0.0, 3) == 2
    assert level_at(0.3, 0.5, 1) == 0


def test_training_grows_both_networks_and_a_checkpoint_stores_the_level(fit: Fit, tmp_path: Path) -> None:
    class Levels(Callback):
        def __init__(self) -> None:
            self.seen: list[tuple[float, ...]] = []

        def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
            model: Any = pl_module
            self.seen.append(tuple(float(net.level) for net in (model.generator, model.discriminator, model.average.module)))
            if trainer.global_step == 4:
                trainer.save_checkpoint(tmp_path / "middle.ckpt")

    levels = Levels()
    system = ProgressiveGAN((1, 8, 8), 4, (4, 6), growth=0.8)
    fit(system, Digits(normalize=False, batch_size=130), max_epochs=1, callbacks=[levels], plugins=[AtomicCheckpointIO()])
    assert len(levels.seen) == 9
    assert all(len(set(of_all)) == 1 for of_all in levels.seen)
    first, *_, last = (of_all[0] for of_all in levels.seen)
    assert (first, last) == (0, 1)
    loaded: Any = load_system(tmp_path / "middle.ckpt")
    assert float(loaded.generator.level) == levels.seen[3][0] == 0
    assert loaded.generator.top == loaded.average.module.top == 0
    x = loaded.sample(2)
    torch.testing.assert_close(F.interpolate(F.adaptive_avg_pool2d(x, 4), (8, 8)), x)


def test_a_longer_fit_shrinks_nothing(fit: Fit, tmp_path: Path) -> None:
    """A run that came to full size goes on at full size, though by now it has done less than half of its steps."""
    data = Digits(normalize=False, batch_size=130)
    trainer = fit(ProgressiveGAN((1, 8, 8), 4, (4, 6), growth=0.8), data, max_epochs=1)
    trainer.save_checkpoint(tmp_path / "full.ckpt")
    longer = ProgressiveGAN((1, 8, 8), 4, (4, 6), growth=0.8)
    fit(longer, data, max_epochs=2, limit_train_batches=10, ckpt_path=tmp_path / "full.ckpt")
    assert float(longer.generator.level) == float(longer.discriminator.level) == 1


def test_a_penalty_is_computed_at_the_current_resolution() -> None:
    """Half the squared gradient by 2 x 2 pixels, not by the 8 x 8 that show them."""
    system = ProgressiveGAN((1, 8, 8), 4, WIDTHS, penalty="r1")
    system.discriminator.grow_to(0)
    x = torch.rand(4, 1, 8, 8)
    small = F.adaptive_avg_pool2d(x, 2).requires_grad_()
    logits = system.discriminator(F.interpolate(small, (8, 8)))
    (gradient,) = torch.autograd.grad(logits.sum(), small)
    torch.testing.assert_close(system.compute_penalty(x, x), 0.5 * gradient.square().sum((1, 2, 3)).mean())


def test_what_cannot_grow_is_refused() -> None:
    with pytest.raises(ValueError, match=r"growth is a share of the training, in \[0, 1\), got 1"):
        ProgressiveGAN((1, 8, 8), growth=1.0)
    with pytest.raises(ValueError, match="halved 4 times, so that sides must be multiples of 16 pixels, got 28x28"):
        ProgressiveGAN((1, 28, 28), widths=(4,) * 5)
    with pytest.raises(ValueError, match="halved 3 times, so that sides must be multiples of 8 pixels, got 28x28"):
        ProgressiveGAN((1, 28, 28), widths=(4,) * 4)
    with pytest.raises(ValueError, match="unknown penalty 'r2': choose one of gradient, r1"):
        ProgressiveGAN((1, 8, 8), widths=(4,), penalty="r2")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="penalty_every must be at least 1, got 0"):
        ProgressiveGAN((1, 8, 8), widths=(4,), penalty_every=0)
