"""Is a convolution equivariant to shifts, and does pooling make a network invariant? (Zhang, 2019, arXiv:1904.11486).

python recipes/claims/cnn/equivariance.py [--full]        seconds on one CPU core; --full a minute

The reference credits CNNs with translation invariance. A convolution has another property, equivariance: a shift of the image
shifts the output and changes nothing else. The error is the norm of the difference between the output for the shifted image
and the shifted output, as a share of the output's norm, in double precision with random weights. With circular padding it
should be 0. With zero padding it should be 0 except near the border. With stride 2 it should be 0 for even shifts only. A
fully connected layer is the control. Beside that, torch's conv2d is compared with a sum over the kernel as it is, which is a
cross-correlation in mathematics, and over the kernel turned by 180 degrees, which is a convolution there.

A network is invariant if a shift changes no prediction. Networks with the same two convolutions are trained without pooling,
with a 2x2 max pool after each convolution, and with global average pooling, and a fully connected one is trained as the
control. Measured is the share of test images that keep their predicted class when they are moved by one to three pixels, over
four directions. Images have a margin of four pixels, so that nothing is cut off. No augmentation teaches the shifts.

Criterion: the claim holds if errors with circular padding, and with zero padding away from the border, are below 1e-10, and if
at every shift both poolings keep more predictions than no pooling, by more than two standard errors, but not all. It holds in
part if only the first is true. Full measurements use 2,000 images of Fashion-MNIST at half the resolution, fast ones Digits.
"""

import sys
from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from torch import Tensor, nn

from zoo.cli.arms import Images, Source, Splits, difference, images, logits_of, mean_and_error, train
from zoo.cli.claims import Claim, Row, judge, main

CLAIM = "A convolution is equivariant to shifts, and pooling makes a network partly invariant to them."
EXACT = 1e-10
MARGIN, SIDE = 4, 16
SHIFTS = (1, 2, 3)
NETS = ("no pooling", "max pools", "global average pool", "fully connected")


class Sizes(NamedTuple):
    """Sizes of the measurement."""

    num_seeds: int
    source: Source
    num_train: int
    num_steps: int


FAST = Sizes(num_seeds=2, source="digits", num_train=500, num_steps=80)
FULL = Sizes(num_seeds=3, source="fashion_mnist", num_train=2000, num_steps=400)
SMALLEST = FAST._replace(num_train=40, num_steps=3)
CONTROLS = {"what": ["fully connected layer", "fully connected"]}


def layers(generator: torch.Generator) -> dict[str, Callable[[Tensor], Tensor]]:
    """Return layers for images (B, 1, H, W) of 16 pixels per side, with random weights in double precision."""
    kernel = torch.randn(1, 1, 3, 3, generator=generator, dtype=torch.float64)
    dense = torch.randn(SIDE**2, SIDE**2, generator=generator, dtype=torch.float64)

    def circular(x: Tensor, stride: int = 1) -> Tensor:
        return F.conv2d(F.pad(x, (1, 1, 1, 1), mode="circular"), kernel, stride=stride)

    return {
        "convolution, circular padding": circular,
        "convolution, zero padding": lambda x: F.conv2d(x, kernel, padding=1),
        "convolution, zero padding, inside": lambda x: F.conv2d(x, kernel, padding=1),
        "convolution, stride 2": lambda x: circular(x, stride=2),
        "max pool, stride 2": lambda x: F.max_pool2d(x, 2),
        "fully connected layer": lambda x: (x.flatten(1) @ dense).view_as(x),
    }


