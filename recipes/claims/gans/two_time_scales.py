"""Measure whether a discriminator that learns faster than the generator helps (Heusel et al., 2017, arXiv:1706.08500).

python recipes/claims/gans/two_time_scales.py [--full]        half a minute on one CPU core; --full about fifteen

SNGAN is trained on the ring of eight Gaussians with constant learning rates: two rates, 1 to 4, which is the zoo's default for
SNGAN; and one rate for both networks with the same geometric mean, and with the same arithmetic mean. Several means are tried,
because the best may differ. The table reports the distance of samples from the data (sliced Wasserstein, mean over the last
quarter of the training), its fluctuation there, and the modes found at the end. Controls: the two rates swapped, 4 to 1; and
the floor, the distance between two draws of the data.
"""

import sys
from typing import NamedTuple

import torch
from matplotlib.figure import Figure
from torch import Tensor

from datamodules import GaussianMixture
from datamodules.core.batch import Batch
from zoo.cli.claims import Claim, Row, main
from zoo.gans.sngan import SNGAN
from zoo.metrics.generation import count_modes, modes_of_points, shares

CLAIM = "Two learning rates, the discriminator's four times the generator's, converge better than one."
RATES = {  # of the generator and of the discriminator, relative to their mean
    "two, 1 : 4": (0.5, 2.0),
    "one, same geometric mean": (1.0, 1.0),
    "one, same arithmetic mean": (1.25, 1.25),
    "two, 4 : 1": (2.0, 0.5),
}
TWO, *ONE = list(RATES)[:3]
BATCH_SIZE, NUM_OBSERVED, NUM_SAMPLES = 64, 40, 4000


class Sizes(NamedTuple):
    """Sizes of the measurement."""

    num_seeds: int
    means: tuple[float, ...]  # geometric, of the two rates
    num_iterations: int


FAST = Sizes(num_seeds=2, means=(2e-3,), num_iterations=400)
FULL = Sizes(num_seeds=3, means=(1.5e-3, 3e-3), num_iterations=4000)


