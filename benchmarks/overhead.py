"""Compare the time of a fit in the zoo with a plain PyTorch loop that does the same work.

python benchmarks/overhead.py            minutes on two CPU cores; appends to benchmarks/overhead.results.jsonl

Both train the same network at batch size 128 on 28x28 images that are kept in memory as uint8 and converted to floats batch by
batch. Both use AdamW and a cosine schedule that advances every step, and log the loss, the learning rate and other cheap values
to a CSV file every 50 steps. They alternate in one process, one epoch each, so that other load on the machine affects both
alike. The ratio is the median over rounds; below 1.0 the zoo would be faster.
"""

import argparse
import csv
import json
import shlex
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from lightning import Callback, LightningModule, Trainer
from timm.optim import create_optimizer_v2
from torch import Tensor, nn
from torch.optim.lr_scheduler import CosineAnnealingLR

from datamodules.core.base import Arrays, DataModule
from datamodules.images.transform import ImageTransform
from zoo import VAE, Autoencoder, MLPClassifier
from zoo.autoencoders.autoencoder import AutoencoderNet
from zoo.autoencoders.vae import VAENet
from zoo.mlp.mlp import MLPNet
from zoo.training.provenance import hardware
from zoo.training.run import Run
from zoo.training.system import System

SHAPE, NUM_CLASSES, BATCH_SIZE, LR, EVERY = (1, 28, 28), 10, 128, 1e-3, 50


class Noise(DataModule):
    """Random images, since this benchmark measures time only."""

    num_classes = NUM_CLASSES

    def __init__(self, num_batches: int, shape: tuple[int, int, int] = SHAPE, normalize: bool = True) -> None:
        super().__init__(BATCH_SIZE, test_fraction=0.1, val_fraction=0.1)
        self.input_shape = shape
        self.num_samples = round(num_batches * BATCH_SIZE / 0.81) + BATCH_SIZE
        self.transform = ImageTransform((0.5,) * shape[0], (0.25,) * shape[0], normalize=normalize)

    def load(self, part: str) -> Arrays:
        generator = torch.Generator().manual_seed(0)
        x = torch.randint(0, 256, (self.num_samples, *self.input_shape), dtype=torch.uint8, generator=generator)
        return Arrays(x, torch.arange(self.num_samples) % NUM_CLASSES)


class Work(NamedTuple):
    """One training job, defined for the zoo and for the plain loop."""

    name: str
    system: Callable[[], System]
    net: Callable[[], Any]
    loss: Callable[[Any, Tensor, Tensor], tuple[Tensor, Tensor]]  # net, images (B, 1, 28, 28) in [0, 1], classes (B,)
    normalize: bool = False