def equivariance_error(layer: Callable[[Tensor], Tensor], shift: int, inside: bool, x: Tensor) -> float:
    """Compare shifting before and after a layer that may halve the image. For odd shifts the nearest whole one is taken."""
    out, moved = layer(x), layer(x.roll(shift, 3))
    halves = out.shape[3] < x.shape[3]
    candidates = [out.roll(by, 3) for by in ((shift // 2, (shift + 1) // 2) if halves else (shift,))]
    keep = slice(shift + 2, SIDE - 2) if inside else slice(None)
    errors = [(moved - each)[..., keep, keep].norm() / out[..., keep, keep].norm() for each in candidates]
    return min(errors).item()


def correlation_error(turned: bool, x: Tensor, kernel: Tensor) -> float:
    """Compare torch's conv2d with the sum over a 3x3 kernel as it is, or over the kernel turned by 180 degrees."""
    weights = kernel.rot90(2, (0, 1)) if turned else kernel
    height, width = x.shape[2] - 2, x.shape[3] - 2
    total = sum(weights[i, j] * x[:, :, i : i + height, j : j + width] for i in range(3) for j in range(3))
    out = F.conv2d(x, kernel[None, None])
    return ((out - total).norm() / out.norm()).item()


def build(name: str, side: int) -> nn.Sequential:
    """Build a network for grey images. The convolutional ones differ in their pooling only."""
    if name == "fully connected":
        hidden = [nn.Flatten(), nn.Linear(side**2, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU()]
        return nn.Sequential(*hidden, nn.Linear(64, 10))
    pool = nn.MaxPool2d(2) if name == "max pools" else nn.Identity()
    body = [nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), pool, nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(), pool]
    if name == "global average pool":
        return nn.Sequential(*body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10))
    return nn.Sequential(*body, nn.Flatten(), nn.Linear(16 * (side // 4 if name == "max pools" else side) ** 2, 10))


def with_margin(data: Images) -> Images:
    """Surround images by background."""
    return Images(F.pad(data.x, (MARGIN,) * 4, value=data.x.min().item()), data.y)


def kept(net: nn.Module, x: Tensor, shift: int) -> float:
    """Return the share of images whose prediction survives a shift, over four directions."""
    before = logits_of(net, x).argmax(1)
    moves = [(shift, 2), (-shift, 2), (shift, 3), (-shift, 3)]
    return sum((logits_of(net, x.roll(*move)).argmax(1) == before).float().mean().item() for move in moves) / len(moves)


def shares_kept(name: str, seed: int, data: Splits, num_steps: int) -> list[float]:
    """Train a network and measure what shifts leave of its predictions."""
    torch.manual_seed(seed)
    net = build(name, data.train.x.shape[3])
    train(net, data.train, torch.optim.AdamW(net.parameters(), lr=5e-3), num_steps, 64, seed)
    return [kept(net, data.test.x[:2000], shift) for shift in SHIFTS]


def measure(full: bool) -> Claim:
    """Measure errors of layers, and what shifts leave of the predictions of networks."""
    sizes = FULL if full else FAST
    generator, seeds = torch.Generator().manual_seed(0), range(sizes.num_seeds)
    x = torch.randn(4, 1, SIDE, SIDE, generator=generator, dtype=torch.float64)
    kernel = torch.arange(9.0, dtype=torch.float64).view(3, 3)
    errors = {
        (name, shift): equivariance_error(layer, shift, "inside" in name, x)
        for name, layer in layers(generator).items()
        for shift in SHIFTS
    }
    flips = {f"conv2d - kernel {how}": correlation_error(how == "turned", x, kernel) for how in ("as it is", "turned")}
    data = Splits(*map(with_margin, images(sizes.source, sizes.num_train)))
    by_seed = {name: [shares_kept(name, seed, data, sizes.num_steps) for seed in seeds] for name in NETS}
    shares = {(name, shift): [each[i] for each in by_seed[name]] for name in NETS for i, shift in enumerate(SHIFTS)}
    exact = [error for (name, _), error in errors.items() if name.endswith(("circular padding", "inside"))]
    pools = [(name, shift) for name in ("max pools", "global average pool") for shift in SHIFTS]
    gains = [difference(shares[name, shift], shares["no pooling", shift]) for name, shift in pools]
    more = all(mean > 2 * error for mean, error in gains)
    partly = all(max(values) < 1 for values in shares.values())
    verdict = judge(max(exact) < EXACT and more and partly, in_part=max(exact) < EXACT)
    measured = f"error of a convolution: {errors['convolution, circular padding', 1]:.0e} with circular padding, "
    measured += f"{errors['convolution, zero padding', 1]:.2f} with zero padding, "
    measured += f"{errors['convolution, zero padding, inside', 1]:.0e} away from the border; of a fully connected layer "
    measured += f"{errors['fully connected layer', 1]:.2f}; predictions kept after shifts by 1 and 3 pixels: "
    means = {key: mean_and_error(values)[0] for key, values in shares.items()}
    measured += ", ".join(f"{net} {means[net, 1]:.0%}, {means[net, 3]:.0%}" for net in NETS)
    measured += f"; conv2d does not turn the kernel (error {flips['conv2d - kernel as it is']:.0e})"
    rows = [_row(name, shift, error, []) for (name, shift), error in errors.items()]
    rows += [_row(name, None, error, []) for name, error in flips.items()]
    rows += [_row(name, shift, None, values) for (name, shift), values in shares.items()]
    return Claim(CLAIM, measured, verdict, list(seeds), rows, _draw(errors, shares))


def _row(what: str, shift: int | None, error: float | None, shares: list[float]) -> Row:
    mean, sd = mean_and_error(shares) if shares else (None, None)
    return {"what": what, "shift": shift, "error of equivariance": error, "predictions kept": mean, "standard error": sd}


def _draw(errors: dict[tuple[str, int], float], shares: dict[tuple[str, int], list[float]]) -> Figure:
    """Draw the errors of layers and the shares of predictions kept, by shift."""
    figure = Figure(figsize=(11, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    for number, name in enumerate(dict.fromkeys(name for name, _ in errors)):
        places = [shift + 0.04 * (number - 2) for shift in SHIFTS]  # so that equal points stay visible
        left.plot(places, [errors[name, shift] for shift in SHIFTS], "o", label=name)
    left.set_yscale("symlog", linthresh=1e-16)
    left.set_ylim(-1e-16, 1e9)
    left.set_yticks([0, 1e-15, 1e-10, 1e-5, 1])
    left.set_ylabel("error of equivariance")
    left.legend(fontsize=8, loc="upper left")
    for name in NETS:
        means, sds = zip(*(mean_and_error(shares[name, shift]) for shift in SHIFTS), strict=True)
        right.errorbar(SHIFTS, means, [2 * sd for sd in sds], marker="o", capsize=3, label=name)
    right.set_ylabel("share of predictions kept")
    right.legend()
    for axes in (left, right):
        axes.set_xticks(SHIFTS)
        axes.set_xlabel("shift, pixels")
    return figure


if __name__ == "__main__":
    sys.exit(main(__file__))