class Course(NamedTuple):
    """One training run: distances over its length, and the result."""

    distances: Tensor  # (NUM_OBSERVED,)
    modes: int
    good: float  # share of samples within three deviations of any Gaussian

    @property
    def end(self) -> Tensor:
        """Distances of the last quarter."""
        return self.distances[-(len(self.distances) // 4) :]


def sliced_distance(x: Tensor, y: Tensor, num_directions: int = 64) -> float:
    """Average the Wasserstein-1 distance of x and y (N, 2) over evenly spaced directions, in units of the plane."""
    angles = torch.arange(num_directions) * (torch.pi / num_directions)
    directions = torch.stack([angles.cos(), angles.sin()])
    return ((x @ directions).sort(0).values - (y @ directions).sort(0).values).abs().mean().item()


def draw(data: GaussianMixture, num: int) -> Batch:
    """Draw new points from the mixture."""
    y = torch.randint(len(data.centres), (num,))
    return Batch(data.centres[y] + data.spread * torch.randn(num, 2), y, torch.arange(num))


def play(lr: float, d_lr: float, num_iterations: int, seed: int) -> Course:
    """Train once."""
    torch.manual_seed(seed)
    data, progress = GaussianMixture("ring", 8), torch.tensor(0.5)
    model = SNGAN((2,), "mlp", latent_dim=16, widths=(128, 128, 128, 128))
    d_weights, g_weights = (list(net.parameters()) for net in (model.discriminator, model.generator))
    d = torch.optim.Adam(d_weights, d_lr, (0.0, 0.9), fused=True)
    g = torch.optim.Adam(g_weights, lr, (0.0, 0.9), fused=True)
    every, distances = max(1, num_iterations // NUM_OBSERVED), []
    for iteration in range(num_iterations):
        batch = draw(data, BATCH_SIZE)
        for optimizer, weights, step in ((d, d_weights, model.d_step), (g, g_weights, model.g_step)):
            loss, _ = step(batch, progress)
            optimizer.zero_grad()
            loss.backward(inputs=weights)  # type: ignore[no-untyped-call]  # torch's
            optimizer.step()
        if (iteration + 1) % every == 0:
            with torch.no_grad():
                samples = model.sample(NUM_SAMPLES)
            distances.append(sliced_distance(samples, draw(data, NUM_SAMPLES).x))
    label = modes_of_points(samples, data.centres, data.spread)
    return Course(torch.tensor(distances), count_modes(shares(label, len(data.centres))), (label >= 0).float().mean().item())


def measure(full: bool) -> Claim:
    """The claim holds if two rates end closer than either single rate, each at its best mean, by twice the error over seeds."""
    sizes = FULL if full else FAST
    seeds = range(sizes.num_seeds)
    found: dict[tuple[str, float], list[Course]] = {}
    for name, (of_g, of_d) in RATES.items():
        for mean in sizes.means:
            found[name, mean] = [play(of_g * mean, of_d * mean, sizes.num_iterations, seed) for seed in seeds]
    rows = [_row(name, mean, courses) for (name, mean), courses in found.items()]
    best = {name: min((row for row in rows if row["rates"] == name), key=lambda row: row["distance"]) for name in RATES}
    ends = {name: torch.stack([course.end.mean() for course in found[name, row["mean"]]]) for name, row in best.items()}
    holds = True
    parts = [f"{TWO} {ends[TWO].mean():.3f}, {best[TWO]['modes']:.1f} modes"]
    for name in (*ONE, "two, 4 : 1"):
        gain = ends[name] - ends[TWO]
        error = (gain.std() / len(gain) ** 0.5).item() if len(gain) > 1 else 0.0
        gained = f"{gain.mean():+.3f} +/- {error:.3f}"
        parts.append(f"{name} {ends[name].mean():.3f} ({gained}), {best[name]['modes']:.1f} modes")
        holds &= name not in ONE or gain.mean().item() > 2 * error
    data = GaussianMixture("ring", 8)
    torch.manual_seed(0)
    floor = sliced_distance(draw(data, NUM_SAMPLES).x, draw(data, NUM_SAMPLES).x)
    empty: Row = dict.fromkeys(rows[0])
    rows.append({**empty, "rates": "two draws of data", "distance": floor})
    measured = f"distance from the data at the best mean of each: {'; '.join(parts)}; of two draws of data {floor:.3f}"
    return Claim(CLAIM, measured, holds, list(seeds), rows, _draw(found, floor))


def _row(name: str, mean: float, courses: list[Course]) -> Row:
    ends = torch.stack([course.end.mean() for course in courses])
    return {
        "rates": name,
        "mean": mean,
        "generator": RATES[name][0] * mean,
        "discriminator": RATES[name][1] * mean,
        "distance": ends.mean().item(),
        "sd": ends.std().item() if len(ends) > 1 else 0.0,
        "up and down": torch.stack([course.end.std() for course in courses]).mean().item(),
        "modes": sum(course.modes for course in courses) / len(courses),
        "high quality": sum(course.good for course in courses) / len(courses),
    }


def _draw(found: dict[tuple[str, float], list[Course]], floor: float) -> Figure:
    """Draw a panel per mean of rates: the distance over the training, mean and range of seeds."""
    means = list(dict.fromkeys(mean for _, mean in found))
    figure = Figure(figsize=(4.2 * max(2, len(means)), 4), layout="constrained")
    panels = figure.subplots(1, len(means), sharey=True, squeeze=False)[0]
    for mean, axes in zip(means, panels, strict=True):
        for name in RATES:
            distances = torch.stack([course.distances for course in found[name, mean]])
            (line,) = axes.plot(distances.mean(0), label=name)
            axes.fill_between(
                range(distances.shape[1]), distances.amin(0), distances.amax(0), color=line.get_color(), alpha=0.15
            )
        axes.axhline(floor, color="lightgrey", linewidth=0.8)
        axes.set_yscale("log")
        axes.set_title(f"Rates around {mean:g}", fontsize=11)
        axes.set_xlabel("fortieths of the game")
    panels[0].set_ylabel("distance of samples from the data")
    panels[-1].legend(fontsize=8)
    return figure


if __name__ == "__main__":
    sys.exit(main(__file__))
