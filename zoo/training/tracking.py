"""Tracking with Weights & Biases. Without a key or a connection a run is tracked offline and continues."""

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
    """Settings for Weights & Biases, all optional. Comments start with the default."""

    project: str  # lightning-model-zoo
    entity: str  # the default of the W&B account
    name: str  # names of the recipe and of the run directory
    group: str  # name of the recipe
    tags: list[str]  # none
    log_model: bool | Literal["all"]  # false; true uploads the best checkpoint at the end, "all" every checkpoint when written


def has_key() -> bool:
    """Return whether W&B can log in, with a key from the environment or from the netrc entry of the server in use."""
    if os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        return True
    host = urlparse(os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")).hostname or ""
    try:
        return netrc.netrc(os.environ.get("NETRC")).authenticators(host) is not None
    except (OSError, netrc.NetrcParseError):
        return False


def wandb_mode() -> Literal["online", "offline", "disabled", "shared"]:
    """Return `WANDB_MODE` if it is set, else "online" with a key and "offline" without one.

    Raises:
        ZooError: if `WANDB_MODE` is not a known mode.
    """
    if not (mode := os.environ.get("WANDB_MODE")):
        os.environ.pop("WANDB_MODE", None)  # W&B rejects an empty value
    if mode in ("online", "offline", "disabled", "shared"):
        return mode  # type: ignore[return-value]  # mypy does not narrow a str by `in`
    if mode in ("dryrun", "run"):  # their older names
        return "offline" if mode == "dryrun" else "online"
    if mode:
        raise ZooError(f"WANDB_MODE is {mode!r}: expected online, offline, shared or disabled. Change or unset it")
    return "online" if has_key() else "offline"


def make_loggers(
    run_dir: Path, recipe: str, session: str, settings: Wandb | None = None, resume_id: str | None = None
) -> list[Logger]:
    """Build the loggers: W&B first, then a CSV file (`logs/<session>/metrics.csv`).

    A resumed run continues the W&B run `resume_id`, if W&B is online. Offline, every session is a W&B run of its own: W&B would
    count its steps from 0 again, and the sync of a second session would replace the first.
    """
    run_dir.mkdir(parents=True, exist_ok=True)  # if it is missing, W&B uses a temporary folder
    settings = settings or Wandb()
    mode = wandb_mode()
    continued = resume_id if mode in ("online", "shared") else None
    name = settings.get("name", f"{recipe} {run_dir.name}")
    wandb_arguments: dict[str, Any] = {
        "mode": mode,
        "entity": settings.get("entity"),
        "tags": settings.get("tags"),
        # Offline, W&B's output repeats the summary of the run. Online, 30 seconds are enough to reach the server.
        "settings": Settings(silent=mode != "online", init_timeout=float(os.environ.get("WANDB_INIT_TIMEOUT", 30))),
    }
    logger = WandbLogger(
        name=name if continued or session == "fit" else f"{name} {session}",
        save_dir=run_dir,
        project=settings.get("project", "lightning-model-zoo"),
        log_model=settings.get("log_model", False) if mode != "disabled" else False,
        id=continued,
        resume="allow" if continued else None,
        group=settings.get("group", recipe),
        job_type=session,
        **wandb_arguments,
    )
    logger._wandb_init.pop("anonymous", None)  # Lightning always passes it, and W&B warns that it has no effect
    return [logger, CSVLogger(run_dir, name="logs", version=session)]


def start_or_go_offline(logger: WandbLogger) -> None:
    """Start the W&B run now. If the server cannot be reached, print a note and continue offline."""
    try:
        logger.experiment  # noqa: B018  # reading the property starts W&B
    except wandb.errors.Error as error:
        print(f"W&B cannot be reached ({str(error).splitlines()[0]}): this run is tracked offline", flush=True)
        logger._wandb_init.update(mode="offline", id=None, resume=None, settings=Settings(silent=True))
        logger._experiment = None
        logger.experiment  # noqa: B018  # starts the offline run


def describe_wandb(logger: WandbLogger) -> list[str]:
    """Return lines that tell how to view and sync a run, with its earlier offline sessions. Empty if W&B is disabled."""
    run = logger.experiment
    if run.disabled:
        return []
    if run.offline:
        folder = Path(run.dir).parent
        sessions = sorted(folder.parent.glob("offline-run-*"))  # their names begin with the time
        return [
            f"look at it: wandb leet {shlex.quote(str(folder))}",
            f"sync it:    wandb sync {shlex.join(str(session) for session in sessions)}",
        ]
    return [f"look at it: {run.url}"]
