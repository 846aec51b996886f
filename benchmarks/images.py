"""Compare images per second: fits of CNNs with plain loops, and in-memory batches with a per-image DataLoader.

python benchmarks/images.py              five minutes on two CPU cores; appends to benchmarks/images.results.jsonl

Networks: a fit of the zoo with its defaults (`Trainer`, the fastest precision for this processor, channels last, logging) is
compared with plain PyTorch loops over the same network, batches, optimizer and normalisation. The plain loops cover fp32 and
bfloat16, each with NCHW and with channels last. All alternate in one process, one epoch each. Ratios are medians over rounds;
above 1 the zoo is faster. "best by hand" is the plain loop with the best median.

Data: all of Fashion-MNIST's training images are flipped at random, shifted by up to two pixels and normalised. The zoo's
datamodule does this batch by batch, torchvision's transforms image by image, in a `DataLoader` with 0 and with 2 workers.
Nothing is trained.
"""

import statistics
import tempfile
import time
from itertools import product
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from lightning import Callback, LightningModule, Trainer
from overhead import BATCH_SIZE, NUM_CLASSES, Noise, keep, parse_arguments
from timm.optim import create_optimizer_v2
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms
from torchvision.transforms.functional import to_pil_image

from datamodules import FashionMNIST
from zoo import CIFARResNetClassifier, SimpleCNNClassifier
from zoo.training.precision import default_precision
from zoo.training.provenance import hardware
from zoo.training.run import Run
from zoo.training.system import System

SYSTEMS: dict[str, tuple[type[System], tuple[int, int, int]]] = {
    "SimpleCNN 64-128-256": (SimpleCNNClassifier, (1, 28, 28)),
    "ResNet-20": (CIFARResNetClassifier, (3, 32, 32)),
}
BY_HAND = list(product(("fp32", "bf16"), ("NCHW", "channels last")))


