"""Compare memory and speed of training in fp32, bf16-mixed, fp16-mixed and bf16-true.

python benchmarks/precision.py           a few minutes on one CPU core; appends to benchmarks/precision.results.jsonl

Each network of the zoo trains on one batch of noise with AdamW, on the GPU if there is one. Mixed precision keeps the weights
in fp32 and computes in half under autocast; fp16 also scales the loss. bf16-true, which `zoo fit` refuses, rounds the weights
and the optimizer's averages too. The precisions alternate in one process; times are medians over rounds.

Memory is counted, in MB: weights with their gradients and the optimizer's averages, and the activations that the backward pass
keeps, each storage once. On a GPU, the peak of allocated memory is reported as well. `load` is the number of busy processes.
"""

import os
import statistics
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from overhead import keep, parse_arguments
from torch import Tensor, nn

from zoo.cnn.simple_cnn import SimpleCNN
from zoo.mlp.mlp import MLPNet
from zoo.nn.losses import cross_entropy
from zoo.rnn.rnn import RNNNet

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
BATCH_SIZE = 128
PRECISIONS = ("fp32", "bf16-mixed", "fp16-mixed", "bf16-true")
HALF = {"bf16-mixed": torch.bfloat16, "fp16-mixed": torch.float16}
WORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "MLP 784-1024-1024-10": (lambda: MLPNet((1, 28, 28), 10, hidden_dims=(1024, 1024)), (1, 28, 28)),
    "SimpleCNN 32-64-64 on 1x8x8": (lambda: SimpleCNN((1, 8, 8), 10, (32, 64, 64)), (1, 8, 8)),
    "LSTM 128 on 28 rows": (lambda: RNNNet((28, 28), 10), (28, 28)),
}


class Loop:
    """A training loop in one precision."""

    def __init__(self, build: Callable[[], nn.Module], shape: tuple[int, ...], precision: str) -> None:
        torch.manual_seed(0)
        true = precision == "bf16-true"
        self.net = build().to(DEVICE, torch.bfloat16 if true else torch.float32)
        self.x = torch.randn(BATCH_SIZE, *shape, device=DEVICE, dtype=torch.bfloat16 if true else torch.float32)
        self.y = torch.arange(BATCH_SIZE, device=DEVICE) % 10
        self.optimizer = torch.optim.AdamW(self.net.parameters(), lr=1e-3)
        self.scaler = torch.amp.GradScaler(DEVICE, enabled=precision == "fp16-mixed")
        self.half = HALF.get(precision)
        self.seconds: list[float] = []

    def autocast(self) -> AbstractContextManager[Any]:
        return nullcontext() if self.half is None else torch.autocast(DEVICE, dtype=self.half)

    def forward(self) -> Tensor:
        with self.autocast():
            return cross_entropy(self.net(self.x), self.y)

    def step(self) -> None:
        loss = self.forward()
        self.optimizer.zero_grad()
        self.scaler.scale(loss).backward()
        self.scaler.step(self.optimizer)
        self.scaler.update()

    def time(self, num_steps: int) -> None:
        start = time.perf_counter()
        for _ in range(num_steps):
            self.step()
        if DEVICE == "cuda":
            torch.cuda.synchronize()
        self.seconds.append((time.perf_counter() - start) / num_steps)

    def memory(self) -> dict[str, float]:
        """Return the MB of weights, gradients and averages, of kept activations, and on a GPU of the peak."""
        state = [value for values in self.optimizer.state.values() for value in values.values()]
        own = [tensor for p in self.net.parameters() for tensor in (p, p.grad) if tensor is not None] + state
        weights = {p.untyped_storage().data_ptr() for p in self.net.parameters()}
        kept: dict[int, int] = {}

        def pack(tensor: Tensor) -> Tensor:
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in weights:
                kept[storage.data_ptr()] = storage.nbytes()
            return tensor

        if DEVICE == "cuda":
            torch.cuda.reset_peak_memory_stats()
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            loss = self.forward()
        self.scaler.scale(loss).backward()
        megabytes = {"weights_and_averages": sum(t.numel() * t.element_size() for t in own), "activations": sum(kept.values())}
        if DEVICE == "cuda":
            megabytes["peak"] = torch.cuda.max_memory_allocated()
        return {name: round(value / 1e6, 2) for name, value in megabytes.items()}


def measure(name: str, num_steps: int, num_rounds: int) -> list[dict[str, Any]]:
    """Time all precisions of a network in turns, after one round of warm-up, and count their memory."""
    loops: dict[str, Loop] = {}
    lacking: dict[str, str] = {}
    for precision in PRECISIONS:
        loop = Loop(*WORKS[name], precision)
        try:
            loop.time(1)
        except RuntimeError as error:  # this device has no such layer in half precision
            lacking[precision] = str(error).partition(".")[0]
        else:
            loops[precision] = loop
            loop.seconds.clear()
    for _ in range(num_rounds):
        for loop in loops.values():
            loop.time(num_steps)
    hardware = torch.cuda.get_device_name() if DEVICE == "cuda" else f"{torch.get_num_threads()} core(s) of {processor()}"
    about = {"work": f"{name}, batch {BATCH_SIZE}", "hardware": hardware, "load": round(os.getloadavg()[0], 1)}
    measured = [
        {
            **about,
            "precision": precision,
            "ms_per_step": round(1e3 * statistics.median(loop.seconds), 2),
            "speed_to_fp32": round(statistics.median(loops["fp32"].seconds) / statistics.median(loop.seconds), 2),
            "megabytes": loop.memory(),
        }
        for precision, loop in loops.items()
    ]
    return measured + [{**about, "precision": precision, "refused": reason} for precision, reason in lacking.items()]


def processor() -> str:
    """Return the name of the processor and the half-precision instructions it has."""
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        text = file.read()
    name = next((line.partition(": ")[2] for line in text.splitlines() if line.startswith("model name")), "unknown")
    flags = [flag for flag in ("avx512_bf16", "avx512_fp16", "amx_bf16", "amx_fp16") if f" {flag}" in text]
    return f"{name} ({', '.join(flags) or 'no half-precision instructions'})"


def markdown(results: list[dict[str, Any]]) -> list[str]:
    """Return the rows of the table in docs/training.md."""
    rows = []
    for result in results:
        network = result["work"].partition(",")[0]
        if "refused" in result:
            rows.append(f"| {network} | {result['precision']} | not supported |  |  |")
            continue
        memory = result["megabytes"]
        time = f"{result['ms_per_step']:.0f} | {memory['weights_and_averages']:.1f} MB | {memory['activations']:.1f} MB"
        rows.append(f"| {network} | {result['precision']} | {time} |")
    return rows


if __name__ == "__main__":
    arguments = parse_arguments(__file__, __doc__, batches=5, rounds=5)
    found = [result for name in WORKS for result in measure(name, arguments.batches, arguments.rounds)]
    keep(found, __file__, arguments.output)
    print("\n".join(markdown(found)))
