"""Default precision of a run."""

from pathlib import Path
from typing import Literal

import torch


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