class Plain:
    """Training loop written by hand, for one precision and memory layout."""

    def __init__(self, net: nn.Module, x: Tensor, y: Tensor, precision: str, layout: str) -> None:
        self.format = torch.channels_last if layout == "channels last" else torch.contiguous_format
        self.net, self.x, self.y, self.bf16 = net.to(memory_format=self.format).train(), x, y, precision == "bf16"
        self.optimizer = create_optimizer_v2(self.net, opt="adamw", lr=1e-3, fused=True)

    def epoch(self) -> None:
        """Train for one epoch in random order."""
        order = torch.randperm(len(self.x))
        for rows in order.split(BATCH_SIZE)[: len(order) // BATCH_SIZE]:
            x = ((self.x[rows].float() / 255 - 0.5) / 0.25).contiguous(memory_format=self.format)
            with torch.autocast("cpu", torch.bfloat16, enabled=self.bf16):
                loss = F.cross_entropy(self.net(x), self.y[rows])
            loss.backward()
            self.optimizer.step()
            self.optimizer.zero_grad()


class TakeTurns(Callback):
    """Run an epoch of every plain loop after each epoch of the fit, and time them all."""

    def __init__(self, system_class: type[System], shape: tuple[int, int, int]) -> None:
        self.system_class, self.shape = system_class, shape
        self.seconds: dict[str, list[float]] = {"zoo": []}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        (x, y, _), rows = trainer.datamodule.splits["train"]
        self.loops = {
            f"{precision} {layout}": Plain(self.system_class(self.shape, NUM_CLASSES).net, x[rows], y[rows], precision, layout)
            for precision, layout in BY_HAND
        }
        self.seconds |= {name: [] for name in self.loops}

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._start = time.perf_counter()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.seconds["zoo"].append(time.perf_counter() - self._start)
        for name, loop in self.loops.items():
            start = time.perf_counter()
            loop.epoch()
            self.seconds[name].append(time.perf_counter() - start)


def train(name: str, num_batches: int, num_rounds: int) -> dict[str, Any]:
    """Return images per second of the fit and of every plain loop, and the ratio of the fit to each loop."""
    system_class, shape = SYSTEMS[name]
    precision, _ = default_precision("cpu")
    with tempfile.TemporaryDirectory() as folder:
        data, turns = Noise(num_batches, shape), TakeTurns(system_class, shape)
        data.setup()
        system = system_class(shape, NUM_CLASSES, lr=1e-3)
        run = Run(Path(folder) / "run", recipe="images")
        trainer = Trainer(
            accelerator="cpu",
            max_epochs=num_rounds + 1,
            limit_val_batches=0,
            precision=precision,
            enable_model_summary=False,
            **run.trainer_arguments(system, own_callbacks=[turns]),
        )
        trainer.fit(system, datamodule=data)
    seconds = {name: values[1:] for name, values in turns.seconds.items()}  # the first round is a warm-up
    images = data.num_train_batches * BATCH_SIZE
    per_second = {name: round(images / statistics.median(values)) for name, values in seconds.items()}
    ratios = {
        name: round(statistics.median(a / b for a, b in zip(values, seconds["zoo"], strict=True)), 3)
        for name, values in seconds.items()
        if name != "zoo"
    }
    best = max(turns.loops, key=lambda name: per_second[name])
    return {
        "work": f"training {name} on {'x'.join(map(str, shape))}, batch {BATCH_SIZE}, {num_rounds} rounds of {images} images",
        "zoo_precision": precision,
        "images_per_second": per_second,
        "zoo_to_plain_fp32_nchw": ratios["fp32 NCHW"],
        "best_by_hand": best,
        "zoo_to_best_by_hand": ratios[best],
        "hardware": hardware(trainer),
    }


class PerImage(Dataset[tuple[Tensor, int]]):
    """Serve one image at a time through PIL, as torchvision's tutorials do."""

    def __init__(self, x: Tensor, y: Tensor, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        self.pictures, self.y = [to_pil_image(image) for image in x], y.tolist()
        self.transform = transforms.Compose(
            [
                transforms.RandomCrop(28, padding=2),
                transforms.RandomHorizontalFlip(),
                transforms.ToTensor(),
                transforms.Normalize(mean, std),
            ]
        )

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(self.pictures[index]), self.y[index]


def serve(num_rounds: int) -> dict[str, Any]:
    """Return images per second that each data path serves."""
    data = FashionMNIST(batch_size=BATCH_SIZE, flip=True, shift=2)
    data.setup()
    (x, y, _), rows = data.splits["train"]
    dataset = PerImage(x[rows], y[rows], data.mean, data.std)
    per_image = {
        f"DataLoader, {workers} workers": DataLoader(
            dataset, BATCH_SIZE, shuffle=True, drop_last=True, num_workers=workers, persistent_workers=workers > 0
        )
        for workers in (0, 2)
    }
    loader = data.train_dataloader()
    seconds: dict[str, list[float]] = {"zoo": [], **{name: [] for name in per_image}}
    for epoch in range(num_rounds + 1):
        start = time.perf_counter()
        loader.sampler.set_epoch(epoch)
        for batch in loader:
            data.transform(batch, epoch, True)
        seconds["zoo"].append(time.perf_counter() - start)
        for name, other in per_image.items():
            start = time.perf_counter()
            for _ in other:
                pass
            seconds[name].append(time.perf_counter() - start)
    seconds = {name: values[1:] for name, values in seconds.items()}
    images = len(loader) * BATCH_SIZE
    per_second = {name: round(images / statistics.median(values)) for name, values in seconds.items()}
    best = max(per_image, key=lambda name: per_second[name])
    ratio = statistics.median(a / b for a, b in zip(seconds[best], seconds["zoo"], strict=True))
    return {
        "work": f"serving Fashion-MNIST with flips and shifts, batch {BATCH_SIZE}, {num_rounds} rounds of {images} images",
        "images_per_second": per_second,
        "best_by_hand": best,
        "zoo_to_best_by_hand": round(ratio, 1),
    }


if __name__ == "__main__":
    arguments = parse_arguments(__file__, __doc__, batches=40, rounds=4)
    measured = [train(name, arguments.batches, arguments.rounds) for name in SYSTEMS] + [serve(num_rounds=3)]
    keep(measured, __file__, arguments.output)
