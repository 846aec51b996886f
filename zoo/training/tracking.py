"""Weights & Biases wiring: offline without a key, never in the way of a run."""

import netrc
import os
import shlex
from pathlib import Path
from typing import Any, Literal, TypedDict
from urllib.parse import urlparse

import wandb
from lightning.pytorch.loggers import CSVLogger, Logger, WandbLogger
from wandb import Settings

from zoo.errors import ZooError


class Wandb(TypedDict, total=False):
    """Where a run stands in Weights & Biases; every field may be left out."""

    project: str  # lightning-model-zoo
    entity: str
    name: str  # the recipe and the run directory
    group: str  # the recipe's
    tags: list[str]
    log_model: bool | Literal["all"]  # checkpoints as artifacts: the best at the end, or all as they come


def has_key() -> bool:
    """Whether W&B could log in: a key in the environment, or in the netrc file for the server in use."""
    if os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        return True
    host = urlparse(os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")).hostname or ""
    try:
        return netrc.netrc(os.environ.get("NETRC")).authenticators(host) is not None
    except (OSError, netrc.NetrcParseError):
        return False


def wandb_mode() -> Literal["online", "offline", "disabled", "shared"]:
    """`WANDB_MODE` where it is set, else online with a key and offline without."""
    if not (mode := os.environ.get("WANDB_MODE")):
        os.environ.pop("WANDB_MODE", None)  # W&B itself does not take an empty one
    if mode in ("online", "offline", "disabled", "shared"):
        return mode  # type: ignore[return-value]  # mypy does not narrow a str by `in`
    if mode in ("dryrun", "run"):  # their older names
        return "offline" if mode == "dryrun" else "online"
    if mode:
        raise ZooError(f"WANDB_MODE is {mode!r}: expected online, offline, shared or disabled")
    return "online" if has_key() else "offline"


def make_loggers(
    run_dir: Path, recipe: str, session: str, settings: Wandb | None = None, resume_id: str | None = None
) -> list[Logger]:
    """W&B first, and a CSV file always beside it (`logs/<session>/metrics.csv`)."""
    run_dir.mkdir(parents=True, exist_ok=True)  # W&B falls back to a temporary folder where it is missing
    settings = settings or Wandb()
    mode = wandb_mode()
    wandb_arguments: dict[str, Any] = {
        "mode": mode,
        "entity": settings.get("entity"),
        "tags": settings.get("tags"),
        # offline its output repeats what the closing table says; online 30 seconds are enough to find the server
        "settings": Settings(silent=mode != "online", init_timeout=float(os.environ.get("WANDB_INIT_TIMEOUT", 30))),
    }
    logger = WandbLogger(
        name=settings.get("name", f"{recipe} {run_dir.name}"),
        save_dir=run_dir,
        project=settings.get("project", "lightning-model-zoo"),
        log_model=settings.get("log_model", False) if mode != "disabled" else False,
        id=resume_id,
        resume="allow" if resume_id else None,
        group=settings.get("group", recipe),
        job_type=session,
        **wandb_arguments,
    )
    logger._wandb_init.pop("anonymous", None)  # Lightning passes it on always, and W&B says each time that it has no effect
    return [logger, CSVLogger(run_dir, name="logs", version=session)]


def start_or_go_offline(logger: WandbLogger) -> None:
    """Start the run now; where the server cannot be reached, go on offline and say so."""
    try:
        logger.experiment  # noqa: B018  # W&B starts with the first look
    except wandb.errors.Error as error:
        print(f"W&B cannot be reached ({str(error).splitlines()[0]}): this run is tracked offline", flush=True)
        logger._wandb_init.update(mode="offline", settings=Settings(silent=True))
        logger._experiment = None
        logger.experiment  # noqa: B018  # starts the offline run


def describe_wandb(logger: WandbLogger) -> list[str]:
    """How to look at a run and how to sync it; nothing for a disabled one."""
    run = logger.experiment
    if run.disabled:
        return []
    if run.offline:
        folder = shlex.quote(str(Path(run.dir).parent))
        return [f"look at it: wandb leet {folder}", f"sync it:    wandb sync {folder}"]
    return [f"look at it: {run.url}"]
