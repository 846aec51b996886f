"""Measure which remedies against mode collapse find all Gaussians of a ring (Metz et al., 2017; Gulrajani et al., 2017).

python recipes/claims/gans/mode_collapse.py [--full]        two minutes on one CPU core, too short to find many; --full eight

The same two networks are trained as a plain GAN, and with each remedy that the textbook names: Wasserstein loss (with a
gradient penalty), minibatch discrimination, unrolling. The arms differ in the technique alone. The number of generator updates,
the samples in each update, the generator's learning rate, Adam's betas, the cosine schedule and the average of the generator's
weights are shared. How fast a discriminator may learn depends on the technique, so every arm tries the same two learning rates
for it, and is judged at the one with the larger overlap (see `zoo.metrics.generation.overlap`). A sample is good within three
standard deviations of a Gaussian. A mode is found if it has at least 40 % of an even share of the good samples.

Controls with the cause removed, at the rate of their arm: the plain GAN on one Gaussian, which leaves nothing to forget; the
Wasserstein loss without penalty; minibatch discrimination that reads zero for how close samples are. Unrolling by no steps is
the plain GAN, which is there at both rates. Progressive growing, a fourth remedy of the textbook, starts with small images.
Points have no size, so its row is empty. (Elsewhere the textbook recommends it against instability instead.)

Criterion, stated before the full measurement. An arm has trained if at least half of its samples are good, on average over the
seeds. If the plain GAN or a remedy has not trained, the verdict is "cannot tell". Otherwise the claim holds if the plain GAN
misses modes in every seed, and every remedy finds all modes in every seed.
"""

import math
import sys
from typing import Any, NamedTuple

import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from datamodules import GaussianMixture
from datamodules.core.batch import Batch
from zoo.cli.claims import Claim, Row, judge, main
from zoo.gans.gan import GAN
from zoo.gans.minibatch_gan import MinibatchGAN
from zoo.gans.unrolled_gan import UnrolledGAN
from zoo.gans.wgan_gp import WGANGP
from zoo.metrics.generation import count_modes, modes_of_points, overlap, shares
from zoo.tasks.adversarial.base import Adversarial, split

CLAIM = (
    "A GAN loses modes of a ring of eight Gaussians; Wasserstein loss, minibatch discrimination and unrolling each find all."
)
NUM_MODES, SPREAD, LATENT_DIM, WIDTHS, BATCH_SIZE = 8, 0.05, 2, (128, 128), 64
LR, D_LRS, BETAS = 4e-3, (4e-3, 4e-4), (0.5, 0.999)
TRAINED = 0.5  # share of good samples of an arm that has trained
PLAIN, REMEDIES = "plain", ("Wasserstein loss", "minibatch discrimination", "unrolling")
WASSERSTEIN = {"n_critic": 5, "penalty_weight": 0.1}  # five updates, as in the paper: the loss needs a good critic
UNROLLED = {"unroll": 5, "unroll_lr": 0.01}
KERNELS = {"num_kernels": 16, "kernel_dim": 4}


class Play(NamedTuple):
    """A GAN with its settings. A control is trained with the learning rates of the arm that it belongs to."""

    system: type[Adversarial]
    arguments: dict[str, Any]
    num_modes: int = NUM_MODES
    blind: bool = False
    arm: str | None = None  # the arm of a control


PLAYS = {
    PLAIN: Play(GAN, {}),
    "Wasserstein loss": Play(WGANGP, WASSERSTEIN),
    "minibatch discrimination": Play(MinibatchGAN, KERNELS),
    "unrolling": Play(UnrolledGAN, UNROLLED),
    "plain, one Gaussian": Play(GAN, {}, num_modes=1, arm=PLAIN),
    "Wasserstein loss, no penalty": Play(WGANGP, {**WASSERSTEIN, "penalty_weight": 0.0}, arm="Wasserstein loss"),
    "minibatch discrimination, blind": Play(MinibatchGAN, KERNELS, blind=True, arm="minibatch discrimination"),
}
NOT_APPLICABLE = "progressive growing"


class Sizes(NamedTuple):
    """Sizes of the measurement."""

    num_seeds: int
    num_iterations: int
    num_samples: int


FAST = Sizes(num_seeds=2, num_iterations=600, num_samples=5000)
FULL = Sizes(num_seeds=2, num_iterations=1500, num_samples=10_000)
SMALLEST = FAST._replace(num_seeds=2, num_iterations=3, num_samples=100)
CONTROLS = {"game": ["plain, one Gaussian", "Wasserstein loss, no penalty", "minibatch discrimination, blind"]}


class Found(NamedTuple):
    """Modes of a generator, and their shares."""

    modes: int
    least: float  # share of the rarest mode among the good samples
    good: float  # share of the samples within three deviations of a mode
    overlap: float  # with an equal share of samples for each mode
    samples: Tensor  # (num_samples, 2)


class Blind(nn.Module):
    """Minibatch discrimination that reads zero."""

    def __init__(self, num_kernels: int) -> None:
        super().__init__()
        self.num_kernels = num_kernels

    def forward(self, features: Tensor) -> Tensor:
        """Append zeros to features (B, F)."""
        return torch.cat([features, features.new_zeros(len(features), self.num_kernels)], dim=1)


def build(play: Play) -> Any:
    """Build a GAN; all have the same two networks."""
    arguments = play.arguments if play.system is GAN else {"architecture": "mlp", **play.arguments}
    system: Any = play.system
    model = system((2,), latent_dim=LATENT_DIM, widths=WIDTHS, ema=0.99, **arguments)
    if play.blind:
        model.discriminator.head[0] = Blind(play.arguments["num_kernels"])
    return model


