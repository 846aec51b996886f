"""Default precision of a run, and fp16 with loss scaling on CPUs."""

from pathlib import Path
from typing import Literal

import torch
from lightning.pytorch.plugins import MixedPrecision

FP16_MIXED = ("16-mixed", "16", 16)  # what Lightning takes for it


def default_precision(accelerator: str = "auto") -> tuple[Literal["bf16-mixed", "32-true"], str]:
    """Return the fastest precision of this machine that keeps the range of fp32, and the reason for the choice.

    This is bf16 autocast on GPUs that support it, and on CPUs with AMX or AVX-512 BF16, where convolutions run 2-3 times
    faster. Otherwise it is fp32.
    """
    if accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available():
        if torch.cuda.is_bf16_supported(including_emulation=False):
            return "bf16-mixed", "this GPU computes in bf16"
        return "32-true", "this GPU has no bf16"
    if accelerator == "auto" and torch.backends.mps.is_available():
        return "32-true", "this is an Apple GPU"
    cpuinfo = Path("/proc/cpuinfo")
    flags = set(cpuinfo.read_text(encoding="utf-8").split()) if cpuinfo.exists() else set()
    for flag, name in {"amx_bf16": "AMX", "avx512_bf16": "AVX-512 BF16"}.items():
        if flag in flags:
            return "bf16-mixed", f"this processor has {name}"
    return "32-true", "this processor does not compute in bf16"


def precision_plugin(precision: object, accelerator: object) -> MixedPrecision | None:
    """Return the plugin for fp16 autocast with dynamic loss scaling on a CPU; None if Lightning handles the precision itself.

    Lightning replaces 16-mixed by bf16-mixed on CPUs, although torch's autocast and `GradScaler` support fp16 there. It is
    slow, but shows what a GPU would compute. The scaler multiplies the loss by a factor that it halves if a gradient overflows
    (the step is then skipped) and doubles after 2,000 steps without an overflow (Micikevicius et al., 2018, arXiv:1710.03740).
    """
    on_cpu = accelerator == "cpu" or (
        accelerator == "auto" and not torch.cuda.is_available() and not torch.backends.mps.is_available()
    )
    if precision not in FP16_MIXED or not on_cpu:
        return None
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**16, growth_factor=2.0, backoff_factor=0.5, growth_interval=2000)
    return MixedPrecision("16-mixed", "cpu", scaler)
