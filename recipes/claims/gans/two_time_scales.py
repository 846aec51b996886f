"""Measure whether a discriminator that learns faster than the generator helps (Heusel et al., 2017, arXiv:1706.08500).

python recipes/claims/gans/two_time_scales.py [--full]        half a minute on one CPU core; --full about five

SNGAN is trained on a ring of eight Gaussians. The arms differ in the ratio of the discriminator's learning rate to the
generator's alone: 4, which is the zoo's default for SNGAN, and 1. Everything else is shared: networks, batches, number of
updates, a cosine schedule to 0, an average of the generator's weights, and the geometric means of the two rates that are tried,
because the best may differ. The table reports the distance of samples from the data (sliced Wasserstein, of the average at the
end of the training), and the share of good samples, which lie within three standard deviations of a Gaussian. Controls: the
ratio turned round, 1/4; and the floor, the distance between two draws of the data.

Criterion, stated before the full measurement. Each ratio is judged at its best mean, the one with the smallest distance. A
ratio has trained if at least half of its samples are good there, on average over the seeds. If the ratio 4 or 1 has not
trained, the verdict is "cannot tell". Otherwise the claim holds if the distance is smaller for 4 than for 1 by more than twice
the standard error of the difference over seeds.
"""

import sys
from typing import NamedTuple

import torch
from matplotlib.figure import Figure
from torch import Tensor

from datamodules import GaussianMixture
from datamodules.core.batch import Batch
from zoo.cli.claims import Claim, Row, judge, main
from zoo.gans.sngan import SNGAN
from zoo.metrics.generation import count_modes, modes_of_points, shares

CLAIM = "Two learning rates, the discriminator's four times the generator's, converge better than one."
RATIOS = {"two, 1 : 4": 4.0, "one": 1.0, "two, 4 : 1": 0.25}  # of the discriminator's rate to the generator's
TWO, ONE, *_ = RATIOS
TRAINED = 0.5  # share of good samples of an arm that has trained
SPREAD, WIDTHS, LATENT_DIM = 0.1, (128, 128, 128), 2
BATCH_SIZE, NUM_OBSERVED = 64, 20


class Sizes(NamedTuple):
    """Sizes of the measurement."""

    num_seeds: int
    means: tuple[float, ...]  # geometric, of the two rates
    num_iterations: int
    num_samples: int


FAST = Sizes(num_seeds=2, means=(4e-3,), num_iterations=400, num_samples=4000)
FULL = FAST._replace(num_seeds=3, means=(2e-3, 4e-3), num_iterations=1500)
SMALLEST = FAST._replace(num_seeds=2, num_iterations=20, num_samples=100)
CONTROLS = {"rates": ["two, 4 : 1", "two draws of data"]}


class Course(NamedTuple):
    """One training run: distances over its length, and the result."""

    distances: Tensor  # (NUM_OBSERVED,); the last one is the result
    modes: int
    good: float  # share of samples within three deviations of any Gaussian


def sliced_distance(x: Tensor, y: Tensor, num_directions: int = 64) -> float:
    """Average the Wasserstein-1 distance of x and y (N, 2) over evenly spaced directions, in units of the plane."""
    angles = torch.arange(num_directions) * (torch.pi / num_directions)
    directions = torch.stack([angles.cos(), angles.sin()])
    return ((x @ directions).sort(0).values - (y @ directions).sort(0).values).abs().mean().item()


def draw(data: GaussianMixture, num: int) -> Batch:
    """Draw new points from the mixture."""
    y = torch.randint(len(data.centres), (num,))
    return Batch(data.centres[y] + data.spread * torch.randn(num, 2), y, torch.arange(num))


