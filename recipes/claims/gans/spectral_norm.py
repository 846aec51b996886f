"""Measure how steep a discriminator with spectral norm is (Miyato et al., 2018, arXiv:1802.05957; Tsuzuku et al., 2018).

python recipes/claims/gans/spectral_norm.py [--full]        half a minute on one CPU core; --full some minutes

GANs with hinge loss are trained on Digits with spectral norm in every layer of the discriminator and without, with dense and
with convolutional networks. Then the largest singular value of every layer as a map from its input to its output is computed;
for a convolution, from the whole matrix of that map. A leaky ReLU has 1, so the product of all layers is an upper bound on the
Lipschitz constant. Lower bounds are slopes |D(a) - D(b)| / |a - b| over pairs of real, generated and noise images, and gradient
norms at these images and at points found by climbing to larger gradients. Controls: training without spectral norm; both
discriminators before training; and the trained ones after enough power iterations to make their estimates exact. Spectral norm
divides a convolution's weight by the norm of that weight flattened to a matrix. The map itself can be steeper, by up to the
square root of the kernel's size.
"""

import math
import sys
from typing import NamedTuple

import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from datamodules import Digits
from zoo.cli.claims import Claim, Row, judge, main
from zoo.gans.networks import Networks, build_networks
from zoo.nn.adversarial import d_hinge, g_hinge
from zoo.nn.codecs import Architecture

CLAIM = "Spectral norm bounds the Lipschitz constant of every layer, and so of the discriminator, by 1."
WITHIN = 0.05  # of 1, because a layer is divided by an estimate of its norm, from three power iterations per pass
SHAPE, LATENT_DIM, BATCH_SIZE = (1, 8, 8), 16, 64
ARCHITECTURES: dict[Architecture, tuple[int, ...]] = {"mlp": (128, 128), "conv": (16, 32)}  # widths
NORMS = {"spectral": "spectral norm", "none": "none"}
EXACT = "trained, estimate made exact"


class Sizes(NamedTuple):
    """Sizes of the measurement."""

    num_seeds: int
    num_iterations: int
    num_images: int  # of each kind
    num_climbs: int  # steps towards larger gradients


FAST = Sizes(num_seeds=2, num_iterations=300, num_images=300, num_climbs=20)
FULL = Sizes(num_seeds=3, num_iterations=2000, num_images=1000, num_climbs=100)
SMALLEST = FAST._replace(num_seeds=2, num_iterations=5, num_images=20, num_climbs=2)
CONTROLS = {"norm": ["none"]}


class Steepness(NamedTuple):
    """Upper and lower bounds on the Lipschitz constant of one discriminator."""

    flattened: float  # the largest singular value of any weight, flattened as spectral norm does
    layers: list[float]  # of every layer as a map
    product: float
    pair: float  # the steepest slope between two images
    gradient: float  # the longest gradient at an image
    climbed: float  # and where the climb ended


def images(seed: int) -> Tensor:
    """Real images in [-1, 1]: (N, 1, 8, 8)."""
    data = Digits(batch_size=64, normalize=False, seed=seed)
    data.setup()
    return torch.cat([2 * data.transform(batch, 0, False).x - 1 for batch in data.loader("train")])


def update(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    """Take one gradient step on a loss."""
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]  # torch's
    optimizer.step()


def play(nets: Networks, real: Tensor, num_iterations: int) -> None:
    """Train both networks as SNGAN does: hinge loss, and a discriminator with four times the learning rate."""
    generator, discriminator = nets
    d = torch.optim.Adam(discriminator.parameters(), 8e-4, (0.0, 0.9), fused=True)
    g = torch.optim.Adam(generator.parameters(), 2e-4, (0.0, 0.9), fused=True)
    for _ in range(num_iterations):
        x, z = real[torch.randint(len(real), (BATCH_SIZE,))], torch.randn(BATCH_SIZE, LATENT_DIM)
        update(d, d_hinge(discriminator(x), discriminator(generator(z).detach())))
        update(g, g_hinge(discriminator(generator(torch.randn(BATCH_SIZE, LATENT_DIM)))))


