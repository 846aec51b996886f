"""Provenance of a score: the hardware that computed it, and the commit of the code."""

import os
import platform
import subprocess
from pathlib import Path

import torch
from lightning import Trainer


def hardware(trainer: Trainer) -> str:
    """Return the name of the GPUs in use, or of the processor with its number of cores."""
    if trainer.strategy.root_device.type == "cuda":
        return f"{trainer.world_size} x {torch.cuda.get_device_name(trainer.strategy.root_device)}"
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return f"{os.cpu_count()} cores of {names[0] if names else platform.processor() or platform.machine()}"


def commit_of(path: Path) -> str:
    """Return the commit of the checkout that holds a file, with "+changes" if the code was edited since.

    Outside a checkout, return "installed".
    """
    git = ["git", "-C", str(path.parent)]
    tracked = subprocess.run([*git, "ls-files", "--error-unmatch", path.name], capture_output=True, check=False)
    if tracked.returncode:
        return "installed"
    head = subprocess.run([*git, "rev-parse", "--short=10", "HEAD"], capture_output=True, text=True, check=True)
    code = [":/zoo/*.py", ":/datamodules/*.py", ":/recipes/*.yaml", ":/recipes/*.py"]
    changed = subprocess.run([*git, "status", "--porcelain", "--", *code], capture_output=True, text=True, check=True).stdout
    return head.stdout.strip() + ("+changes" if changed else "")
