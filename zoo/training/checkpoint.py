"""Checkpoint files: atomic writing, safe reading with clear errors, and rebuilding the system that a file holds."""

import inspect
import os
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO

from zoo.aliases import migrate_game
from zoo.errors import FileError, MissingFileError, ZooError
from zoo.public import current_name
from zoo.training.exported import read_exported
from zoo.training.files import atomic, check_sums
from zoo.training.initial_weights import without_initial_weights
from zoo.training.links import import_class, user_packages
from zoo.training.system import System


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes to a temporary file and renames it, so that an interrupted or failed save leaves the older file unchanged.

    Lightning's own writer is not atomic across file systems and swallows PermissionError
    (https://github.com/Lightning-AI/pytorch-lightning/issues/21800).

    Raises:
        FileError: if a file cannot be written. No partial file is left behind.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any | None = None) -> None:
        path = Path(path)
        try:
            with atomic(path) as partial, partial.open("wb") as file:
                torch.save(checkpoint, file)
                file.flush()
                os.fsync(file.fileno())
        except (OSError, RuntimeError) as error:  # torch's zip writer turns a full disk into a RuntimeError
            raise FileError(f"cannot write checkpoint {path}: {error}. Free some space, or choose another --run_dir") from error

    def load_checkpoint(
        self, path: str | Path, map_location: Callable[..., Any] | None = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        return read_checkpoint(path)


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """Load a checkpoint, or a file written by `zoo export --format safetensors`, on the CPU.

    Only tensors and plain values are loaded, whatever the environment says. An exported file has no optimizer state, so
    training cannot be resumed from it. Names and arguments of earlier versions are translated.

    Raises:
        MissingFileError: if there is no such file.
        ZooError: if the file is cut short or damaged, is not a checkpoint, or contains code.
    """
    path = Path(path)
    if not path.is_file():
        near = sorted(str(found) for found in path.parent.glob("*.ckpt"))
        raise MissingFileError(f"checkpoint {path} does not exist" + (f": this folder has {', '.join(near)}" if near else ""))
    if path.suffix == ".safetensors":
        return _migrate(read_exported(path))
    try:
        check_sums(path)
        # An explicit weights_only takes precedence over TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD.
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except ZooError:
        raise
    except Exception as error:  # other files can raise almost any exception: the text "hello" raises a KeyError
        if code := re.search(r"GLOBAL ([A-Za-z_][\w.]*) ", str(error)):
            reason = f"it contains {code[1]}, but only tensors and plain values are safe to load"
        else:  # torch's text for an UnpicklingError explains how to turn the safety off, so it is left out
            detail = "" if isinstance(error, pickle.UnpicklingError) else str(error).partition("\n")[0]
            reason = f"it is cut short, or not a checkpoint ({': '.join(filter(None, [type(error).__name__, detail]))})"
        raise ZooError(f"cannot read checkpoint {path}: {reason}. Use another checkpoint, or train again") from error
    if not isinstance(checkpoint, dict) or "state_dict" not in checkpoint:
        raise ZooError(f"{path} is not a Lightning checkpoint, because it has no state_dict: choose another file")
    return _migrate(checkpoint)


def _migrate(checkpoint: dict[str, Any]) -> dict[str, Any]:
    """Translate the names and arguments that an earlier version stored."""
    if "class_path" in checkpoint:
        checkpoint["class_path"] = current_name(checkpoint["class_path"])
        arguments = checkpoint.get("hyper_parameters", {})
        checkpoint["hyper_parameters"] = migrate_game(checkpoint["class_path"], arguments, strict=False)
    return checkpoint


def state_of_data(checkpoint: dict[str, Any]) -> dict[str, Any]:
    """Return the state of the datamodule in a checkpoint, by the name of its class; empty if the checkpoint has none."""
    name = checkpoint.get("data_class")
    return {name: checkpoint[name]} if name in checkpoint else {}


def latest_checkpoint(run_dir: Path) -> Path:
    """Return the checkpoint of a run with the most training steps.

    Dates of files are compared only if no checkpoint with a known step exists, because copying changes them.

    Raises:
        MissingFileError: if the run has no checkpoint.
    """
    folder = run_dir / "checkpoints"
    kept = {path: path.stem.removeprefix("step=") for path in folder.glob("step=*.ckpt")}
    by_step = {int(step): path for path, step in kept.items() if step.isdecimal()}
    if (last := folder / "last.ckpt").is_file():
        by_step[read_checkpoint(last)["global_step"]] = last
    if by_step:
        return by_step[max(by_step)]
    found = sorted(folder.glob("*.ckpt"), key=lambda path: path.stat().st_mtime_ns)
    if not found:
        raise MissingFileError(
            f"{run_dir} has no checkpoint in checkpoints/: start a new run with zoo fit -c {run_dir}/config.yaml"
        )
    return found[-1]


def load_system(path: str | Path) -> System:
    """Load the system that a checkpoint holds, with its weights, in evaluation mode on the CPU.

    Raises:
        MissingFileError: if there is no such file.
        ZooError: if the file cannot be read, or its class is neither ours nor from a package in `ZOO_IMPORTS`.
    """
    return system_of(read_checkpoint(path), path)


def system_of(checkpoint: dict[str, Any], path: str | Path) -> System:
    """Build the system from the result of `read_checkpoint`; `path` appears in error messages.

    Raises:
        ZooError: if its class is neither ours nor from a package in `ZOO_IMPORTS`, or if arguments or weights do not fit it.
    """
    class_path = checkpoint.get("class_path", "")
    system_class = system_class_of(class_path, path)
    arguments = checkpoint.get("hyper_parameters", {})
    try:
        inspect.signature(system_class).bind(**arguments)
    except TypeError as error:
        raise _version_error(path, f"{class_path} takes other arguments", error) from error
    with without_initial_weights():
        system = system_class(**arguments)
    try:
        system.load_state_dict(checkpoint["state_dict"])
    except RuntimeError as error:
        raise _version_error(path, f"{class_path} has other weights", error) from error
    return system.eval()


def system_class_of(class_path: str, path: str | Path) -> type[System]:
    """Return the class of a system by its name; `path` is the file or the setting that names it, for error messages.

    Raises:
        ZooError: if it is neither ours nor from a package in `ZOO_IMPORTS`, cannot be imported, or is not a system.
    """
    if class_path.split(".")[0] not in ("zoo", *user_packages()):
        raise ZooError(f"{path} holds a {class_path or 'model of unknown class'}: name its package in ZOO_IMPORTS to load it")
    try:
        system_class = import_class(class_path)
    except (ImportError, AttributeError) as error:
        raise _version_error(path, f"it holds a {class_path}, which cannot be imported", error) from error
    if not (isinstance(system_class, type) and issubclass(system_class, System)):  # or a file could call any function
        raise ZooError(f"{path} holds {class_path}, which is not a System: choose a checkpoint of the zoo")
    return system_class


def _version_error(path: str | Path, what: str, error: Exception) -> ZooError:
    reason = " ".join(str(error).split())
    return ZooError(
        f"{path} was made by another version of the zoo, or of a package in ZOO_IMPORTS: {what} ({reason[:200]}). "
        "Use the version that wrote it, or train again"
    )