def as_map(layer: nn.Module, input_shape: torch.Size) -> Tensor:
    """Return the matrix (inputs, outputs) of a linear layer, without its bias."""
    basis = torch.eye(math.prod(input_shape)).view(-1, *input_shape)
    return (layer(basis) - layer(torch.zeros(1, *input_shape))).flatten(1)


@torch.no_grad()
def norms_of_layers(discriminator: nn.Module) -> tuple[list[float], list[float]]:
    """Return the largest singular value of every layer, for its flattened weight and for its map."""
    flattened, maps = [], []
    x = torch.zeros(1, *SHAPE)
    for layer in [*discriminator.features, discriminator.head]:  # type: ignore[misc]  # of a Module it is unknown
        if isinstance(layer, nn.Linear | nn.Conv2d):
            flattened.append(torch.linalg.matrix_norm(layer.weight.flatten(1), ord=2).item())
            maps.append(torch.linalg.matrix_norm(as_map(layer, x.shape[1:]), ord=2).item())
        x = layer(x)
    return flattened, maps


def gradient_norms(discriminator: nn.Module, x: Tensor, create_graph: bool = False) -> Tensor:
    """Return the norm of the logit's gradient at each image: (N,)."""
    (gradient,) = torch.autograd.grad(discriminator(x).sum(), x, create_graph=create_graph)
    return gradient.flatten(1).norm(dim=1)


def climb(discriminator: nn.Module, x: Tensor, num_steps: int) -> float:
    """The longest gradient met by many points, each of which looks around itself, and goes where its gradient is longer.

    The networks are piecewise linear: the length is constant on every piece, so that there is no slope to follow.
    """
    best = gradient_norms(discriminator, x.requires_grad_()).detach()
    for _ in range(num_steps):
        step = torch.randn_like(x) * 10 ** (2 * torch.rand(len(x), *[1] * (x.ndim - 1)) - 1.5)
        tried = (x + step).detach().requires_grad_()
        norms = gradient_norms(discriminator, tried)
        better = norms > best
        best = torch.where(better, norms, best).detach()
        x = torch.where(better.view(-1, *[1] * (x.ndim - 1)), tried, x).detach()
    return best.max().item()


@torch.no_grad()
def make_exact(discriminator: nn.Module, x: Tensor) -> None:
    """Run every layer's power iteration until it converges, at fixed weights."""
    discriminator.train()
    for _ in range(300):
        discriminator(x)


def steepness(nets: Networks, real: Tensor, sizes: Sizes) -> Steepness:
    """Bound the discriminator's Lipschitz constant."""
    generator, discriminator = nets[0].eval(), nets[1].eval()  # the estimates of norms stay as they are
    flattened, layers = norms_of_layers(discriminator)
    with torch.no_grad():
        num = sizes.num_images
        x = torch.cat([real[:num], generator(torch.randn(num, LATENT_DIM)), 2 * torch.rand(num, *SHAPE) - 1])
        near = x + 0.01 * torch.randn_like(x)
        logits = [discriminator(each) for each in (x, x[torch.randperm(len(x))], near)]
        places = torch.randperm(len(x))
        far = (logits[0] - logits[0][places]).abs() / (x - x[places]).flatten(1).norm(dim=1).clamp(min=1e-6)
        close = (logits[0] - logits[2]).abs() / (x - near).flatten(1).norm(dim=1)
    gradient = gradient_norms(discriminator, x.clone().requires_grad_()).max().item()
    climbed = climb(discriminator, x.clone(), sizes.num_climbs)
    return Steepness(max(flattened), layers, math.prod(layers), max(far.max().item(), close.max().item()), gradient, climbed)


