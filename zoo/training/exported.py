"""Files of `zoo export --format safetensors`: the model of a checkpoint, without the state of its training."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lightning
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from zoo.errors import ZooError


def write_exported(weights: Mapping[str, Tensor], path: Path, about: Mapping[str, str]) -> None:
    """Write weights and what `about` says about them, with a checksum of both."""
    tensors = {name: value.contiguous() for name, value in weights.items()}
    save_file(tensors, path, metadata={**about, "sha256": _checksum(tensors, about)})


def read_exported(path: Path) -> dict[str, Any]:
    """Read an exported file as a checkpoint. It includes the state of the datamodule, which is compared before a test.

    Raises:
        ZooError: if the file is damaged, or was written by another program.
    """
    try:
        with safe_open(path, "pt") as file:
            about = dict(file.metadata() or {})
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # safe_open is not a mapping
        checksum = about.pop("sha256", None)
        values = {name: json.loads(about[name]) for name in ("hyper_parameters", "data")}
        state, run = (json.loads(about.get(name, "{}")) for name in ("data_state", "run"))  # earlier versions lack these
        class_path = about["class_path"]
    except (SafetensorError, KeyError, ValueError) as error:
        raise ZooError(
            f"cannot read {path}: expected a file written by zoo export --format safetensors ({type(error).__name__})"
        ) from error
    if checksum is not None and checksum != _checksum(weights, about):
        raise ZooError(f"cannot read {path}: it is damaged (checksum differs). Copy or export it again")
    return {
        "class_path": class_path,
        **values,
        **state,
        "data_class": next(iter(state), None),
        "state_dict": weights,
        "run": run,
        "pytorch-lightning_version": lightning.__version__,
    }


def _checksum(tensors: Mapping[str, Tensor], about: Mapping[str, str]) -> str:
    digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
