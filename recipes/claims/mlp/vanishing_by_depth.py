"""How much of the gradient reaches the first of 50 layers? (Hochreiter, 1991; Glorot & Bengio, 2010; He et al., 2015).

python recipes/claims/mlp/vanishing_by_depth.py [--full]        seconds on one CPU core

MLPs with 50 hidden layers of 64 units get a batch of Digits before any training. Two gradients of the cross-entropy are
measured in the first and in the last hidden layer, in float64: that with respect to the pre-activations z, which
backpropagation multiplies layer by layer (the signal), and that with respect to the weights. The ratio of their norms, first /
last, is a geometric mean over seeds. The arms differ in activation and initialisation: torch's default (uniform in 1/sqrt(n)),
Xavier's, Xavier's with tanh's gain of 5/3, and He's. The mean derivative of the activation in the last hidden layer shows how
far its units are saturated.

Why two gradients: that of a weight is the signal times the input of its layer. With Xavier's weights, ReLUs halve the variance
of both in each layer, one on the way forward and one on the way back. All weights then get tiny gradients of equal size, and
the ratio of the weights alone looks healthy.

Controls: the same networks with 5 hidden layers; and the sigmoid stretched and shifted to 4 sigmoid(x) - 2, with Xavier's
weights. It saturates as the sigmoid does, but its derivative at 0 is 1 instead of 1/4.

Criterion, stated before the full measurement. A gradient has vanished if the ratio of the signals is below 1e-6, and is kept
if both ratios lie between 0.1 and 10. The claim holds if the gradient vanishes over 50 layers for the sigmoid and for tanh,
both with Xavier's initialisation, which the reference recommends for them, is kept for ReLU with He's, and vanishes in no
network with 5 layers. It holds in part if that is so without tanh.
"""

import sys
from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple

import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from torch import Tensor, nn

from recipes.claims.mlp.linear_collapse import digits
from zoo.cli.claims import Claim, Row, judge, main

CLAIM = "Over 50 layers the gradient vanishes with sigmoid and with tanh, and ReLU with He's initialisation keeps it."
VANISHED = 1e-6
KEPT = (0.1, 10.0)
STRETCHED = "4 sigmoid - 2"

Activate = Callable[[Tensor], Tensor]
Draw = Callable[[nn.Linear], object]  # draws the weights of a layer


class Sizes(NamedTuple):
    """Sizes of the measurement."""

    num_seeds: int
    hidden_dim: int
    batch_size: int


FAST = Sizes(num_seeds=3, hidden_dim=64, batch_size=200)
FULL = FAST._replace(num_seeds=10)
SMALLEST = FAST._replace(num_seeds=2, hidden_dim=8, batch_size=8)
DEPTHS = (50, 5)
CONTROLS = {"hidden layers": [5], "activation": [STRETCHED]}
ACTIVATIONS: dict[str, Activate] = {
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "ReLU": F.relu,
    STRETCHED: lambda x: 4 * torch.sigmoid(x) - 2,
}
INITS: dict[str, Draw] = {
    "default": lambda layer: None,
    "Xavier": lambda layer: nn.init.xavier_normal_(layer.weight),
    "Xavier x 5/3": lambda layer: nn.init.xavier_normal_(layer.weight, gain=5 / 3),
    "He": lambda layer: nn.init.kaiming_normal_(layer.weight),
}
ARMS = (
    ("sigmoid", "default"),
    ("sigmoid", "Xavier"),
    ("tanh", "default"),
    ("tanh", "Xavier"),
    ("tanh", "Xavier x 5/3"),
    ("ReLU", "default"),
    ("ReLU", "Xavier"),
    ("ReLU", "He"),
    (STRETCHED, "Xavier"),
)


class DeepNet(nn.Module):
    """Hidden layers of equal width and a linear output layer: (B, F) to (B, K). Biases are 0, except torch's default ones."""

    def __init__(
        self, input_dim: int, hidden_dim: int, depth: int, activate: Activate, draw: Draw, num_classes: int = 10
    ) -> None:
        super().__init__()
        dims = [input_dim, *[hidden_dim] * depth]
        self.hidden = nn.ModuleList(nn.Linear(*pair) for pair in pairwise(dims))
        self.output = nn.Linear(hidden_dim, num_classes)
        self.activate = activate
        for layer in self.hidden:
            if draw(layer) is not None:
                nn.init.zeros_(layer.bias)

    def pre_activations(self, x: Tensor) -> list[Tensor]:
        """Return the inputs (B, H) of all activations."""
        kept = []
        for layer in self.hidden:
            kept.append(layer(x))
            x = self.activate(kept[-1])
        return kept

    def forward(self, x: Tensor) -> Tensor:
        """Compute logits."""
        return self.output(self.activate(self.pre_activations(x)[-1]))


