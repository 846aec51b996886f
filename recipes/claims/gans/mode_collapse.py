"""Measure which remedies against mode collapse find all Gaussians of a ring (Metz et al., 2017; Gulrajani et al., 2017).

python recipes/claims/gans/mode_collapse.py [--full]        two minutes on one CPU core, too short to find many; --full eight

The same two networks are trained as a plain GAN, and with each remedy that the textbook names: Wasserstein loss (with a
gradient penalty), minibatch discrimination, unrolling. All have the same number of generator updates and the same batch size,
Adam with a cosine schedule, and an average of the generator's weights. The other settings of each were chosen on another seed.
A sample is good within three standard deviations of a Gaussian. A mode is found if it has at least 40 % of an even share of the
good samples. Controls with the cause removed: the plain GAN on one Gaussian, which leaves nothing to forget; the Wasserstein
loss without penalty; minibatch discrimination that reads zero for how close samples are; unrolling by no steps, which is a
plain GAN with the learning rates of the unrolled one. Progressive growing, a fourth remedy of the textbook, starts with small
images. Points have no size, so its row is empty. (Elsewhere the textbook recommends it against instability instead.)
"""

import math
import sys
from typing import Any, NamedTuple

import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from datamodules import GaussianMixture
from datamodules.core.batch import Batch
from zoo.cli.claims import Claim, Row, main
from zoo.gans.gan import GAN
from zoo.gans.minibatch_gan import MinibatchGAN
from zoo.gans.unrolled_gan import UnrolledGAN
from zoo.gans.wgan_gp import WGANGP
from zoo.metrics.generation import count_modes, modes_of_points, shares
from zoo.tasks.adversarial.base import Adversarial, split

CLAIM = (
    "A GAN loses modes of a ring of eight Gaussians; Wasserstein loss, minibatch discrimination and unrolling each find all."
)
NUM_MODES, SPREAD, LATENT_DIM, WIDTHS, BATCH_SIZE = 8, 0.05, 2, (128, 128, 128, 128), 64
REMEDIES = ("Wasserstein loss", "minibatch discrimination", "unrolling")
WASSERSTEIN = {"n_critic": 2, "penalty_weight": 1.0}
UNROLLED = {"unroll": 5, "unroll_lr": 0.01}
KERNELS = {"num_kernels": 16, "kernel_dim": 4}


class Play(NamedTuple):
    """A GAN with its settings and learning rates."""

    system: type[Adversarial]
    arguments: dict[str, Any]
    lr: float
    d_lr: float
    betas: tuple[float, float]
    num_modes: int = NUM_MODES
    blind: bool = False


PLAYS = {
    "plain": Play(GAN, {}, 3e-3, 3e-3, (0.5, 0.9)),
    "Wasserstein loss": Play(WGANGP, WASSERSTEIN, 3e-3, 3e-3, (0.5, 0.9)),
    "minibatch discrimination": Play(MinibatchGAN, KERNELS, 1e-3, 2e-4, (0.5, 0.999)),
    "unrolling": Play(UnrolledGAN, UNROLLED, 1e-3, 1e-4, (0.5, 0.999)),
    "plain, one Gaussian": Play(GAN, {}, 3e-3, 3e-3, (0.5, 0.9), num_modes=1),
    "Wasserstein loss, no penalty": Play(WGANGP, {**WASSERSTEIN, "penalty_weight": 0.0}, 3e-3, 3e-3, (0.5, 0.9)),
    "minibatch discrimination, blind": Play(MinibatchGAN, KERNELS, 1e-3, 2e-4, (0.5, 0.999), blind=True),
    "unrolling by no steps": Play(UnrolledGAN, {**UNROLLED, "unroll": 0}, 1e-3, 1e-4, (0.5, 0.999)),
}
NOT_APPLICABLE = "progressive growing"


class Sizes(NamedTuple):
    """Sizes of the measurement."""

    num_seeds: int
    num_iterations: int
    num_samples: int


FAST = Sizes(num_seeds=2, num_iterations=600, num_samples=5000)
FULL = Sizes(num_seeds=2, num_iterations=3000, num_samples=10_000)


class Found(NamedTuple):
    """Modes of a generator, and their shares."""

    modes: int
    least: float  # share of the rarest mode among the good samples
    good: float  # share of the samples within three deviations of a mode
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


def train(play: Play, num_iterations: int) -> Any:
    """Train a GAN."""
    data, model = GaussianMixture("ring", play.num_modes, SPREAD), build(play)
    d_weights, g_weights = (list(net.parameters()) for net in (model.discriminator, model.generator))
    d = torch.optim.Adam(d_weights, play.d_lr, play.betas, fused=True)
    g = torch.optim.Adam(g_weights, play.lr, play.betas, fused=True)
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
def judge(model: Any, num_modes: int, num_samples: int) -> Found:
    """Find the modes that a model's samples belong to."""
    data, samples = GaussianMixture("ring", num_modes, SPREAD), model.sample(num_samples)
    label = modes_of_points(samples, data.centres, data.spread)
    share = shares(label, num_modes)
    return Found(count_modes(share), share.min().item(), (label >= 0).float().mean().item(), samples)


def measure(full: bool) -> Claim:
    """The claim holds if the plain GAN misses modes in every seed, and every remedy finds all modes in every seed."""
    sizes = FULL if full else FAST
    found: dict[str, list[Found]] = {name: [] for name in PLAYS}
    for seed in range(sizes.num_seeds):
        for name, play in PLAYS.items():
            torch.manual_seed(seed)
            found[name].append(judge(train(play, sizes.num_iterations), play.num_modes, sizes.num_samples))
    rows = [_row(name, values) for name, values in found.items()]
    rows.insert(1 + len(REMEDIES), {**dict.fromkeys(rows[0]), "game": NOT_APPLICABLE})
    modes = {name: [each.modes for each in values] for name, values in found.items()}
    holds = max(modes["plain"]) < NUM_MODES and all(min(modes[name]) == NUM_MODES for name in REMEDIES)
    shown = ", ".join(
        f"{row['game']} {row['modes']:.1f} ({row['high quality']:.0%} good)" for row in rows if row["modes"] is not None
    )
    measured = f"modes of {NUM_MODES}: {shown}; progressive growing has no meaning for points"
    return Claim(CLAIM, measured, holds, list(range(sizes.num_seeds)), rows, _draw(found))


def _row(name: str, values: list[Found]) -> Row:
    modes = torch.tensor([float(each.modes) for each in values])
    return {
        "game": name,
        "of": PLAYS[name].num_modes,
        "modes": modes.mean().item(),
        "sd": modes.std().item() if len(modes) > 1 else 0.0,
        "fewest": int(modes.min()),
        "least share": sum(each.least for each in values) / len(values),
        "high quality": sum(each.good for each in values) / len(values),
    }


def _draw(found: dict[str, list[Found]]) -> Figure:
    """Draw samples of the last seed, a panel per GAN, with the centres as circles."""
    columns = math.ceil(len(found) / 2)
    figure = Figure(figsize=(3 * columns, 6.4), layout="constrained")
    panels = figure.subplots(2, columns, sharex=True, sharey=True).flatten()
    for (name, values), axes in zip(found.items(), panels, strict=True):
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