def play(ratio: float, mean: float, sizes: Sizes, seed: int) -> Course:
    """Train once with learning rates of a ratio and a geometric mean."""
    torch.manual_seed(seed)
    data, progress = GaussianMixture("ring", 8, SPREAD), torch.tensor(0.5)
    model = SNGAN((2,), "mlp", latent_dim=LATENT_DIM, widths=WIDTHS, ema=0.99)
    assert model.average is not None
    d_weights, g_weights = (list(net.parameters()) for net in (model.discriminator, model.generator))
    d = torch.optim.Adam(d_weights, mean * ratio**0.5, (0.0, 0.9), fused=True)
    g = torch.optim.Adam(g_weights, mean / ratio**0.5, (0.0, 0.9), fused=True)
    schedules = [torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, sizes.num_iterations) for optimizer in (d, g)]
    every, distances = max(1, sizes.num_iterations // NUM_OBSERVED), []
    for iteration in range(sizes.num_iterations):
        batch = draw(data, BATCH_SIZE)
        for optimizer, weights, step in ((d, d_weights, model.d_step), (g, g_weights, model.g_step)):
            loss, _ = step(batch, progress)
            optimizer.zero_grad()
            loss.backward(inputs=weights)  # type: ignore[no-untyped-call]  # torch's
            optimizer.step()
        model.average.update(model.generator, iteration)
        for schedule in schedules:
            schedule.step()
        if (iteration + 1) % every == 0:
            with torch.no_grad():
                samples = model.sample(sizes.num_samples)
            distances.append(sliced_distance(samples, draw(data, sizes.num_samples).x))
    label = modes_of_points(samples, data.centres, data.spread)
    return Course(torch.tensor(distances), count_modes(shares(label, len(data.centres))), (label >= 0).float().mean().item())


def measure(full: bool) -> Claim:
    """Measure every ratio at every mean, and judge them by the criterion above."""
    sizes = FULL if full else FAST
    seeds = range(sizes.num_seeds)
    found: dict[tuple[str, float], list[Course]] = {}
    for name, ratio in RATIOS.items():
        for mean in sizes.means:
            found[name, mean] = [play(ratio, mean, sizes, seed) for seed in seeds]
    rows = [_row(name, mean, courses) for (name, mean), courses in found.items()]
    best = {name: min((row for row in rows if row["rates"] == name), key=lambda row: row["distance"]) for name in RATIOS}
    ends = {name: torch.stack([course.distances[-1] for course in found[name, row["mean"]]]) for name, row in best.items()}
    gain = ends[ONE] - ends[TWO]
    error = (gain.std() / len(gain) ** 0.5).item()
    trained = all(best[name]["high quality"] >= TRAINED for name in (TWO, ONE))
    holds = gain.mean().item() > 2 * error
    data = GaussianMixture("ring", 8, SPREAD)
    torch.manual_seed(0)
    floor = sliced_distance(draw(data, sizes.num_samples).x, draw(data, sizes.num_samples).x)
    empty: Row = dict.fromkeys(rows[0])
    rows.append({**empty, "rates": "two draws of data", "distance": floor})
    shown = [
        f"{name} {row['distance']:.3f} ({row['high quality']:.0%} good, {row['modes']:.1f} modes)" for name, row in best.items()
    ]
    measured = (
        f"distance from the data at the best mean of each: {'; '.join(shown)}; of two draws of data {floor:.3f}. "
        f"One rate is farther by {gain.mean():+.3f} +/- {error:.3f}"
    )
    return Claim(CLAIM, measured, judge(holds, trained=trained), list(seeds), rows, _draw(found, floor))


def _row(name: str, mean: float, courses: list[Course]) -> Row:
    ends = torch.stack([course.distances[-1] for course in courses])
    return {
        "rates": name,
        "mean": mean,
        "generator": mean / RATIOS[name] ** 0.5,
        "discriminator": mean * RATIOS[name] ** 0.5,
        "distance": ends.mean().item(),
        "sd": ends.std().item(),
        "modes": sum(course.modes for course in courses) / len(courses),
        "high quality": sum(course.good for course in courses) / len(courses),
    }


def _draw(found: dict[tuple[str, float], list[Course]], floor: float) -> Figure:
    """Draw a panel per mean of rates: the distance over the training, mean and range of seeds."""
    means = list(dict.fromkeys(mean for _, mean in found))
    figure = Figure(figsize=(4.2 * max(2, len(means)), 4), layout="constrained")
    panels = figure.subplots(1, len(means), sharey=True, squeeze=False)[0]
    for mean, axes in zip(means, panels, strict=True):
        for name in RATIOS:
            distances = torch.stack([course.distances for course in found[name, mean]])
            (line,) = axes.plot(distances.mean(0), label=name)
            axes.fill_between(
                range(distances.shape[1]), distances.amin(0), distances.amax(0), color=line.get_color(), alpha=0.15
            )
        axes.axhline(floor, color="lightgrey", linewidth=0.8)
        axes.set_yscale("log")
        axes.set_title(f"Rates around {mean:g}", fontsize=11)
        axes.set_xlabel(f"training, in parts of {NUM_OBSERVED}")
    panels[0].set_ylabel("distance of samples from the data")
    panels[-1].legend(fontsize=8)
    return figure


if __name__ == "__main__":
    sys.exit(main(__file__))