def classify(net: nn.Module, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Return cross-entropy and accuracy for images in [0, 1]."""
    logits = net((x - 0.5) / 0.25)
    return F.cross_entropy(logits, y), (logits.argmax(1) == y).float().mean()


def reconstruct(net: nn.Module, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean squared error as the loss, and again as the value to log."""
    loss = F.mse_loss(net(x), x)
    return loss, loss


def bound(net: VAENet, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Return the negative ELBO and the KL term in nats, with a Bernoulli likelihood."""
    mu, logvar = net.posterior(net.encoder(x)).chunk(2, dim=1)
    logits = net.decoder(mu + torch.exp(0.5 * logvar) * torch.randn_like(mu))
    kl = -0.5 * (1 + logvar - mu.square() - logvar.exp()).sum() / len(x)
    return F.binary_cross_entropy_with_logits(logits, x, reduction="sum") / len(x) + kl, kl


CONV = {"architecture": "conv", "widths": [16, 32], "hidden": 256, "activation": "gelu", "latent_dim": 16}
WORKS = [
    Work(
        "MLP 784-256-256-10",
        lambda: MLPClassifier(SHAPE, NUM_CLASSES, lr=LR),
        lambda: MLPNet(SHAPE, NUM_CLASSES),
        classify,
        normalize=True,
    ),
    Work("autoencoder 784-256-64", lambda: Autoencoder(SHAPE, lr=LR), lambda: AutoencoderNet(SHAPE), reconstruct),
    Work("conv VAE 16-32-256-16", lambda: VAE(SHAPE, lr=LR, **CONV), lambda: VAENet(SHAPE, **CONV), bound),  # type: ignore[arg-type]  # plain dict
]


class Plain:
    """Training loop as a good engineer would write it by hand."""

    def __init__(self, work: Work, x: Tensor, y: Tensor, total_steps: int, log: Path, device: torch.device) -> None:
        self.x, self.y, self.device = x, y, device
        self.net, self.loss = work.net().to(device, memory_format=torch.channels_last), work.loss
        self.optimizer = create_optimizer_v2(self.net, opt="adamw", lr=LR, fused=True)
        self.schedule = CosineAnnealingLR(self.optimizer, T_max=total_steps)
        self.log = csv.writer(log.open("w", newline="", encoding="utf-8"))
        self.step = 0

    def epoch(self) -> None:
        """Train for one epoch in random order."""
        order = torch.randperm(len(self.x))
        for rows in order.split(BATCH_SIZE)[: len(order) // BATCH_SIZE]:
            x, y = self.x[rows].to(self.device), self.y[rows].to(self.device)
            loss, other = self.loss(self.net, x.float() / 255, y)
            loss.backward()
            self.optimizer.step()
            self.schedule.step()
            self.optimizer.zero_grad()
            self.step += 1
            if self.step % EVERY == 0:
                self.log.writerow([self.step, loss.item(), other.item(), self.schedule.get_last_lr()[0]])


class TakeTurns(Callback):
    """Run an epoch of the plain loop after each epoch of the fit, and time both."""

    def __init__(self, work: Work, total_steps: int, log: Path) -> None:
        self.work, self.total_steps, self.log_path = work, total_steps, log
        self.zoo: list[float] = []
        self.plain: list[float] = []

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        (x, y, _), rows = trainer.datamodule.splits["train"]
        self.loop = Plain(self.work, x[rows], y[rows], self.total_steps, self.log_path, pl_module.device)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._synchronise(pl_module)
        self._start = time.perf_counter()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._synchronise(pl_module)
        middle = time.perf_counter()
        self.loop.epoch()
        self._synchronise(pl_module)
        self.zoo.append(middle - self._start)
        self.plain.append(time.perf_counter() - middle)

    def _synchronise(self, pl_module: LightningModule) -> None:
        if pl_module.device.type == "cuda":
            torch.cuda.synchronize()


def measure(work: Work, num_batches: int, num_rounds: int) -> dict[str, object]:
    """Return milliseconds per step of both, and their ratio."""
    with tempfile.TemporaryDirectory() as folder:
        data = Noise(num_batches, normalize=work.normalize)
        data.setup()
        num_batches = data.num_train_batches
        model = work.system()
        turns = TakeTurns(work, num_batches * (num_rounds + 1), Path(folder) / "plain.csv")
        run = Run(Path(folder) / "run", recipe="overhead")
        trainer = Trainer(
            max_epochs=num_rounds + 1,
            limit_val_batches=0,
            precision="32-true",
            log_every_n_steps=EVERY,
            enable_model_summary=False,
            **run.trainer_arguments(model, own_callbacks=[turns]),
        )
        trainer.fit(model, datamodule=data)
    zoo, plain = turns.zoo[1:], turns.plain[1:]  # the first round is a warm-up
    ratios = [a / b for a, b in zip(zoo, plain, strict=True)]
    return {
        "work": f"{work.name}, batch {BATCH_SIZE}, {num_batches} steps a round, {num_rounds} rounds",
        "zoo_ms_per_step": round(1e3 * statistics.median(zoo) / num_batches, 3),
        "plain_ms_per_step": round(1e3 * statistics.median(plain) / num_batches, 3),
        "ratio": round(statistics.median(ratios), 3),
        "ratio_range": [round(min(ratios), 3), round(max(ratios), 3)],
        "hardware": hardware(trainer),
    }


def parse_arguments(script: str, about: str | None, batches: int, rounds: int) -> argparse.Namespace:
    """Parse the arguments that all benchmarks share: batches per round, rounds, and the results file."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batches", type=int, default=batches)
    parser.add_argument("--rounds", type=int, default=rounds)
    parser.add_argument("--output", type=Path, default=Path(script).with_suffix(".results.jsonl"))
    return parser.parse_args()


def keep(results: list[dict[str, object]], script: str, output: Path) -> None:
    """Print the results and append them to `output`, one line each, with the torch version, date and command."""
    about = {
        "torch": torch.__version__.split("+")[0],
        "date": time.strftime("%Y-%m-%d"),
        "command": shlex.join(["python", f"benchmarks/{Path(script).name}", *sys.argv[1:]]),
    }
    for result in results:
        print(json.dumps({**result, **about}, indent=1))
        with output.open("a", encoding="utf-8") as file:
            file.write(json.dumps({**result, **about}) + "\n")


if __name__ == "__main__":
    arguments = parse_arguments(__file__, __doc__, batches=200, rounds=11)
    keep([measure(work, arguments.batches, arguments.rounds) for work in WORKS], __file__, arguments.output)
