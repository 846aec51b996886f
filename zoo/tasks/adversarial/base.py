"""What every GAN shares: two players, an iteration of the game per batch, and an average of the generator's weights."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Literal, TypedDict, get_args

import torch
from lightning.pytorch.core.optimizer import LightningOptimizer
from lightning.pytorch.strategies import DDPStrategy, ModelParallelStrategy
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_
from torch.optim import Optimizer

from zoo.errors import ZooError
from zoo.nn.adversarial import (
    Judge,
    Loss,
    Penalty,
    check_loss,
    clip_weights,
    discriminator_loss,
    generator_loss,
    gradient_penalty,
    r1_penalty,
)
from zoo.nn.average import Average
from zoo.nn.checks import check_range
from zoo.training.counting import total_steps
from zoo.training.optim import Optim, configure
from zoo.training.parallel import share_buffers
from zoo.training.system import Outputs, System, scalars

_NUM_REFRESH, _AT_ONCE = 2560, 128  # samples that the average's statistics are of
Step = Callable[[Any, Tensor], tuple[Tensor, Outputs]]


class Game(TypedDict, total=False):
    """The rules of a game; what is left out is as the class says, else as here."""

    loss: Loss  # non_saturating
    n_critic: int  # discriminator updates before one of the generator: a batch is dealt out to them; 1
    accumulate: int  # parts that each update computes one after the other, to fit into memory; 1
    redraw: bool  # the generator answers for samples of its own turn, else for those just judged, which saves a pass; true
    d_lr: float | None  # learning rate of the discriminator; lr
    ema: float  # how much of its past the average of the generator keeps per iteration, 0 takes no average; 0
    clip: float | None  # largest norm of a player's gradient; none
    penalty: Penalty | None  # on the discriminator's gradient; none
    penalty_weight: float  # 10
    penalty_every: int  # iterations from one penalty to the next, which weighs as much as those left out; 1
    weight_clip: float | None  # bound on the discriminator's weights; none


_DEFAULTS: Game = {
    "loss": "non_saturating",
    "n_critic": 1,
    "accumulate": 1,
    "redraw": True,
    "d_lr": None,
    "ema": 0.0,
    "clip": None,
    "penalty": None,
    "penalty_weight": 10.0,
    "penalty_every": 1,
    "weight_clip": None,
}
OPTIM: Optim = {"name": "adam", "betas": [0.5, 0.999], "schedule": "constant"}  # Radford, Metz & Chintala, 2016


class TwoPlayers(System):
    """Base of every GAN: a subclass gives two networks, says what the generator makes of a batch, and what each player wants.

    One iteration is one batch: `n_critic` discriminator updates on equal parts of it, then one of the generator. Budgets,
    schedules, logs and checkpoints count iterations. Images are in [0, 1] in batches and samples, in [-1, 1] between the
    players. There is no score that would choose a checkpoint: the last one is tested.

    Args:
        generator: makes samples.
        discriminator: of samples, and of `given`, to logits (B,), or of patches (B, 1, H, W).
        lr: of both players, unless `game` has another for the discriminator.
        optim: what is left out is as the class says in `own_optim`; another optimizer than its own brings betas of its own.
        rules: what the class changes of a game's defaults; `game` comes after.
    """

    automatic_optimization = False
    monitor = None
    generator: nn.Module
    discriminator: nn.Module

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        lr: float,
        optim: Optim | None,
        game: Game | None,
        rules: Game | None = None,
        own_optim: Optim = OPTIM,
    ) -> None:
        super().__init__(lr, merge_optim(own_optim, optim or Optim()))
        if self.optim.get("schedule") == "plateau":
            raise ZooError("schedule 'plateau' waits for a loss to fall, and a game's does not: choose another")
        self.game: Game = check_game({**_DEFAULTS, **(rules or {}), **(game or {})})
        self.generator, self.discriminator = generator, discriminator
        self.average = Average(generator, self.game["ema"]) if self.game["ema"] else None

    @property
    def net(self) -> nn.Module:  # type: ignore[override]  # the one of two networks that a user wants
        """The generator that a user wants: the average, if there is one."""
        return self.generator if self.average is None else self.average

    @property
    def player(self) -> nn.Module:
        """The generator that plays; in evaluation the one that a user wants."""
        return self.generator if self.training else self.net

    def condition(self, batch: Any) -> tuple[Tensor, ...]:
        """What of a batch both players are told."""
        return ()

    def real(self, batch: Any) -> Tensor:
        """Samples as the discriminator sees them: images in [-1, 1], others as they are."""
        return as_signed(batch.x)

    def fake(self, batch: Any) -> Tensor:
        """What the generator makes of, or for, a batch, as the discriminator sees it."""
        raise NotImplementedError(f"{type(self).__name__} has to define fake(batch) -> samples")

    def d_step(self, batch: Any, progress: Tensor, penalise: bool = True, fake: Tensor | None = None) -> tuple[Tensor, Outputs]:
        """The discriminator's loss, and means of what it says; with the penalty of the game if so wanted.

        `fake`, without its graph, is what the generator made of the batch, if it has already.
        """
        real, given = self.real(batch), self.condition(batch)
        if fake is None:
            with torch.no_grad():
                fake = self.fake(batch)
        real_logits, fake_logits = self.discriminator(real, *given), self.discriminator(fake, *given)
        loss = discriminator_loss(self.game["loss"], real_logits, fake_logits)
        outputs = {"d_loss": loss, "d_real": real_logits.float().mean(), "d_fake": fake_logits.float().mean()}
        if penalise and self.game["penalty"]:
            outputs["penalty"] = self.penalty(real, fake, *given)
            loss = loss + self.game["penalty_weight"] * self.game["penalty_every"] * outputs["penalty"]
        return loss, outputs

    def g_step(self, batch: Any, progress: Tensor, fake: Tensor | None = None) -> tuple[Tensor, Outputs]:
        """The generator's loss; `fake`, with its graph, is what it made of the batch, if it has already."""
        fake = self.fake(batch) if fake is None else fake
        loss = generator_loss(self.game["loss"], self.discriminator(fake, *self.condition(batch)))
        return loss, {"g_loss": loss}

    def keep(self, outputs: Outputs) -> None:
        """Called in training with what a step returned, after its gradient: what a game remembers, which no step may touch."""

    def penalty(self, real: Tensor, fake: Tensor, *given: Tensor) -> Tensor:
        """The game's penalty on the discriminator's gradient, 0-d."""
        return self.penalty_of(lambda x: self.discriminator(x, *given), real, fake)

    def penalty_of(self, judge: Judge, real: Tensor, fake: Tensor) -> Tensor:
        """The same for whoever judges samples: a function of them to logits (B,)."""
        return r1_penalty(judge, real) if self.game["penalty"] == "r1" else gradient_penalty(judge, real, fake)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        progress, game, iteration = self.progress(), self.game, self.global_step
        d_optimizer, g_optimizer = self.players()
        penalise = iteration % game["penalty_every"] == 0
        *others, last = parts(batch, game["n_critic"])
        fake = None if game["redraw"] else self.fake(last)  # here, where no turn has switched off gradients
        for part in (*others, last):
            judged = fake.detach() if fake is not None and part is last else None
            d_loss, d_outputs = self._turn(d_optimizer, partial(self.d_step, penalise=penalise, fake=judged), part, progress)
            # through the strategy, since Lightning counts steps of its own optimizers: an iteration is one, the generator's
            self.trainer.strategy.optimizer_step(d_optimizer.optimizer, _nothing)
            if game["weight_clip"] is not None:
                clip_weights(self.discriminator, game["weight_clip"])
        g_loss, g_outputs = self._turn(g_optimizer, partial(self.g_step, fake=fake), last, progress)
        g_optimizer.step()
        if self.average is not None:
            self.average.update(self.generator)
        for schedule in self.lr_schedulers():  # type: ignore[union-attr]  # there are two
            schedule.step()
        loss = d_loss + g_loss
        if self.global_step % self.trainer.log_every_n_steps == 0:  # type: ignore[attr-defined]
            self.log_training(loss, {**d_outputs, **g_outputs})
            self.log("train/d_lr", d_optimizer.param_groups[0]["lr"])
        return loss

    def validation_step(self, batch: Any, batch_idx: int) -> Outputs:
        return self._judge("val", batch)

    def test_step(self, batch: Any, batch_idx: int) -> Outputs:
        return self._judge("test", batch)

    def check_batch(self, batch: Any) -> None:
        if batch.x.ndim == 4:
            check_range(batch.x)

    def setup(self, stage: str) -> None:
        super().setup(stage)
        if isinstance(self.trainer.strategy, ModelParallelStrategy) and self.game["penalty"]:
            raise ZooError("a penalty on gradients needs all weights in its second backward pass, FSDP lets them go: use DDP")
        if isinstance(self.trainer.strategy, DDPStrategy):  # each player's loss leaves the other's parameters without gradient
            self.trainer.strategy._ddp_kwargs["find_unused_parameters"] = True

    def on_validation_start(self) -> None:
        """Judge what the checkpoint holds, rank 0's averages of BatchNorm: DDP shares none in manual optimization."""
        if isinstance(self.trainer.strategy, DDPStrategy):
            for network in (self.generator, self.discriminator, self.average):
                if network is not None:
                    share_buffers(network)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        total, d_lr = total_steps(self.trainer), self.game["d_lr"]
        d = configure(self, self.lr if d_lr is None else d_lr, self.optim, total, monitor="", part=self.discriminator)
        g = configure(self, self.lr, self.optim, total, monitor="", part=self.generator)
        return d, g  # type: ignore[return-value]  # two of what one may be

    def players(self) -> tuple[LightningOptimizer, LightningOptimizer]:
        """The optimizers of discriminator and generator."""
        d_optimizer, g_optimizer = self.optimizers()  # type: ignore[attr-defined]  # there are two
        return d_optimizer, g_optimizer

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Clip: here gradients are unscaled, at any precision."""
        if self.game["clip"] is not None:
            clip_grad_norm_([p for group in optimizer.param_groups for p in group["params"]], self.game["clip"])

    def _turn(self, optimizer: LightningOptimizer, step: Step, batch: Any, progress: Tensor) -> tuple[Tensor, Outputs]:
        """One player's gradients, and nobody else's; loss and outputs of the last part."""
        self.toggle_optimizer(optimizer)
        optimizer.zero_grad()
        for part in parts(batch, self.game["accumulate"]):
            loss, outputs = step(part, progress)
            self.manual_backward(loss * (len(part.x) / len(batch.x)))
            self.keep(outputs)
        self.untoggle_optimizer(optimizer)
        return loss.detach(), outputs

    def _judge(self, stage: str, batch: Any) -> Outputs:
        """Both losses of a batch, without penalty."""
        progress = torch.ones((), device=self.device)
        outputs = {**self.d_step(batch, progress, penalise=False)[1], **self.g_step(batch, progress)[1]}
        self.log_dict(scalars(stage, outputs), batch_size=len(batch.x), on_epoch=True, sync_dist=True)
        return outputs


class Adversarial(TwoPlayers):
    """Base of every GAN that draws from noise: `generator` is of noise (B, Z), and of `given`, to samples."""

    headline = ("test/fd_*_samples", "test/modes")
    _refreshed_at = -1

    def forward(self, *inputs: Tensor) -> Tensor:
        """Noise (B, Z), and `given`, to samples: images in [0, 1]."""
        return as_images(self.net(*inputs))

    def decode(self, *inputs: Tensor) -> Tensor:
        """The same, by the name that autoencoders have for it."""
        return self(*inputs)

    def sample(self, num: int, *given: Tensor) -> Tensor:
        """Draw samples: (num, ...), images in [0, 1]."""
        return self(self.noise(num), *given)

    def predict_step(self, batch: Any, batch_idx: int) -> Outputs:
        """What the discriminator says of real samples: logits (B,)."""
        return {"logit": self.discriminator(self.real(batch), *self.condition(batch)), "position": batch.position}

    def noise(self, num: int) -> Tensor:
        """What the generator starts from: (num, Z), normal."""
        return torch.randn(num, self.hparams["latent_dim"], device=self.device)

    def fake(self, batch: Any) -> Tensor:
        return self.player(self.noise(len(batch.x)), *self.condition(batch))

    def example_inputs(self, batch_size: int) -> tuple[Tensor, ...]:
        return (torch.randn(batch_size, self.hparams["latent_dim"], generator=torch.Generator().manual_seed(0)),)

    def on_fit_start(self) -> None:
        super().on_fit_start()
        self._refreshed_at = -1

    def on_validation_start(self) -> None:
        super().on_validation_start()
        if self.trainer.state.fn == "fit":
            self._refresh_once()

    def on_train_end(self) -> None:
        self._refresh_once()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_save_checkpoint(checkpoint)
        self._refresh_once()
        if state := checkpoint["state_dict"]:  # a copy, if it was put together from shards
            state |= {name: value for name, value in self.named_buffers() if name in state}

    def refresh_statistics(self) -> None:
        """Find what belongs to the weights of the moment but is not learned, of the same noise every time.

        Here the average's statistics of BatchNorm; called before anybody judges or saves.
        """
        if self.average is not None:
            inputs = (torch.split(value.to(self.device), _AT_ONCE) for value in self.example_inputs(_NUM_REFRESH))
            self.average.refresh_statistics(zip(*inputs, strict=True))

    def _refresh_once(self) -> None:
        if self._refreshed_at != self.global_step:
            self._refreshed_at = self.global_step
            self.refresh_statistics()


def merge_optim(own: Optim, optim: Optim) -> Optim:
    """A class's optimizer with what a user has otherwise; betas go with the optimizer that they are of."""
    same = optim.get("name", own["name"]) == own["name"]
    return {**own, **optim} if same else {"schedule": own["schedule"], **optim}


