"""`zoo export`: export the network of a checkpoint, and verify the exported file."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from zoo.errors import UsageError, ZooError
from zoo.training.checkpoint import read_checkpoint, state_of_data, system_of
from zoo.training.exported import read_exported, write_exported
from zoo.training.files import atomic
from zoo.training.quiet import keep_quiet
from zoo.training.run_dir import read_run
from zoo.training.system import System

Format = Literal["onnx", "pt2", "safetensors"]
_INPUT_NAMES = ["x", "lengths"]  # the inputs of a system, in order
_TOLERANCE = 1e-4  # relative and absolute; other runtimes sum in another order


class _Forward(nn.Module):
    """The forward method of a system as a plain module, without Lightning."""

    def __init__(self, system: System) -> None:
        super().__init__()
        self.system = system

    def forward(self, *inputs: Tensor) -> Tensor:
        return self.system.forward(*inputs)


def export(checkpoint: Path, format: Format, output: Path | None = None) -> int:
    """Write the exported file, reload it and compare its outputs for two batch sizes; delete it if they differ.

    Raises:
        ZooError: if the outputs differ.
    """
    keep_quiet()
    recorded = read_checkpoint(checkpoint)
    system = system_of(recorded, checkpoint)
    output = output or checkpoint.with_suffix(f".{format}")
    about = {
        "class_path": recorded["class_path"],
        "hyper_parameters": json.dumps(recorded["hyper_parameters"]),
        "data": json.dumps(recorded.get("data", {})),
        "run": json.dumps(recorded.get("run") or _run_record(checkpoint)),  # an exported file contains its record
    }
    if format == "safetensors":  # with it, a test of this file can refuse samples that the model was trained on
        about["data_state"] = json.dumps(state_of_data(recorded), default=Tensor.tolist)
    write, read = {
        "onnx": (_write_onnx, _read_onnx),
        "pt2": (_write_pt2, _read_pt2),
        "safetensors": (_write_safetensors, _read_safetensors),
    }[format]
    with atomic(output) as partial:
        write(system, partial, about)
        difference = _compare(system, read(partial, system))
    print(f"wrote {output} ({output.stat().st_size:,} bytes); largest difference after reloading: {difference:.1e}")
    return 0


def _run_record(checkpoint: Path) -> dict[str, Any]:
    """Return how the weights were trained and what they scored, from the run.json of their run."""
    record = read_run(checkpoint.parent.parent)
    kept = ("recipe", "commands", "results", "seconds", "hardware", "versions")
    return {name: record[name] for name in kept if name in record}


def _compare(system: System, other: Callable[..., Tensor]) -> float:
    largest = 0.0
    for batch_size in (1, 5):
        inputs = system.example_inputs(batch_size)
        with torch.no_grad():
            expected = system(*inputs)
            actual = other(*inputs)
        if not torch.allclose(actual, expected, rtol=_TOLERANCE, atol=_TOLERANCE):
            raise ZooError(
                f"the exported network differs by {(actual - expected).abs().max():.2g} on a batch of {batch_size}: not kept"
            )
        largest = max(largest, (actual - expected).abs().max().item())
    return largest


def _write_onnx(system: System, path: Path, about: dict[str, str]) -> None:
    try:
        import onnx
        import onnxscript  # noqa: F401  # checks that it is installed, because torch's exporter needs it
    except ModuleNotFoundError as error:
        raise UsageError(f"ONNX needs {error.name}: pip install onnx onnxruntime onnxscript (the extra [export])") from error
    inputs = system.example_inputs(2)
    program = torch.onnx.export(
        _Forward(system).eval(),
        inputs,
        input_names=_INPUT_NAMES[: len(inputs)],
        output_names=["y"],
        dynamic_shapes=_any_batch_size(inputs),
        dynamo=True,
        verbose=False,
    )
    assert program is not None
    model = program.model_proto
    onnx.helper.set_model_props(model, about)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)


def _any_batch_size(inputs: tuple[Tensor, ...]) -> tuple[Any, ...]:
    batch = torch.export.Dim("batch")
    return (tuple({0: batch} for _ in inputs),)


def _read_onnx(path: Path, system: System) -> Callable[..., Tensor]:
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])

    def run(*inputs: Tensor) -> Tensor:
        named = {name: value.numpy() for name, value in zip(_INPUT_NAMES, inputs, strict=False)}
        return torch.from_numpy(session.run(None, named)[0])

    return run


def _write_pt2(system: System, path: Path, about: dict[str, str]) -> None:
    inputs = system.example_inputs(2)
    program = torch.export.export(_Forward(system).eval(), inputs, dynamic_shapes=_any_batch_size(inputs))
    with path.open("wb") as file:  # torch requires paths to end in .pt2
        torch.export.save(program, file, extra_files=dict(about))


def _read_pt2(path: Path, system: System) -> Callable[..., Tensor]:
    with path.open("rb") as file:
        module: Any = torch.export.load(file).module()
    return module


def _write_safetensors(system: System, path: Path, about: dict[str, str]) -> None:
    write_exported(system.state_dict(), path, about)


def _read_safetensors(path: Path, system: System) -> Callable[..., Tensor]:
    return system_of(read_exported(path), path)
