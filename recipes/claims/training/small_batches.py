"""Does batch norm suffer from small batches, and does group norm not? (Ioffe & Szegedy, 2015; Wu & He, 2018).

python recipes/claims/training/small_batches.py [--full]        seconds on one CPU core; --full about five minutes

Small CNNs that differ only in their norm are trained with gradient accumulation: 128 images are read in several small batches,
and the weights are updated by the mean of their gradients. So all networks see the same images, take the same number of steps
and have the same noise in their gradients, whatever the size of a batch. Only the norm sees the difference. Batch norm
normalises each channel over the images of a batch. Group norm normalises groups of four channels of one image, and layer norm
all channels of one image. They compute the same whatever the size of a batch, so they are trained once. Each norm has its own
learning rate, the best of three on validation with batches of 128. Scored is the test accuracy after the last step.

The control is a batch of 128 images, which gives batch norm good statistics.

Criterion: the claim holds if batch norm with batches of 2 is worse than group norm by more than two standard errors of the
difference, and worse than batch norm with batches of 128 by more than two standard errors. It holds in part if only the latter
is true. It cannot be told if a norm stays below 60 % accuracy with the largest batch.

Full measurements use Fashion-MNIST at half the resolution, fast ones Digits.
"""

import sys
from collections.abc import Callable
from typing import NamedTuple

import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from zoo.cli.arms import Source, Splits, accuracy, conv_net, difference, images, mean_and_error, train
from zoo.cli.claims import Claim, Row, judge, main

CLAIM = "Small batches harm batch norm, and spare group norm."
TRAINED = 0.6  # accuracy
UPDATE = 128  # images for each update of the weights
RATES = (0.1, 0.3, 1.0)


class MicroBatchNorm(nn.BatchNorm2d):
    """Batch norm that normalises the images of an update in several batches, as gradient accumulation does.

    Args:
        num_channels: C.
        batch_size: images in each batch.
    """

    def __init__(self, num_channels: int, batch_size: int) -> None:
        super().__init__(num_channels)
        self.batch_size = batch_size

    def forward(self, x: Tensor) -> Tensor:
        """Normalise x (B, C, H, W) in training by parts of `batch_size` images, and in evaluation by running statistics."""
        normalise = super().forward
        return torch.cat([normalise(part) for part in x.split(self.batch_size)]) if self.training else normalise(x)


class Sizes(NamedTuple):
    """Sizes of the measurement."""

    num_seeds: int
    source: Source
    num_steps: int
    widths: tuple[int, ...]
    batch_sizes: tuple[int, ...]


FAST = Sizes(num_seeds=2, source="digits", num_steps=40, widths=(8, 16), batch_sizes=(2, 16, UPDATE))
FULL = Sizes(num_seeds=3, source="fashion_mnist", num_steps=150, widths=(16, 32), batch_sizes=(2, 4, 8, 32, UPDATE))
SMALLEST = FAST._replace(num_steps=3, batch_sizes=(32, UPDATE))
CONTROLS = {"batch": [UPDATE]}


def norms(batch_size: int) -> dict[str, Callable[[int], nn.Module]]:
    """Return the builder of each norm by its name, for the number of images that batch norm sees at once."""
    return {
        "batch norm": lambda width: MicroBatchNorm(width, batch_size),
        "group norm": lambda width: nn.GroupNorm(width // 4, width),
        "layer norm": lambda width: nn.GroupNorm(1, width),
    }


def trained(norm: str, batch_size: int, lr: float, seed: int, data: Splits, sizes: Sizes) -> nn.Sequential:
    """Train a network. Networks of one seed have equal initial weights and images."""
    torch.manual_seed(seed)
    net = conv_net(sizes.widths, norms(batch_size)[norm])
    train(net, data.train, torch.optim.SGD(net.parameters(), lr=lr, momentum=0.9), sizes.num_steps, UPDATE, seed)
    return net


def measure(full: bool) -> Claim:
    """Measure the accuracies of all norms at all batch sizes. Rates are chosen on validation, with a seed of their own."""
    sizes = FULL if full else FAST
    data, seeds = images(sizes.source), range(sizes.num_seeds)

    def val(norm: str, lr: float) -> float:
        return accuracy(trained(norm, UPDATE, lr, 1000, data, sizes), data.val)

    def test(norm: str, batch_size: int) -> list[float]:
        nets = [trained(norm, batch_size, rates[norm], seed, data, sizes) for seed in seeds]
        return [accuracy(net, data.test) for net in nets]

    names = list(norms(UPDATE))
    rates = {norm: max(RATES, key=lambda lr, norm=norm: val(norm, lr)) for norm in names}
    once = {norm: test(norm, UPDATE) for norm in names if norm != "batch norm"}
    found = {size: {"batch norm": test("batch norm", size), **once} for size in sizes.batch_sizes}
    small, large = found[sizes.batch_sizes[0]], found[UPDATE]
    to_group, error = difference(small["group norm"], small["batch norm"])
    to_large, large_error = difference(large["batch norm"], small["batch norm"])
    harmed = to_large > 2 * large_error
    learned = min(mean_and_error(each)[0] for each in large.values()) > TRAINED
    verdict = judge(harmed and to_group > 2 * error, in_part=harmed, trained=learned)
    measured = "accuracy of batch norm: "
    measured += ", ".join(f"{mean_and_error(each['batch norm'])[0]:.3f} with {size}" for size, each in found.items())
    measured += "; " + ", ".join(f"{norm} {mean_and_error(each)[0]:.3f} with any" for norm, each in once.items())
    measured += f"; batches of {sizes.batch_sizes[0]} cost batch norm {to_large:.3f} ± {large_error:.3f}"
    measured += f"; group norm is then {abs(to_group):.3f} ± {error:.3f} {'better' if to_group > 0 else 'worse'}"
    return Claim(CLAIM, measured, verdict, list(seeds), [_row(*item, rates) for item in found.items()], _draw(found))


def _row(size: int, found: dict[str, list[float]], rates: dict[str, float]) -> Row:
    row: Row = {"batch": size}
    for norm, values in found.items():
        row[norm], row[f"{norm} error"] = mean_and_error(values)
    row["group - batch"], row["error"] = difference(found["group norm"], found["batch norm"])
    return row | {f"rate of {norm}": rate for norm, rate in rates.items()}


def _draw(found: dict[int, dict[str, list[float]]]) -> Figure:
    """Draw the accuracy by batch size, with two standard errors."""
    figure = Figure(figsize=(5.5, 4), layout="constrained")
    axes = figure.subplots()
    for norm in norms(UPDATE):
        means, errors = zip(*(mean_and_error(each[norm]) for each in found.values()), strict=True)
        axes.errorbar(list(found), means, [2 * error for error in errors], marker="o", capsize=3, label=norm)
    axes.set_xscale("log", base=2)
    axes.set_xticks(list(found), [str(size) for size in found])
    axes.set_xlabel("images that batch norm normalises together")
    axes.set_ylabel("test accuracy")
    axes.legend()
    return figure


if __name__ == "__main__":
    sys.exit(main(__file__))