def measure(full: bool) -> Claim:
    """The claim holds if every layer's norm, their product and every slope are at most 1, in every seed."""
    sizes = FULL if full else FAST
    found: dict[tuple[str, str, str], list[Steepness]] = {}
    for seed in range(sizes.num_seeds):
        real = images(seed)
        for architecture, widths in ARCHITECTURES.items():
            for norm, name in NORMS.items():
                torch.manual_seed(seed)
                nets = build_networks(architecture, SHAPE, LATENT_DIM, widths, norm)  # type: ignore[arg-type]  # a key of NORMS
                found.setdefault((architecture, name, "untrained"), []).append(steepness(nets, real, sizes))
                for net in nets:
                    net.train()
                play(nets, real, sizes.num_iterations)
                found.setdefault((architecture, name, "trained"), []).append(steepness(nets, real, sizes))
                if norm == "spectral":
                    make_exact(nets[1], real[:1])
                    found.setdefault((architecture, name, EXACT), []).append(steepness(nets, real, sizes))
    rows = [_row(*key, values) for key, values in found.items()]
    bound = 1 + WITHIN
    of = {key: values for key, values in found.items() if key[1:] == ("spectral norm", "trained")}
    bounded = {key[0]: all(max(*each.layers, each.product) <= bound for each in values) for key, values in of.items()}
    shown = {(row["discriminator"], row["norm"], row["state"]): row for row in rows}
    parts = []
    for architecture in ARCHITECTURES:
        keys = (("spectral norm", "trained"), ("spectral norm", EXACT), ("none", "trained"))
        of_keys = [shown[(architecture, *key)] for key in keys]
        texts = ["{layer:.2f}, {product:.2f}, {steepest:.2f}".format(**row) for row in of_keys]
        parts.append(f"{architecture} {texts[0]} (exact estimates {texts[1]}; without spectral norm {texts[2]})")
    measured = f"largest norm of a layer, product of layers, steepest slope found: {'. '.join(parts)}"
    verdict = judge(all(bounded.values()), in_part=any(bounded.values()))
    return Claim(CLAIM, measured, verdict, list(range(sizes.num_seeds)), rows, _draw(found))


def _row(architecture: str, norm: str, state: str, values: list[Steepness]) -> Row:
    """Take the largest over seeds, because a bound must hold for all of them, and the deviation of the steepest slope."""
    steepest = torch.tensor([max(each.pair, each.gradient, each.climbed) for each in values])
    return {
        "discriminator": architecture,
        "norm": norm,
        "state": state,
        "weight": max(each.flattened for each in values),
        "layer": max(max(each.layers) for each in values),
        "product": max(each.product for each in values),
        "pairs": max(each.pair for each in values),
        "gradients": max(each.gradient for each in values),
        "steepest": steepest.max().item(),
        "sd": steepest.std().item() if len(steepest) > 1 else 0.0,
    }


def _draw(found: dict[tuple[str, str, str], list[Steepness]]) -> Figure:
    """Draw for each trained discriminator the norm of every layer, their product, and the lower bounds."""
    figure = Figure(figsize=(10, 4), layout="constrained")
    panels = figure.subplots(1, len(ARCHITECTURES), sharey=True)
    for architecture, axes in zip(ARCHITECTURES, panels, strict=True):
        for name, colour in zip(NORMS.values(), ("tab:blue", "tab:orange"), strict=True):
            values = found[architecture, name, "trained"]
            columns = [[*each.layers, each.product, each.pair, each.gradient, each.climbed] for each in values]
            numbers = torch.tensor(columns)
            axes.plot(numbers.mean(0), "o", color=colour, label=f"{name}" if name != "none" else "without")
            axes.vlines(range(numbers.shape[1]), numbers.amin(0), numbers.amax(0), color=colour)
        names = [*(f"layer {number + 1}" for number in range(len(values[0].layers)))]
        axes.set_xticks(
            range(numbers.shape[1]), [*names, "product", "pairs", "gradients", "climbed"], rotation=40, ha="right", fontsize=9
        )
        axes.axhline(1, color="lightgrey", linewidth=0.8)
        axes.axvline(len(names) + 0.5, color="lightgrey", linewidth=0.8)
        axes.set_yscale("log")
        axes.set_title({"mlp": "Dense", "conv": "Convolutional"}[architecture], fontsize=11)
    panels[0].set_ylabel("norms, and slopes that were found")
    panels[0].legend(fontsize=9)
    return figure


if __name__ == "__main__":
    sys.exit(main(__file__))