def draw(data: GaussianMixture, num: int) -> Batch:
    """Draw new points from the mixture."""
    y = torch.randint(len(data.centres), (num,))
    return Batch(data.centres[y] + data.spread * torch.randn(num, 2), y, torch.arange(num))


def train(play: Play, d_lr: float, num_iterations: int) -> Any:
    """Train a GAN with a learning rate for its discriminator."""
    data, model = GaussianMixture("ring", play.num_modes, SPREAD), build(play)
    d_weights, g_weights = (list(net.parameters()) for net in (model.discriminator, model.generator))
    d = torch.optim.Adam(d_weights, d_lr, BETAS, fused=True)
    g = torch.optim.Adam(g_weights, LR, BETAS, fused=True)
    schedules = [torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, num_iterations) for optimizer in (d, g)]
    for iteration in range(num_iterations):
        progress = torch.tensor(iteration / num_iterations)
        for part in split(draw(data, model.n_critic * BATCH_SIZE), model.n_critic):
            update(d, d_weights, model.d_step(part, progress)[0])
        update(g, g_weights, model.g_step(part, progress)[0])
        model.average.update(model.generator, iteration)
        for schedule in schedules:
            schedule.step()
    return model


def update(optimizer: torch.optim.Optimizer, weights: list[Tensor], loss: Tensor) -> None:
    """Update one network."""
    optimizer.zero_grad()
    loss.backward(inputs=weights)  # type: ignore[no-untyped-call]  # torch's
    optimizer.step()


@torch.no_grad()
def samples_of(model: Any, num_modes: int, num_samples: int) -> Found:
    """Find the modes that a model's samples belong to."""
    data, samples = GaussianMixture("ring", num_modes, SPREAD), model.sample(num_samples)
    label = modes_of_points(samples, data.centres, data.spread)
    share = shares(label, num_modes)
    good = (label >= 0).float().mean().item()
    return Found(count_modes(share), share.min().item(), good, overlap(label, num_modes), samples)


def measure(full: bool) -> Claim:
    """Measure every arm at both rates, then the controls, and judge the arms by the criterion above."""
    sizes = FULL if full else FAST
    tried: dict[tuple[str, float], list[Found]] = {}
    best: dict[str, float] = {}
    for name, play in PLAYS.items():
        rates = D_LRS if play.arm is None else (best[play.arm],)
        for d_lr in rates:
            tried[name, d_lr] = []
            for seed in range(sizes.num_seeds):
                torch.manual_seed(seed)
                tried[name, d_lr].append(samples_of(train(play, d_lr, sizes.num_iterations), play.num_modes, sizes.num_samples))
        overlaps = [_mean(tried[name, d_lr], "overlap") for d_lr in rates]
        best[name] = rates[overlaps.index(max(overlaps))]
    rows = [_row(name, d_lr, values) for (name, d_lr), values in tried.items()]
    rows.insert(len(D_LRS) * (1 + len(REMEDIES)), {**dict.fromkeys(rows[0]), "game": NOT_APPLICABLE})
    found = {name: tried[name, d_lr] for name, d_lr in best.items()}
    modes = {name: [each.modes for each in values] for name, values in found.items()}
    trained = all(_mean(found[name], "good") >= TRAINED for name in (PLAIN, *REMEDIES))
    holds = max(modes[PLAIN]) < NUM_MODES and all(min(modes[name]) == NUM_MODES for name in REMEDIES)
    shown = ", ".join(
        f"{name} {_mean(values, 'modes'):.1f} ({_mean(values, 'good'):.0%} good)" for name, values in found.items()
    )
    measured = f"modes of {NUM_MODES}, at the better rate of each: {shown}; progressive growing has no meaning for points"
    return Claim(CLAIM, measured, judge(holds, trained=trained), list(range(sizes.num_seeds)), rows, _draw(found))


def _mean(values: list[Found], of: str) -> float:
    return sum(getattr(each, of) for each in values) / len(values)


def _row(name: str, d_lr: float, values: list[Found]) -> Row:
    modes = torch.tensor([float(each.modes) for each in values])
    return {
        "game": name,
        "rate of discriminator": d_lr,
        "of": PLAYS[name].num_modes,
        "modes": modes.mean().item(),
        "sd": modes.std().item(),
        "fewest": int(modes.min()),
        "least share": _mean(values, "least"),
        "high quality": _mean(values, "good"),
        "overlap": _mean(values, "overlap"),
    }


def _draw(found: dict[str, list[Found]]) -> Figure:
    """Draw samples of the last seed, a panel per GAN, with the centres as circles."""
    columns = math.ceil(len(found) / 2)
    figure = Figure(figsize=(3 * columns, 6.4), layout="constrained")
    panels = figure.subplots(2, columns, sharex=True, sharey=True).flatten()
    panels[-1].axis("off")  # an odd number of games
    for (name, values), axes in zip(found.items(), panels, strict=False):
        centres, (x, y) = GaussianMixture("ring", PLAYS[name].num_modes, SPREAD).centres.T, values[-1].samples[:3000].T
        axes.scatter(*centres, s=120, facecolors="none", edgecolors="lightgrey", linewidths=0.8)
        axes.scatter(x, y, s=1, alpha=0.5)
        axes.set_title(f"{name}: {values[-1].modes} of {PLAYS[name].num_modes}", fontsize=9)
        axes.set_xlim(-3, 3)
        axes.set_ylim(-3, 3)
        axes.set_aspect("equal")
    return figure


if __name__ == "__main__":
    sys.exit(main(__file__))