def gradient_norms(net: DeepNet, x: Tensor, y: Tensor) -> Tensor:
    """Compute the gradient norms (2, depth) of the pre-activations and of the weights of all hidden layers."""
    z = net.pre_activations(x)
    loss = F.cross_entropy(net.output(net.activate(z[-1])), y)
    gradients = torch.autograd.grad(loss, [*z, *(layer.weight for layer in net.hidden)])
    return torch.stack([gradient.norm() for gradient in gradients]).view(2, -1)


def mean_slope(net: DeepNet, x: Tensor) -> float:
    """Compute the mean derivative of the activation in the last hidden layer."""
    z = net.pre_activations(x)[-1].detach().requires_grad_()
    (slopes,) = torch.autograd.grad(net.activate(z).sum(), z)
    return slopes.mean().item()


def measure(full: bool) -> Claim:
    """Measure all networks, and judge them by the criterion above."""
    sizes = FULL if full else FAST
    data = digits()
    norms: dict[tuple[int, str, str], Tensor] = {}
    rows: list[Row] = []
    for depth in DEPTHS:
        for name, init in ARMS:
            found, slopes = [], []
            for seed in range(sizes.num_seeds):
                torch.manual_seed(seed)
                chosen = torch.randperm(len(data.x))[: sizes.batch_size]
                net = DeepNet(data.x.shape[1], sizes.hidden_dim, depth, ACTIVATIONS[name], INITS[init]).double()
                found.append(gradient_norms(net, data.x[chosen].double(), data.y[chosen]))
                slopes.append(mean_slope(net, data.x[chosen].double()))
            norms[depth, name, init] = torch.stack(found)
            rows.append(_row(depth, name, init, norms[depth, name, init], sum(slopes) / len(slopes)))
    of = {(row["hidden layers"], row["activation"], row["init"]): row for row in rows}
    lost = {key: row["gradient"] == "vanished" for key, row in of.items()}
    without_tanh = (
        lost[50, "sigmoid", "Xavier"] and of[50, "ReLU", "He"]["gradient"] == "kept" and not any(lost[5, *arm] for arm in ARMS)
    )
    measured = "signal, first / last of 50 layers: " + "; ".join(
        f"{name} " + ", ".join(f"{of[50, name, init]['signal']:.0e} ({init})" for each, init in ARMS if each == name)
        for name in ACTIVATIONS
    )
    verdict = judge(without_tanh and lost[50, "tanh", "Xavier"], in_part=without_tanh)
    return Claim(CLAIM, measured, verdict, list(range(sizes.num_seeds)), rows, _draw(norms))


def _row(depth: int, name: str, init: str, norms: Tensor, slope: float) -> Row:
    """Compute geometric means over seeds, from norms (seeds, 2, depth)."""
    signal, weights = (norms[..., 0] / norms[..., -1]).log().mean(0).exp().tolist()
    kept = all(KEPT[0] < ratio < KEPT[1] for ratio in (signal, weights))
    return {
        "hidden layers": depth,
        "activation": name,
        "init": init,
        "signal": signal,
        "per layer": signal ** (1 / (depth - 1)),
        "weights": weights,
        "mean slope": slope,
        "gradient": "vanished" if signal < VANISHED else "kept" if kept else "changed",
    }


def _draw(norms: dict[tuple[int, str, str], Tensor]) -> Figure:
    """Draw the signal by layer relative to the last layer, one panel per depth."""
    figure = Figure(figsize=(10, 4.5), layout="constrained")
    colors = {"sigmoid": "tab:red", "tanh": "tab:blue", "ReLU": "tab:green", STRETCHED: "black"}
    styles = {"default": ":", "Xavier": "-", "Xavier x 5/3": "--", "He": "-."}
    for depth, axes in zip(DEPTHS, figure.subplots(1, 2, sharey=True), strict=True):
        for (_, name, init), values in ((key, values) for key, values in norms.items() if key[0] == depth):
            relative = (values[:, 0] / values[:, 0, -1:]).log10().mean(0)
            axes.plot(range(1, depth + 1), relative, color=colors[name], linestyle=styles[init], label=f"{name}, {init}")
        axes.set_title(f"{depth} hidden layers")
        axes.set_xlabel("hidden layer")
    figure.axes[0].set_ylabel("gradient at z relative to the last layer, powers of 10")
    figure.axes[1].legend(fontsize=9, loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    return figure


if __name__ == "__main__":
    sys.exit(main(__file__))
