"""Report on the gradients, updates and activations of every layer, for any system."""

import csv
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer
from torch.distributed.tensor import DTensor
from torch.optim import Optimizer
from torch.utils.hooks import RemovableHandle

from zoo.errors import ZooError
from zoo.tasks.debugging.activations import Activations, Statistics, bin_edges, statistics
from zoo.tasks.debugging.picture import Measurement, gradients_figure
from zoo.tasks.debugging.updates import Norms, Updates
from zoo.training.files import write_csv
from zoo.training.reporting import log_histograms, log_picture, writes

_HEADER = ["step", "layer", "optimizer", "gradient_norm", "weight_norm", "update_ratio", "kind", "mean", "std", "dead"]
_MOST_LAYERS = 200  # whose values W&B gets


class Gradients(Callback):
    """Measures every layer at regular steps: gradient norm, update ratio, activations and dead units.

    - The gradient norm is that of the gradients from which the optimizer steps: accumulated, averaged over processes, unscaled
      in mixed precision, and before clipping.
    - The update ratio is the norm of the change of the weights by the step, divided by the norm of the weights. It contains
      clipping and everything the optimizer does. About 1e-3 is usual. With a far lower ratio a layer hardly learns, with a far
      higher one it is unstable (Karpathy, 2022, "Building makemore, part 3").
    - A unit of a ReLU layer is dead if it is 0 for every sample of the measured batches: it passes no gradient on.
    - Mean, deviation and histogram describe the outputs of a layer in the measured batches.

    Of several optimizers, as in a GAN, one step of each is measured. Values stay on the device until a measurement is complete;
    reading them is the only synchronisation. The training itself does not change, to the bit.

    It writes `gradients.csv` and `activations.csv` (histograms) into the run directory, draws `pictures/gradients.png` at the
    first, second, fourth, eighth, ... measurement and when training ends, and sends picture, values and histograms to W&B.
    Processes measure together; one of them writes.

    Args:
        every_n_steps: optimizer steps between the starts of two measurements. The first starts at step 0.
        num_batches: batches whose activations a measurement covers. The gradients are those of the first optimizer step.

    Raises:
        ZooError: if an argument is below 1, or if the network is compiled or its weights are sharded.
    """

    def __init__(self, every_n_steps: int = 50, num_batches: int = 4) -> None:
        for name, value in {"every_n_steps": every_n_steps, "num_batches": num_batches}.items():
            if value < 1:
                raise ZooError(f"{name} must be at least 1, got {value}")
        self.every_n_steps, self.num_batches = every_n_steps, num_batches
        self.latest: Measurement | None = None
        self._measured: list[Measurement] = []
        self._hooks: list[RemovableHandle] = []
        self._activations: Activations | None = None  # while a measurement is going on
        self._updates: Updates | None = None
        self._step, self._num_batches = -1, 0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if any(module._compiled_call_impl is not None for module in pl_module.modules()):
            raise ZooError("gradients cannot be measured layer by layer in a compiled network: leave --compile out")
        if any(isinstance(parameter, DTensor) for parameter in pl_module.parameters()):
            raise ZooError("gradients cannot be measured on weights that are sharded, as by fsdp: use trainer/ddp")
        self._updates = Updates(pl_module)
        self._hooks = [optimizer.register_step_post_hook(self._after_step) for optimizer in trainer.optimizers]
        self._step, self._measured = -1, []
        if writes(trainer):
            self._forget_from(Path(trainer.default_root_dir), trainer.global_step)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        step = trainer.global_step
        if self._activations is None and step % self.every_n_steps == 0 and step != self._step:
            self._activations, self._step, self._num_batches = Activations(pl_module), step, 0
        if self._activations is not None:
            self._activations.on = self._num_batches < self.num_batches

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        if self._activations is not None and self._updates is not None and not self._updates.has(optimizer):
            self._updates.before(optimizer)

    def _after_step(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        if self._activations is not None and self._updates is not None:
            self._updates.after(optimizer)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self._activations is None or self._updates is None:
            return
        self._activations.on = False
        self._num_batches += 1
        stepped = all(self._updates.has(optimizer) for optimizer in trainer.optimizers)
        if (stepped and self._num_batches >= self.num_batches) or trainer.is_last_batch:
            self._finish(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._activations is not None:  # the run has ended within a measurement
            self._finish(trainer)
        for hook in self._hooks:
            hook.remove()
        self._draw(trainer)

    def _finish(self, trainer: Trainer) -> None:
        """Read what was measured, and write it."""
        assert self._activations is not None
        assert self._updates is not None
        self._activations.remove()
        (layers, sums), (by_layer, norms) = self._activations.take(), self._updates.take()
        self._activations = None
        if trainer.world_size > 1:
            sums = trainer.strategy.reduce(sums, reduce_op="sum")  # gradients are averaged already
        sums, norms = torch.split(torch.cat([sums.to(norms.device), norms]).cpu(), [len(sums), len(norms)])
        self.latest = Measurement(self._step, by_layer(norms), statistics(layers, sums))
        if not writes(trainer):
            return
        folder = Path(trainer.default_root_dir)
        _append(folder / "gradients.csv", _HEADER, table(self.latest))
        _append(
            folder / "activations.csv",
            ["step", "layer", *(f"{edge:.4g}" for edge in bin_edges()[:-1])],
            [
                [self._step, name, *(f"{share:.4g}" for share in found.histogram)]
                for name, found in self.latest.activations.items()
            ],
        )
        self._send(trainer, self.latest)
        self._measured.append(self.latest)
        if len(self._measured).bit_count() == 1:  # a power of two
            self._draw(trainer)

    def _send(self, trainer: Trainer, measured: Measurement) -> None:
        """Send values and histograms to W&B, of the first 200 layers."""
        values: dict[str, float] = {}
        for norms in measured.norms:
            for name, found in list(norms.items())[:_MOST_LAYERS]:
                values |= {f"gradient_norm/{name}": found.gradient, f"update_ratio/{name}": found.ratio}
        shown = dict(list(measured.activations.items())[:_MOST_LAYERS])
        values |= {f"dead/{name}": found.dead for name, found in shown.items() if found.dead is not None}
        finite = {name: value for name, value in values.items() if math.isfinite(value)}
        log_histograms(trainer, finite, {f"activations/{name}": found.histogram for name, found in shown.items()}, bin_edges())

    def _draw(self, trainer: Trainer) -> None:
        if self._measured and writes(trainer):
            path = Path(trainer.default_root_dir) / "pictures" / "gradients.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            gradients_figure(self._measured).savefig(path, dpi=100)
            log_picture(trainer, "train/gradients", path)

    @staticmethod
    def _forget_from(folder: Path, step: int) -> None:
        """Remove the rows from a step on. A resumed run measures these steps again."""
        for path in (folder / "gradients.csv", folder / "activations.csv"):
            if path.exists():
                with path.open(newline="", encoding="utf-8") as file:
                    header, *rows = csv.reader(file)
                write_csv(path, header, [row for row in rows if int(row[0]) < step])


def table(measured: Measurement) -> list[list[Any]]:
    """Return the rows of `gradients.csv` for a measurement: layers with parameters, then layers without. Empty: not defined."""
    rows: list[list[Any]] = []
    described: set[str] = set()
    for number, norms in enumerate(measured.norms):
        for name, found in norms.items():
            rows.append([measured.step, name, number, *_numbers(found), *_describe(measured.activations, name)])
            described.add(name)
    for name in measured.activations:
        if name not in described:
            rows.append([measured.step, name, "", "", "", "", *_describe(measured.activations, name)])
    return rows


def _numbers(norms: Norms) -> list[str]:
    return ["" if math.isnan(value) else f"{value:.6g}" for value in (norms.gradient, norms.weight, norms.ratio)]


def _describe(activations: Mapping[str, Statistics], name: str) -> list[str]:
    if name not in activations:
        return ["", "", "", ""]
    found = activations[name]
    return [found.kind, f"{found.mean:.6g}", f"{found.std:.6g}", "" if found.dead is None else f"{found.dead:.6g}"]


def _append(path: Path, header: list[str], rows: list[list[Any]]) -> None:
    """Append rows to a table, which starts with the header."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = not path.exists()
    with path.open("a", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows] if new else rows)
