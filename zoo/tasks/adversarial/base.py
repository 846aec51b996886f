"""Base class of GANs: two networks that are updated in turns, and an EMA of the generator's weights."""

from collections.abc import Callable
from itertools import cycle
from typing import Any, ClassVar

import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn

from zoo.nn.checks import check_range
from zoo.nn.image_range import as_signed
from zoo.tasks.adversarial.rhythm import build_average, check_rhythm, prepare_strategy, share_statistics
from zoo.training.counting import total_steps
from zoo.training.optim import Optim, configure
from zoo.training.reporting import log_means
from zoo.training.system import Outputs, System, log_training, scalars

Result = tuple[Tensor, Outputs]  # loss and outputs
Step = Callable[[Any, Tensor], Result]  # of batch and progress


class Adversarial(System):
    """Base class of GANs. A new GAN is one file: copy `zoo/gans/wgan_gp.py`, build two networks, write `d_step` and `g_step`.

    Both steps are pure: `(batch, progress) -> (loss, outputs)`. Get samples from `self.real(batch)` and `self.fake(batch)`.
    Penalties belong in the steps, under `if self.training`. Images are in [-1, 1] between the networks and in [0, 1] elsewhere.

    One batch is one iteration: `n_critic` discriminator updates on equal parts of the batch, then one generator update on the
    last part. `max_steps`, schedules, logs and checkpoints count iterations. No score selects a checkpoint: the last is tested.

    Args:
        generator: maps noise or images to samples.
        discriminator: maps samples, followed by `condition(batch)`, to logits: (B,), or (B, 1, H, W) for patches.
        n_critic: discriminator updates per generator update.
        accumulate: number of parts over which the gradients of an update are accumulated, to save memory.
        d_lr: learning rate of the discriminator. None: `lr`.
        ema: decay of the averaged generator, which draws all samples in evaluation. It is lower in the first iterations (see
            `Average`). 0 turns averaging off.
        clip: largest gradient norm of each network. None: no clipping.
    """

    automatic_optimization = False
    monitor = None
    headline: ClassVar[str | tuple[str, ...]] = ("test/fd_*_samples", "test/overlap", "test/modes")
    losses = ("d_loss", "g_loss")
    second_order = False  # set it to True if a step differentiates a gradient, as gradient penalties do
    _stale = False  # whether training has changed weights since `refresh_statistics`

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        lr: float,
        optim: Optim,
        n_critic: int = 1,
        accumulate: int = 1,
        d_lr: float | None = None,
        ema: float = 0.0,
        clip: float | None = None,
    ) -> None:
        super().__init__(lr, optim)
        check_rhythm(optim, n_critic, accumulate, d_lr, clip)
        self.generator, self.discriminator = generator, discriminator
        self.n_critic, self.accumulate, self.d_lr, self.clip = n_critic, accumulate, d_lr, clip
        self.average = build_average(generator, ema)

    @property
    def net(self) -> nn.Module:  # type: ignore[override]  # one of the two networks
        """The generator that draws samples: the average if there is one."""
        return self.generator if self.average is None else self.average

    def condition(self, batch: Any) -> tuple[Tensor, ...]:
        """Conditioning inputs passed to both networks (for example labels)."""
        return ()

    def real(self, batch: Any) -> Tensor:
        """Return the real samples of a batch as the discriminator sees them: images in [-1, 1]."""
        return as_signed(batch.x)

    def fake(self, batch: Any) -> Tensor:
        """Generate as many samples as the batch has: images in [-1, 1]. In evaluation the average generates them."""
        raise NotImplementedError(f"{type(self).__name__} has to define fake(batch), or derive from FromNoise or Translator")

    def d_step(self, batch: Any, progress: Tensor) -> Result:
        """Loss and outputs of the discriminator."""
        raise NotImplementedError(f"{type(self).__name__} has to define d_step(batch, progress) -> (loss, outputs)")

    def g_step(self, batch: Any, progress: Tensor) -> Result:
        """Loss and outputs of the generator."""
        raise NotImplementedError(f"{type(self).__name__} has to define g_step(batch, progress) -> (loss, outputs)")

    def steps(self, parts: list[Any], iteration: int) -> tuple[list[Step], Step]:
        """Return the discriminator's steps, which take the parts of a batch in turn, and one `g_step`.

        Override it to bind what depends on the iteration.
        """
        return [self.d_step] * len(parts), self.g_step

    def after_backward(self, outputs: Outputs) -> None:
        """Update state from a training step's outputs, which the pure step must not do. Called after each backward pass."""

    def after_d_update(self) -> None:
        """Constrain the discriminator's weights. Called after each of its updates."""

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        progress, (d_optimizer, g_optimizer) = self.progress(), self.optimizers()  # type: ignore[attr-defined]  # a list of two
        parts = split(batch, self.n_critic)
        d_steps, g_step = self.steps(parts, self.global_step)
        for part, d_step in zip(cycle(parts), d_steps):
            d_loss, d_outputs = self.compute_gradients(d_optimizer, d_step, part, progress)
            # Lightning counts the steps of its own optimizer wrappers; only the generator's may advance `global_step`.
            self.trainer.strategy.optimizer_step(d_optimizer.optimizer, lambda: None)
            self.after_d_update()
        g_loss, g_outputs = self.compute_gradients(g_optimizer, g_step, parts[-1], progress)
        g_optimizer.step()
        self._stale = True
        if self.average is not None:
            self.average.update(self.generator, num_updates=self.global_step - 1)  # the generator's step is counted already
        for schedule in self.lr_schedulers():  # type: ignore[union-attr]  # there are two
            schedule.step()
        loss, outputs = d_loss + g_loss, {**d_outputs, **g_outputs}
        log_training(self, loss, outputs, len(batch.x), step=self.global_step)
        if self.global_step % self.trainer.log_every_n_steps == 0:  # type: ignore[attr-defined]
            self.log("train/d_lr", d_optimizer.param_groups[0]["lr"])
        return loss

    def compute_gradients(self, optimizer: Any, step: Step, batch: Any, progress: Tensor) -> tuple[Tensor, Outputs]:
        """Compute one network's gradients, accumulated over parts of a batch. Return loss and outputs of the last part."""
        self.toggle_optimizer(optimizer)  # no gradients for the other network
        optimizer.zero_grad()
        for part in split(batch, self.accumulate):
            loss, outputs = step(part, progress)
            self.manual_backward(loss * (len(part.x) / len(batch.x)))
            self.after_backward(outputs)
        self.untoggle_optimizer(optimizer)
        return loss.detach(), outputs

    def on_before_optimizer_step(self, optimizer: Any) -> None:
        if self.clip is not None:  # gradients are already unscaled in mixed precision
            nn.utils.clip_grad_norm_([p for group in optimizer.param_groups for p in group["params"]], self.clip)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        total, d_lr = total_steps(self.trainer), self.lr if self.d_lr is None else self.d_lr
        parts = (self.discriminator, d_lr), (self.generator, self.lr)
        return [configure(self, lr, self.optim, total, monitor="", part=part) for part, lr in parts]  # type: ignore[return-value]

    def evaluate(self, stage: str, batch: Any) -> Outputs:
        progress = torch.ones((), device=self.device)
        outputs = {**self.d_step(batch, progress)[1], **self.g_step(batch, progress)[1]}
        log_means(self, scalars(stage, outputs), len(batch.x))
        return outputs

    def predict_step(self, batch: Any, batch_idx: int) -> Outputs:
        """Score real samples with the discriminator: logits (B,)."""
        return {"logit": self.discriminator(self.real(batch), *self.condition(batch)), "position": batch.position}

    def check_batch(self, batch: Any) -> None:
        if batch.x.ndim == 4:
            check_range(batch.x)

    def setup(self, stage: str) -> None:
        super().setup(stage)
        prepare_strategy(self.trainer.strategy, self.second_order)

    def on_validation_start(self) -> None:
        share_statistics(self.trainer.strategy, self.generator, self.discriminator, self.average)
        self.refresh_once()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_save_checkpoint(checkpoint)
        self.refresh_once()
        if state := checkpoint["state_dict"]:  # buffers gathered from shards are copies made before the refresh
            state |= {name: value for name, value in self.named_buffers() if name in state}

    def refresh_once(self) -> None:
        if self._stale:
            self._stale = False
            self.refresh_statistics()

    on_train_end = refresh_once

    def refresh_statistics(self) -> None:
        """Recompute what depends on the weights but is not learned, before samples are judged or saved."""


def split(batch: Any, num: int) -> list[Any]:
    """Split a batch into `num` parts of nearly equal size, or into single samples if it has fewer."""
    pieces = [value.tensor_split(min(num, len(batch.x))) for value in batch]
    return [type(batch)(*piece) for piece in zip(*pieces, strict=True)]
