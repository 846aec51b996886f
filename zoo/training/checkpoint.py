"""Checkpoint files: written whole or not at all, read with a clear answer."""

import inspect
import json
import os
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO
from safetensors import SafetensorError, safe_open

from zoo.aliases import migrate_game
from zoo.errors import FileError, MissingFileError, ZooError
from zoo.public import current_name
from zoo.training.files import atomic
from zoo.training.initial_weights import without_initial_weights
from zoo.training.links import import_class
from zoo.training.system import System


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes beside the target and renames: an interrupted or failed save leaves the older file as it was.

    Lightning's own is not atomic across file systems and swallows PermissionError (lightning #21800).

    Raises:
        FileError: when a file cannot be written, naming it; nothing half-written stays.
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
    """Load a checkpoint of the zoo on the CPU; tensors and plain values only, whatever the environment says.

    A file that `zoo export --format safetensors` wrote does as well: it holds a model, but nothing to go on training with.

    Raises:
        MissingFileError: if there is none.
        ZooError: if the file is cut short, or no checkpoint, or holds code.
    """
    path = Path(path)
    if not path.is_file():
        near = sorted(str(found) for found in path.parent.glob("*.ckpt"))
        raise MissingFileError(f"no checkpoint {path}" + (f": there is {', '.join(near)}" if near else ""))
    if path.suffix == ".safetensors":
        return _of_this_version(_read_exported(path))
    try:  # given by hand, weights_only wins over TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # bytes that are no checkpoint end in almost any: "hello" in a KeyError
        if code := re.search(r"GLOBAL ([A-Za-z_][\w.]*) ", str(error)):
            reason = f"it holds {code[1]}, where only tensors and plain values are safe to load"
        else:  # what torch says of an unpickler's failure is how to switch safety off
            said = "" if isinstance(error, pickle.UnpicklingError) else str(error).partition("\n")[0]
            reason = f"it is cut short, or no checkpoint ({': '.join(filter(None, [type(error).__name__, said]))})"
        raise ZooError(f"cannot read checkpoint {path}: {reason}. Use another, or train again") from error
    if not isinstance(checkpoint, dict) or "state_dict" not in checkpoint:
        raise ZooError(f"{path} is no Lightning checkpoint: it has no state_dict")
    return _of_this_version(checkpoint)


def _of_this_version(checkpoint: dict[str, Any]) -> dict[str, Any]:
    """Translate the names and arguments that an earlier version stored."""
    if "class_path" in checkpoint:
        checkpoint["class_path"] = current_name(checkpoint["class_path"])
        arguments = checkpoint.get("hyper_parameters", {})
        checkpoint["hyper_parameters"] = migrate_game(checkpoint["class_path"], arguments, strict=False)
    return checkpoint


def _read_exported(path: Path) -> dict[str, Any]:
    try:
        with safe_open(path, "pt") as file:
            about = file.metadata() or {}
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # safe_open is no mapping
        plain = {name: json.loads(about[name]) for name in ("hyper_parameters", "data")}
        run = json.loads(about.get("run", "{}"))
        class_path = about["class_path"]
    except (SafetensorError, KeyError, ValueError) as error:
        raise ZooError(f"cannot read {path}: no file of zoo export --format safetensors ({type(error).__name__})") from error
    return {
        "class_path": class_path,
        **plain,
        "state_dict": weights,
        "run": run,
        "pytorch-lightning_version": lightning.__version__,
    }


def latest_checkpoint(run_dir: Path) -> Path:
    """The checkpoint of a run that has come furthest, whatever the files' dates say.

    Raises:
        MissingFileError: if the run has none.
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
        again = f"zoo fit -c {run_dir}/config.yaml"
        raise MissingFileError(f"{run_dir} holds no checkpoint under checkpoints/: start it anew with {again}")
    return found[-1]


def load_system(path: str | Path) -> System:
    """The system a checkpoint holds, with its weights, in evaluation mode on the CPU.

    Raises:
        MissingFileError: if there is no such file.
        ZooError: if it can't be read, or holds a class that is not ours (or of a package in `ZOO_IMPORTS`).
    """
    return system_of(read_checkpoint(path), path)


def system_of(checkpoint: dict[str, Any], path: str | Path) -> System:
    """The same, of what `read_checkpoint` gave; `path` is for errors to name.

    Raises:
        ZooError: if it holds a class that is not ours (or of a package in `ZOO_IMPORTS`).
    """
    class_path = checkpoint.get("class_path", "")
    allowed = ("zoo", *filter(None, os.environ.get("ZOO_IMPORTS", "").split(",")))
    if class_path.split(".")[0] not in allowed:
        raise ZooError(f"{path} holds a {class_path or 'model of unknown class'}: name its package in ZOO_IMPORTS to load it")
    try:
        system_class = import_class(class_path)
    except (ImportError, AttributeError) as error:
        raise _of_another_version(path, f"it holds a {class_path}, which cannot be imported", error) from error
    if not (isinstance(system_class, type) and issubclass(system_class, System)):  # else a file could call any of our functions
        raise ZooError(f"{path} holds {class_path}, which is no System")
    arguments = checkpoint["hyper_parameters"]
    try:
        inspect.signature(system_class).bind(**arguments)
    except TypeError as error:
        raise _of_another_version(path, f"{class_path} takes other arguments", error) from error
    with without_initial_weights():
        system = system_class(**arguments)
    try:
        system.load_state_dict(checkpoint["state_dict"])
    except RuntimeError as error:
        raise _of_another_version(path, f"{class_path} has other weights", error) from error
    return system.eval()


def _of_another_version(path: str | Path, what: str, error: Exception) -> ZooError:
    said = " ".join(str(error).split())
    return ZooError(
        f"{path} was made by another version of the zoo, or of a package in ZOO_IMPORTS: {what} ({said[:200]}). "
        "Use the version that wrote it, or train again"
    )
