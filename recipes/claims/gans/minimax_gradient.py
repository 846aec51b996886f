"""Measure the gradient that a generator receives from a sure discriminator (Goodfellow et al., 2014; Arjovsky & Bottou, 2017).

python recipes/claims/gans/minimax_gradient.py [--full]        seconds on one CPU core; --full two minutes

A generator of Digits is frozen, either untrained or after GAN training, and a new discriminator learns to tell its images from
real ones. Meanwhile the gradient norm of the generator's weights is measured for two losses: minimax, log(1 - D), and
non-saturating, -log D. A discriminator also gets steeper as it learns. So both norms are divided by that of the mean logit,
which no sigmoid squashes, and reported relative to their value before the discriminator learned anything. Controls: the same
discriminators after the mean logit of generated images is subtracted, so that they rank images as before but are sure of
nothing; and discriminators that learned as long to tell real images from real ones, and are undecided.
"""

import sys
from typing import NamedTuple

import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from datamodules import Digits
from zoo.cli.claims import Claim, Row, judge, main
from zoo.gans.gan import GAN, MLPDiscriminator
from zoo.nn.adversarial import Loss, d_cross_entropy, g_non_saturating, generator_loss

CLAIM = (
    "When the discriminator is sure, the minimax loss's gradient for the generator vanishes; the non-saturating one's does not."
)
VANISHED = 0.01  # a gradient below this share of its first value has vanished
LOSSES: tuple[Loss, ...] = ("minimax", "non_saturating")
STARTS = ("untrained", "after a game")
LEARNT = {"sure": "real from generated", "sure, mean taken off": "the same", "undecided": "real from real"}
LATENT_DIM, WIDTHS, BATCH_SIZE = 16, (128, 128), 64


class Sizes(NamedTuple):
    """Sizes of the measurement."""

    num_seeds: int
    num_iterations: int  # of the GAN that trains a generator
    num_updates: int  # of the discriminator, while the generator is frozen
    num_images: int  # over which the gradient is averaged


FAST = Sizes(num_seeds=2, num_iterations=500, num_updates=1000, num_images=500)
FULL = Sizes(num_seeds=3, num_iterations=2000, num_updates=3000, num_images=2000)
SMALLEST = FAST._replace(num_seeds=2, num_iterations=5, num_updates=12, num_images=20)
CONTROLS = {"discriminator": ["sure, mean taken off", "undecided"]}


class Moment(NamedTuple):
    """The gradients that a discriminator gives a generator, at one time."""

    p_fake: float  # mean probability of generated images to be real
    norms: dict[str, float]  # of the generator's gradient, for each loss and for the mean logit


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


def play(model: GAN, real: Tensor, num_iterations: int) -> None:
    """Train both networks for a while, with the non-saturating loss."""
    networks = (model.discriminator, model.generator)
    d, g = (torch.optim.Adam(net.parameters(), 1e-3, (0.5, 0.999), fused=True) for net in networks)
    for _ in range(num_iterations):
        x = draw(real)
        update(d, d_cross_entropy(model.discriminator(x), model.discriminator(generated(model).detach())))
        update(g, g_non_saturating(model.discriminator(generated(model))))


def draw(real: Tensor) -> Tensor:
    """Draw a batch of real images."""
    return real[torch.randint(len(real), (BATCH_SIZE,))]


def generated(model: GAN, num: int = BATCH_SIZE) -> Tensor:
    """Generate images: (num, 1, 8, 8)."""
    return model.generator(model.noise(num))


def observe(model: GAN, discriminator: nn.Module, z: Tensor, centred: bool = False) -> Moment:
    """Measure the gradients at noise z (B, Z); `centred` subtracts the mean logit, as a constant."""
    logits = discriminator(model.generator(z))
    if centred:
        logits = logits - logits.mean().detach()
    losses: dict[str, Tensor] = {"logit": logits.mean(), **{name: generator_loss(name, logits) for name in LOSSES}}
    found = {}
    for name, loss in losses.items():
        gradients = torch.autograd.grad(loss, list(model.generator.parameters()), retain_graph=True)
        found[name] = torch.stack([gradient.norm() for gradient in gradients]).norm().item()
    return Moment(logits.sigmoid().mean().item(), found)


def course(model: GAN, real: Tensor, others: bool, sizes: Sizes) -> tuple[list[int], dict[str, list[Moment]], float]:
    """Train a discriminator and observe it meanwhile; also return its final accuracy on its two kinds of images.

    With `others` the second kind is real as well, so that there is nothing to tell apart.
    """
    discriminator = MLPDiscriminator((1, 8, 8), WIDTHS)
    optimizer = torch.optim.Adam(discriminator.parameters(), 1e-3, fused=True)
    z = model.noise(sizes.num_images)
    when = sorted({0, *(round(10 ** (k / 4)) for k in range(40))} & set(range(sizes.num_updates)) | {sizes.num_updates})
    kinds = ["undecided"] if others else ["sure", "sure, mean taken off"]
    moments: dict[str, list[Moment]] = {kind: [] for kind in kinds}
    for count in range(sizes.num_updates + 1):
        if count in when:
            for kind in kinds:
                moments[kind].append(observe(model, discriminator, z, centred=kind.endswith("off")))
        with torch.no_grad():
            second = draw(real) if others else generated(model)
        update(optimizer, d_cross_entropy(discriminator(draw(real)), discriminator(second)))
    with torch.no_grad():
        second = real if others else generated(model, len(real))
        correct = torch.cat([discriminator(real) > 0, discriminator(second) < 0])
    return when, moments, correct.float().mean().item()


