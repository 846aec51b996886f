"""Compare the time of a DCGAN iteration in the zoo with the loop that tutorials show.

python benchmarks/gan.py                 six minutes on two CPU cores; appends to benchmarks/gan.results.jsonl

Both train the same two networks with Adam on all of Fashion-MNIST's training images in [-1, 1], at batch size 128. The
tutorial's loop reads images one by one through torchvision's transforms and a `DataLoader`. In the generator's turn it computes
gradients of the discriminator and then discards them. It reads both losses at every step, and keeps the default memory layout
and optimizer settings. The zoo computes no gradient that it discards. Both use the same batch of generated images to update the
discriminator and the generator (`redraw: false`).

The two alternate in one process, one round each. The ratio is the median over rounds; above 1 the zoo is faster. A second
measurement runs the zoo at `precision: bf16-mixed`, one setting in a recipe, against the same loop.
"""

import statistics
import tempfile
import time
from pathlib import Path
from typing import Any, Literal, get_args

import torch
import torch.nn.functional as F
from lightning import Callback, LightningModule, Trainer
from overhead import keep, parse_arguments
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms
from torchvision.transforms.functional import to_pil_image

from datamodules import FashionMNIST
from zoo import DCGAN
from zoo.gans.dcgan import DCDiscriminator, DCGenerator
from zoo.training.optim import Optim
from zoo.training.provenance import hardware
from zoo.training.run import Run

Precision = Literal["32-true", "bf16-mixed"]

SHAPE, LATENT_DIM, BATCH_SIZE, LR, BETAS = (1, 28, 28), 64, 128, 2e-4, (0.5, 0.999)


class PerImage(Dataset[Tensor]):
    """Serve one image at a time through PIL, as torchvision's data sets do."""

    def __init__(self, x: Tensor) -> None:
        self.pictures = [to_pil_image(image) for image in x]
        self.transform = transforms.Compose([transforms.ToTensor(), transforms.Normalize(0.5, 0.5)])

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, place: int) -> Tensor:
        x: Tensor = self.transform(self.pictures[place])
        return x


class Tutorial:
    """Training loop as tutorials write it."""

    def __init__(self, x: Tensor) -> None:
        self.loader = DataLoader(PerImage(x), BATCH_SIZE, shuffle=True, drop_last=True)
        self.generator, self.discriminator = DCGenerator(LATENT_DIM, SHAPE), DCDiscriminator(SHAPE)
        self.g_optimizer = torch.optim.Adam(self.generator.parameters(), lr=LR, betas=BETAS)
        self.d_optimizer = torch.optim.Adam(self.discriminator.parameters(), lr=LR, betas=BETAS)

    def play(self, num_steps: int) -> None:
        """Run `num_steps` iterations."""
        ones, zeros = torch.ones(BATCH_SIZE), torch.zeros(BATCH_SIZE)
        for step, real in enumerate(self.loader):
            if step == num_steps:
                return
            fake = self.generator(torch.randn(BATCH_SIZE, LATENT_DIM))
            self.d_optimizer.zero_grad()
            real_loss = F.binary_cross_entropy_with_logits(self.discriminator(real), ones)
            fake_loss = F.binary_cross_entropy_with_logits(self.discriminator(fake.detach()), zeros)
            d_loss = real_loss + fake_loss
            d_loss.backward()
            self.d_optimizer.step()
            self.g_optimizer.zero_grad()
            g_loss = F.binary_cross_entropy_with_logits(self.discriminator(fake), ones)
            g_loss.backward()
            self.g_optimizer.step()
            self.losses = d_loss.item(), g_loss.item()


class TakeTurns(Callback):
    """Alternate `num_steps` iterations of the fit with as many of the tutorial's loop, and time both."""

    def __init__(self, num_steps: int) -> None:
        self.num_steps = num_steps
        self.zoo: list[float] = []
        self.tutorial: list[float] = []

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        (x, _, _), rows = trainer.datamodule.splits["train"]
        self.loop = Tutorial(x[rows])
        self.start = time.perf_counter()

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        if trainer.global_step % self.num_steps == 0:
            middle = time.perf_counter()
            self.loop.play(self.num_steps)
            end = time.perf_counter()
            self.zoo.append(middle - self.start)
            self.tutorial.append(end - middle)
            self.start = time.perf_counter()


def measure(num_steps: int, num_rounds: int, precision: Precision) -> dict[str, object]:
    """Return milliseconds per iteration of both, and their ratio; `precision` applies to the zoo only."""
    turns = TakeTurns(num_steps)
    optim: Optim = {"name": "adam", "betas": list(BETAS), "schedule": "constant"}
    model = DCGAN(SHAPE, LATENT_DIM, lr=LR, optim=optim, redraw=False)
    with tempfile.TemporaryDirectory() as folder:
        run = Run(Path(folder), recipe="gan_benchmark")
        trainer = Trainer(
            max_steps=num_steps * (num_rounds + 1),
            limit_val_batches=0,
            precision=precision,
            enable_model_summary=False,
            **run.trainer_arguments(model, own_callbacks=[turns]),
        )
        trainer.fit(model, datamodule=FashionMNIST(batch_size=BATCH_SIZE, normalize=False))
    zoo, tutorial = turns.zoo[1:], turns.tutorial[1:]  # the first round is a warm-up
    ratios = [b / a for a, b in zip(zoo, tutorial, strict=True)]
    return {
        "work": f"DCGAN 64-128, 28x28, batch {BATCH_SIZE}, {num_steps} iterations a round, {num_rounds} rounds, {precision}",
        "zoo_ms": round(1e3 * statistics.median(zoo) / num_steps, 1),
        "tutorial_ms": round(1e3 * statistics.median(tutorial) / num_steps, 1),
        "ratio": round(statistics.median(ratios), 3),
        "ratio_range": [round(min(ratios), 3), round(max(ratios), 3)],
        "hardware": hardware(trainer),
    }


if __name__ == "__main__":
    arguments = parse_arguments(__file__, __doc__, batches=30, rounds=7)
    results = [measure(arguments.batches, arguments.rounds, precision) for precision in get_args(Precision)]
    keep(results, __file__, arguments.output)
