"""`zoo export`: export the network of a checkpoint, and verify the exported file."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from zoo.cli.deployment import PixelClassifier, preparation_of, write_instructions
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

    def example_inputs(self, batch_size: int) -> tuple[Tensor, ...]:
        return self.system.example_inputs(batch_size)


Graph = _Forward | PixelClassifier  # what an exported graph computes


def export(checkpoint: Path, format: Format, output: Path | None = None) -> int:
    """Write the exported file, reload it and compare its outputs for two batch sizes; delete it if they differ.

    The graph of an image classifier takes pixels and returns probabilities; files beside it say how to use it. All other graphs
    take and return what the system does. A safetensors file holds the system, which the zoo's own commands load.

    Raises:
        ZooError: if the outputs differ.
    """
    keep_quiet()
    recorded = read_checkpoint(checkpoint)
    system = system_of(recorded, checkpoint)
    output = output or checkpoint.with_suffix(f".{format}")
    facts = recorded.get("data", {})
    prepare = None if format == "safetensors" else preparation_of(system, facts)
    graph = (_Forward(system) if prepare is None else PixelClassifier(system, facts)).eval()
    about = {
        "class_path": recorded["class_path"],
        "hyper_parameters": json.dumps(recorded["hyper_parameters"]),
        "data": json.dumps(facts),
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
        write(graph, partial, about)
        difference = _compare(graph, read(partial))
    print(f"wrote {output} ({output.stat().st_size:,} bytes); largest difference after reloading: {difference:.1e}")
    for path in [] if prepare is None else write_instructions(output, facts, prepare):
        print(f"wrote {path}")
    return 0


def _run_record(checkpoint: Path) -> dict[str, Any]:
    """Return how the weights were trained and what they scored, from the run.json of their run."""
    record = read_run(checkpoint.parent.parent)
    kept = ("recipe", "commands", "results", "seconds", "hardware", "versions")
    return {name: record[name] for name in kept if name in record}


def _compare(graph: Graph, other: Callable[..., Tensor]) -> float:
    largest = 0.0
    for batch_size in (1, 5):
        inputs = graph.example_inputs(batch_size)
        with torch.no_grad():
            expected = graph(*inputs)
            actual = other(*inputs)
        if not torch.allclose(actual, expected, rtol=_TOLERANCE, atol=_TOLERANCE):
            raise ZooError(
                f"the exported network differs by {(actual - expected).abs().max():.2g} on a batch of {batch_size}: not kept"
            )
        largest = max(largest, (actual - expected).abs().max().item())
    return largest


def _write_onnx(graph: Graph, path: Path, about: dict[str, str]) -> None:
    try:
        import onnx
        import onnxscript  # noqa: F401  # checks that it is installed, because torch's exporter needs it
    except ModuleNotFoundError as error:
        raise UsageError(f"ONNX needs {error.name}: pip install onnx onnxruntime onnxscript (the extra [export])") from error
    inputs, takes_pixels = graph.example_inputs(2), isinstance(graph, PixelClassifier)
    program = torch.onnx.export(
        graph,
        inputs,
        input_names=["images"] if takes_pixels else _INPUT_NAMES[: len(inputs)],
        output_names=["probabilities" if takes_pixels else "y"],
        dynamic_shapes=_any_batch_size(graph, inputs),
        dynamo=True,
        verbose=False,
    )
    assert program is not None
    model = program.model_proto
    onnx.helper.set_model_props(model, about)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)


def _any_batch_size(graph: Graph, inputs: tuple[Tensor, ...]) -> tuple[Any, ...]:
    batch = torch.export.Dim("batch")
    sizes = tuple({0: batch} for _ in inputs)
    return sizes if isinstance(graph, PixelClassifier) else (sizes,)  # `_Forward` takes all inputs as one argument


def _read_onnx(path: Path) -> Callable[..., Tensor]:
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [found.name for found in session.get_inputs()]

    def run(*inputs: Tensor) -> Tensor:
        named = {name: value.numpy() for name, value in zip(names, inputs, strict=False)}
        return torch.from_numpy(session.run(None, named)[0])

    return run


def _write_pt2(graph: Graph, path: Path, about: dict[str, str]) -> None:
    inputs = graph.example_inputs(2)
    program = torch.export.export(graph, inputs, dynamic_shapes=_any_batch_size(graph, inputs))
    with path.open("wb") as file:  # torch requires paths to end in .pt2
        torch.export.save(program, file, extra_files=dict(about))


def _read_pt2(path: Path) -> Callable[..., Tensor]:
    with path.open("rb") as file:
        module: Any = torch.export.load(file).module()
    return module


def _write_safetensors(graph: Graph, path: Path, about: dict[str, str]) -> None:
    assert isinstance(graph, _Forward)
    write_exported(graph.system.state_dict(), path, about)


def _read_safetensors(path: Path) -> Callable[..., Tensor]:
    return system_of(read_exported(path), path)