def left(moments: list[Moment], loss: str) -> float:
    """Return the last gradient relative to the first, each divided by that of the mean logit."""
    first, last = (moment.norms[loss] / moment.norms["logit"] for moment in (moments[0], moments[-1]))
    return last / first


def measure(full: bool) -> Claim:
    """The claim holds if, for both generators and every seed, minimax ends below VANISHED and non-saturating above."""
    sizes = FULL if full else FAST
    found: dict[tuple[str, str], list[tuple[list[Moment], float]]] = {}
    for seed in range(sizes.num_seeds):
        torch.manual_seed(seed)
        real = images(seed)
        for start in STARTS:
            model = GAN((1, 8, 8), latent_dim=LATENT_DIM, widths=WIDTHS)
            if start == "after a game":
                play(model, real, sizes.num_iterations)
            for others in (False, True):
                when, moments, accuracy = course(model, real, others, sizes)
                for kind, of_kind in moments.items():
                    found.setdefault((start, kind), []).append((of_kind, accuracy))
    rows = [_row(start, kind, loss, values) for (start, kind), values in found.items() for loss in LOSSES]
    shares = {
        (start, kind, loss): torch.tensor([left(moments, loss) for moments, _ in values])
        for (start, kind), values in found.items()
        for loss in LOSSES
    }
    holds = all(
        bool(
            (shares[start, "sure", "minimax"] < VANISHED).all() and (shares[start, "sure", "non_saturating"] >= VANISHED).all()
        )
        for start in STARTS
    )
    means = {key: values.mean().item() for key, values in shares.items()}

    def told(loss: Loss) -> str:
        taken_off = "sure, mean taken off"
        parts = (f"{start} {means[start, 'sure', loss]:.1e} ({means[start, taken_off, loss]:.1f})" for start in STARTS)
        return f"{loss}, generator {', '.join(parts)}"

    ratios = [
        [last.norms["minimax"] / last.norms["non_saturating"] for (*_, last), _ in found[start, "sure"]] for start in STARTS
    ]
    weaker = " and ".join(f"{sum(ratio) / len(ratio):.0e}" for ratio in ratios)
    parts = "; ".join(map(told, LOSSES))
    measured = (
        "share left of the loss's gradient by the logit's (with the mean of logits taken off): "
        f"{parts}; minimax by non_saturating {weaker}"
    )
    return Claim(CLAIM, measured, judge(holds), list(range(sizes.num_seeds)), rows, _draw(when, found))


def _row(start: str, kind: str, loss: str, values: list[tuple[list[Moment], float]]) -> Row:
    shares = torch.tensor([left(moments, loss) for moments, _ in values])
    last = [moments[-1] for moments, _ in values]
    return {
        "generator": start,
        "discriminator": kind,
        "learnt": LEARNT[kind],
        "loss": loss,
        "accuracy": sum(accuracy for _, accuracy in values) / len(values),
        "p of fakes": sum(moment.p_fake for moment in last) / len(last),
        "gradient": sum(moment.norms[loss] for moment in last) / len(last),
        "of the logit's": sum(moment.norms[loss] / moment.norms["logit"] for moment in last) / len(last),
        "share left": shares.mean().item(),
        "sd": shares.std().item() if len(shares) > 1 else 0.0,
    }


def _draw(when: list[int], found: dict[tuple[str, str], list[tuple[list[Moment], float]]]) -> Figure:
    """Draw a panel per generator: each loss's remaining gradient over the discriminator's updates, mean and range of seeds."""
    figure = Figure(figsize=(11, 4.5), layout="constrained")
    panels = figure.subplots(1, len(STARTS), sharey=True)
    styles = {"sure": "-", "sure, mean taken off": "--", "undecided": ":"}
    for start, axes in zip(STARTS, panels, strict=True):
        for kind, style in styles.items():
            for loss, colour in zip(LOSSES, ("tab:red", "tab:blue"), strict=True):
                logs = torch.tensor(
                    [[left([moments[0], moment], loss) for moment in moments] for moments, _ in found[start, kind]]
                )
                axes.plot(when, logs.mean(0), style, color=colour, label=f"{loss}, {kind}")
                axes.fill_between(when, logs.amin(0), logs.amax(0), color=colour, alpha=0.1)
        axes.axhline(VANISHED, color="lightgrey", linewidth=0.8)
        axes.set_xscale("symlog", linthresh=1)
        axes.set_xlim(left=0)
        axes.set_yscale("log")
        axes.set_title(f"Generator {start}", fontsize=11)
        axes.set_xlabel("updates of the discriminator")
    panels[0].set_ylabel("gradient for the generator by the logit's, share of the first")
    panels[0].legend(fontsize=8)
    return figure


if __name__ == "__main__":
    sys.exit(main(__file__))
