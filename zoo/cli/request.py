"""What the command line asks for, before any library is loaded."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal


@dataclass(frozen=True)
class Request:
    """A command on a recipe, a run or a checkpoint."""

    command: Literal["fit", "validate", "test", "predict"]
    configs: list[Path]
    overrides: list[str] = field(default_factory=list)  # as typed: --model.lr 3e-4 ...
    run_dir: Path | None = None
    resume: Path | None = None  # a run directory, or one of its checkpoints
    ckpt_path: Path | None = None
