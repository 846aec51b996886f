"""Variance of two estimates of the same gradient (Kingma & Welling, 2014; Williams, 1992, REINFORCE).

python recipes/claims/autoencoders/reparameterisation.py [--full]        half a minute on one CPU core; --full a few minutes

A VAE is trained on binary Digits. Then the gradient of E[-log p(x|z)] with respect to the posterior's means is estimated many
times from one sample of z per image: through z (reparameterisation), and with the score of q (REINFORCE). Both have the same
expectation, which is checked. Variances are summed over latent dimensions and averaged over images. Controls: REINFORCE with
the best constant baseline per image, which removes the noise that the level of the loss adds; and a decoder that ignores z, for
which the true gradient is 0 and REINFORCE returns only noise.
"""

import sys
from typing import NamedTuple

import torch
from matplotlib.figure import Figure
from torch import Tensor

from datamodules import Digits
from zoo.autoencoders.vae import VAE, Posterior
from zoo.cli.claims import Claim, Row, judge, main

CLAIM = "The reparameterised gradient of a VAE has a far lower variance than the score-function gradient."
FAR = 10.0  # the score function must have at least this many times the variance
ESTIMATES = ("reparameterised", "score function", "score function, baseline")


class Sizes(NamedTuple):
    """Sizes of the measurement."""

    num_seeds: int
    num_updates: int
    num_images: int
    num_draws: int
    latent_dim: int


FAST = Sizes(num_seeds=2, num_updates=500, num_images=20, num_draws=1000, latent_dim=8)
FULL = FAST._replace(num_seeds=5, num_updates=3000, num_images=100, num_draws=4000)
SMALLEST = FAST._replace(num_seeds=2, num_updates=30, num_images=5, num_draws=50)
CONTROLS = {"estimate": ["score function, baseline"]}


def trained(sizes: Sizes, seed: int) -> tuple[VAE, Tensor]:
    """Train a VAE, and return it with test images (N, 1, 8, 8)."""
    torch.manual_seed(seed)
    data = Digits(batch_size=64, normalize=False, binarize="stochastic", seed=seed)
    data.setup()
    model = VAE(data.input_shape, latent_dim=sizes.latent_dim, widths=(128,))
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    updates, epoch = 0, 0
    while updates < sizes.num_updates:
        loader = data.loader("train")
        loader.sampler.set_epoch(epoch)
        for batch in loader:
            loss, _ = model.step(data.transform(batch, epoch, True), torch.tensor(1.0))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            updates += 1
        epoch += 1
    batches = [data.transform(batch, 0, False).x for batch in data.loader("test")]
    return model.eval(), torch.cat(batches)[: sizes.num_images]


def gradients(model: VAE, x: Tensor, num_draws: int, reads_z: bool = True) -> dict[str, Tensor]:
    """Estimate d E[-log p(x|z)] / d mu, each time from one sample: (num_draws, N, Z)."""
    with torch.no_grad():
        posterior = model.net.infer(x)
    mu, std = posterior.mu, (0.5 * posterior.logvar).exp()
    found: dict[str, list[Tensor]] = {"path": [], "nll": [], "score": []}
    for _ in range(num_draws):
        given = mu.clone().requires_grad_()
        z = Posterior(given, posterior.logvar).sample()
        nll = model.net.nll(z if reads_z else torch.zeros_like(z), x)
        path = torch.autograd.grad(nll.sum(), given, allow_unused=True)[0]
        found["path"].append(torch.zeros_like(mu) if path is None else path)
        found["nll"].append(nll.detach())
        found["score"].append(((z - given) / std.square()).detach())  # d log q(z) / d mu
    path, nll, score = (torch.stack(parts) for parts in found.values())
    squares = score.square()
    baseline = (nll[:, :, None] * squares).mean(0) / squares.mean(0)  # minimises the variance
    return dict(zip(ESTIMATES, (path, nll[:, :, None] * score, (nll[:, :, None] - baseline) * score), strict=True))


def measure(full: bool) -> Claim:
    """Measure each estimate. The claim holds if the plain score function has FAR times the variance with every seed."""
    sizes = FULL if full else FAST
    found: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for seed in range(sizes.num_seeds):
        model, x = trained(sizes, seed)
        for decoder, reads_z in (("reads z", True), ("ignores z", False)):
            estimates = gradients(model, x, sizes.num_draws, reads_z)
            exact = estimates["reparameterised"].mean(0)
            for name, values in estimates.items():
                error = (values.mean(0) - exact).square().sum(1).mean()
                found.setdefault((decoder, name), []).append((values.var(0).sum(1).mean().item(), error.item()))
    rows = [_row(decoder, name, values, sizes.num_draws) for (decoder, name), values in found.items()]
    least = [variance for variance, _ in found["reads z", "reparameterised"]]
    times = {}
    for name in ESTIMATES[1:]:
        times[name] = [variance / low for (variance, _), low in zip(found["reads z", name], least, strict=True)]
    text = ", ".join(f"{name} {sum(values) / len(values):.0f} times" for name, values in times.items())
    measured = f"variance against the reparameterised one: {text}"
    holds = min(times["score function"]) >= FAR
    return Claim(CLAIM, measured, judge(holds), list(range(sizes.num_seeds)), rows, _draw(rows))


def _row(decoder: str, estimate: str, values: list[tuple[float, float]], num_draws: int) -> Row:
    """Compute the variance, and the squared bias relative to the squared error that noise alone would cause."""
    variances = torch.tensor([variance for variance, _ in values])
    errors = torch.tensor([error for _, error in values])
    return {
        "decoder": decoder,
        "estimate": estimate,
        "variance": variances.mean().item(),
        "sd": variances.std().item() if len(variances) > 1 else 0.0,
        "bias of noise": (errors / (variances / num_draws).clamp(min=1e-12)).mean().item(),
    }


def _draw(rows: list[Row]) -> Figure:
    """Draw the variances as bars on a logarithmic axis."""
    figure = Figure(figsize=(7, 3.2), layout="constrained")
    axes = figure.subplots()
    shown = [row for row in rows if row["variance"] > 0]
    axes.barh([f"{row['estimate']}\n(decoder {row['decoder']})" for row in shown], [row["variance"] for row in shown])
    axes.set_xscale("log")
    axes.invert_yaxis()
    axes.set_xlabel("variance of the gradient by the posterior's means, of one draw")
    return figure


if __name__ == "__main__":
    sys.exit(main(__file__))