def check_game(game: Game) -> Game:
    """Refuse rules that cannot be played.

    Raises:
        ZooError: naming the rule and what is allowed.
    """
    if unknown := set(game) - set(_DEFAULTS):
        raise ZooError(f"game has no {sorted(unknown)[0]!r}: choose from {', '.join(_DEFAULTS)}")
    check_loss(game["loss"])
    if game["penalty"] is not None and game["penalty"] not in get_args(Penalty):
        raise ZooError(f"unknown penalty {game['penalty']!r}: choose one of {', '.join(get_args(Penalty))}")
    counts: tuple[Literal["n_critic", "accumulate", "penalty_every"], ...] = ("n_critic", "accumulate", "penalty_every")
    for name in counts:
        if game[name] < 1:
            raise ZooError(f"game.{name} must be at least 1, got {game[name]}")
    if not game["redraw"] and game["accumulate"] > 1:
        raise ZooError(
            f"game.redraw false keeps one graph of the whole batch for both players, game.accumulate {game['accumulate']} "
            "is there to have none: choose one of them"
        )
    if not 0 <= game["ema"] < 1:
        raise ZooError(f"game.ema must lie in [0, 1), got {game['ema']}")
    positive: tuple[Literal["d_lr", "clip", "weight_clip", "penalty_weight"], ...]
    positive = ("d_lr", "clip", "weight_clip", "penalty_weight")
    for key in positive:
        if (value := game[key]) is not None and not value > 0:
            raise ZooError(f"game.{key} must be positive, got {value}")
    return game


def parts(batch: Any, num: int) -> Iterator[Any]:
    """A batch in `num` parts, as equal as can be; in fewer if it has fewer samples."""
    pieces = [value.tensor_split(min(num, len(batch.x))) for value in batch]
    return (type(batch)(*piece) for piece in zip(*pieces, strict=True))


def as_signed(x: Tensor) -> Tensor:
    """Images from [0, 1] to [-1, 1], as players see them; other samples as they are."""
    return 2 * x - 1 if x.ndim == 4 else x


def as_images(x: Tensor) -> Tensor:
    """Images from [-1, 1] to [0, 1]; other samples as they are."""
    return (x + 1) / 2 if x.ndim == 4 else x


def _nothing() -> None:
    """The closure of a step whose gradients are there already."""
