"""Does a VAE with a strong decoder ignore its code, and does warm-up help? (Bowman et al., 2016; Chen et al., 2017).

python recipes/claims/autoencoders/kl_collapse.py [--full]        two minutes on one CPU core; --full eight

VAEs of binary Digits with the same encoder are trained with two decoders. The weak decoder outputs all pixels at once from the
code. The strong decoder is a GRU that outputs one pixel after the other and sees the previous ones, so it can model an image
without the code. Reported are the KL of the code in nats, which measures the information in it, and the bound on the
likelihood. Controls: the weak decoder; and the strong decoder without the previous pixels, so that it needs the code again.
Remedies: a weight of the KL that rises over the first half of training (warm-up), and free bits.
"""

import sys
from typing import NamedTuple

import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from torch import Tensor, nn

from datamodules import Digits
from zoo.autoencoders.vae import Posterior
from zoo.cli.claims import Claim, Row, judge, main
from zoo.metrics.latent import active_units
from zoo.nn.codecs import decoder, trunk
from zoo.nn.recurrent import Recurrent

CLAIM = "A VAE with a strong decoder stops using its code, and KL warm-up keeps it in use."
COLLAPSED = 0.1  # a code has collapsed if its KL is at most this fraction of the weak decoder's
SHAPE = (1, 8, 8)
CASES = {  # decoder, whether it sees previous pixels, warm-up as a fraction of training, free bits per dimension
    "all pixels at once": ("weak", False, 0.0, 0.0),
    "pixel by pixel": ("strong", True, 0.0, 0.0),
    "pixel by pixel, blindfold": ("strong", False, 0.0, 0.0),
    "pixel by pixel, warm-up": ("strong", True, 0.5, 0.0),
    "pixel by pixel, free bits": ("strong", True, 0.0, 0.5),
}


class Sizes(NamedTuple):
    """Sizes of the measurement."""

    num_seeds: int
    num_updates: int
    hidden_dim: int
    latent_dim: int


FAST = Sizes(num_seeds=2, num_updates=400, hidden_dim=48, latent_dim=8)
FULL = FAST._replace(num_seeds=3, num_updates=1000)
SMALLEST = FAST._replace(num_seeds=2, num_updates=5, hidden_dim=8)
CONTROLS = {"decoder": ["all pixels at once", "pixel by pixel, blindfold"]}


class Net(nn.Module):
    """VAE of binary 8x8 images with a weak or strong decoder. `sees` shows the previous pixels to the strong one."""

    def __init__(self, kind: str, sees: bool, sizes: Sizes) -> None:
        super().__init__()
        self.encoder, num_features = trunk("mlp", SHAPE, [128])
        self.posterior = nn.Linear(num_features, 2 * sizes.latent_dim)
        self.sees = sees
        self.weak = decoder("mlp", sizes.latent_dim, [128], SHAPE) if kind == "weak" else None
        if kind == "strong":
            self.recurrent = Recurrent("gru", 1 + sizes.latent_dim, sizes.hidden_dim)
            self.head = nn.Linear(sizes.hidden_dim, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Posterior]:
        """Compute the negative log-likelihood of each image (B,) from one sample of its code, and q(z|x)."""
        mu, logvar = self.posterior(self.encoder(x)).chunk(2, dim=1)
        posterior = Posterior(mu, logvar)
        z = posterior.sample()
        if self.weak is not None:
            logits = self.weak(z)
        else:
            before = F.pad(x.flatten(1), (1, -1)) if self.sees else torch.zeros_like(x.flatten(1))
            steps = torch.cat([before[:, :, None], z[:, None].expand(-1, before.shape[1], -1)], dim=2)
            logits = self.head(self.recurrent.run(steps)[0]).view_as(x)
        return F.binary_cross_entropy_with_logits(logits, x, reduction="none").flatten(1).sum(1), posterior


def train(net: Net, data: Digits, warmup: float, free_bits: float, num_updates: int) -> list[float]:
    """Train with Adam on the negative bound, and return the KL at every update."""
    optimizer = torch.optim.Adam(net.parameters(), lr=2e-3)
    kls: list[float] = []
    epoch = 0
    while len(kls) < num_updates:
        loader = data.loader("train")
        loader.sampler.set_epoch(epoch)
        for batch in loader:
            nll, posterior = net(data.transform(batch, epoch, True).x)
            kl = posterior.kl().mean(0)
            ramp = min(1.0, len(kls) / (warmup * num_updates)) if warmup else 1.0
            loss = nll.mean() + ramp * kl.clamp(min=free_bits).sum()
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(net.parameters(), 5.0)
            optimizer.step()
            kls.append(kl.sum().item())
        epoch += 1
    return kls[:num_updates]


@torch.no_grad()
def evaluate(net: Net, data: Digits) -> tuple[float, float, int]:
    """Compute KL and negative bound on test images in nats, and the number of active units."""
    x = torch.cat([data.transform(batch, 0, False).x for batch in data.loader("test")])
    nll, posterior = net.eval()(x)
    kl = posterior.kl().sum(1)
    return kl.mean().item(), (nll + kl).mean().item(), active_units(posterior.mu)


def measure(full: bool) -> Claim:
    """Measure the KL of each case. The claim holds if the strong decoder's has collapsed and warm-up's has not, on average."""
    sizes = FULL if full else FAST
    found: dict[str, list[tuple[float, float, int]]] = {name: [] for name in CASES}
    courses: dict[str, list[float]] = {}
    for seed in range(sizes.num_seeds):
        data = Digits(batch_size=64, normalize=False, binarize="stochastic", seed=seed)
        data.setup()
        for name, (kind, sees, warmup, free_bits) in CASES.items():
            torch.manual_seed(seed)
            net = Net(kind, sees, sizes)
            courses[name] = train(net, data, warmup, free_bits, sizes.num_updates)
            found[name].append(evaluate(net, data))
    rows = [_row(name, values) for name, values in found.items()]
    kl = {row["decoder"]: row["kl"] for row in rows}
    bound = COLLAPSED * kl["all pixels at once"]
    holds = kl["pixel by pixel"] <= bound < kl["pixel by pixel, warm-up"]
    measured = "KL in nats: " + ", ".join(f"{name} {value:.2f}" for name, value in kl.items())
    return Claim(CLAIM, measured, judge(holds), list(range(sizes.num_seeds)), rows, _draw(courses))


def _row(name: str, values: list[tuple[float, float, int]]) -> Row:
    kl, bound, active = (torch.tensor(column, dtype=torch.float32) for column in zip(*values, strict=True))
    return {
        "decoder": name,
        "kl": kl.mean().item(),
        "sd": kl.std().item() if len(kl) > 1 else 0.0,
        "negative bound": bound.mean().item(),
        "active units": active.mean().item(),
    }


def _draw(courses: dict[str, list[float]]) -> Figure:
    """Draw the KL over training, for the last seed."""
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for name, course in courses.items():
        smooth = (
            torch.tensor(course)[: len(course) // 10 * 10].view(-1, 10).mean(1) if len(course) >= 10 else torch.tensor(course)
        )
        axes.plot(torch.linspace(0, len(course), len(smooth)), smooth, label=name)
    axes.set_yscale("log")
    axes.set_xlabel("updates")
    axes.set_ylabel("KL in nats per image")
    axes.legend(fontsize=8)
    return figure


if __name__ == "__main__":
    sys.exit(main(__file__))
