"""Networks are compiled in place: names of weights stay, and what is trained is what runs without compilation."""

import functools
from pathlib import Path

import pytest
import torch
from torch import nn

from zoo.autoencoders.vae import VAE
from zoo.cli.main import main
from zoo.gans.gan import GAN
from zoo.mlp.mlp import MLPClassifier
from zoo.training.checkpoint import read_checkpoint
from zoo.training.compilation import compile_networks


@pytest.fixture(autouse=True)
def traced(monkeypatch: pytest.MonkeyPatch) -> list[torch.fx.GraphModule]:
    """Return the graphs that `torch.compile` traces. They run as they are, because a C++ compiler would take a minute."""
    graphs: list[torch.fx.GraphModule] = []

    def backend(graph: torch.fx.GraphModule, inputs: object) -> torch.fx.GraphModule:
        graphs.append(graph)
        return graph

    monkeypatch.setattr(nn.Module, "compile", functools.partialmethod(nn.Module.compile, backend=backend))
    torch.compiler.reset()
    return graphs


def test_every_network_is_compiled_and_keeps_its_names(traced: list[torch.fx.GraphModule]) -> None:
    systems = {
        "mlp": MLPClassifier((4,), 3, hidden_dims=(8,)),
        "vae": VAE((1, 8, 8), widths=(8,), latent_dim=2),
        "gan": GAN((2,), widths=(8,), ema=0.9),
    }
    names = {key: [*system.state_dict()] for key, system in systems.items()}
    assert compile_networks(systems["mlp"]) == ["MLPNet"]
    assert len(compile_networks(systems["vae"])) > 1  # its parts, because the step calls methods of the net
    assert len(compile_networks(systems["gan"])) == 3  # both networks, and the average that draws samples
    assert {key: [*system.state_dict()] for key, system in systems.items()} == names


FIT = [
    "fit",
    "-c",
    "mlp_digits",
    "--model.optim.warmup_steps",
    "0",
    "--trainer.max_epochs",
    "1",
    "--data.batch_size",
    "200",
    "--trainer.precision",
    "32-true",
]


def test_a_run_can_be_resumed_with_and_without(
    tmp_path: Path, traced: list[torch.fx.GraphModule], capsys: pytest.CaptureFixture[str]
) -> None:
    a, b = (str(tmp_path / name) for name in "ab")
    assert main([*FIT, "--run_dir", a, "--compile", "true"]) == 0
    assert "compiles MLPNet: the first training step and" in capsys.readouterr().out
    assert traced
    assert main([*FIT, "--run_dir", b]) == 0
    compiled, plain = (read_checkpoint(Path(run) / "checkpoints" / "last.ckpt")["state_dict"] for run in (a, b))
    assert compiled.keys() == plain.keys()
    for name, value in plain.items():
        torch.testing.assert_close(compiled[name], value)
    del traced[:]
    assert main(["fit", "--resume", a, "--compile", "false", "--trainer.max_epochs", "2"]) == 0
    assert not traced
    torch.compiler.reset()  # Otherwise the graphs of the first run are used again.
    assert main(["fit", "--resume", b, "--compile", "true", "--trainer.max_epochs", "2"]) == 0
    assert traced
